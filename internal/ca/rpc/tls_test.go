package rpc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// newRoles makes a CA for roles.
func newRoles(t *testing.T) *roles.Authority {
	t.Helper()
	certificate, key, err := roles.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	authority, err := roles.LoadAuthority(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

var (
	authority = rpc.Peer{Role: rpc.RoleAuthority, Node: "main"}
	validator = rpc.Peer{Role: rpc.RoleValidator, Node: "fra1"}
)

// call has a client with one configuration call a server with another.
func call(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	var methods rpc.Server
	rpc.Handle(&methods, "measure", func(_ context.Context, q question) (answer, error) { return answer{Length: len(q.Text)}, nil })
	s := &http.Server{Handler: &methods, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() { _ = s.Serve(listener); close(done) }()
	defer func() { _ = s.Close(); <-done }()
	transport := &http.Transport{TLSClientConfig: client}
	defer transport.CloseIdleConnections()
	c := rpc.Client{URL: "https://" + listener.Addr().String(), HTTP: &http.Client{Transport: transport, Timeout: 10 * time.Second}}
	got, err := rpc.Call[question, answer](t.Context(), c, "measure", question{Text: "four"})
	if err == nil && got.Length != 4 {
		t.Errorf("answer %+v", got)
	}
	return err
}

// made is an identity with a certificate that an issuer, or nobody, makes of a template.
func made(t *testing.T, ca, issuer *x509.Certificate, signer *ecdsa.PrivateKey, change func(*x509.Certificate)) rpc.Identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), URIs: []*url.URL{validator.URI()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	if issuer == nil {
		issuer, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return rpc.Identity{CA: ca, Certificate: func() (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{der, issuer.Raw}, PrivateKey: key}, nil
	}}
}

// testCA is an issuer whose key the test has.
func testCA(t *testing.T) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Cairn roles"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func TestMutualTLS(t *testing.T) {
	ca := newRoles(t)
	main, fra1 := ca.Identity(authority), ca.Identity(validator)
	if err := call(t, fra1.ServerConfig(rpc.Expect{Role: rpc.RoleAuthority}), main.ClientConfig(rpc.Expect{Role: rpc.RoleValidator, Node: "fra1"})); err != nil {
		t.Error(err)
	}
}

// TestOnlyTheRoleExpected shows certificates that look like a role's, or are another role's, to either side.
func TestOnlyTheRoleExpected(t *testing.T) {
	ca, key := testCA(t)
	subscribers, subscribersKey := testCA(t) // of the same name
	good := func(change func(*x509.Certificate)) rpc.Identity { return made(t, ca, ca, key, change) }
	main := good(func(c *x509.Certificate) { c.URIs = []*url.URL{authority.URI()} })
	uri := func(text string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = []*url.URL{u}
		}
	}
	for name, identity := range map[string]rpc.Identity{
		"subscriber":               made(t, ca, subscribers, subscribersKey, func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{"www.corp.test"} }),
		"subscriber with our URI":  made(t, ca, subscribers, subscribersKey, nil),
		"self-signed":              made(t, ca, nil, nil, nil),
		"another role":             good(uri("cairn://roles/signer/fra1")),
		"the authority itself":     main,
		"another node":             good(uri("cairn://roles/validator/ams1")),
		"another scheme":           good(uri("https://roles/validator/fra1")),
		"another host":             good(uri("cairn://rolls/validator/fra1")),
		"more than a path":         good(uri("cairn://roles/validator/fra1?x")),
		"a path with a detour":     good(uri("cairn://roles/validator/../validator/fra1")),
		"an escaped path":          good(uri("cairn://roles/validator/f%72a1")),
		"two URIs":                 good(func(c *x509.Certificate) { c.URIs = append(c.URIs, authority.URI()) }),
		"a host name as well":      good(func(c *x509.Certificate) { c.DNSNames = []string{"fra1.corp.test"} }),
		"an address as well":       good(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} }),
		"expired":                  good(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"not yet valid":            good(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }),
		"a CA":                     good(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }),
		"for signing code instead": good(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }),
	} {
		t.Run(name, func(t *testing.T) {
			expected := rpc.Expect{Role: rpc.RoleValidator, Node: "fra1"}
			if err := call(t, identity.ServerConfig(rpc.Expect{Role: rpc.RoleAuthority}), main.ClientConfig(expected)); err == nil {
				t.Error("it was taken for the server validator/fra1")
			}
			if err := call(t, main.ServerConfig(expected), identity.ClientConfig(rpc.Expect{Role: rpc.RoleAuthority})); err == nil {
				t.Error("it was taken for the client validator/fra1")
			}
		})
	}
	if err := call(t, main.ServerConfig(rpc.Expect{Role: rpc.RoleValidator}), good(nil).ClientConfig(rpc.Expect{Role: rpc.RoleAuthority})); err != nil {
		t.Errorf("what all of these were made of does not do either: %v", err)
	}
}

