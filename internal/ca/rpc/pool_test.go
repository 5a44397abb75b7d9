package rpc_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// served has a server of methods listen on loopback, for validators and for the authority.
func served(t testing.TB, ca *roles.Authority, handler http.Handler) (address string) {
	t.Helper()
	config := ca.Identity(rpc.Peer{Role: rpc.RoleSigner, Node: "signer1"}).
		ServerConfig(rpc.Expect{Role: rpc.RoleAuthority, Roles: []string{rpc.RoleValidator}})
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

// pooled makes a pool of a role's connections.
func pooled(t testing.TB, ca *roles.Authority, peer rpc.Peer) *rpc.Pool {
	t.Helper()
	pool := rpc.NewPool(ca.Identity(peer))
	t.Cleanup(pool.Close)
	return pool
}

var aSigner = rpc.Expect{Role: rpc.RoleSigner}

func ask(t testing.TB, c rpc.Client, method string) (string, error) {
	t.Helper()
	return rpc.Call[string, string](t.Context(), c, method, "?")
}

// TestMethodsKnowTheirCallers has two roles reach one server, and call a method for both and one for one of them.
func TestMethodsKnowTheirCallers(t *testing.T) {
	ca := newRoles(t)
	var s rpc.Server
	who := func(ctx context.Context, _ string) (string, error) {
		peer, key, ok := rpc.PeerFrom(ctx)
		return fmt.Sprintf("%s/%s %v %v", peer.Role, peer.Node, ok, key == [sha256.Size]byte{}), nil
	}
	rpc.Handle(&s, "both", who)
	rpc.HandleMethod(&s, rpc.Method{Name: "one", Roles: []string{rpc.RoleAuthority}, Limit: 64}, who)
	address := served(t, ca, &s)
	first, second := pooled(t, ca, authority).Client(address, aSigner), pooled(t, ca, validator).Client(address, aSigner)
	if got, err := ask(t, second, "both"); err != nil || got != "validator/fra1 true false" {
		t.Errorf("a method for both: %q, %v", got, err)
	}
	if got, err := ask(t, first, "one"); err != nil || got != "authority/main true false" {
		t.Errorf("a method for it: %q, %v", got, err)
	}
	var refused *rpc.Refusal
	if got, err := ask(t, second, "one"); !errors.As(err, &refused) || refused.Code != rpc.CodeForbidden {
		t.Errorf("a method that is not for it: %q, %v", got, err)
	}
	if _, err := rpc.Call[string, string](t.Context(), first, "one", string(make([]byte, 64))); err == nil {
		t.Error("a request beyond the method's limit was answered")
	}
	// Over a socket, where there are no certificates, nobody has a role.
	if _, err := ask(t, plain(t, &s), "one"); !errors.As(err, &refused) || refused.Code != rpc.CodeForbidden {
		t.Errorf("a caller without a certificate: %v", err)
	}
}

func plain(t *testing.T, handler http.Handler) rpc.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() { _ = server.Serve(listener); close(done) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return rpc.Client{URL: "http://" + listener.Addr().String(), HTTP: &http.Client{Timeout: 10 * time.Second}}
}

// TestAdmit is asked for each call, on one connection.
func TestAdmit(t *testing.T) {
	ca := newRoles(t)
	var removed, unknown atomic.Bool
	s := rpc.Server{Admit: func(_ context.Context, peer rpc.Peer, key [sha256.Size]byte) error {
		switch {
		case unknown.Load():
			return errors.New("a secret of ours")
		case removed.Load() || peer != validator || key == [sha256.Size]byte{}:
			return &rpc.Refusal{Code: rpc.CodeForbidden, Reason: "removed"}
		}
		return nil
	}}
	rpc.Handle(&s, "m", func(context.Context, string) (string, error) { return "!", nil })
	c := pooled(t, ca, validator).Client(served(t, ca, &s), aSigner)
	if _, err := ask(t, c, "m"); err != nil {
		t.Fatal(err)
	}
	removed.Store(true)
	var refused *rpc.Refusal
	if _, err := ask(t, c, "m"); !errors.As(err, &refused) || refused.Code != rpc.CodeForbidden {
		t.Errorf("after it was removed: %v", err)
	}
	unknown.Store(true)
	if _, err := ask(t, c, "m"); err == nil || errors.As(err, &refused) && refused.Reason != "removed" {
		t.Errorf("where nothing is known: %v", err)
	}
}

// TestAnyTriesThoseThatFailedLast has one server of two be gone.
func TestAnyTriesThoseThatFailedLast(t *testing.T) {
	ca := newRoles(t)
	var s rpc.Server
	var calls, broken atomic.Int32
	rpc.Handle(&s, "m", func(context.Context, string) (string, error) { calls.Add(1); return "!", nil })
	rpc.Handle(&s, "no", func(context.Context, string) (string, error) { calls.Add(1); return "", rpc.Refuse("no") })
	pool := pooled(t, ca, validator)
	bad := served(t, ca, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { broken.Add(1); panic(http.ErrAbortHandler) }))
	servers := []rpc.Client{pool.Client(bad, aSigner), pool.Client(served(t, ca, &s), aSigner)}
	a := rpc.Any{Timeout: 5 * time.Second}
	for range 20 {
		if _, err := rpc.CallAny[string, string](t.Context(), &a, servers, "m", "?"); err != nil {
			t.Fatal(err)
		}
	}
	if broken.Load() > 1 {
		t.Errorf("the one that breaks off was tried first %d times", broken.Load())
	}
	calls.Store(0)
	var refused *rpc.Refusal
	if _, err := rpc.CallAny[string, string](t.Context(), &a, servers[1:], "no", "?"); !errors.As(err, &refused) || calls.Load() != 1 {
		t.Errorf("a refusal, after %d calls: %v", calls.Load(), err)
	}
	if _, err := rpc.CallAny[string, string](t.Context(), &a, servers[:1], "m", "?"); err == nil || errors.As(err, &refused) {
		t.Errorf("none that works: %v", err)
	}
	if _, err := rpc.CallAny[string, string](t.Context(), &a, nil, "m", "?"); !errors.Is(err, rpc.ErrNoServer) {
		t.Errorf("none at all: %v", err)
	}
}

