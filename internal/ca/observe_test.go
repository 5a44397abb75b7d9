package ca_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// watched has an authority serve the operator's pages.
func watched(c *ca.Config) { c.Observe.Listen = "127.0.0.1:0" }

// look gets one of the operator's pages.
func look(t *testing.T, a *catest.Authority, page string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + a.OpsAddress() + page)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// eventually polls until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// TestMetricsOfOneIssuance: what an issuance does is counted, and what the authority has is measured.
func TestMetricsOfOneIssuance(t *testing.T) {
	a := catest.Start(t, "", watched, func(c *ca.Config) { c.Version = "v9" })
	client := registered(t, a)
	if _, err := catest.Obtain(t.Context(), client, a.Responder, "a.test"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.NewOrder(t.Context(), acme.NewOrder{Identifiers: identifiers("a.example")}); err == nil {
		t.Fatal("an order for a name that is not permitted was taken")
	}
	if status, body := look(t, a, "/readyz"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if status, body := look(t, a, "/healthz"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	status, body := look(t, a, "/metrics")
	for _, line := range []string{
		`cairn_requests_total{method="POST",resource="new-order",status="2xx"} 1`, `cairn_requests_total{method="POST",resource="new-order",status="4xx"} 1`,
		`cairn_requests_total{method="POST",resource="order/*/finalize",status="2xx"} 1`, `cairn_problems_total{type="rejectedIdentifier"} 1`,
		`cairn_validations_total{method="http-01",outcome="ok",perspective="local"} 1`, `cairn_validations_total{method="http-01",outcome="ok",perspective="quorum"} 1`,
		`cairn_issuances_total{outcome="ok",profile="classic"} 1`, `cairn_signatures_total{kind="certificate",outcome="ok"} 1`, `cairn_signatures_total{kind="crl",outcome="ok"} 2`,
		`cairn_crl_number{issuer="1"} 1`, `cairn_crl_entries{issuer="1"} 0`, `cairn_check_ok{check="ready"} 1`, `cairn_check_ok{check="health/work"} 1`,
		`cairn_requests_in_progress 0`, `cairn_work_in_progress{stage="issuance"} 0`, `cairn_queue_age_seconds{stage="issuance"} 0`,
		`cairn_database_errors_total{error="failed",transaction="update"} 0`, `cairn_database_errors_total{error="failed",transaction="view"} 0`,
	} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("/metrics (%d) lacks %q", status, line)
		}
	}
	for _, part := range []string{`cairn_build_info{go="go`, `version="v9"} 1`, `cairn_certificate_expiry_timestamp_seconds{id="1",owner="issuer"} `,
		`cairn_certificate_expiry_timestamp_seconds{id="https",owner="server"} `, "\ncairn_database_commits_total ", "\ncairn_connections ", "\ngo_goroutines ", "\nprocess_resident_memory_bytes "} {
		if !strings.Contains(body, part) {
			t.Errorf("/metrics lacks %q", part)
		}
	}
}

// balancer asks what load balancers ask.
func balancer(t *testing.T, client *http.Client, a *catest.Authority) (int, string) {
	t.Helper()
	resp, err := client.Get(a.URL() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestDrain: an authority that is told to end says so first, goes on for a while, and then ends.
func TestDrain(t *testing.T) {
	a := catest.Start(t, "", watched, func(c *ca.Config) { c.Observe.DrainDelay = 3 * time.Second })
	client := registered(t, a)
	pool := x509.NewCertPool()
	pool.AddCert(a.Page().Root)
	https := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer https.CloseIdleConnections()
	if status, body := balancer(t, https, a); status != http.StatusOK || body != "ready\n" {
		t.Fatalf("%d %s", status, body)
	}
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- a.Stop() }()
	eventually(t, "not ready any more", func() bool { status, _ := look(t, a, "/readyz"); return status == http.StatusServiceUnavailable })
	if _, body := look(t, a, "/readyz"); !strings.Contains(body, "it was told to end") {
		t.Errorf("the reason is not in %s", body)
	}
	if status, body := balancer(t, https, a); status != http.StatusServiceUnavailable || strings.Contains(body, "told") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := look(t, a, "/healthz"); status != http.StatusOK {
		t.Errorf("while it ends it is not healthy: %d", status)
	}
	if _, err := catest.Obtain(t.Context(), client, a.Responder, "a.test"); err != nil {
		t.Errorf("while it goes on: %v", err)
	}
	if err := <-ended; err != nil || time.Since(began) < 3*time.Second {
		t.Errorf("ended after %s: %v", time.Since(began), err)
	}
}

// brokenSigner fails on demand.
type brokenSigner struct {
	work.Signer
	broken *atomic.Bool
}

func (s brokenSigner) Certificate(ctx context.Context, r sign.Request) (sign.Certificate, error) {
	if s.broken.Load() {
		return sign.Certificate{}, errors.New("the key does not answer")
	}
	return s.Signer.Certificate(ctx, r)
}

// TestReadyWithoutASigner: a signer that fails again and again makes the process not ready, until it signs.
func TestReadyWithoutASigner(t *testing.T) {
	var broken atomic.Bool
	a := catest.Start(t, "", watched, func(c *ca.Config) {
		c.Seams.Signer = func(s work.Signer) work.Signer { return brokenSigner{s, &broken} }
		c.Seams.Pause = 20 * time.Millisecond
	})
	client := registered(t, a)
	broken.Store(true)
	obtained := make(chan error, 1)
	go func() {
		_, err := catest.Obtain(t.Context(), client, a.Responder, "a.test")
		obtained <- err
	}()
	eventually(t, "not ready", func() bool {
		status, body := look(t, a, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "the key does not answer")
	})
	broken.Store(false)
	if err := <-obtained; err != nil {
		t.Error(err)
	}
	eventually(t, "ready again", func() bool { status, _ := look(t, a, "/readyz"); return status == http.StatusOK })
}

// TestTraces: the spans of an issuance name its order and account, and what happened in the database is inside of them.
func TestTraces(t *testing.T) {
	collector := catest.NewCollector(t)
	a := catest.Start(t, "", func(c *ca.Config) { c.Observe.Collector, c.Observe.TraceRatio = collector.URL, 1 })
	client := registered(t, a)
	got, err := catest.Obtain(t.Context(), client, a.Responder, "a.test")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	order, account := path.Base(path.Dir(got.Order.Finalize)), path.Base(client.AccountURL())
	one := func(spans []catest.Span, name string) catest.Span {
		t.Helper()
		spans = slices.DeleteFunc(spans, func(s catest.Span) bool { return s.Name != name })
		if len(spans) != 1 {
			t.Fatalf("%d spans %q: %v", len(spans), name, spans)
		}
		return spans[0]
	}
	for _, name := range []string{"POST new-order", "POST order/*/finalize", "order"} {
		span := one(collector.Named(name), name)
		if span.Value("cairn.order") != order || span.Value("cairn.account") != account {
			t.Errorf("%s is of order %q and account %q, want %q and %q", name, span.Value("cairn.order"), span.Value("cairn.account"), order, account)
		}
	}
	signed := one(collector.Within(one(collector.Named("order"), "order")), "sign certificate")
	for _, parent := range []catest.Span{one(collector.Named("POST new-order"), "POST new-order"), signed} {
		if updates := slices.DeleteFunc(collector.Within(parent), func(s catest.Span) bool { return s.Name != "database update" }); len(updates) == 0 {
			t.Errorf("within %s there is no update of the database", parent.Name)
		}
	}
	if signed.Value("cairn.order") != order || signed.Value("cairn.profile") != "classic" {
		t.Errorf("signed: %v", signed)
	}
	quorum := one(collector.Within(one(collector.Named("authorization"), "authorization")), "look for http-01")
	local := one(collector.Within(quorum), "look for http-01")
	if quorum.Value("cairn.perspective") != "quorum" || local.Value("cairn.perspective") != "local" ||
		local.Value("cairn.identifier") != "a.test" || local.Value("cairn.outcome") != "ok" {
		t.Errorf("looked: %v and %v", quorum, local)
	}
}

// lines takes a log as JSON.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// all is what was logged.
func (l *lines) all(t *testing.T) (list []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, fields)
	}
	return list
}

