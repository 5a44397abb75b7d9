package front_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

func TestInternalErrorsAreNotTold(t *testing.T) {
	a := newAuthority(t, func(c *front.Config) {
		c.Chains = func(rules.Certificate) []front.Chain { return []front.Chain{{Certificates: [][]byte{nil}}} }
	})
	c := a.register()
	_, o := c.ready("a.test")
	o = read[acme.Order](c.post(o.Finalize, csr(t, newKey(t), "a.test")).want(http.StatusOK))
	r := c.fetch(o.Certificate)
	problem := r.wantProblem(http.StatusInternalServerError, acme.TypeServerInternal)
	if r.nonce() == "" || strings.Contains(problem.Detail, "empty") {
		t.Errorf("nonce %q, %s", r.nonce(), r.body)
	}
	if log := a.logged(); !strings.Contains(log, "a certificate of the chain is empty") || !strings.Contains(log, "level=ERROR") {
		t.Errorf("the log does not say why: %s", log)
	}
}

// A full queue of the store is no error of anyone: the client comes again.
func TestBusyStore(t *testing.T) {
	c := newAuthority(t, nil).register()
	body := c.sign("/new-order", anOrder)
	hold, held := make(chan struct{}), make(chan struct{})
	release, arrive := sync.OnceFunc(func() { close(hold) }), sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	var group sync.WaitGroup
	group.Go(func() {
		_ = c.db.Update(context.Background(), func(*store.Tx) error {
			arrive()
			<-hold
			return nil
		})
	})
	<-held
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // they queue up all the same, and nobody waits for them
	full := false
	for range 1 << 16 {
		if full = errors.Is(c.db.Update(ctx, func(*store.Tx) error { return nil }), store.ErrBusy); full {
			break
		}
	}
	if !full {
		t.Fatal("the store's queue has no end")
	}
	r := c.send("/new-order", body)
	release()
	group.Wait()
	r.wantProblem(http.StatusServiceUnavailable, acme.TypeServerInternal)
	if r.Header.Get("Retry-After") != "5" || r.nonce() == "" {
		t.Errorf("headers %v", r.Header)
	}
	// An update that got in is through after all that were before it.
	for errors.Is(c.db.Update(t.Context(), func(*store.Tx) error { return nil }), store.ErrBusy) {
		runtime.Gosched()
	}
	c.post("/new-order", anOrder).want(http.StatusCreated)
}

func TestMembersOfTheWrongTypeAreNamed(t *testing.T) {
	c := newAuthority(t, nil).register()
	for payload, member := range map[string]string{
		`{"identifiers":"a.test"}`:                                                    "identifiers",
		`{"identifiers":[{"type":"dns","value":7}],"profile":"classic"}`:              "identifiers",
		`{"identifiers":[{"type":"dns","value":"a.test"}],"profile":[]}`:              "profile",
		`{"unknown":7,"identifiers":[{"type":"dns","value":"a.test"}],"notBefore":7}`: "notBefore",
	} {
		problem := c.post("/new-order", payload).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
		if !strings.Contains(problem.Detail, `"`+member+`"`) {
			t.Errorf("%s: %s", payload, problem.Detail)
		}
	}
}

func TestLogHasFactsAndNoSecrets(t *testing.T) {
	c := newAuthority(t, nil).register()
	_, o := c.order("a.test")
	challenge := read[acme.Authorization](c.fetch(o.Authorizations[0])).Challenges[0]
	c.post(challenge.URL, `{}`).want(http.StatusOK)
	c.post(o.Finalize, csr(t, newKey(t), "b.test")).wantProblem(http.StatusBadRequest, acme.TypeBadCSR)
	log := c.logged()
	id := strings.TrimPrefix(c.kid, c.url+"/account/")
	for _, want := range []string{"resource=order/*/finalize", "type=badCSR", "account=" + id, "level=DEBUG", "level=INFO", "status=400"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in %s", want, log)
		}
	}
	for _, secret := range []string{challenge.Token, jwk(t, c.key).Thumbprint(), `"jwk"`} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	db, err := store.Open(context.Background(), store.Config{Path: filepath.Join(t.TempDir(), "ca.db"), Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	good := front.Config{DB: db, Worker: newWorker(t, db), Policy: policy(t), URL: "https://ca.test",
		OwnHost: func(string) bool { return false }, Chains: func(rules.Certificate) []front.Chain { return nil },
		Issuer: func([]byte) (string, bool) { return "", false }, Log: discard}
	if _, err := front.New(good); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*front.Config){
		"no database":    func(c *front.Config) { c.DB = nil },
		"no worker":      func(c *front.Config) { c.Worker = nil },
		"no profile":     func(c *front.Config) { c.Policy = rules.Policy{} },
		"no names":       func(c *front.Config) { c.OwnHost = nil },
		"no chain":       func(c *front.Config) { c.Chains = nil },
		"no issuers":     func(c *front.Config) { c.Issuer = nil },
		"no log":         func(c *front.Config) { c.Log = (*slog.Logger)(nil) },
		"no URL":         func(c *front.Config) { c.URL = "" },
		"a URL of http":  func(c *front.Config) { c.URL = "http://ca.test" },
		"a path":         func(c *front.Config) { c.URL = "https://ca.test/acme" },
		"a slash":        func(c *front.Config) { c.URL = "https://ca.test/" },
		"a user":         func(c *front.Config) { c.URL = "https://user@ca.test" },
		"a relative URL": func(c *front.Config) { c.URL = "ca.test" },
	} {
		config := good
		edit(&config)
		if _, err := front.New(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
