package acme_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/cairn-ca/cairn/acme"
)

const host = "https://ca.test"

// server is an ACME server without a network: it checks every signature and
// spends every nonce, and leaves the answers to the test.
type server struct {
	t      *testing.T
	answer map[string]func(http.ResponseWriter, *acme.JWS) // by path

	mu     sync.Mutex
	issued int
	open   map[string]bool // nonces that have been issued and not been spent
	log    []string        // "METHOD path" of every request
	nonces []string        // those that requests were signed with
}

func newServer(t *testing.T) *server {
	return &server{t: t, open: make(map[string]bool), answer: make(map[string]func(http.ResponseWriter, *acme.JWS))}
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	s.serve(w, r)
	return w.Result(), nil
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.log = append(s.log, r.Method+" "+r.URL.Path)
	nonce := s.nonce()
	s.mu.Unlock()
	w.Header().Set("Replay-Nonce", nonce)
	switch {
	case r.URL.Path == "/directory":
		sendJSON(w, 200, acme.Directory{NewNonce: host + "/nonce", NewAccount: host + "/account", NewOrder: host + "/orders", RevokeCert: host + "/revoke"})
	case r.Method == http.MethodHead && r.URL.Path == "/nonce":
	case r.Method == http.MethodPost && r.Header.Get("Content-Type") == acme.MediaJOSE:
		s.post(w, r)
	default:
		s.t.Errorf("unexpected request: %s %s", r.Method, r.URL)
		w.WriteHeader(404)
	}
}

func (s *server) nonce() string {
	s.issued++
	nonce := fmt.Sprintf("nonce-%d", s.issued)
	s.open[nonce] = true
	return nonce
}

func (s *server) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	jws, problem := acme.ParseJWS(body)
	if problem != nil {
		s.t.Errorf("%s: %v", r.URL, problem)
		sendProblem(w, problem)
		return
	}
	s.mu.Lock()
	fresh := s.open[jws.Header.Nonce]
	delete(s.open, jws.Header.Nonce)
	s.nonces = append(s.nonces, jws.Header.Nonce)
	s.mu.Unlock()
	if !fresh {
		s.t.Errorf("%s: nonce %q was spent before or never issued", r.URL, jws.Header.Nonce)
	}
	if jws.Header.URL != r.URL.String() {
		s.t.Errorf("signed for %s, sent to %s", jws.Header.URL, r.URL)
	}
	answer, ok := s.answer[r.URL.Path]
	if !ok {
		s.t.Errorf("unexpected request: %s %s", r.Method, r.URL)
		w.WriteHeader(404)
		return
	}
	answer(w, jws)
}

func (s *server) requests() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log, ", ")
}

func sendJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", acme.MediaJSON)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

