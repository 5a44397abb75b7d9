package renew_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/bot/solve"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// wire counts requests that succeed, and can cut the connection to the CA, as a crash would.
type wire struct {
	next http.RoundTripper

	mu    sync.Mutex
	cut   func(*http.Request) bool // before the request is sent
	after func(*http.Request) bool // after it has been answered
	// change alters an answer.
	change func(*http.Request, *http.Response)
	log    []string
}

var errCut = errors.New("the line is cut")

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	cut, after := w.cut, w.after
	w.mu.Unlock()
	if cut != nil && cut(r) {
		return nil, errCut
	}
	response, err := w.next.RoundTrip(r)
	if err == nil && w.change != nil {
		w.change(r, response)
	}
	if err == nil && response.StatusCode < 400 {
		w.mu.Lock()
		w.log = append(w.log, r.URL.Path)
		w.mu.Unlock()
	}
	if err == nil && after != nil && after(r) {
		_ = response.Body.Close()
		return nil, errCut
	}
	return response, err
}

func (w *wire) count(path string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.log {
		if strings.HasPrefix(p, path) {
			n++
		}
	}
	return n
}

// world is a CA with an account, and a place for jobs.
type world struct {
	pebble *pebbletest.Server
	client *acme.Client
	key    *ecdsa.PrivateKey // of the account
	wire   *wire
	jobs   string
}

