package ca_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

func TestObtainRenewRevoke(t *testing.T) {
	a := catest.Start(t, "")
	client := a.Client(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := client.Register(ctx, acme.NewAccount{Contact: []string{"mailto:admin@example.org"}}); err != nil {
		t.Fatal(err)
	}
	var served []*x509.Certificate
	for _, names := range [][]string{{"a.test", "www.a.test"}, {"A.test"}, {"127.0.0.1"}, {"127.0.0.1", "b.test"}} {
		got, err := catest.Obtain(ctx, client, a.Responder, names...)
		if err != nil {
			t.Fatal(err)
		}
		served = append(served, got.Chain.Certificates[0])
	}
	if err := client.Revoke(ctx, served[0], nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	catest.CheckCA(t, a.Dir, served...)
}

// TestRestart opens the same directory again: the root stays, accounts and orders too.
func TestRestart(t *testing.T) {
	a := catest.Start(t, "")
	client := a.Client(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := client.Register(ctx, acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	root := a.Page().Root
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	b := catest.Start(t, a.Dir)
	if !b.Page().Root.Equal(root) || b.New() {
		t.Error("the second start made another root")
	}
	_ = b.Stop()
	catest.CheckCA(t, a.Dir)
}

// TestManyAtOnce obtains many certificates in parallel, and shows what it costs.
func TestManyAtOnce(t *testing.T) {
	a := catest.Start(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const workers, each = 8, 10
	type result struct {
		leaf *x509.Certificate
		err  error
	}
	results := make(chan result, workers*each)
	for w := range workers {
		client := a.Client(t)
		go func() {
			_, err := client.Register(ctx, acme.NewAccount{})
			for i := range each {
				if err != nil {
					results <- result{err: fmt.Errorf("worker %d, round %d: %w", w, i, err)}
					continue
				}
				got, err := catest.Obtain(ctx, client, a.Responder, "a.test")
				if err != nil {
					results <- result{err: fmt.Errorf("worker %d, round %d: %w", w, i, err)}
					continue
				}
				results <- result{leaf: got.Chain.Certificates[0]}
			}
		}()
	}
	start := time.Now()
	var served []*x509.Certificate
	for range workers * each {
		r := <-results
		if r.err != nil {
			t.Error(r.err)
			continue
		}
		served = append(served, r.leaf)
	}
	t.Logf("%d certificates in %v", len(served), time.Since(start))
	if err := a.Stop(); err != nil {
		t.Error(err)
	}
	catest.CheckCA(t, a.Dir, served...)
}

// TestPlainHTTPServesNoACME: over HTTP there is what certificates point to, and nothing else.
func TestPlainHTTPServesNoACME(t *testing.T) {
	a := catest.Start(t, "")
	page := a.Page()
	base := page.RootPEM[:len(page.RootPEM)-len("/root.pem")]
	for path, want := range map[string]int{
		"/root.pem": 200, "/root.der": 200, "/issuers/1.der": 200, "/roots/root-1.der": 200,
		"/crl/1.crl": 200, "/crl/root-1.crl": 200,
		"/": 404, "/directory": 404, "/new-nonce": 404, "/crl/2.crl": 404, "/issuers/root.key": 404, "/crl/../cairn.db": 404,
	} {
		resp, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %s, want %d", path, resp.Status, want)
		}
	}
}
