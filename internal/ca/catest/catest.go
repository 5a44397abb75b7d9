// Package catest is for tests of an authority as a whole: it runs one in the
// test's process, on loopback and in a directory of its own, answers its
// challenges, and checks afterwards that it kept its promises.
package catest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
)

// Hosts are names that the authorities of this package resolve to loopback, by
// their hosts file.
var Hosts = []string{"ca.test", "a.test", "b.test", "c.test", "www.a.test"}

// Machine is a machine that is called ca.test and has no address but loopback.
func Machine() (ca.Machine, error) {
	return ca.Machine{
		Names:     []string{"ca.test"},
		Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")},
	}, nil
}

// Authority is an authority in this process.
type Authority struct {
	*ca.CA
	Dir       string
	Responder *Responder

	stop  context.CancelFunc
	ended chan error
}

// Start starts an authority on an empty directory, or on dir if it is not "". It ends with the test.
func Start(t testing.TB, dir string, change ...func(*ca.Config)) *Authority {
	t.Helper()
	if dir == "" {
		dir = filepath.Join(t.TempDir(), "ca")
	}
	responder := NewResponder(t)
	config := Config(t, dir, responder.Port)
	for _, f := range change {
		f(&config)
	}
	a := &Authority{Dir: dir, Responder: responder, ended: make(chan error, 1)}
	var err error
	if a.CA, err = Open(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	go func() { a.ended <- a.Serve(ctx) }()
	t.Cleanup(func() { _ = a.Stop() })
	return a
}

// Open is ca.Open for an authority whose address another one of this test's had just now:
// the port is in use for a moment longer where some process was started meanwhile,
// which has every open file from its fork to its exec.
func Open(ctx context.Context, config ca.Config) (*ca.CA, error) {
	deadline := time.After(5 * time.Second)
	for {
		a, err := ca.Open(ctx, config)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return a, err
		}
		select {
		case <-deadline:
			return nil, err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Config is that of an authority on loopback whose names are Hosts.
func Config(t testing.TB, dir string, http01Port int) ca.Config {
	t.Helper()
	hosts := filepath.Join(t.TempDir(), "hosts")
	text := "127.0.0.1 " + strings.Join(Hosts, " ") + "\n"
	if err := os.WriteFile(hosts, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, measures := t.(*testing.B)
	return ca.Config{
		Seams: ca.Seams{Twice: !measures},
		Dir:   dir, Listen: "127.0.0.1:0", HTTP: "127.0.0.1:0", HTTP01Port: http01Port,
		HostsFile: hosts, ResolvConf: os.DevNull, Machine: Machine,
		NoCAA: true, // there is no DNS to ask
		Log:   slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// Stop ends the authority in good order and gives its last words; again, it gives nil.
func (a *Authority) Stop() error {
	a.stop()
	err, first := <-a.ended
	if first {
		close(a.ended)
	}
	return err
}

// Client makes a client of the authority with a new key; it has no account yet.
func (a *Authority) Client(t testing.TB) *acme.Client {
	t.Helper()
	page := a.Page()
	return NewClient(t, page.Directory, page.Root)
}

// NewKey makes a P-256 key.
func NewKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// NewClient makes a client with a new key for the server at directory, whose certificate root vouches for.
func NewClient(t testing.TB, directory string, root *x509.Certificate) *acme.Client {
	t.Helper()
	return NewClientWithKey(t, directory, root, NewKey(t))
}

// NewClientWithKey is NewClient for a key of the caller's.
func NewClientWithKey(t testing.TB, directory string, root *x509.Certificate, key crypto.Signer) *acme.Client {
	t.Helper()
	return newClient(t, directory, root, key, &http.Transport{MaxIdleConnsPerHost: 4})
}

// NewClientWithoutKeepAlive is NewClientWithKey for one that makes a connection for each request, so that each comes
// to another server behind a load balancer.
func NewClientWithoutKeepAlive(t testing.TB, directory string, root *x509.Certificate, key crypto.Signer) *acme.Client {
	t.Helper()
	return newClient(t, directory, root, key, &http.Transport{DisableKeepAlives: true})
}

func newClient(t testing.TB, directory string, root *x509.Certificate, key crypto.Signer, transport *http.Transport) *acme.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(root)
	transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	client, err := acme.NewClient(acme.ClientConfig{
		Directory: directory, Key: key, UserAgent: "catest",
		HTTP: &http.Client{Timeout: 20 * time.Second, Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Obtained is a certificate and how it came about.
type Obtained struct {
	Order *acme.Order
	Chain *acme.Chain
	Key   crypto.Signer
}

// Obtain gets a certificate for names, whose challenges responder answers.
// Account and order are client's; the key is new.
func Obtain(ctx context.Context, client *acme.Client, responder *Responder, names ...string) (*Obtained, error) {
	var ids []acme.Identifier
	for _, name := range names {
		ids = append(ids, acme.IdentifierFor(name))
	}
	order, err := client.NewOrder(ctx, acme.NewOrder{Identifiers: ids})
	if err != nil {
		return nil, fmt.Errorf("placing the order: %w", err)
	}
	if err := Prove(ctx, client, responder, order); err != nil {
		return nil, err
	}
	if order, err = client.WaitOrder(ctx, order, acme.StatusReady); err != nil {
		return nil, fmt.Errorf("waiting for the order to be ready: %w", err)
	}
	return Finalize(ctx, client, order, ids)
}

// Finalize gets the certificate of a ready order.
func Finalize(ctx context.Context, client *acme.Client, order *acme.Order, ids []acme.Identifier) (*Obtained, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := CSR(key, ids)
	if err != nil {
		return nil, err
	}
	if order, err = client.Finalize(ctx, order, csr); err != nil {
		return nil, fmt.Errorf("finalizing: %w", err)
	}
	if order, err = client.WaitOrder(ctx, order, acme.StatusValid); err != nil {
		return nil, fmt.Errorf("waiting for the certificate: %w", err)
	}
	chain, err := client.Certificate(ctx, order.Certificate, acme.CertificateRequest{PublicKey: key.Public(), Identifiers: ids})
	if err != nil {
		return nil, fmt.Errorf("fetching the certificate: %w", err)
	}
	return &Obtained{Order: order, Chain: chain, Key: key}, nil
}

// CSR makes a signing request for ids, in DER.
func CSR(key crypto.Signer, ids []acme.Identifier) ([]byte, error) {
	var template x509.CertificateRequest
	for _, id := range ids {
		if id.Type == acme.IP {
			template.IPAddresses = append(template.IPAddresses, net.ParseIP(id.Value))
		} else {
			template.DNSNames = append(template.DNSNames, id.Value)
		}
	}
	return x509.CreateCertificateRequest(rand.Reader, &template, key)
}

// Prove answers the challenges of an order and waits for its authorizations.
func Prove(ctx context.Context, client *acme.Client, responder *Responder, order *acme.Order) error {
	for _, url := range order.Authorizations {
		if err := prove(ctx, client, responder, url); err != nil {
			return err
		}
	}
	return nil
}

// prove answers the http-01 challenge of the authorization at url.
func prove(ctx context.Context, client *acme.Client, responder *Responder, url string) error {
	authorization, err := client.Authorization(ctx, url)
	if err != nil {
		return fmt.Errorf("reading the authorization: %w", err)
	}
	for _, challenge := range authorization.Challenges {
		if challenge.Type != acme.HTTP01 || challenge.Status != acme.StatusPending {
			continue
		}
		responder.Set(challenge.Token, client.KeyAuthorization(challenge.Token))
		if _, err := client.Respond(ctx, challenge); err != nil {
			return fmt.Errorf("responding to the challenge: %w", err)
		}
	}
	if _, err := client.WaitAuthorization(ctx, url); err != nil {
		return fmt.Errorf("waiting for the authorization: %w", err)
	}
	return nil
}

// Responder is the web server on a.test and the other hosts, on a port of its own.
type Responder struct {
	Port int

	mu      sync.Mutex
	answers map[string]string // by token
}

// NewResponder starts a web server on loopback that ends with the test.
func NewResponder(t testing.TB) *Responder {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Responder{Port: listener.Addr().(*net.TCPAddr).Port, answers: map[string]string{}}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return r
}

// Set makes the responder answer token with keyAuthorization.
func (r *Responder) Set(token, keyAuthorization string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[token] = keyAuthorization
}

func (r *Responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	answer, ok := r.answers[strings.TrimPrefix(req.URL.Path, acme.HTTP01Path)]
	r.mu.Unlock()
	if !ok {
		http.NotFound(w, req)
		return
	}
	_, _ = io.WriteString(w, answer)
}
