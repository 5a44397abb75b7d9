package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// drained is how long a process may take to end: ten seconds of draining, and some for the machine.
const drained = 12 * time.Second

// TestEndFinishesWhatIsInHand: work that SIGTERM finds under way and that is done soon is
// done by the process that began it.
func TestEndFinishesWhatIsInHand(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	site := newHeldSite(t)
	s := newServer(t, site.port)
	<-s.start()
	client := catest.NewClient(t, s.directory(), s.root())
	p := placeOrder(ctx, t, client, site)
	if _, err := client.Respond(ctx, p.challenge); err != nil {
		t.Fatal(err)
	}
	site.waitUntilAsked(ctx, t)
	ended := s.terminate(ctx)
	site.release()
	s.checkEnd(<-ended)
	s.completes(ctx, client, p)
	if n := site.asked(); n != 1 {
		t.Errorf("the site was asked %d times: the first answer was lost", n)
	}
}

// TestEndHandsBackWhatTakesLonger: work that is not done when the draining ends is
// the next process's, and nobody's fault.
func TestEndHandsBackWhatTakesLonger(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	site := newHeldSite(t)
	s := newServer(t, site.port)
	<-s.start()
	late := &lateBody{reading: make(chan struct{}), released: make(chan struct{})}
	client := late.client(t, s)
	p := placeOrder(ctx, t, client, site)
	// The client responds to its challenge, and the process is told to end while it reads that.
	late.url = p.challenge.URL
	responded := make(chan error, 1)
	go func() {
		_, err := client.Respond(ctx, p.challenge)
		responded <- err
	}()
	await(ctx, t, late.reading, "the request did not arrive")
	ended := s.terminate(ctx)
	// A validation takes ten seconds at most. One that begins a second later than the
	// draining does is cut short, and does not fail by itself.
	after(ctx, time.Second)
	close(late.released)
	if err := <-responded; err != nil {
		t.Errorf("a request that was under way was not answered: %v", err)
	}
	site.waitUntilAsked(ctx, t)
	s.checkEnd(<-ended)
	site.release()
	s.completes(ctx, client, p)
	if n := site.asked(); n < 2 {
		t.Errorf("the site was asked %d times: the work was not handed back", n)
	}
}

// end is how a process ended, and how long that took.
type end struct {
	err   error
	taken time.Duration
}

// terminate sends SIGTERM, and returns once the process accepts no more connections.
func (s *server) terminate(ctx context.Context) <-chan end {
	s.t.Helper()
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan end, 1)
	cmd := s.cmd
	go func() {
		err := cmd.Wait()
		ended <- end{err, time.Since(began)}
	}()
	for {
		conn, err := net.Dial("tcp", s.listen)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return ended
		}
		if err == nil {
			_ = conn.Close()
		}
		if after(ctx, 5*time.Millisecond); ctx.Err() != nil {
			s.t.Fatal("the process goes on accepting connections")
		}
	}
}

func (s *server) checkEnd(e end) {
	s.t.Helper()
	if e.err != nil || e.taken > drained {
		s.t.Fatalf("the process ended after %v: %v\n%s", e.taken, e.err, s.logs.String())
	}
}

// placed is an order for one name, and its http-01 challenge.
type placed struct {
	order     *acme.Order
	challenge acme.Challenge
}

