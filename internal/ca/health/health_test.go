package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/health"
)

// TestPulse: a loop is stuck once it has been silent for its limit, and well again once it goes round.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := health.NewPulse("work", time.Minute)
		check := func(stuck bool) {
			t.Helper()
			if err := p.Check().Ask(t.Context()); (err != nil) != stuck {
				t.Errorf("stuck is %v, want %t", err, stuck)
			}
		}
		check(false)
		time.Sleep(time.Minute)
		check(false)
		time.Sleep(time.Second)
		check(true)
		p.Beat()
		check(false)
		time.Sleep(time.Minute + time.Second)
		check(true)
		var none *health.Pulse
		none.Beat()
	})
}

// TestChecks: an answer is kept for a while, a check that hangs fails in time, and all must be well.
func TestChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		var trouble error
		checks := health.NewChecks(2*time.Second,
			health.Check{Name: "store", Keep: time.Second, Ask: func(context.Context) error { asked++; return trouble }},
			health.Check{Name: "signer", Keep: time.Second, Ask: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
		began := time.Now()
		states, ok := checks.Ask(t.Context())
		if ok || time.Since(began) != 2*time.Second || states[0].Error != "" || states[1].Error != "no answer within 2s" {
			t.Errorf("after %s: %t, %+v", time.Since(began), ok, states)
		}
		trouble = errors.New("disk full")
		for range 10 {
			checks.Ask(t.Context()) // the hanging one is not asked again so soon
		}
		if asked != 2 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// TestKept: whoever asks again soon gets the same answer, with its age.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		checks := health.NewChecks(time.Second, health.Check{Name: "x", Keep: time.Second, Ask: func(context.Context) error { asked++; return nil }})
		checks.Ask(t.Context())
		time.Sleep(900 * time.Millisecond)
		states, ok := checks.Ask(t.Context())
		if asked != 1 || !ok || states[0].Age != 900*time.Millisecond {
			t.Errorf("asked %d times, %+v", asked, states)
		}
		time.Sleep(100 * time.Millisecond)
		if checks.Ask(t.Context()); asked != 2 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// TestHandlers: the one names what is wrong, the other says no more than that.
func TestHandlers(t *testing.T) {
	var trouble error
	checks := health.NewChecks(time.Second, health.Check{Name: "store", Ask: func(context.Context) error { return trouble }})
	get := func(h http.Handler) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return w.Code, w.Body.String()
	}
	if status, body := get(checks.Brief()); status != 200 || body != "ready\n" {
		t.Errorf("%d %s", status, body)
	}
	trouble = errors.New("disk full")
	if status, body := get(checks.Brief()); status != 503 || strings.Contains(body, "disk") {
		t.Errorf("%d %s", status, body)
	}
	status, body := get(checks.Handler())
	var said struct {
		OK     bool
		Checks map[string]struct {
			OK         bool
			Error, Age string
		}
	}
	if err := json.Unmarshal([]byte(body), &said); err != nil || status != 503 || said.OK || said.Checks["store"].Error != "disk full" || said.Checks["store"].Age == "" {
		t.Errorf("%d %s %v", status, body, err)
	}
}