// TestPoolKeepsConnections counts handshakes.
func TestPoolKeepsConnections(t *testing.T) {
	ca := newRoles(t)
	var s rpc.Server
	rpc.Handle(&s, "m", func(context.Context, string) (string, error) { return "!", nil })
	var connections atomic.Int32
	config := ca.Identity(rpc.Peer{Role: rpc.RoleSigner, Node: "signer1"}).ServerConfig(rpc.Expect{Role: rpc.RoleValidator})
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { connections.Add(1); return nil, nil }
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: &s, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() { _ = server.Serve(listener); close(done) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	pool := pooled(t, ca, validator)
	for range 20 {
		if _, err := ask(t, pool.Client(listener.Addr().String(), aSigner), "m"); err != nil {
			t.Fatal(err)
		}
	}
	if connections.Load() != 1 {
		t.Errorf("20 calls made %d connections", connections.Load())
	}
	// Whoever it must be is part of what a connection is: it is not used for another.
	other := rpc.Expect{Role: rpc.RoleSigner, Node: "signer2"}
	if _, err := ask(t, pool.Client(listener.Addr().String(), other), "m"); err == nil {
		t.Error("signer1 was taken for signer2")
	}
}

// BenchmarkCall is one call over mutual TLS, on a connection that is there and on a new one.
func BenchmarkCall(b *testing.B) {
	certificate, key, err := roles.NewAuthority(time.Now())
	if err != nil {
		b.Fatal(err)
	}
	ca, err := roles.LoadAuthority(certificate, key)
	if err != nil {
		b.Fatal(err)
	}
	var s rpc.Server
	rpc.Handle(&s, "m", func(context.Context, string) (string, error) { return "!", nil })
	address := served(b, ca, &s)
	pool := pooled(b, ca, validator)
	b.Run("kept", func(b *testing.B) {
		for b.Loop() {
			if _, err := ask(b, pool.Client(address, aSigner), "m"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			if _, err := ask(b, pool.Client(address, aSigner), "m"); err != nil {
				b.Fatal(err)
			}
			pool.Close()
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := ask(b, pool.Client(address, aSigner), "m"); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
