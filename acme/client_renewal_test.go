package acme_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// advisor answers requests for renewal information.
type advisor func(w http.ResponseWriter, r *http.Request)

func (a advisor) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	a(w, r)
	return w.Result(), nil
}

// advise asks, without an account, a server whose answers are given by path.
func advise(t *testing.T, offered string, answer func(http.ResponseWriter)) (*acme.RenewalInfo, time.Duration, []string, error) {
	t.Helper()
	var paths []string
	client, err := acme.NewClient(acme.ClientConfig{Directory: host + "/directory", Tries: 1, HTTP: &http.Client{Transport: advisor(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.Method+" "+r.URL.Path)
		if r.URL.Path == "/directory" {
			sendJSON(w, 200, acme.Directory{NewNonce: host + "/nonce", NewAccount: host + "/account", NewOrder: host + "/orders", RenewalInfo: offered})
			return
		}
		answer(w)
	})}})
	if err != nil {
		t.Fatal(err)
	}
	id, problem := acme.ParseCertID("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
	if problem != nil {
		t.Fatal(problem)
	}
	info, after, err := client.RenewalInfo(t.Context(), id)
	return info, after, paths, err
}

func TestRenewalInfo(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	window := func(start, end time.Time, explanation, after string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", after)
			sendJSON(w, 200, acme.RenewalInfo{SuggestedWindow: acme.RenewalWindow{Start: start, End: end}, ExplanationURL: explanation})
		}
	}
	info, after, paths, err := advise(t, host+"/ari/", window(start, start.Add(time.Hour), "https://ca.test/why", "21600"))
	if err != nil || after != 6*time.Hour || !info.SuggestedWindow.Start.Equal(start) || info.ExplanationURL != "https://ca.test/why" {
		t.Errorf("%+v, %s, %v", info, after, err)
	}
	if got := strings.Join(paths, ", "); got != "GET /directory, GET /ari/aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE" {
		t.Error(got)
	}
	for _, bad := range []string{"javascript:alert(1)", "\x1b[2J", "https://ca.test/" + strings.Repeat("a", 3000)} {
		if info, _, _, err = advise(t, host+"/ari", window(start, start.Add(time.Hour), bad, "")); err != nil || info.ExplanationURL != "" {
			t.Errorf("%q, %v", info.ExplanationURL, err)
		}
	}
	for name, answer := range map[string]func(http.ResponseWriter){
		"reversed": window(start, start.Add(-time.Hour), "", ""),
		"empty":    window(start, start, "", ""),
		"no start": window(time.Time{}, start, "", ""),
		"no JSON":  func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>") },
		"not a date": func(w http.ResponseWriter) {
			sendJSON(w, 200, map[string]any{"suggestedWindow": map[string]string{"start": "soon", "end": "later"}})
		},
	} {
		if info, _, _, err := advise(t, host+"/ari", answer); !errors.Is(err, acme.ErrUnreadable) || info != nil {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
}

func TestRenewalInfoRefused(t *testing.T) {
	var problem *acme.Problem
	_, after, paths, err := advise(t, host+"/ari", func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "60")
		sendProblem(w, acme.Problemf(acme.TypeServerInternal, "later"))
	})
	if !errors.As(err, &problem) || after != time.Minute || len(paths) != 2 {
		t.Errorf("%v, %s, asked %v", err, after, paths)
	}
	if _, _, _, err := advise(t, "", nil); !errors.Is(err, acme.ErrNoRenewalInfo) {
		t.Error(err)
	}
	if _, _, _, err := advise(t, "http://ca.test/ari", nil); !errors.Is(err, acme.ErrNoDirectory) {
		t.Error(err)
	}
}

func TestAClientWithoutAKeySignsNothing(t *testing.T) {
	client, err := acme.NewClient(acme.ClientConfig{Directory: host + "/directory", HTTP: &http.Client{Transport: newServer(t)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Register(t.Context(), acme.NewAccount{}); err == nil || !strings.Contains(err.Error(), "no account key") {
		t.Error(err)
	}
}
