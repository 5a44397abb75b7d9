package ca_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/ca/ops"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/freeport"
)

// operator carries out an action on the authority of dir, and fails the test if it fails.
func operator[Q, R any](t *testing.T, dir string, action ops.Action[Q, R], q Q) R {
	t.Helper()
	r, err := ops.Run(t.Context(), ops.Caller{Dir: dir, Log: slog.New(slog.DiscardHandler)}, action, q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// join makes a host of its own a perspective of the authority at url, and has it serve until the test ends.
func join(t *testing.T, url, token string, change ...func(*ca.ValidatorConfig)) (*ca.Validator, error) {
	t.Helper()
	config := ca.ValidatorConfig{
		Dir: filepath.Join(t.TempDir(), "host"), Listen: "127.0.0.1:0", Version: "test", Join: token, URL: url,
		Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&config)
	}
	v, err := ca.OpenValidator(t.Context(), config)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- v.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return v, nil
}

func TestTokens(t *testing.T) {
	a := catest.Start(t, "")
	made := operator(t, a.Dir, ops.CreateValidatorToken, ops.ValidatorTokenRequest{Node: "fra1", RIR: "RIPE"})
	if left := time.Until(made.Expires); left > time.Hour || left < 59*time.Minute || made.URL != a.URL() {
		t.Errorf("the token %+v is good for %s", made, left)
	}
	token, err := roles.ParseToken(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	wrong := token
	wrong.Secret[0]++
	unknown := token
	unknown.ID[0]++
	elsewhere := token
	elsewhere.CA[0]++
	for _, test := range []struct {
		name, token, want string
		change            func(*ca.ValidatorConfig)
	}{
		{"wrong secret", wrong.String(), "not known here", nil},
		{"unknown", unknown.String(), "not known here", nil},
		{"wrong CA hash", elsewhere.String(), "CA for roles is another one", nil},
		{"no token", "cairn-join-x", "whole token", nil},
		{"another name", made.Token, "for a node called fra1", func(c *ca.ValidatorConfig) { c.Node = "ams1" }},
		{"another region", made.Token, "region of RIPE", func(c *ca.ValidatorConfig) { c.RIR = "ARIN" }},
		{"the right one", made.Token, "", nil},
		{"used twice", made.Token, "used already", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var changes []func(*ca.ValidatorConfig)
			if test.change != nil {
				changes = append(changes, test.change)
			}
			v, err := join(t, at(a), test.token, changes...)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if node, rir, address := v.Name(); node != "fra1" || rir != "RIPE" || !strings.HasPrefix(address, "127.0.0.1:") {
					t.Errorf("it is %s in %s at %s", node, rir, address)
				}
			} else if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("joining: %v, want %q", err, test.want)
			}
		})
	}
	if list := operator(t, a.Dir, ops.ListValidators, struct{}{}); len(list) != 1 || list[0].Node != "fra1" || list[0].RIR != "RIPE" {
		t.Errorf("validators: %+v", list)
	}
	for _, q := range []ops.ValidatorTokenRequest{{Node: "fra1"}, {Node: "Fra 1"}, {RIR: "ripe"}} {
		_, err := ops.Run(t.Context(), ops.Caller{Dir: a.Dir}, ops.CreateValidatorToken, q)
		if refusal := new(rpc.Refusal); !errors.As(err, &refusal) {
			t.Errorf("a token for %+v: %v", q, err)
		}
	}
}