func newWorld(t *testing.T, settings ...string) *world {
	t.Helper()
	pebble, err := pebbletest.Start(t.TempDir(), settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pebble.Stop)
	bundle, err := os.ReadFile(pebble.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{next: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	client, err := acme.NewClient(acme.ClientConfig{Directory: pebble.Directory, Key: key, HTTP: &http.Client{Transport: w}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Register(t.Context(), acme.NewAccount{TermsOfServiceAgreed: true}); err != nil {
		t.Fatal(err)
	}
	return &world{pebble: pebble, client: client, key: key, wire: w, jobs: filepath.Join(t.TempDir(), "orders")}
}

// lasting keeps answering after a crash of the program, so that it does not matter when the CA looks.
type lasting struct{ renew.Solver }

func (lasting) CleanUp(context.Context, renew.Challenge) error { return nil }

// obtainer is what a fresh run of the program would make.
func (w *world) obtainer(t *testing.T) *renew.Obtainer {
	t.Helper()
	return renew.NewObtainer(renew.ObtainConfig{
		Client: w.client, Server: w.pebble.Directory, Solver: w.solver(t), Jobs: renew.OpenJobs(w.jobs),
	})
}

// solver answers the CA as it should be.
func (w *world) solver(t *testing.T) *solve.Standalone {
	t.Helper()
	solver, err := solve.NewStandalone(solve.StandaloneConfig{Address: "127.0.0.1", Port: w.pebble.HTTPPort})
	if err != nil {
		t.Fatal(err)
	}
	return solver
}

func want(t *testing.T, key renew.KeySpec, names ...string) renew.Want {
	t.Helper()
	key, err := key.Complete()
	if err != nil {
		t.Fatal(err)
	}
	w := renew.Want{Lineage: "a.example", Key: key}
	for _, name := range names {
		w.Identifiers = append(w.Identifiers, acme.IdentifierFor(name))
	}
	return w
}

func (w *world) job(t *testing.T) *renew.Job {
	t.Helper()
	job, err := renew.OpenJobs(w.jobs).Load("a.example")
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func TestC05Obtain(t *testing.T) {
	w := newWorld(t)
	for _, spec := range []renew.KeySpec{{}, {Type: "ecdsa", Curve: "secp384r1"}, {Type: "rsa"}} {
		o := w.obtainer(t)
		issued, err := o.Obtain(t.Context(), want(t, spec, "a.example", "b.example"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := issued.Chain.Certificates[0].DNSNames; len(got) != 2 {
			t.Errorf("names: %v", got)
		}
		if key, err := lineage.ParseKey(issued.KeyPEM); err != nil || !strings.Contains(string(issued.KeyPEM), "BEGIN PRIVATE KEY") {
			t.Errorf("%v, %v", key, err)
		}
		if public, ok := issued.Chain.Certificates[0].PublicKey.(*ecdsa.PublicKey); ok && public.Equal(w.key.Public()) {
			t.Error("the certificate has the account's key")
		}
		info, err := os.Stat(filepath.Join(w.jobs, "a.example.json"))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("the job: %v, %v", info, err)
		}
		if err := o.Done("a.example"); err != nil {
			t.Error(err)
		}
		if job := w.job(t); job != nil {
			t.Errorf("%+v is left", job)
		}
	}
	if entries, _ := os.ReadDir(w.jobs); len(entries) != 0 {
		t.Errorf("%v is left", entries)
	}
}

// TestACrashNeverCostsASecondOrder breaks off at every request after the order has
// been placed, before it is sent and after it is answered, and lets a new run go on.
func TestACrashNeverCostsASecondOrder(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		w := newWorld(t, "PEBBLE_AUTHZREUSE=0")
		server, err := solve.NewStandalone(solve.StandaloneConfig{Address: "127.0.0.1", Port: w.pebble.HTTPPort})
		if err != nil {
			t.Fatal(err)
		}
		run := func() *renew.Obtainer {
			return renew.NewObtainer(renew.ObtainConfig{
				Client: w.client, Server: w.pebble.Directory, Solver: lasting{server}, Jobs: renew.OpenJobs(w.jobs),
			})
		}
		for step := 1; ; step++ {
			placed, seen := false, 0
			orders := w.wire.count("/order-plz")
			crash := func(r *http.Request) bool {
				// A newOrder that Pebble refuses for its nonce is sent again.
				if placed && r.Method == http.MethodPost && r.URL.Path != "/order-plz" {
					seen++
				}
				placed = placed || r.URL.Path == "/order-plz"
				return seen >= step // from there on nothing gets through
			}
			if when == "before" {
				w.wire.cut = crash
			} else {
				w.wire.after = func(r *http.Request) bool { return r.URL.Path != "/order-plz" && crash(r) || !placed && crash(r) }
			}
			first, err := run().Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil)
			w.wire.cut, w.wire.after = nil, nil
			if err == nil {
				if step < 4 {
					t.Errorf("only %d requests", step)
				}
				break // there is no further step
			}
			if !errors.Is(err, errCut) {
				t.Fatalf("%s step %d: %v", when, step, err)
			}
			job := w.job(t)
			if job == nil || job.Order == "" {
				t.Fatalf("%s step %d: no job is left: %+v", when, step, job)
			}
			second, err := run().Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil)
			if err != nil {
				t.Fatalf("%s step %d: going on: %v", when, step, err)
			}
			if first != nil || string(second.KeyPEM) != job.Key {
				t.Errorf("%s step %d: another key", when, step)
			}
			if got := w.wire.count("/order-plz") - orders; got != 1 {
				t.Errorf("%s step %d: %d orders", when, step, got)
			}
			if err := run().Done("a.example"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAJobForSomethingElseIsNotContinued(t *testing.T) {
	w := newWorld(t)
	if _, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil); err != nil {
		t.Fatal(err)
	}
	before := w.job(t)
	for name, wanted := range map[string]renew.Want{
		"other names": want(t, renew.KeySpec{}, "a.example", "c.example"),
		"other key":   want(t, renew.KeySpec{Type: "rsa"}, "a.example"),
	} {
		issued, err := w.obtainer(t).Obtain(t.Context(), wanted, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if string(issued.KeyPEM) == before.Key {
			t.Errorf("%s: the old job was continued", name)
		}
	}
}

func TestAJobThatWasDeployedIsOver(t *testing.T) {
	w := newWorld(t)
	first, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), first.Chain.Certificates[0])
	if err != nil {
		t.Fatal(err)
	}
	if first.Chain.Certificates[0].Equal(second.Chain.Certificates[0]) || string(first.KeyPEM) == string(second.KeyPEM) {
		t.Error("the renewal gave the same certificate again")
	}
}

func TestBrokenAndStaleJobsAreNotFatal(t *testing.T) {
	w := newWorld(t)
	wanted := want(t, renew.KeySpec{}, "a.example")
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(w.jobs, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.jobs, "a.example.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", "{", "null", "[]", strings.Repeat(" ", 2<<20)} {
		write(text)
		if _, err := w.obtainer(t).Obtain(t.Context(), wanted, nil); err != nil {
			t.Errorf("%.10q: %v", text, err)
		}
	}
	gone := w.job(t) // an order that the CA has forgotten
	gone.Order = strings.TrimSuffix(w.pebble.Directory, "dir") + "my-order/forgotten"
	if err := renew.OpenJobs(w.jobs).Save(gone); err != nil {
		t.Fatal(err)
	}
	if _, err := w.obtainer(t).Obtain(t.Context(), wanted, nil); err != nil {
		t.Error(err)
	}
}

func TestC07FailedProofsAreReportedAndForgotten(t *testing.T) {
	w := newWorld(t, "PEBBLE_AUTHZREUSE=0")
	mute := &silent{}
	o := renew.NewObtainer(renew.ObtainConfig{
		Client: w.client, Server: w.pebble.Directory, Solver: mute, Jobs: renew.OpenJobs(w.jobs),
	})
	_, err := o.Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example", "b.example"), nil)
	var failed *renew.AuthorizationError
	if !errors.As(err, &failed) || len(failed.Failures) == 0 {
		t.Fatal(err)
	}
	for _, f := range failed.Failures {
		if f.Problem.Type != acme.TypeConnection || !strings.Contains(f.Problem.Detail, "refused") {
			t.Errorf("%s: %v", f.Identifier, f.Problem)
		}
	}
	if mute.presented != 2 || mute.cleaned != 2 {
		t.Errorf("presented %d, cleaned up %d", mute.presented, mute.cleaned)
	}
	if job := w.job(t); job != nil {
		t.Error("a dead order is kept")
	}
	_, err = w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "*.a.example"), nil)
	if err == nil || !strings.Contains(err.Error(), "no http-01 or tls-alpn-01 challenge for *.a.example") {
		t.Errorf("wildcard: %v", err)
	}
}

// silent is a solver that shows nothing to the CA.
type silent struct{ presented, cleaned int }

func (s *silent) Types(acme.Identifier, bool) []acme.ChallengeType {
	return []acme.ChallengeType{acme.HTTP01}
}
func (s *silent) Present(context.Context, renew.Challenge) error { s.presented++; return nil }
func (s *silent) CleanUp(context.Context, renew.Challenge) error { s.cleaned++; return nil }

func TestC07InterruptCleansUp(t *testing.T) {
	w := newWorld(t, "PEBBLE_AUTHZREUSE=0")
	ctx, interrupt := context.WithCancel(t.Context())
	mute := &silent{}
	w.wire.cut = func(r *http.Request) bool {
		if mute.presented > 0 {
			interrupt()
		}
		return false
	}
	o := renew.NewObtainer(renew.ObtainConfig{
		Client: w.client, Server: w.pebble.Directory, Solver: mute, Jobs: renew.OpenJobs(w.jobs),
	})
	if _, err := o.Obtain(ctx, want(t, renew.KeySpec{}, "a.example"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if mute.presented != 1 || mute.cleaned != 1 {
		t.Errorf("presented %d, cleaned up %d", mute.presented, mute.cleaned)
	}
}

func TestKeySpecs(t *testing.T) {
	for _, bad := range []renew.KeySpec{{Type: "dsa"}, {Curve: "secp192r1"}, {Type: "rsa", Bits: 1024}, {Type: "rsa", Bits: 1 << 20}, {Type: "rsa", Bits: 2049}} {
		if spec, err := bad.Complete(); err == nil {
			t.Errorf("%+v became %+v", bad, spec)
		}
	}
}

func TestJobNamesStayInTheirDirectory(t *testing.T) {
	jobs := renew.OpenJobs(t.TempDir())
	for _, name := range []string{"", "../x", "a/b", ".hidden", `a\b`} {
		if err := jobs.Save(&renew.Job{Want: renew.Want{Lineage: name}}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func TestACrashBeforeDeploymentGivesNoSecondVersion(t *testing.T) {
	w, root := newWorld(t), t.TempDir()
	store, err := lineage.Open(lineage.Dirs{Config: filepath.Join(root, "c"), Work: filepath.Join(root, "w"), Logs: filepath.Join(root, "l")})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	place := func(l *lineage.Lineage, issued *renew.Issued) *lineage.Lineage {
		t.Helper()
		placed, err := renew.Placement{
			Store: store, Lineage: l, Name: "a.example", Log: slog.New(slog.DiscardHandler),
			Params: lineage.Params{Server: w.pebble.Directory, Authenticator: "standalone", KeyType: "ecdsa"},
			Own:    map[string]string{"ca_bundle": "/root.pem"},
		}.Place(issued)
		if err != nil {
			t.Fatal(err)
		}
		return placed
	}
	obtain := func(current *x509.Certificate) *renew.Issued {
		t.Helper()
		issued, err := w.obtainer(t).Obtain(t.Context(), want(t, renew.KeySpec{}, "a.example"), current)
		if err != nil {
			t.Fatal(err)
		}
		return issued
	}
	first := obtain(nil)
	l := place(nil, first)
	second := obtain(first.Chain.Certificates[0])
	material, err := lineage.NewMaterial(second.KeyPEM, second.Chain.PEM(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.AddVersion(material); err != nil { // and there the power fails
		t.Fatal(err)
	}
	third := obtain(first.Chain.Certificates[0])
	if !third.Chain.Certificates[0].Equal(second.Chain.Certificates[0]) {
		t.Error("the next run got another certificate")
	}
	if l, err = store.Load(l.Name); err != nil {
		t.Fatal(err)
	}
	l = place(l, third)
	if versions, err := l.Versions(); err != nil || len(versions) != 2 || l.Version() != 2 {
		t.Errorf("versions %v, live %d, %v", versions, l.Version(), err)
	}
	if l.Conf.Own("ca_bundle") != "/root.pem" {
		t.Error("our own key is lost")
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := lineage.ParseKey(text); (err == nil) != (key != nil) {
			t.Errorf("%v, %v", key, err)
		}
	})
}
