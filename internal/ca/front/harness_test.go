package front_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

const terms = "https://ca.test/terms"

var discard = slog.New(slog.DiscardHandler)

// authority is a front with a real store behind real TLS. What lies behind its
// border, the worker, is a double that settles through rules and store.
type authority struct {
	t      testing.TB
	db     *store.DB
	file   string // of the database
	front  *front.Front
	worker *worker
	server *httptest.Server
	url    string // https://127.0.0.1:port
	log    *lockedBuffer
}

func policy(t testing.TB) rules.Policy {
	names, err := acme.ParseSubtrees([]string{"test", "10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	return rules.Policy{Names: names, TermsOfService: terms, Profiles: []rules.Profile{rules.Classic()}}
}

// placed is an order of an account, made at now.
func placed(t testing.TB, account rules.Account, now time.Time, names ...string) rules.Placed {
	t.Helper()
	wanted, problem := rules.ReadNewOrder(policy(t), acme.NewOrder{Identifiers: identifiers(names...)})
	if problem != nil {
		t.Fatal(problem)
	}
	placed, problem := rules.NewOrder(wanted, rules.Held{Account: account}, now)
	if problem != nil {
		t.Fatal(problem)
	}
	return placed
}

// newAuthority starts an authority; edit, if not nil, changes its configuration first.
func newAuthority(t testing.TB, edit func(*front.Config)) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.db"), log: new(lockedBuffer)}
	_, measures := t.(*testing.B)
	var err error
	a.db, err = store.Open(context.Background(), store.Config{Path: a.file, Log: slog.New(slog.DiscardHandler), Twice: !measures})
	if err != nil {
		t.Fatal(err)
	}
	a.worker = newWorker(t, a.db)
	config := front.Config{
		DB: a.db, Worker: a.worker, Policy: policy(t), URL: "https://ca.internal:8443",
		OwnHost: func(host string) bool { return host == "127.0.0.1" || host == "ca.test" || host == "::1" },
		Chains: func(rules.Certificate) []front.Chain {
			return []front.Chain{{ID: "root-1", Certificates: [][]byte{a.worker.issuer.Raw}}}
		},
		Issuer: func(keyID []byte) (string, bool) { return "issuer", bytes.Equal(keyID, a.worker.issuer.SubjectKeyId) },
		Log:    slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		// Long, so that no test depends on how fast the machine is.
		ChallengeWait: time.Minute, FinalizeWait: time.Minute,
	}
	if edit != nil {
		edit(&config)
	}
	if a.front, err = front.New(config); err != nil {
		t.Fatal(err)
	}
	a.server = httptest.NewUnstartedServer(a.front)
	a.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	a.server.StartTLS()
	a.url = a.server.URL
	t.Cleanup(func() {
		a.server.Close()
		a.worker.running.Wait()
		if err := a.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// lockedBuffer takes what several goroutines log.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// logged is all that the front has logged.
func (a *authority) logged() string {
	a.log.mu.Lock()
	defer a.log.mu.Unlock()
	return a.log.text.String()
}

func (a *authority) update(fn func(*store.Tx) error) {
	a.t.Helper()
	if err := a.db.Update(context.Background(), fn); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) view(fn func(*store.Tx) error) {
	a.t.Helper()
	if err := a.db.View(context.Background(), fn); err != nil {
		a.t.Fatal(err)
	}
}

// worker settles what the front hands it: a validation ends with outcome, an order
// with a certificate of a throw-away issuer. It waits for hold, if that is not nil.
type worker struct {
	t       testing.TB
	db      *store.DB
	issuer  *x509.Certificate
	key     *ecdsa.PrivateKey
	outcome *acme.Problem
	hold    chan struct{}
	running sync.WaitGroup
	issued  atomic.Int64
	checked atomic.Int64
}

func newWorker(t testing.TB, db *store.DB) *worker {
	w := &worker{t: t, db: db, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, w.key.Public(), w.key)
	if err != nil {
		t.Fatal(err)
	}
	if w.issuer, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *worker) Lease(now time.Time) rules.Lease {
	return rules.Lease{}.Taken("test", now, time.Minute)
}

// Validate does not tell what it came to, as a worker in another process may not: the front looks.
func (w *worker) Validate(a rules.Authz) <-chan rules.Authz {
	w.checked.Add(1)
	return later[rules.Authz](w, func(tx *store.Tx) error {
		return tx.UpdateAuthz(a, a.Settle(rules.Outcome{Problem: w.outcome}, tx.Now))
	})
}

func (w *worker) Issue(o rules.Order, _ rules.CSR) <-chan rules.Ended {
	w.issued.Add(1)
	csr, problem := rules.ParseCSR(o.CSR)
	if problem != nil {
		w.t.Error(problem)
	}
	return later[rules.Ended](w, func(tx *store.Tx) error {
		issued, err := w.sign(tx, o, csr.PublicKey)
		if err != nil {
			return err
		}
		return tx.UpdateOrder(o, o.Issued(issued.Serial))
	})
}

func later[T any](w *worker, fn func(*store.Tx) error) <-chan T {
	done, hold := make(chan T), w.hold
	w.running.Go(func() {
		if hold != nil {
			<-hold
		}
		if err := w.db.Update(context.Background(), fn); err != nil {
			w.t.Errorf("the worker: %v", err)
		}
		close(done)
	})
	return done
}

// sign makes a certificate and records it as issued.
func (w *worker) sign(tx *store.Tx, o rules.Order, public crypto.PublicKey) (rules.Certificate, error) {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial)
	serial[0] = serial[0]&0x7f | 0x40
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), NotBefore: tx.Now.Add(-time.Hour), NotAfter: tx.Now.Add(24 * time.Hour),
	}
	for _, id := range o.Identifiers {
		template.DNSNames = append(template.DNSNames, id.Value)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, w.issuer, public, w.key)
	if err != nil {
		return rules.Certificate{}, err
	}
	digest := sha256.Sum256(der)
	reserved := rules.Certificate{
		Serial: fmt.Sprintf("%x", serial), Issuer: "issuer", Order: o.ID, Account: o.Account, Profile: o.Profile,
		State: rules.Reserved, Digest: digest[:], NotBefore: template.NotBefore, NotAfter: template.NotAfter, Created: tx.Now,
	}
	if err := tx.InsertCertificate(reserved); err != nil {
		return rules.Certificate{}, err
	}
	issued := reserved
	issued.State, issued.DER = rules.Issued, der
	if issued.Key, err = rules.KeyDigest(public); err != nil {
		return issued, err
	}
	return issued, tx.UpdateCertificate(reserved, issued)
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func jwk(t testing.TB, key crypto.Signer) *acme.Key {
	t.Helper()
	public, err := acme.NewKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// client signs requests; it has an account once kid is set.
type client struct {
	*authority
	key crypto.Signer
	kid string
}

// stranger is a client without an account.
func (a *authority) stranger() *client { return &client{authority: a, key: newKey(a.t)} }

// register is a client with a new account.
func (a *authority) register() *client {
	a.t.Helper()
	c := a.stranger()
	c.kid = c.post("/new-account", `{"termsOfServiceAgreed":true}`).want(http.StatusCreated).location()
	return c
}

// answer is a response that has been read.
type answer struct {
	t testing.TB
	*http.Response
	body []byte
}

// do sends a request as it is.
func (a *authority) do(method, path string, header http.Header, body []byte) *answer {
	a.t.Helper()
	req, err := http.NewRequest(method, a.url+path, bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := a.server.Client().Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return &answer{a.t, resp, data}
}

func (a *authority) get(path string) *answer {
	a.t.Helper()
	return a.do(http.MethodGet, path, nil, nil)
}

var jose = http.Header{"Content-Type": {acme.MediaJOSE}}

// send posts a body that is signed already.
func (a *authority) send(path string, body []byte) *answer {
	a.t.Helper()
	return a.do(http.MethodPost, path, jose, body)
}

func (a *authority) nonce() string {
	a.t.Helper()
	return a.do(http.MethodHead, "/new-nonce", nil, nil).nonce()
}

// sign makes the JWS of a request for a path or URL.
func (c *client) sign(where, payload string) []byte {
	c.t.Helper()
	return c.signAs(acme.Header{URL: c.absolute(where)}, payload)
}

// signAs fills in what header leaves out: the nonce, and who signs.
func (c *client) signAs(header acme.Header, payload string) []byte {
	c.t.Helper()
	if header.Nonce == "" {
		header.Nonce = c.nonce()
	}
	if header.KeyID == "" && header.Key == nil {
		if header.KeyID = c.kid; c.kid == "" {
			header.Key = jwk(c.t, c.key)
		}
	}
	body, err := acme.SignJWS(c.key, header, []byte(payload))
	if err != nil {
		c.t.Fatal(err)
	}
	return body
}

func (a *authority) absolute(where string) string {
	if where[0] == '/' {
		return a.url + where
	}
	return where
}

func (a *authority) relative(where string) string { return strings.TrimPrefix(where, a.url) }

// post sends a well-formed request to a path or a URL of the authority.
func (c *client) post(where, payload string) *answer {
	c.t.Helper()
	return c.send(c.relative(where), c.sign(where, payload))
}

// fetch is a POST-as-GET.
func (c *client) fetch(where string) *answer {
	c.t.Helper()
	return c.post(where, "")
}

func (r *answer) nonce() string    { return r.Header.Get("Replay-Nonce") }
func (r *answer) location() string { return r.Header.Get("Location") }

// want checks the status of an answer that is no problem.
func (r *answer) want(status int) *answer {
	r.t.Helper()
	if r.StatusCode != status {
		r.t.Fatalf("%s %s: status %d, want %d: %s", r.Request.Method, r.Request.URL, r.StatusCode, status, r.body)
	}
	return r
}

// wantProblem checks the status and type of an answer that is a problem, and its form (RFC 8555 §6.7).
func (r *answer) wantProblem(status int, kind acme.ProblemType) *acme.Problem {
	r.t.Helper()
	var problem acme.Problem
	if err := json.Unmarshal(r.body, &problem); err != nil {
		r.t.Fatalf("%s %s: status %d, not a problem: %s", r.Request.Method, r.Request.URL, r.StatusCode, r.body)
	}
	if r.StatusCode != status || problem.Type != kind {
		r.t.Fatalf("%s %s: status %d, %s; want %d, %s: %s", r.Request.Method, r.Request.URL, r.StatusCode, problem.Type, status, kind, r.body)
	}
	if problem.Status != status || problem.Detail == "" || problem.Identifier != nil || r.Header.Get("Content-Type") != acme.MediaProblem {
		r.t.Fatalf("not in the form of RFC 8555 §6.7: %s (%s)", r.body, r.Header.Get("Content-Type"))
	}
	return &problem
}

// read decodes an answer's body.
func read[T any](r *answer) T {
	r.t.Helper()
	var value T
	if err := json.Unmarshal(r.body, &value); err != nil {
		r.t.Fatalf("%v in %s", err, r.body)
	}
	return value
}

// order places an order.
func (c *client) order(names ...string) (url string, o acme.Order) {
	c.t.Helper()
	payload, err := json.Marshal(acme.NewOrder{Identifiers: identifiers(names...)})
	if err != nil {
		c.t.Fatal(err)
	}
	r := c.post("/new-order", string(payload)).want(http.StatusCreated)
	return r.location(), read[acme.Order](r)
}

func identifiers(names ...string) []acme.Identifier {
	var ids []acme.Identifier
	for _, name := range names {
		ids = append(ids, acme.IdentifierFor(name))
	}
	return ids
}

// ready places an order and completes its authorizations.
func (c *client) ready(names ...string) (url string, o acme.Order) {
	c.t.Helper()
	url, o = c.order(names...)
	for _, authz := range o.Authorizations {
		challenge := read[acme.Authorization](c.fetch(authz).want(http.StatusOK)).Challenges[0]
		c.post(challenge.URL, `{}`).want(http.StatusOK)
	}
	o = read[acme.Order](c.fetch(url).want(http.StatusOK))
	if o.Status != acme.StatusReady {
		c.t.Fatalf("the order is %s, want ready", o.Status)
	}
	return url, o
}

// csr is the payload of a finalize request for names and key.
func csr(t testing.TB, key crypto.Signer, names ...string) string {
	t.Helper()
	return csrOf(t, key, &x509.CertificateRequest{DNSNames: names})
}

func csrOf(t testing.TB, key crypto.Signer, template *x509.CertificateRequest) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return csrPayload(der)
}

func csrPayload(der []byte) string {
	return `{"csr":"` + base64.RawURLEncoding.EncodeToString(der) + `"}`
}

// issue obtains a certificate and returns its DER, and the URL of its order.
func (c *client) issue(key crypto.Signer, names ...string) (der []byte, orderURL string) {
	c.t.Helper()
	url, o := c.ready(names...)
	o = read[acme.Order](c.post(o.Finalize, csr(c.t, key, names...)).want(http.StatusOK))
	if o.Status != acme.StatusValid {
		c.t.Fatalf("the order is %s, want valid", o.Status)
	}
	return decodePEM(c.t, c.fetch(o.Certificate).want(http.StatusOK).body)[0], url
}