// TestTokensInTheStore has tokens in the database that the operator's command would not make, or not now.
func TestTokensInTheStore(t *testing.T) {
	a := catest.Start(t, "")
	made := operator(t, a.Dir, ops.CreateValidatorToken, ops.ValidatorTokenRequest{})
	token, err := roles.ParseToken(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(a.Dir, "cairn.db")})
	if err != nil {
		t.Fatal(err)
	}
	expired, signer := roles.NewToken(token.CA), roles.NewToken(token.CA)
	err = db.Update(t.Context(), func(tx *store.Tx) error {
		if stored, err := tx.RoleToken(token.Name()); err != nil || strings.Contains(string(stored.Hash), string(token.Secret[:])) {
			t.Errorf("the secret is stored: %+v, %v", stored, err)
		}
		return errors.Join(
			tx.InsertRoleToken(store.RoleToken{ID: expired.Name(), Hash: expired.Hash(), Role: rpc.RoleValidator, Node: "old", Expires: tx.Now}),
			tx.InsertRoleToken(store.RoleToken{ID: signer.Name(), Hash: signer.Hash(), Role: "signer", Node: "hsm", Expires: tx.Now.Add(time.Hour)}),
		)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	b := catest.Start(t, a.Dir)
	for text, want := range map[string]string{expired.String(): "expired", signer.String(): "another role"} {
		if _, err := join(t, at(b), text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("joining: %v, want %q", err, want)
		}
	}
	if _, err := join(t, at(b), made.Token, func(c *ca.ValidatorConfig) { c.RIR = "X" }); err == nil || !strings.Contains(err.Error(), "no Regional") {
		t.Errorf("joining in the region of X: %v", err)
	}
	if _, err := join(t, at(b), made.Token); err != nil {
		t.Errorf("a token does not outlive a restart: %v", err)
	}
}

// TestRolesAndSubscribersAreApart shows that one port keeps two worlds apart.
func TestRolesAndSubscribersAreApart(t *testing.T) {
	a := catest.Start(t, "")
	host := strings.TrimPrefix(at(a), "https://")
	root := a.Page().Root
	get := func(config *tls.Config, path string) (int, error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		response, err := client.Get("https://" + host + path)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode, nil
	}
	if _, err := get(&tls.Config{ServerName: rpc.ServerName, InsecureSkipVerify: true}, "/enrol"); err == nil {
		t.Error("without a CA for roles there is a server of roles")
	}
	made := operator(t, a.Dir, ops.CreateValidatorToken, ops.ValidatorTokenRequest{})
	token, err := roles.ParseToken(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	subscribers := &tls.Config{RootCAs: pool, ServerName: "ca.test"}
	for path, want := range map[string]int{"/directory": 200, "/enrol": 404} {
		if status, err := get(subscribers, path); err != nil || status != want {
			t.Errorf("subscribers: GET %s: %d, %v", path, status, err)
		}
		want = map[string]int{"/directory": 404, "/enrol": 405}[path]
		if status, err := get(rpc.PinnedConfig(token.CA), path); err != nil || status != want {
			t.Errorf("roles: GET %s: %d, %v", path, status, err)
		}
	}
	// No ACME issuer is below the CA for roles, nor the other way round.
	if _, err := get(&tls.Config{RootCAs: pool, ServerName: rpc.ServerName}, "/enrol"); err == nil {
		t.Error("the server of roles has a certificate of the ACME root")
	}
}

// TestSubscriberIsNoRole presents a certificate that the ACME issuer made to a validator.
func TestSubscriberIsNoRole(t *testing.T) {
	a := catest.Start(t, "")
	client := registered(t, a)
	obtained, err := catest.Obtain(t.Context(), client, a.Responder, "a.test")
	if err != nil {
		t.Fatal(err)
	}
	made := operator(t, a.Dir, ops.CreateValidatorToken, ops.ValidatorTokenRequest{})
	v, err := join(t, at(a), made.Token)
	if err != nil {
		t.Fatal(err)
	}
	_, _, address := v.Name()
	chain := &tls.Certificate{PrivateKey: obtained.Key}
	for _, certificate := range obtained.Chain.Certificates {
		chain.Certificate = append(chain.Certificate, certificate.Raw)
	}
	for name, certificate := range map[string]*tls.Certificate{"a subscriber": chain, "nobody": {}} {
		config := &tls.Config{InsecureSkipVerify: true, ServerName: rpc.ServerName,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }}
		c := rpc.Client{URL: "https://" + address, HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: config}}}
		if _, err := rpc.Call[struct{}, ca.Health](t.Context(), c, "health", struct{}{}); err == nil {
			t.Errorf("a validator answers %s", name)
		}
	}
}