// placeOrder registers client, and makes site ready for the challenge of an order.
func placeOrder(ctx context.Context, t *testing.T, client *acme.Client, site *heldSite) placed {
	t.Helper()
	if _, err := client.Register(ctx, acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	order, err := client.NewOrder(ctx, acme.NewOrder{Identifiers: []acme.Identifier{acme.IdentifierFor("www.localhost")}})
	if err != nil {
		t.Fatal(err)
	}
	authorization, err := client.Authorization(ctx, order.Authorizations[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, challenge := range authorization.Challenges {
		if challenge.Type == acme.HTTP01 {
			site.answers.Set(challenge.Token, client.KeyAuthorization(challenge.Token))
			return placed{order, challenge}
		}
	}
	t.Fatal("there is no http-01 challenge")
	return placed{}
}

// completes starts the next life, in which client's order becomes a certificate.
func (s *server) completes(ctx context.Context, client *acme.Client, p placed) {
	s.t.Helper()
	<-s.start()
	var got *catest.Obtained
	err := patiently(ctx, func() error {
		order, err := client.WaitOrder(ctx, p.order, acme.StatusReady)
		if err == nil {
			got, err = catest.Finalize(ctx, client, order, p.order.Identifiers)
		}
		return err
	})
	if err != nil {
		s.t.Fatalf("the order did not complete in the next life: %v\n%s", err, s.logs.String())
	}
	s.end(syscall.SIGTERM)
	catest.CheckCA(s.t, s.data, got.Chain.Certificates[0])
}

// patiently repeats what a broken connection ended, until the server answers.
func patiently(ctx context.Context, do func() error) error {
	for {
		err := do()
		var problem *acme.Problem
		if err == nil || errors.As(err, &problem) || ctx.Err() != nil {
			return err
		}
		after(ctx, 20*time.Millisecond)
	}
}

func await(ctx context.Context, t *testing.T, done <-chan struct{}, otherwise string) {
	t.Helper()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal(otherwise)
	}
}

// heldSite is the web server of a client that holds its answers back until it is released.
type heldSite struct {
	port    int
	answers *catest.Responder

	first, released chan struct{}
	mu              sync.Mutex
	n               int
}

func newHeldSite(t *testing.T) *heldSite {
	t.Helper()
	h := &heldSite{answers: catest.NewResponder(t), first: make(chan struct{}), released: make(chan struct{})}
	site := httptest.NewServer(h)
	t.Cleanup(site.CloseClientConnections)
	t.Cleanup(site.Close)
	h.port = site.Listener.Addr().(*net.TCPAddr).Port
	return h
}

func (h *heldSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	if h.n++; h.n == 1 {
		close(h.first)
	}
	h.mu.Unlock()
	select {
	case <-h.released:
		h.answers.ServeHTTP(w, r)
	case <-r.Context().Done():
	}
}

func (h *heldSite) waitUntilAsked(ctx context.Context, t *testing.T) {
	t.Helper()
	await(ctx, t, h.first, "the site was not asked")
}

func (h *heldSite) release() { close(h.released) }

// asked is how many requests there were.
func (h *heldSite) asked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n
}

// lateBody is a transport that holds the body of the requests to one URL back: the server
// has read the header and asked for the body when reading is closed.
type lateBody struct {
	url               string
	reading, released chan struct{}
	once              sync.Once
	http.Transport
}

func (l *lateBody) client(t *testing.T, s *server) *acme.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(s.root())
	l.TLSClientConfig = &tls.Config{RootCAs: pool}
	l.ExpectContinueTimeout = time.Minute
	client, err := acme.NewClient(acme.ClientConfig{
		Directory: s.directory(), Key: catest.NewKey(t), HTTP: &http.Client{Timeout: 20 * time.Second, Transport: l},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (l *lateBody) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.String() == l.url {
		r = r.Clone(r.Context())
		r.Header.Set("Expect", "100-continue") // RFC 9110 §10.1.1
		r.Body, r.GetBody = heldBody{r.Body, l}, nil
	}
	return l.Transport.RoundTrip(r)
}

type heldBody struct {
	io.ReadCloser
	held *lateBody
}

func (b heldBody) Read(p []byte) (int, error) {
	b.held.once.Do(func() { close(b.held.reading) })
	<-b.held.released
	return b.ReadCloser.Read(p)
}

// TestEndedDuringTheStart sends SIGTERM while the process starts: at moments, and as soon as
// one thing or another is in the data directory. That is a good end, and the next start is one.
func TestEndedDuringTheStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for ms := 0; ms <= 150; ms += 10 {
		moment := time.Duration(ms) * time.Millisecond
		t.Run(moment.String(), func(t *testing.T) {
			endedDuringTheStart(ctx, t, func(*server) { after(ctx, moment) })
		})
	}
	for _, file := range []string{"lock", "unfinished", "addresses.json", "roots/1", "issuers/1", "cairn.db", "cairn.db-wal", "https/cert.pem", "cairn.json"} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			endedDuringTheStart(ctx, t, func(s *server) {
				for !fileExists(filepath.Join(s.data, file)) && ctx.Err() == nil {
					after(ctx, 100*time.Microsecond)
				}
			})
		})
	}
}

// endedDuringTheStart ends the first start once wait returns, and tries the next one.
func endedDuringTheStart(ctx context.Context, t *testing.T, wait func(*server)) {
	s := newServer(t, 1)
	ready := s.start()
	wait(s)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("the process is not there any more: %v\n%s", err, s.logs.String())
	}
	<-ready
	err := s.cmd.Wait()
	// Before main has run a signal is the system's to handle. Nothing has begun then.
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() && !fileExists(s.data) {
		err = nil
	}
	if err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, s.logs.String())
	}
	<-s.start()
	client := catest.NewClient(t, s.directory(), s.root())
	if _, err := client.Register(ctx, acme.NewAccount{}); err != nil {
		t.Fatalf("%v\n%s", err, s.logs.String())
	}
	s.end(syscall.SIGTERM)
	catest.CheckCA(t, s.data)
}
