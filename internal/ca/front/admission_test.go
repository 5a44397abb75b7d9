package front_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/metrics"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// TestShed: what begins something new is put off the more likely, the more is behind; all else only at the very end.
func TestShed(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name           string
		requests       int
		database, work time.Duration
		newFrom        float64 // from this dice on a new request is taken; 2 means never
		why            metrics.Reason
		others         bool
	}{
		{"nothing to do", 0, 0, 0, 0, "", true},
		{"much to do", 256, s / 2, 2 * s, 0, "", true},
		{"half way with requests", 384, 0, 0, 0.5, metrics.ReasonRequests, true},
		{"too many requests", 512, 0, 0, 2, metrics.ReasonRequests, true},
		{"one request before the end", 1023, 0, 0, 2, metrics.ReasonRequests, true},
		{"full", 1024, 0, 0, 2, metrics.ReasonRequests, false},
		{"half way with the database", 0, 1250 * time.Millisecond, 0, 0.5, metrics.ReasonDatabase, true},
		{"the database hangs", 0, time.Hour, 0, 2, metrics.ReasonDatabase, true},
		{"half way with work", 0, 0, 6 * s, 0.5, metrics.ReasonWork, true},
		{"nobody works", 0, 0, time.Hour, 2, metrics.ReasonWork, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, dice := range []float64{0, 0.49, 0.51, 0.999} {
				why, put := front.Shed(c.requests, c.database, c.work, true, dice)
				if put != (dice < c.newFrom) || put && why != c.why {
					t.Errorf("with dice %v a new request is put off: %t (%s)", dice, put, why)
				}
				if _, put := front.Shed(c.requests, c.database, c.work, false, dice); put == c.others {
					t.Errorf("with dice %v another request is put off: %t", dice, put)
				}
			}
		})
	}
}

// hold keeps the writer of the database busy until the returned function is called.
func (a *authority) hold() (release func()) {
	a.t.Helper()
	held, hold, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var once sync.Once // the function may run several times
	go func() {
		ended <- a.db.Update(context.Background(), func(*store.Tx) error { once.Do(func() { close(held) }); <-hold; return nil })
	}()
	<-held
	return func() {
		a.t.Helper()
		close(hold)
		if err := <-ended; err != nil {
			a.t.Error(err)
		}
	}
}

// waitUntil polls until done.
func waitUntil(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// wantLater checks that an answer says to come again, with a fresh nonce to do so.
func (r *answer) wantLater() {
	r.t.Helper()
	r.wantProblem(http.StatusServiceUnavailable, acme.TypeServerInternal)
	if after, err := strconv.Atoi(r.Header.Get("Retry-After")); err != nil || after < 1 || after > 60 || r.nonce() == "" {
		r.t.Errorf("Retry-After is %q and the nonce %q", r.Header.Get("Retry-After"), r.nonce())
	}
}

// TestHungDatabase: while nothing can be written, what begins something new is put off at once, what is under way
// waits for seconds at most, what only reads goes on, and all of it recovers by itself.
func TestHungDatabase(t *testing.T) {
	counted := metrics.New(metrics.Config{})
	a := newAuthority(t, func(c *front.Config) { c.Metrics = counted })
	c := a.register()
	key := newKey(t)
	url, o := c.ready("a.test")
	release := a.hold()
	waitUntil(t, "the update is old", func() bool { return a.db.Load().Oldest > 2*time.Second })

	began := time.Now()
	c.post("/new-order", `{"identifiers":[{"type":"dns","value":"b.test"}]}`).wantLater()
	c.post("/new-authz", `{"identifier":{"type":"dns","value":"b.test"}}`).wantLater()
	a.stranger().post("/new-account", `{"termsOfServiceAgreed":true}`).wantLater()
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("to put three requests off took %s", took)
	}
	c.fetch(url).want(http.StatusOK)
	began = time.Now()
	c.post(o.Finalize, csr(t, key, "a.test")).wantLater()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a finalize that could not be saved was answered after %s", took)
	}
	// One that comes while the database hangs, and sees the end of that, goes through before any new order.
	finalized := make(chan *answer, 1)
	go func() { finalized <- c.post(o.Finalize, csr(t, key, "a.test")) }()
	waitUntil(t, "the request is in progress", func() bool { return a.front.Load().Count == 1 && a.db.Load().Count == 2 })
	c.post("/new-order", `{"identifiers":[{"type":"dns","value":"b.test"}]}`).wantLater()
	release()
	if o := read[acme.Order]((<-finalized).want(http.StatusOK)); o.Status != acme.StatusValid {
		t.Errorf("the order is %s", o.Status)
	}
	c.post("/new-order", `{"identifiers":[{"type":"dns","value":"b.test"}]}`).want(http.StatusCreated)

	w := httptest.NewRecorder()
	counted.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	for _, line := range []string{
		`cairn_requests_shed_total{reason="database"} 4`, `cairn_problems_total{type="serverInternal"} 5`,
		`cairn_requests_total{method="POST",resource="new-order",status="5xx"} 2`, `cairn_requests_total{method="POST",resource="new-order",status="2xx"} 2`,
		`cairn_requests_total{method="POST",resource="order/*/finalize",status="2xx"} 1`, `cairn_nonces_redeemed_total{good="false"} 0`,
	} {
		if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			t.Errorf("the metrics lack %q", line)
		}
	}
	if a.front.Load().Count != 0 {
		t.Errorf("%d requests are in progress", a.front.Load().Count)
	}
}

// TestWorkIsBehind: new orders are put off while work waits, others are not, and afterwards they are taken again.
func TestWorkIsBehind(t *testing.T) {
	var behind atomic.Int64
	a := newAuthority(t, func(c *front.Config) { c.Backlog = func() time.Duration { return time.Duration(behind.Load()) } })
	c := a.register()
	url, o := c.ready("a.test")
	behind.Store(int64(time.Minute))
	c.post("/new-order", `{"identifiers":[{"type":"dns","value":"b.test"}]}`).wantLater()
	c.post(o.Finalize, csr(t, newKey(t), "a.test")).want(http.StatusOK)
	c.fetch(url).want(http.StatusOK)
	behind.Store(0)
	c.post("/new-order", `{"identifiers":[{"type":"dns","value":"b.test"}]}`).want(http.StatusCreated)
}

// TestClosedDatabase: a database that is gone is a 503, and no internal error.
func TestClosedDatabase(t *testing.T) {
	a := newAuthority(t, nil)
	c := a.register()
	url, _ := c.order("a.test")
	if err := a.db.Close(); err != nil {
		t.Fatal(err)
	}
	c.fetch(url).wantLater()
	c.post("/new-order", `{"identifiers":[{"type":"dns","value":"b.test"}]}`).wantLater()
	if strings.Contains(a.logged(), "request failed") {
		t.Error("that is logged as a fault")
	}
}