// TestSeveralRolesOnOnePort has a port be front and worker: each caller reaches the one that it wants.
func TestSeveralRolesOnOnePort(t *testing.T) {
	ca := newRoles(t)
	own := map[string]rpc.Identity{}
	for _, role := range []string{rpc.RoleFront, rpc.RoleWork} {
		own[role] = ca.Identity(rpc.Peer{Role: role, Node: "n1"})
	}
	server := rpc.PeersConfig(own, rpc.Expect{Role: rpc.RoleFront})
	caller := ca.Identity(rpc.Peer{Role: rpc.RoleFront, Node: "n2"})
	for _, role := range []string{rpc.RoleFront, rpc.RoleWork} {
		if err := call(t, server, caller.ClientConfig(rpc.Expect{Role: role, Node: "n1"})); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
	if err := call(t, server, caller.ClientConfig(rpc.Expect{Role: rpc.RoleSigner})); err == nil {
		t.Error("a signer was found where there is none")
	}
	if err := call(t, server, ca.Identity(rpc.Peer{Role: rpc.RoleCRL, Node: "n2"}).ClientConfig(rpc.Expect{Role: rpc.RoleWork})); err == nil {
		t.Error("a role that is not expected was answered")
	}
}

func TestPinnedKey(t *testing.T) {
	ca := newRoles(t)
	main, fra1 := ca.Identity(authority), ca.Identity(validator)
	own, err := fra1.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	hash := rpc.KeyHash(own.Leaf)
	server := fra1.ServerConfig(rpc.Expect{Role: rpc.RoleAuthority})
	if err := call(t, server, main.ClientConfig(rpc.Expect{Role: rpc.RoleValidator, Key: &hash})); err != nil {
		t.Error(err)
	}
	hash[0]++
	if err := call(t, server, main.ClientConfig(rpc.Expect{Role: rpc.RoleValidator, Key: &hash})); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("another key: %v", err)
	}
}

func TestNoCertificateAndOldTLS(t *testing.T) {
	ca := newRoles(t)
	server := ca.Identity(validator).ServerConfig(rpc.Expect{Role: rpc.RoleAuthority})
	client := ca.Identity(authority).ClientConfig(rpc.Expect{Role: rpc.RoleValidator})
	silent := client.Clone()
	silent.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return new(tls.Certificate), nil }
	if err := call(t, server, silent); err == nil {
		t.Error("a caller without a certificate was answered")
	}
	old := client.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if err := call(t, server, old); err == nil {
		t.Error("a caller with TLS 1.2 was answered")
	}
}

// TestPinnedCA is what a host knows that has a token and nothing else.
func TestPinnedCA(t *testing.T) {
	ca, other := newRoles(t), newRoles(t)
	open := ca.Identity(authority).OpenServerConfig()
	if err := call(t, open, rpc.PinnedConfig(ca.Hash())); err != nil {
		t.Error(err)
	}
	if err := call(t, open, rpc.PinnedConfig(other.Hash())); err == nil || !strings.Contains(err.Error(), "another one") {
		t.Errorf("another CA: %v", err)
	}
	// A validator is no authority, though of the same CA.
	if err := call(t, ca.Identity(validator).OpenServerConfig(), rpc.PinnedConfig(ca.Hash())); err == nil {
		t.Error("a validator was taken for the authority")
	}
	// Somebody who sends our CA's certificate along with one of their own.
	leaf := made(t, nil, nil, nil, func(c *x509.Certificate) { c.URIs = []*url.URL{authority.URI()} })
	impostor := rpc.Identity{CA: ca.Certificate(), Certificate: leaf.Certificate}
	if err := call(t, impostor.OpenServerConfig(), rpc.PinnedConfig(sha256.Sum256(ca.Certificate().Raw))); err == nil {
		t.Error("a stranger who shows our CA's certificate was taken for the authority")
	}
}

func TestCheckNode(t *testing.T) {
	for _, good := range []string{"fra1", "a", "a-b", strings.Repeat("x", 63)} {
		if err := rpc.CheckNode(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "-a", "a-", "A", "a.b", "a/b", "a b", "ä", strings.Repeat("x", 64), "a\n"} {
		if rpc.CheckNode(bad) == nil {
			t.Errorf("%q is a name for a node", bad)
		}
	}
}

func FuzzPeerOf(f *testing.F) {
	for _, seed := range []string{"cairn://roles/validator/fra1", "cairn://roles/validator/", "cairn://roles//fra1", "cairn:roles/validator/fra1", "https://roles/a/b", "cairn://roles/a/b#c", "cairn://x@roles/a/b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		uri, err := url.Parse(text)
		if err != nil {
			return
		}
		peer, err := rpc.PeerOf(&x509.Certificate{URIs: []*url.URL{uri}})
		if err == nil && (peer.URI().String() != text || rpc.CheckNode(peer.Node) != nil) {
			t.Errorf("%q is %+v", text, peer)
		}
	})
}