// TestLogNamesOrderAndAccount: each line about an order or an authorization names it, and the account; each
// line about a request names the request.
func TestLogNamesOrderAndAccount(t *testing.T) {
	var log lines
	var broken atomic.Bool
	a := catest.Start(t, "", func(c *ca.Config) {
		c.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Seams.Signer = func(s work.Signer) work.Signer { return brokenSigner{s, &broken} }
		c.Seams.Pause = 20 * time.Millisecond
	})
	client := registered(t, a)
	account := path.Base(client.AccountURL())
	broken.Store(true)
	obtained := make(chan error, 1)
	go func() {
		_, err := catest.Obtain(t.Context(), client, a.Responder, "a.test")
		obtained <- err
	}()
	eventually(t, "work fails", func() bool {
		return slices.ContainsFunc(log.all(t), func(line map[string]any) bool { return line["msg"] == "work failed" })
	})
	broken.Store(false)
	if err := <-obtained; err != nil {
		t.Fatal(err)
	}
	if _, err := client.NewOrder(t.Context(), acme.NewOrder{Identifiers: identifiers("a.example")}); err == nil {
		t.Fatal("an order for a name that is not permitted was taken")
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	needs := map[string][]string{
		"work failed": {"order", "account"}, "certificate issued": {"order", "account"}, "validation finished": {"authorization", "account"},
		"request answered": {"request", "resource"}, "request refused": {"request", "resource", "account"},
	}
	seen, requests := map[string]bool{}, map[any]bool{}
	for _, line := range log.all(t) {
		message := line["msg"].(string)
		seen[message] = true
		for _, name := range needs[message] {
			if line[name] == nil || line[name] == "" {
				t.Errorf("a line lacks %q: %v", name, line)
			}
		}
		if line["account"] != nil && line["account"] != account {
			t.Errorf("a line is of account %v, want %s", line["account"], account)
		}
		if id := line["request"]; id != nil {
			if requests[id] {
				t.Errorf("two lines are of request %v", id)
			}
			requests[id] = true
		}
		if line["resource"] == "order/*/finalize" && (line["order"] == nil || line["account"] == nil) {
			t.Errorf("a line lacks the order or the account: %v", line)
		}
	}
	for message := range needs {
		if !seen[message] {
			t.Errorf("there is no line %q", message)
		}
	}
}

func TestOpsAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1:9090": true, "[::1]:9090": true, "localhost:9090": true, "0.0.0.0:9090": true, "10.0.0.5:9090": true, "[::]:9090": true,
		":9090": false, "9090": false, "": false, "ca.test:9090": false, "127.0.0.1": false,
	} {
		if err := ca.CheckOps(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}