func sendProblem(w http.ResponseWriter, p *acme.Problem) {
	w.Header().Set("Content-Type", acme.MediaProblem)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (s *server) client(t *testing.T) *acme.Client {
	t.Helper()
	client, err := acme.NewClient(acme.ClientConfig{
		Directory: host + "/directory", Key: newKey(t), AccountURL: host + "/account/1",
		HTTP: &http.Client{Transport: s}, UserAgent: "test/1",
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func problemOf(t *testing.T, err error) *acme.Problem {
	t.Helper()
	var p *acme.Problem
	if !errors.As(err, &p) {
		t.Fatalf("error is not a problem: %v", err)
	}
	return p
}

func TestN09AndC09BadNonceIsRetriedWithTheNonceOfTheError(t *testing.T) {
	s := newServer(t)
	refused := 0
	s.answer["/x"] = func(w http.ResponseWriter, _ *acme.JWS) {
		if refused++; refused <= 3 {
			sendProblem(w, acme.Problemf(acme.TypeBadNonce, "no"))
			return
		}
		sendJSON(w, 200, struct{}{})
	}
	if _, err := s.client(t).Post(context.Background(), host+"/x", nil, nil); err != nil {
		t.Fatal(err)
	}
	// 1: directory, 2: newNonce, 3 to 5: the three errors.
	if got, want := strings.Join(s.nonces, " "), "nonce-2 nonce-3 nonce-4 nonce-5"; got != want {
		t.Errorf("signed with %s, want %s", got, want)
	}
}

func TestBadNonceForEverEnds(t *testing.T) {
	s := newServer(t)
	s.answer["/x"] = func(w http.ResponseWriter, _ *acme.JWS) {
		sendProblem(w, acme.Problemf(acme.TypeBadNonce, "no"))
	}
	_, err := s.client(t).Post(context.Background(), host+"/x", struct{}{}, nil)
	if p := problemOf(t, err); p.Type != acme.TypeBadNonce {
		t.Errorf("got %v", p)
	}
	if len(s.nonces) != 40 {
		t.Errorf("%d tries", len(s.nonces))
	}
}

func TestN09MalformedReplayNonceIsIgnored(t *testing.T) {
	for _, bad := range []string{"", "a=", "a b", "ü", strings.Repeat("a", 300)} {
		s := newServer(t)
		refuse := true
		s.answer["/x"] = func(w http.ResponseWriter, _ *acme.JWS) {
			w.Header().Set("Replay-Nonce", bad)
			if refuse {
				refuse = false
				sendProblem(w, acme.Problemf(acme.TypeBadNonce, "no"))
				return
			}
			sendJSON(w, 200, struct{}{})
		}
		client := s.client(t)
		for range 2 {
			if _, err := client.Post(context.Background(), host+"/x", nil, nil); err != nil {
				t.Fatalf("%.10q: %v", bad, err)
			}
		}
		if got := strings.Count(s.requests(), "HEAD /nonce"); got != 3 {
			t.Errorf("%.10q: newNonce was asked %d times, want 3", bad, got)
		}
	}
}

func TestConcurrentRequestsNeverShareANonce(t *testing.T) {
	s := newServer(t)
	s.answer["/x"] = func(w http.ResponseWriter, _ *acme.JWS) { sendJSON(w, 200, struct{}{}) }
	client := s.client(t)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := client.Post(context.Background(), host+"/x", nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait() // the server has checked every nonce
}

func TestC02RegisterNamesTheKeyAndThenTheAccount(t *testing.T) {
	s := newServer(t)
	s.answer["/account"] = func(w http.ResponseWriter, j *acme.JWS) {
		if j.Header.Key == nil || j.Verify(j.Header.Key) != nil {
			t.Error("newAccount must be signed by the jwk in it")
		}
		w.Header().Set("Location", host+"/account/7?a=%7E")
		sendJSON(w, 201, acme.Account{Status: acme.StatusValid})
	}
	s.answer["/account/7"] = func(w http.ResponseWriter, j *acme.JWS) {
		if j.Header.KeyID != host+"/account/7?a=%7E" || j.Header.Key != nil {
			t.Errorf("kid is %q", j.Header.KeyID)
		}
		sendJSON(w, 200, acme.Account{Status: acme.StatusDeactivated})
	}
	client := s.client(t)
	if _, err := client.Register(context.Background(), acme.NewAccount{TermsOfServiceAgreed: true}); err != nil {
		t.Fatal(err)
	}
	if err := client.Deactivate(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// roundTrip is a function as a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestC01EachRequestSaysWhoAsks(t *testing.T) {
	s, asked := newServer(t), 0
	client, err := acme.NewClient(acme.ClientConfig{Directory: host + "/directory", Key: newKey(t), UserAgent: "test/1",
		HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if got := r.Header.Get("User-Agent"); got != "test/1" {
				t.Errorf("%s %s: User-Agent %q", r.Method, r.URL, got)
			}
			asked++
			return s.RoundTrip(r)
		})}})
	if err != nil {
		t.Fatal(err)
	}
	s.answer["/account"] = func(w http.ResponseWriter, _ *acme.JWS) {
		w.Header().Set("Location", host+"/account/1")
		sendJSON(w, 201, acme.Account{Status: acme.StatusValid})
	}
	if _, err := client.Register(t.Context(), acme.NewAccount{}); err != nil || asked < 3 {
		t.Errorf("%d requests, %v", asked, err)
	}
}

func TestC03ProblemsKeepDetailAndSubproblemsWithoutControlCharacters(t *testing.T) {
	s := newServer(t)
	name := acme.Identifier{Type: acme.DNS, Value: "a.test"}
	s.answer["/orders"] = func(w http.ResponseWriter, _ *acme.JWS) {
		p := acme.Problemf(acme.TypeCompound, "two \x1b[31mwrongs")
		p.Subproblems = []*acme.Problem{acme.Problemf(acme.TypeCAA, "caa\nsays no").About(name), nil,
			acme.Problemf(acme.TypeDNS, "x").About(acme.Identifier{Type: "dns\x1b[2J", Value: "b\x07.test"})}
		w.Header().Set("Retry-After", "120")
		sendProblem(w, p)
	}
	_, err := s.client(t).NewOrder(context.Background(), acme.NewOrder{Identifiers: []acme.Identifier{name}})
	p := problemOf(t, err)
	if got, want := p.Error(), "compound: two  [31mwrongs; a.test: caa: caa says no; b .test: dns: x"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := p.Subproblems[1].Identifier.Type; got != "dns [2J" {
		t.Errorf("identifier type %q", got)
	}
	if p.RetryAfter != 2*time.Minute || p.Status != 400 {
		t.Errorf("RetryAfter %s, status %d", p.RetryAfter, p.Status)
	}
}

func TestC09RetryAfterIsReadInBothForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for _, c := range []struct {
			header string
			want   time.Duration
		}{
			{"", 0}, {"0", 0}, {"30", 30 * time.Second}, {" 7 ", 7 * time.Second}, {"-5", 0}, {"soon", 0}, {"1.5", 0},
			{"99999999999999999999", 0}, {"9999999999999", 366 * 24 * time.Hour},
			{now.Add(time.Hour).UTC().Format(http.TimeFormat), time.Hour},
			{now.Add(-time.Hour).UTC().Format(http.TimeFormat), 0},
			{"Fri, 31 Dec 9999 23:59:59 GMT", 366 * 24 * time.Hour},
		} {
			s := newServer(t)
			s.answer["/x"] = func(w http.ResponseWriter, _ *acme.JWS) {
				w.Header().Set("Retry-After", c.header)
				sendProblem(w, acme.Problemf(acme.TypeRateLimited, "slowly"))
			}
			_, err := s.client(t).Post(context.Background(), host+"/x", nil, nil)
			if got := problemOf(t, err).RetryAfter; got != c.want {
				t.Errorf("Retry-After %q is %s, want %s", c.header, got, c.want)
			}
		}
	})
}

func TestHostileAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *acme.JWS)
		want   string
	}{
		"endless body": {func(w http.ResponseWriter, _ *acme.JWS) {
			w.Header().Set("Content-Type", acme.MediaJSON)
			_, _ = w.Write(make([]byte, 2<<20))
		}, "longer than"},
		"endless problem": {func(w http.ResponseWriter, _ *acme.JWS) {
			p := acme.Problemf(acme.TypeMalformed, "%s", strings.Repeat("x", 2<<20))
			sendProblem(w, p)
		}, "longer than"},
		"redirect of a POST": {func(w http.ResponseWriter, _ *acme.JWS) {
			w.Header().Set("Location", host+"/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, "redirects a POST"},
		"HTML": {func(w http.ResponseWriter, _ *acme.JWS) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, `{"status":"valid"}`)
		}, `type "text/html"`},
		"no type": {func(w http.ResponseWriter, _ *acme.JWS) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, `{"status":"valid"}`)
		}, `type ""`},
		"not JSON":          {func(w http.ResponseWriter, _ *acme.JWS) { sendJSON(w, 200, "a string") }, "not the JSON"},
		"error without why": {func(w http.ResponseWriter, _ *acme.JWS) { w.WriteHeader(404) }, "answered 404 Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.answer["/x"] = c.answer
			_, err := s.client(t).Order(context.Background(), host+"/x")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if strings.Contains(s.requests(), "elsewhere") {
				t.Error("followed a redirect")
			}
		})
	}
}

func TestOnlyHTTPS(t *testing.T) {
	for _, bad := range []string{"http://ca.test/directory", "", "https://", "ca.test"} {
		if _, err := acme.NewClient(acme.ClientConfig{Directory: bad, Key: newKey(t)}); err == nil {
			t.Errorf("directory %q was accepted", bad)
		}
	}
	s := newServer(t)
	if _, err := s.client(t).Order(context.Background(), "http://ca.test/order"); err == nil || !strings.Contains(err.Error(), "https") {
		t.Errorf("an http order was fetched: %v", err)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(200, acme.MediaJSON, "5", `<https://ca.test/1>;rel="alternate"`, []byte(`{"status":"valid","identifiers":null,"error":{"subproblems":[null]}}`))
	f.Add(429, acme.MediaProblem, "Fri, 31 Dec 9999 23:59:59 GMT", "", []byte(`{"type":1}`))
	f.Add(400, acme.MediaProblem, "-1", "<;,>;rel", []byte(`{"type":"x","detail":"\u0007","subproblems":[{"identifier":null,"subproblems":[{}]}]}`))
	f.Add(200, acme.MediaChain, "", `<%zz>; rel=alternate, <//x>;rel="up alternate"`, []byte("-----BEGIN CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, status int, media, retryAfter, link string, body []byte) {
		if status < 200 || status > 599 || status >= 500 || status == 429 && retryAfter == "" {
			return // those are tried again, after a wait
		}
		s := newServer(nil)
		s.answer["/x"] = func(w http.ResponseWriter, _ *acme.JWS) {
			w.Header()["Content-Type"] = []string{media}
			w.Header()["Retry-After"] = []string{retryAfter}
			w.Header()["Link"] = []string{link}
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}
		client, err := acme.NewClient(acme.ClientConfig{
			Directory: host + "/directory", Key: fuzzKey(), AccountURL: host + "/account/1", HTTP: &http.Client{Transport: s},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // no wait is ever done
		defer cancel()
		_, err = client.Post(ctx, host+"/x", nil, nil)
		var p *acme.Problem
		if errors.As(err, &p) && (p.RetryAfter < 0 || strings.ContainsFunc(p.Error(), unicode.IsControl)) {
			t.Errorf("%v, %q", p.RetryAfter, p.Error())
		}
		_, _ = client.Certificate(ctx, host+"/x", acme.CertificateRequest{})
		_, _ = client.WaitAuthorization(ctx, host+"/x")
		_, _ = client.WaitOrder(ctx, &acme.Order{URL: host + "/x"}, acme.StatusReady)
	})
}

// fuzzKey is made once: the fuzzer has no use for another.
var fuzzKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})
