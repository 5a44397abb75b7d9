package front_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// found is where fronts are called that other fronts know, by their instance.
type found struct {
	mu      sync.Mutex
	clients map[string]rpc.Client
	sought  atomic.Int32
}

func (f *found) find(instance string) (rpc.Client, bool) {
	f.sought.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.clients[instance]
	return c, ok
}

// fronts are two of one authority, of which the first can redeem the nonces of the second.
func fronts(t *testing.T) (first, second *authority, known *found, authority *roles.Authority) {
	t.Helper()
	certificate, key, err := roles.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if authority, err = roles.LoadAuthority(certificate, key); err != nil {
		t.Fatal(err)
	}
	known = &found{clients: make(map[string]rpc.Client)}
	first = newAuthority(t, func(c *front.Config) { c.Peers = front.RemotePeers{Find: known.find} })
	second = newAuthority(t, nil)
	var methods rpc.Server
	front.ServeNonces(&methods, second.front)
	address := listenAs(t, authority, &methods)
	pool := rpc.NewPool(authority.Identity(rpc.Peer{Role: rpc.RoleFront, Node: "front1"}))
	t.Cleanup(pool.Close)
	known.clients[second.front.Instance()] = pool.Client(address, rpc.Expect{Role: rpc.RoleFront})
	return first, second, known, authority
}

// listenAs has handler answer other roles on loopback, as a front.
func listenAs(t *testing.T, authority *roles.Authority, handler http.Handler) (address string) {
	t.Helper()
	config := authority.Identity(rpc.Peer{Role: rpc.RoleFront, Node: "front2"}).
		ServerConfig(rpc.Expect{Role: rpc.RoleFront, Roles: []string{rpc.RoleWork}})
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() { _ = server.Serve(listener); close(done) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return listener.Addr().String()
}

func TestNonceOfAnotherFront(t *testing.T) {
	first, second, known, _ := fronts(t)
	c := first.register()
	with := func(nonce string) *answer {
		return c.send(c.relative(c.kid), c.signAs(acme.Header{URL: c.kid, Nonce: nonce}, ""))
	}
	nonce := second.nonce()
	with(nonce).want(http.StatusOK)
	with(nonce).wantProblem(http.StatusBadRequest, acme.TypeBadNonce)
	// The second front has spent it, too.
	other := second.register()
	other.send(other.relative(other.kid), other.signAs(acme.Header{URL: other.kid, Nonce: nonce}, "")).
		wantProblem(http.StatusBadRequest, acme.TypeBadNonce)
	// One that the second never issued, and one of a front that nobody knows.
	with(flip(second.nonce(), 25)).wantProblem(http.StatusBadRequest, acme.TypeBadNonce)
	with(newAuthority(t, nil).nonce()).wantProblem(http.StatusBadRequest, acme.TypeBadNonce)
	// Its own are redeemed here alone.
	before := known.sought.Load()
	own := c.nonce()
	with(own).want(http.StatusOK)
	with(own).wantProblem(http.StatusBadRequest, acme.TypeBadNonce)
	if got := known.sought.Load(); got != before {
		t.Errorf("for nonces of its own it looked for others %d times", got-before)
	}
}

// TestNonceAtManyFronts has one nonce used at two fronts at once.
func TestNonceAtManyFronts(t *testing.T) {
	first, second, _, _ := fronts(t)
	here, there := first.register(), second.register()
	for range 20 {
		nonce := second.nonce()
		var good atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			c := []*client{here, there}[i%2]
			body := c.signAs(acme.Header{URL: c.kid, Nonce: nonce}, "")
			all.Go(func() {
				if c.send(c.relative(c.kid), body).StatusCode == http.StatusOK {
					good.Add(1)
				}
			})
		}
		all.Wait()
		if good.Load() != 1 {
			t.Errorf("one nonce was good for %d requests", good.Load())
		}
	}
}

// TestFrontThatDoesNotAnswer costs its clients a moment and another try.
func TestFrontThatDoesNotAnswer(t *testing.T) {
	first, second, known, authority := fronts(t)
	silent := listenAs(t, authority, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	pool := rpc.NewPool(authority.Identity(rpc.Peer{Role: rpc.RoleFront, Node: "front1"}))
	t.Cleanup(pool.Close)
	known.mu.Lock()
	known.clients[second.front.Instance()] = pool.Client(silent, rpc.Expect{Role: rpc.RoleFront})
	known.mu.Unlock()
	c := first.register()
	began := time.Now()
	r := c.send(c.relative(c.kid), c.signAs(acme.Header{URL: c.kid, Nonce: second.nonce()}, ""))
	r.wantProblem(http.StatusBadRequest, acme.TypeBadNonce)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	c.send(c.relative(c.kid), c.signAs(acme.Header{URL: c.kid, Nonce: r.nonce()}, "")).want(http.StatusOK)
}

// TestWhoMayRedeem has a worker ask, and a front send what is no nonce.
func TestWhoMayRedeem(t *testing.T) {
	_, second, known, authority := fronts(t)
	front1 := known.clients[second.front.Instance()]
	ask := func(c rpc.Client, nonce string) (map[string]bool, error) {
		return rpc.Call[map[string]string, map[string]bool](context.Background(), c, "redeem", map[string]string{"nonce": nonce})
	}
	pool := rpc.NewPool(authority.Identity(rpc.Peer{Role: rpc.RoleWork, Node: "work1"}))
	t.Cleanup(pool.Close)
	nonce := second.nonce()
	if _, err := ask(pool.Client(front1.URL[len("https://"):], rpc.Expect{Role: rpc.RoleFront}), nonce); err == nil {
		t.Error("a worker was answered")
	}
	for _, bad := range []string{"", "A", nonce + "A", nonce[1:] + "ä", strings.Repeat("A", 100)} {
		if answer, err := ask(front1, bad); err != nil || answer["good"] {
			t.Errorf("%q: %v, %v", bad, answer, err)
		}
	}
	if _, err := ask(front1, string(make([]byte, 1000))); err == nil {
		t.Error("a request of a thousand octets was answered")
	}
	if answer, err := ask(front1, nonce); err != nil || !answer["good"] {
		t.Errorf("the nonce itself: %v, %v", answer, err)
	}
}