// TestPerspectivesInUse takes two hosts in, obtains a certificate with their help, and removes one.
func TestPerspectivesInUse(t *testing.T) {
	a := catest.Start(t, "", func(c *ca.Config) { c.Perspectives.Check = time.Second })
	for _, node := range []string{"fra1", "ams1"} {
		made := operator(t, a.Dir, ops.CreateValidatorToken, ops.ValidatorTokenRequest{Node: node})
		if _, err := join(t, at(a), made.Token, asAuthority(t, a)); err != nil {
			t.Fatal(err)
		}
	}
	inUse := func(want ...string) func() bool {
		return func() bool {
			var nodes []string
			for _, v := range operator(t, a.Dir, ops.ListValidators, struct{}{}) {
				if v.State == "answers" && v.Version == "test" {
					nodes = append(nodes, v.Node)
				}
			}
			return slices.Equal(nodes, want)
		}
	}
	waitFor(t, "both answer", inUse("ams1", "fra1"))
	waitFor(t, "both are asked", func() bool { return quorumOf(t, a) == "2/2" })
	operator(t, a.Dir, ops.RemoveValidator, "fra1")
	waitFor(t, "one is asked", func() bool { return quorumOf(t, a) == "1/1" })
	if _, err := ops.Run(t.Context(), ops.Caller{Dir: a.Dir}, ops.RemoveValidator, "fra1"); err == nil {
		t.Error("it could be removed twice")
	}
	var actions []string
	for _, event := range operator(t, a.Dir, ops.AuditLog, ops.AuditQuery{Limit: 10}) {
		actions = append(actions, event.Action+" "+event.Subject)
	}
	want := []string{"validator remove fra1", "validator join ams1", "validator token ams1", "validator join fra1", "validator token fra1"}
	if !slices.Equal(actions, want) {
		t.Errorf("audit log %q, want %q", actions, want)
	}
}

// TestRoleRenewal has the authority renew the certificate of a perspective that has a month left.
func TestRoleRenewal(t *testing.T) {
	a := catest.Start(t, "", func(c *ca.Config) { c.Perspectives.Check = time.Second })
	made := operator(t, a.Dir, ops.CreateValidatorToken, ops.ValidatorTokenRequest{Node: "fra1"})
	token, err := roles.ParseToken(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	dir, listen := filepath.Join(t.TempDir(), "host"), freeAddress(t)
	host, err := roles.OpenHost(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Join(t.Context(), roles.JoinConfig{URL: at(a), Token: token, Request: roles.EnrolRequest{Address: listen}}); err != nil {
		t.Fatal(err)
	}
	leaf := func(h *roles.Host) *x509.Certificate {
		certificate, err := h.Identity().Certificate()
		if err != nil {
			t.Fatal(err)
		}
		return certificate.Leaf
	}
	authority := rolesOf(t, a)
	old, err := authority.Certify(rpc.Peer{Role: rpc.RoleValidator, Node: "fra1"}, leaf(host).PublicKey, time.Now().Add(-roles.Lifetime*3/4))
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Renewed(old); err != nil {
		t.Fatal(err)
	}
	if _, err := join(t, "", "", func(c *ca.ValidatorConfig) { c.Dir, c.Listen = dir, listen }); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the certificate is renewed", func() bool {
		host, err := roles.OpenHost(dir)
		if err != nil {
			t.Fatal(err)
		}
		return time.Until(leaf(host).NotAfter) > roles.Lifetime-time.Hour
	})
}

