package front_test

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
)

func newNonces(t testing.TB) front.Nonces {
	t.Helper()
	n, err := front.NewNonces()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestN01EveryAnswerToAPostHasAFreshNonce(t *testing.T) {
	c := newAuthority(t, nil).register()
	_, o := c.order("a.test")
	seen := map[string]bool{}
	for name, r := range map[string]*answer{
		"success":               c.fetch(c.kid),
		"an order":              c.post("/new-order", `{"identifiers":[{"type":"dns","value":"b.test"}]}`),
		"refused by a rule":     c.post(o.Finalize, csr(t, newKey(t), "a.test")),
		"refused signature":     c.send("/new-order", []byte(`{}`)),
		"wrong media type":      c.do(http.MethodPost, "/new-order", http.Header{"Content-Type": {"text/plain"}}, []byte("x")),
		"nothing there":         c.send("/nothing", []byte(`{}`)),
		"a GET of newNonce":     c.get("/new-nonce"),
		"a HEAD of newNonce":    c.do(http.MethodHead, "/new-nonce", nil, nil),
		"a POST to newNonce":    c.fetch("/new-nonce"),
		"the directory by POST": c.fetch("/directory"),
	} {
		if r.nonce() == "" || seen[r.nonce()] {
			t.Errorf("%s: Replay-Nonce %q, want a fresh one", name, r.nonce())
		}
		seen[r.nonce()] = true
	}
	if got := c.get("/directory").nonce(); got != "" {
		t.Errorf("GET of the directory spends a nonce: %q", got)
	}
}

func TestN02NonceThatWasNotIssued(t *testing.T) {
	c := newAuthority(t, nil).register()
	other := newAuthority(t, nil)
	good := c.nonce()
	for name, nonce := range map[string]string{
		"never issued":           base64.RawURLEncoding.EncodeToString(make([]byte, 24)),
		"another length":         "AAAA",
		"of another process":     other.nonce(),
		"changed in one place":   flip(good, 20),
		"another instance's ID":  flip(good, 2),
		"longer than a good one": good + "AAAA",
	} {
		body := c.signAs(acme.Header{URL: c.kid, Nonce: nonce}, "")
		t.Log(name)
		c.send(c.relative(c.kid), body).wantProblem(http.StatusBadRequest, acme.TypeBadNonce)
	}
	t.Log("missing")
	body, err := acme.SignJWS(c.key, acme.Header{URL: c.kid, KeyID: c.kid}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.send(c.relative(c.kid), body).wantProblem(http.StatusBadRequest, acme.TypeBadNonce)
	c.send(c.relative(c.kid), c.signAs(acme.Header{URL: c.kid, Nonce: good}, "")).want(http.StatusOK)
}

// flip changes one character of base64url.
func flip(text string, at int) string {
	b := []byte(text)
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}

func TestT05AndN03NonceIsSpentOnce(t *testing.T) {
	c := newAuthority(t, nil).register()
	for name, first := range map[string]func(nonce string) *answer{
		"by a success": func(nonce string) *answer {
			return c.send(c.relative(c.kid), c.signAs(acme.Header{URL: c.kid, Nonce: nonce}, ""))
		},
		"by a refused payload": func(nonce string) *answer {
			return c.send("/new-order", c.signAs(acme.Header{URL: c.url + "/new-order", Nonce: nonce}, "{"))
		},
		"by a wrong URL": func(nonce string) *answer {
			return c.send("/new-order", c.signAs(acme.Header{URL: c.url + "/elsewhere", Nonce: nonce}, "{}"))
		},
		"by a wrong signature": func(nonce string) *answer {
			forger := &client{c.authority, newKey(t), c.kid}
			return c.send(c.relative(c.kid), forger.signAs(acme.Header{URL: c.kid, Nonce: nonce}, ""))
		},
		"by a wrong algorithm": func(nonce string) *answer {
			return c.send("/new-order", jws(`{"alg":"HS256","nonce":"`+nonce+`","url":"x","kid":"x"}`, `{}`))
		},
		"by both jwk and kid": func(nonce string) *answer {
			return c.send("/new-order", jws(`{"alg":"ES256","nonce":"`+nonce+`","url":"x","kid":"x","jwk":{}}`, `{}`))
		},
	} {
		nonce := c.nonce()
		if r := first(nonce); r.StatusCode != http.StatusOK && name == "by a success" {
			t.Fatalf("%s: %s", name, r.body)
		}
		t.Log(name)
		c.send(c.relative(c.kid), c.signAs(acme.Header{URL: c.kid, Nonce: nonce}, "")).
			wantProblem(http.StatusBadRequest, acme.TypeBadNonce)
	}
}

func TestN03ConcurrentUseOfANonceSucceedsOnce(t *testing.T) {
	c := newAuthority(t, nil).register()
	nonce := c.nonce()
	body := c.signAs(acme.Header{URL: c.url + "/new-order", Nonce: nonce}, `{"identifiers":[{"type":"dns","value":"a.test"}]}`)
	var created, refused atomic.Int64
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			switch r := c.send("/new-order", body); r.StatusCode {
			case http.StatusCreated:
				created.Add(1)
			case http.StatusBadRequest:
				refused.Add(1)
			}
		})
	}
	group.Wait()
	if created.Load() != 1 || refused.Load() != 15 {
		t.Errorf("%d requests with one nonce succeeded and %d were refused, want 1 and 15", created.Load(), refused.Load())
	}
}

