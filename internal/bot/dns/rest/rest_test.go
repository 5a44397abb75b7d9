package rest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns/rest"
)

const secret = "s3cr3t-of-the-operator"

// serve starts a server and makes a client for it.
func serve(t *testing.T, handler http.HandlerFunc) *rest.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return client(t, rest.Config{Base: server.URL + "/v1/"})
}

func client(t *testing.T, config rest.Config) *rest.Client {
	t.Helper()
	config.Service = "Example DNS"
	config.Authorize = func(request *http.Request, _ []byte) error {
		request.Header.Set("X-Api-Key", secret)
		return nil
	}
	c, err := rest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRequestsAreEscaped(t *testing.T) {
	var got *http.Request
	var body string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got, body = r, string(text)
		_, _ = io.WriteString(w, `{"id": 7}`)
	})
	var answer struct{ ID int }
	_, err := c.JSON(t.Context(), rest.Request{
		Method: "POST", Path: []string{"zones", "../a b/?#%", "..", "."}, Query: url.Values{"q": {"a b&c=d"}},
		JSON: map[string]string{"a": "b"},
	}, &answer)
	if err != nil || answer.ID != 7 {
		t.Fatalf("%+v, %v", answer, err)
	}
	if want := "/v1/zones/..%2Fa%20b%2F%3F%23%25/%2E%2E/%2E?q=a%20b%26c%3Dd"; got.RequestURI != want {
		t.Errorf("asked for %s, want %s", got.RequestURI, want)
	}
	if body != `{"a":"b"}` || got.Header.Get("Content-Type") != "application/json" || got.Header.Get("X-Api-Key") != secret {
		t.Errorf("sent %q with %v", body, got.Header)
	}
}

func TestARefusalSaysWhatToDoAndNoSecret(t *testing.T) {
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{403, `{"errors": [{"code": 10000, "message": "token\nis \u001b[31mwrong"}]}`, "Example DNS: DELETE /x: 403 Forbidden: token is ?[31mwrong (check the credentials, and that they may change records of this zone)"},
		{401, `<html>`, "Example DNS: DELETE /x: 401 Unauthorized (check the credentials, and that they may change records of this zone)"},
		{404, `{"message": "no such zone"}`, "Example DNS: DELETE /x: 404 Not Found: no such zone"},
		{302, ``, "Example DNS: DELETE /x: 302 Found (redirections are not followed: check the address of the service)"},
		{500, `{"error": {"message": "` + strings.Repeat("x", 1000) + `"}}`, "Example DNS: DELETE /x: 500 Internal Server Error: " + strings.Repeat("x", 300) + "…"},
	} {
		called := 0
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			called++
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		_, err := client.JSON(t.Context(), rest.Request{Method: "DELETE", Path: []string{"x"}, Query: url.Values{"token": {secret}}}, nil)
		if err == nil || err.Error() != c.want || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
		if called != 1 || !rest.IsStatus(err, 1, c.status) || rest.IsStatus(err, 200) {
			t.Errorf("%d: called %d times", c.status, called)
		}
	}
}

func TestNoAnswer(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	_, err := client(t, rest.Config{Base: server.URL}).Do(t.Context(), rest.Request{Method: "POST", Path: []string{"x"}, Query: url.Values{"token": {secret}}})
	if err == nil || !strings.Contains(err.Error(), "no answer from 127.0.0.1") || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
	if _, err := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, secret) }).JSON(t.Context(), rest.Request{}, new(int)); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
	_, err = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 5 << 10 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	}).Do(t.Context(), rest.Request{})
	if err == nil || !strings.Contains(err.Error(), "larger than 4 MB") {
		t.Errorf("got %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for _, base := range []string{"", "api.test", "http://api.test", "https://", "https://user:" + secret + "@api.test", "https://api.test/?x=y", "ftp://api.test", "https://a.test#b"} {
		if _, err := rest.New(rest.Config{Base: base}); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", base, err)
		}
	}
	for _, config := range []rest.Config{{Base: "http://127.0.0.1:1"}, {Base: "http://[::1]/x"}, {Base: "http://localhost"}, {Base: "http://169.254.169.254", Plain: true}, {Base: "https://api.test/v4/"}} {
		if _, err := rest.New(config); err != nil {
			t.Error(err)
		}
	}
}

// transport answers requests without a network, whose time would not be that of the bubble.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func TestBusyServicesAreWaitedFor(t *testing.T) {
	answers := func(statuses ...int) rest.Config {
		return rest.Config{Base: "https://api.test", HTTP: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
			status := statuses[0]
			statuses = statuses[1:]
			header := http.Header{}
			if status == 429 {
				header.Set("Retry-After", "30")
			} else if status == 503 {
				header.Set("Retry-After", "3600")
			} else if status == 502 {
				header.Set("Retry-After", "10000000000") // seconds, more than there are in a time.Duration
			}
			return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("{}"))}, nil
		})}}
	}
	for _, c := range []struct {
		method   string
		statuses []int
		fails    bool
		at       time.Duration // at least; and less than 10 s more
	}{
		{"POST", []int{429, 429, 200}, false, 60 * time.Second},
		{"POST", []int{500}, true, 0},
		{"GET", []int{500, 504, 200}, false, 3 * time.Second},
		{"GET", []int{502}, true, 0}, // so are 300 years
		{"GET", []int{503}, true, 0}, // an hour is too long
		{"GET", []int{500, 500, 500, 500, 500}, true, 15 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			_, err := client(t, answers(c.statuses...)).Do(t.Context(), rest.Request{Method: c.method})
			if took := time.Since(begin); (err != nil) != c.fails || took < c.at || took > c.at+10*time.Second {
				t.Errorf("%s %v: %v after %v", c.method, c.statuses, err, took)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := client(t, answers(429, 429)).Do(ctx, rest.Request{}); !errors.Is(err, context.DeadlineExceeded) || !rest.IsStatus(err, 429) {
			t.Errorf("got %v", err)
		}
	})
}