// rolesOf is the CA for roles of an authority.
func rolesOf(t *testing.T, a *catest.Authority) *roles.Authority {
	t.Helper()
	pair := [2][]byte{}
	for i, name := range []string{"ca.pem", "ca.key"} {
		var err error
		if pair[i], err = os.ReadFile(filepath.Join(a.Dir, "roles", "1", name)); err != nil {
			t.Fatal(err)
		}
	}
	authority, err := roles.LoadAuthority(pair[0], pair[1])
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// TestWorkersAskValidators has other roles than the authority call a perspective.
func TestWorkersAskValidators(t *testing.T) {
	a := catest.Start(t, "")
	v, err := join(t, at(a), operator(t, a.Dir, ops.CreateValidatorToken, ops.ValidatorTokenRequest{}).Token, asAuthority(t, a))
	if err != nil {
		t.Fatal(err)
	}
	node, rir, address := v.Name()
	authority := rolesOf(t, a)
	as := func(role string) rpc.Client {
		pool := rpc.NewPool(authority.Identity(rpc.Peer{Role: role, Node: "n1"}))
		t.Cleanup(pool.Close)
		return pool.Client(address, rpc.Expect{Role: rpc.RoleValidator, Node: node})
	}
	look := func(role string) error {
		_, err := validate.Remote{Place: validate.Place{Name: node, RIR: rir}, Client: as(role)}.CAA(t.Context(), validate.CAARequest{
			Identifier: acme.Identifier{Type: acme.DNS, Value: "a.test"}, Method: acme.HTTP01, AccountURL: "https://ca.test/acct/1", Issuers: []string{"ca.test"}})
		return err
	}
	if err := look(rpc.RoleWork); err != nil {
		t.Errorf("a worker cannot ask: %v", err)
	}
	if err := look(rpc.RoleFront); err == nil {
		t.Error("a front was answered")
	}
	var refused *rpc.Refusal
	if _, err := rpc.Call[struct{}, ca.Health](t.Context(), as(rpc.RoleWork), "health", struct{}{}); !errors.As(err, &refused) || refused.Code != rpc.CodeForbidden {
		t.Errorf("a worker asked how it is: %v", err)
	}
	if _, err := rpc.Call[[]byte, struct{}](t.Context(), as(rpc.RoleWork), "renew", nil); !errors.As(err, &refused) || refused.Code != rpc.CodeForbidden {
		t.Errorf("a worker renewed its certificate: %v", err)
	}
}

// TestOtherRolesDoNotEnrol has a token for another role used in the call by which perspectives join.
func TestOtherRolesDoNotEnrol(t *testing.T) {
	a := catest.Start(t, "")
	made := operator(t, a.Dir, ops.CreateNodeToken, ops.NodeTokenRequest{Node: "n1", Roles: []string{rpc.RoleWork}})
	token, err := roles.ParseToken(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	c := rpc.Client{URL: at(a), HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: rpc.PinnedConfig(token.CA)}}}
	for _, role := range []string{rpc.RoleWork, rpc.RoleValidator, ""} {
		_, err := rpc.Call[roles.EnrolRequest, roles.EnrolResponse](t.Context(), c, roles.EnrolMethod,
			roles.EnrolRequest{ID: token.Name(), Secret: token.Secret[:], Role: role, CSR: csrFor(t), Address: "127.0.0.1:1"})
		if err == nil || !strings.Contains(err.Error(), "another role") {
			t.Errorf("as %q: %v", role, err)
		}
	}
	machine, err := roles.OpenMachine(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := machine.Join(t.Context(), at(a), token); err != nil {
		t.Error(err)
	}
	if list := operator(t, a.Dir, ops.ListNodes, struct{}{}); len(list) != 1 || list[0].Node != "n1" || list[0].Role != rpc.RoleWork {
		t.Errorf("nodes: %+v", list)
	}
	operator(t, a.Dir, ops.RemoveNode, "n1")
}

// csrFor is a CSR for a new key.
func csrFor(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// freeAddress is one on loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// at is the URL of the authority that a host on this machine can use.
func at(a *catest.Authority) string {
	u, err := url.Parse(a.URL())
	if err != nil {
		panic(err)
	}
	return "https://127.0.0.1:" + u.Port()
}

// asAuthority lets a validator see the same hosts as the authority does.
func asAuthority(t *testing.T, a *catest.Authority) func(*ca.ValidatorConfig) {
	same := catest.Config(t, "", a.Responder.Port)
	return func(c *ca.ValidatorConfig) {
		c.HTTP01Port, c.HostsFile, c.ResolvConf = same.HTTP01Port, same.HostsFile, same.ResolvConf
	}
}

// quorumOf obtains a certificate as a new account and says how many perspectives saw the proof.
func quorumOf(t *testing.T, a *catest.Authority) string {
	t.Helper()
	if _, err := catest.Obtain(t.Context(), registered(t, a), a.Responder, "a.test"); err != nil {
		t.Fatal(err)
	}
	seen := operator(t, a.Dir, ops.Evidence, ops.EvidenceQuery{Of: "a.test", Limit: 1})
	var e validate.Evidence
	if err := json.Unmarshal(seen[0].Evidence, &e); err != nil {
		t.Fatal(err)
	}
	return e.Quorum
}

// waitFor waits for what happens in other goroutines over real sockets.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	end := time.After(30 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-end:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}