func TestN03NoncesEndWithTheirProcess(t *testing.T) {
	before, after := newNonces(t), newNonces(t)
	nonce := before.Issue()
	after.Issue()
	if after.Redeem(nonce) {
		t.Error("a nonce survives a restart")
	}
	if !before.Redeem(nonce) {
		t.Error("and its own process refuses it")
	}
}

func TestN04BadNonceBringsAGoodOne(t *testing.T) {
	c := newAuthority(t, nil).register()
	r := c.send(c.relative(c.kid), c.signAs(acme.Header{URL: c.kid, Nonce: flip(c.nonce(), 20)}, ""))
	r.wantProblem(http.StatusBadRequest, acme.TypeBadNonce)
	c.send(c.relative(c.kid), c.signAs(acme.Header{URL: c.kid, Nonce: r.nonce()}, "")).want(http.StatusOK)
}

func TestN05NoncesAreUniqueAndUnpredictable(t *testing.T) {
	n := newNonces(t)
	form := regexp.MustCompile(`^[A-Za-z0-9_-]{32}$`)
	seen := map[string]bool{}
	var equal [24]int // how often two neighbours agree in an octet
	var previous []byte
	const rounds = 4096
	for range rounds {
		nonce := n.Issue()
		if !form.MatchString(nonce) || seen[nonce] {
			t.Fatalf("nonce %q: malformed or seen before", nonce)
		}
		seen[nonce] = true
		raw, err := base64.RawURLEncoding.DecodeString(nonce)
		if err != nil {
			t.Fatal(err)
		}
		for i := range previous {
			if previous[i] == raw[i] {
				equal[i]++
			}
		}
		previous = raw
	}
	for i := 8; i < 24; i++ { // one in 256 agrees by chance; a counter would be seen at once
		if equal[i] > rounds/64 {
			t.Errorf("octet %d of a nonce is that of the one before in %d of %d cases", i, equal[i], rounds)
		}
	}
}

func TestN06NonceThatIsNotBase64url(t *testing.T) {
	c := newAuthority(t, nil).register()
	for _, nonce := range []string{"a=", "a b", "ä", "a+b/"} {
		c.send(c.relative(c.kid), c.signAs(acme.Header{URL: c.kid, Nonce: nonce}, "")).
			wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	}
}

func TestN07AndN08NewNonce(t *testing.T) {
	c := newAuthority(t, nil).register()
	for name, r := range map[string]*answer{
		"HEAD":        c.do(http.MethodHead, "/new-nonce", nil, nil).want(http.StatusOK),
		"GET":         c.get("/new-nonce").want(http.StatusNoContent),
		"POST-as-GET": c.fetch("/new-nonce").want(http.StatusNoContent),
	} {
		if len(r.body) != 0 || r.nonce() == "" || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: body %q, headers %v", name, r.body, r.Header)
		}
		c.send(c.relative(c.kid), c.signAs(acme.Header{URL: c.kid, Nonce: r.nonce()}, "")).want(http.StatusOK)
	}
}

func TestNoncesLeaveTheWindow(t *testing.T) {
	n := newNonces(t)
	spent, oldest, next := n.Issue(), n.Issue(), n.Issue()
	if !n.Redeem(spent) {
		t.Fatal("a fresh nonce is refused")
	}
	for range front.NonceWindow - 2 {
		n.Issue()
	}
	// Now the newest takes the place of spent, and then of oldest.
	if n.Redeem(spent) {
		t.Error("a spent nonce is good again once its place is taken")
	}
	newest := n.Issue()
	if n.Redeem(oldest) {
		t.Error("a nonce is good although it has left the window")
	}
	if !n.Redeem(next) {
		t.Error("the oldest nonce in the window is refused")
	}
	if !n.Redeem(newest) || n.Redeem(newest) {
		t.Error("the newest nonce is not good exactly once")
	}
}

func FuzzNonce(f *testing.F) {
	n := newNonces(f)
	good := n.Issue()
	f.Add(good)
	f.Add("")
	f.Add(good[:31] + "=")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		fresh := newNonces(t)
		issued := fresh.Issue()
		if text != issued && fresh.Redeem(text) {
			t.Fatalf("%q was never issued and is good", text)
		}
		if !fresh.Redeem(issued) {
			t.Fatalf("%q spoilt the nonce that was issued", text)
		}
	})
}
