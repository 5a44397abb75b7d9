package renew_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// instead makes an answer say something else.
func instead(response *http.Response, status int, media, body string) {
	_ = response.Body.Close()
	response.StatusCode = status
	response.Header.Set("Content-Type", media)
	response.Header.Del("Content-Length")
	response.Body, response.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
}

// TestAWrongCertificateIsAskedForOnce has the CA serve one for another key.
func TestAWrongCertificateIsAskedForOnce(t *testing.T) {
	w := newWorld(t)
	other, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.obtainer(t).Done("a.example"); err != nil {
		t.Fatal(err)
	}
	bad := ""
	w.wire.change = func(r *http.Request, response *http.Response) {
		if !strings.HasPrefix(r.URL.Path, "/certZ/") || response.StatusCode != 200 || bad != "" && r.URL.Path != bad {
			return
		}
		bad = r.URL.Path
		instead(response, 200, acme.MediaChain, string(other.Chain.PEM(0)))
	}
	if _, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil); !errors.Is(err, acme.ErrNotRequested) {
		t.Fatalf("got %v", err)
	}
	if _, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil); err != nil {
		t.Errorf("the next run: %v", err)
	}
}

// TestOrdersThatCannotBeReadAreGivenUp is about what a CA says when an order is continued.
func TestOrdersThatCannotBeReadAreGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		media  string
		age    time.Duration
		orders int // in all
		ok     bool
	}{
		"not JSON":                {200, "text/html", 0, 2, true},
		"garbage":                 {200, acme.MediaJSON, 0, 2, true},
		"an error, for a week":    {503, "text/html", 8 * 24 * time.Hour, 2, true},
		"an error, today":         {503, "text/html", time.Hour, 1, false},
		"a clock that was wrong":  {503, "text/html", -1000 * time.Hour, 2, true},
		"nothing, but a week ago": {0, "", 8 * 24 * time.Hour, 2, true},
		"nothing":                 {0, "", 0, 1, true},
	} {
		w := newWorld(t)
		if _, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil); err != nil {
			t.Fatal(err)
		}
		job := w.job(t)
		if since := time.Since(job.Created); since < 0 || since > time.Minute {
			t.Errorf("%s: created %v", name, job.Created)
		}
		job.Created = job.Created.Add(-c.age)
		if err := renew.OpenJobs(w.jobs).Save(job); err != nil {
			t.Fatal(err)
		}
		old, err := url.Parse(job.Order)
		if err != nil {
			t.Fatal(err)
		}
		w.wire.change = func(r *http.Request, response *http.Response) {
			if c.status != 0 && r.URL.Path == old.Path {
				response.Header.Set("Retry-After", "3600") // nobody waits for that
				instead(response, c.status, c.media, "<html>")
			}
		}
		_, err = w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil)
		if got := w.wire.count("/order-plz"); got != c.orders || (err == nil) != c.ok {
			t.Errorf("%s: %d orders, %v", name, got, err)
		}
	}
}

// TestACrashLeavesNoKeyForEver is about the file that a job is in before it is whole.
func TestACrashLeavesNoKeyForEver(t *testing.T) {
	directory := t.TempDir()
	jobs, job := renew.OpenJobs(directory), &renew.Job{Want: want(t, renew.KeySpec{}, "a.example"), Key: "secret"}
	for _, left := range []string{".cairnbot-tmp-0011", ".cairnbot-tmp-1"} {
		if err := os.WriteFile(filepath.Join(directory, left), []byte("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := jobs.List(); err != nil || len(names) != 0 {
		t.Fatal(names, err)
	}
	if err := jobs.Save(job); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) != 1 || entries[0].Name() != "a.example.json" {
		t.Errorf("%v, %v", entries, err)
	}
	if info, err := os.Stat(filepath.Join(directory, "a.example.json")); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestShortLivedCertificatesDoNotWaitAWeek is about an order that would outlast what it is to replace.
func TestShortLivedCertificatesDoNotWaitAWeek(t *testing.T) {
	w := newWorld(t)
	first, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil)
	if err != nil {
		t.Fatal(err)
	}
	current := *first.Chain.Certificates[0]
	current.Raw = nil // another one, of the same names
	for lifetime, orders := range map[time.Duration]int{90 * 24 * time.Hour: 1, 6 * 24 * time.Hour: 2} {
		job := w.job(t)
		job.Created = time.Now().Add(-30 * time.Hour)
		if err := renew.OpenJobs(w.jobs).Save(job); err != nil {
			t.Fatal(err)
		}
		before := w.wire.count("/order-plz")
		current.NotBefore = current.NotAfter.Add(-lifetime)
		if _, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), &current); err != nil {
			t.Fatal(err)
		}
		if got := w.wire.count("/order-plz") - before + 1; got != orders {
			t.Errorf("lifetime %v: %d orders", lifetime, got)
		}
	}
}

// TestAuthorizationsAreTheOrders has the CA ask for proofs that nobody has asked for, and offer
// tokens that are none.
func TestAuthorizationsAreTheOrders(t *testing.T) {
	for name, c := range map[string]struct {
		alter func(*acme.Authorization)
		says  string
	}{
		"another name": {func(a *acme.Authorization) { a.Identifier.Value = "other.example" }, "other.example"},
		"another type": {func(a *acme.Authorization) { a.Identifier.Type = acme.IP }, "not what was asked for"},
		"short tokens": {func(a *acme.Authorization) {
			for i := range a.Challenges {
				a.Challenges[i].Token = "shadow"
			}
		}, "too short to be random"},
	} {
		w := newWorld(t, "PEBBLE_AUTHZREUSE=0")
		w.wire.change = func(r *http.Request, response *http.Response) {
			if !strings.HasPrefix(r.URL.Path, "/authZ/") || response.StatusCode != 200 { // Pebble refuses nonces at times
				return
			}
			var a acme.Authorization
			if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
				t.Error(err)
			}
			c.alter(&a)
			text, err := json.Marshal(a)
			if err != nil {
				t.Error(err)
			}
			instead(response, 200, acme.MediaJSON, string(text))
		}
		mute := &silent{}
		o := renew.NewObtainer(renew.ObtainConfig{Client: w.client, Server: w.pebble.Directory, Solver: mute, Jobs: renew.OpenJobs(w.jobs)})
		_, err := o.Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil)
		if err == nil || !strings.Contains(err.Error(), c.says) || mute.presented != 0 {
			t.Errorf("%s: presented %d, %v", name, mute.presented, err)
		}
		if job := w.job(t); job != nil {
			t.Errorf("%s: the order is kept", name)
		}
	}
}
