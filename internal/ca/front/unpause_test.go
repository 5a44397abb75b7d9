package front_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

var pausing = rules.Limits{rules.ConsecutiveFailures: {Count: 1, Period: 24 * time.Hour, Burst: 3}}

// paused starts an authority on which some names are paused for a client.
func paused(t *testing.T, names ...string) (*client, string) {
	t.Helper()
	c := limited(t, pausing).register()
	id := c.kid[strings.LastIndex(c.kid, "/")+1:]
	c.update(func(tx *store.Tx) error {
		for _, name := range names {
			if err := tx.Pause(store.Paused{Account: id, Identifier: name, Since: tx.Now, Reason: `connection: <script>alert(1)</script> refused`}); err != nil {
				return err
			}
		}
		return nil
	})
	return c, id
}

// TestPausedNames: a refusal leads to a page, and the page's button undoes it, without an account, a script or a cookie.
func TestPausedNames(t *testing.T) {
	c, id := paused(t, "a.test", "b.test")
	refused := c.post("/new-order", newOrder("a.test", "*.b.test", "c.test"))
	p := refused.wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited)
	if !strings.Contains(p.Detail, "a.test, b.test is paused") && !strings.Contains(p.Detail, "control of a.test, b.test") {
		t.Errorf("detail %s", p.Detail)
	}
	link := regexp.MustCompile(`https://\S*/unpause\?token=\S+`).FindString(p.Detail)
	if link == "" || p.Instance != link || refused.Header.Get("Retry-After") != "" {
		t.Fatalf("link %q, instance %q, Retry-After %q: waiting does not help", link, p.Instance, refused.Header.Get("Retry-After"))
	}
	if log := c.logged(); !strings.Contains(log, "/unpause to go on") || strings.Contains(log, "token=") {
		t.Errorf("the log has the link as it works, or none:\n%s", log)
	}
	c.post("/new-authz", `{"identifier":{"type":"dns","value":"a.test"}}`).wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited)
	c.order("c.test") // others go on
	listed := read[wireLimits](c.fetch(c.kid + "/limits").want(http.StatusOK))
	if len(listed.Paused) != 2 || listed.Paused[0].Identifier != "a.test" || !strings.Contains(listed.Paused[0].Unpause, "/unpause?token=") {
		t.Errorf("the account is told %+v", listed.Paused)
	}

	page := c.get(c.relative(link)).want(http.StatusOK)
	text := string(page.body)
	for _, want := range []string{"<code>a.test</code>", "<code>b.test</code>", id, "&lt;script&gt;", `method="post" action="/unpause"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %s:\n%s", want, text)
		}
	}
	csp := page.Header.Get("Content-Security-Policy")
	if strings.Contains(text, "<script") || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "form-action 'self'") ||
		!strings.Contains(csp, "frame-ancestors 'none'") || page.Header.Get("Referrer-Policy") != "no-referrer" || page.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", page.Header)
	}
	c.post("/new-order", newOrder("a.test")).wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited) // looking changes nothing

	token := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(text)[1]
	if got := submit(c, token); got.StatusCode != http.StatusOK || !strings.Contains(string(got.body), "No name of this account is paused any more") {
		t.Errorf("the button: %d %s", got.StatusCode, got.body)
	}
	c.order("a.test", "*.b.test")
	if text := string(c.get(c.relative(link)).want(http.StatusOK).body); !strings.Contains(text, "No name of this account is paused.") || strings.Contains(text, "<form") {
		t.Errorf("afterwards: %s", text)
	}
}

// submit sends the page's form as a browser does.
func submit(c *client, token string) *answer {
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	return c.do(http.MethodPost, "/unpause", form, []byte(url.Values{"token": {token}}.Encode()))
}

func TestUnpauseNeedsItsToken(t *testing.T) {
	key := []byte("key of all fronts")
	a := newAuthority(t, func(c *front.Config) { c.Limits, c.LinkKey = pausing, key })
	c := a.register()
	id := c.kid[strings.LastIndex(c.kid, "/")+1:]
	a.update(func(tx *store.Tx) error {
		return tx.Pause(store.Paused{Account: id, Identifier: "a.test", Since: tx.Now})
	})
	good := front.MakeUnpauseToken(key, id, time.Now().Add(time.Hour))
	for name, token := range map[string]string{
		"none": "", "no token": "x", "another key": front.MakeUnpauseToken([]byte("other"), id, time.Now().Add(time.Hour)),
		"expired": front.MakeUnpauseToken(key, id, time.Now()), "cut off": good[:len(good)-1], "another account": front.MakeUnpauseToken(key, id, time.Now())[:50] + good[50:],
		"long": strings.Repeat("A", 1000) + "." + strings.Repeat("A", 1000),
	} {
		if r := submit(c, token); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: the button answers %d", name, r.StatusCode)
		}
		if r := a.get("/unpause?token=" + url.QueryEscape(token)); r.StatusCode != http.StatusForbidden || strings.Contains(string(r.body), "a.test") {
			t.Errorf("%s: the page answers %d: %s", name, r.StatusCode, r.body)
		}
	}
	if r := a.do(http.MethodPost, "/unpause", http.Header{"Content-Type": {"text/plain"}}, []byte("token="+good)); r.StatusCode != http.StatusBadRequest {
		t.Errorf("a form that is none: %d", r.StatusCode)
	}
	if r := a.do(http.MethodPost, "/unpause?token="+url.QueryEscape(good), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, nil); r.StatusCode != http.StatusForbidden {
		t.Errorf("a token in the URL alone: %d", r.StatusCode) // a link alone must not unpause
	}
	c.post("/new-order", newOrder("a.test")).wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited)
	if r := submit(c, good); r.StatusCode != http.StatusOK {
		t.Errorf("the good token: %d", r.StatusCode)
	}
	c.order("a.test")
}

func FuzzUnpauseToken(f *testing.F) {
	key, now := []byte("key"), time.Unix(1_800_000_000, 0)
	good := front.MakeUnpauseToken(key, "wnukeKFWoJhJRAcPBkQxvg-T", now.Add(time.Hour))
	f.Add(good)
	f.Add(front.MakeUnpauseToken(key, "wnukeKFWoJhJRAcPBkQxvg-T", now))
	f.Add(good + "A")
	f.Add(strings.ToLower(good))
	f.Add(".")
	f.Add("AAAAAAAAAAA.AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		account, expired, ok := front.ReadUnpauseToken(key, token, now)
		if !ok {
			if account != "" || token == good {
				t.Fatalf("%q is refused, with account %q", token, account)
			}
			return
		}
		if account != "wnukeKFWoJhJRAcPBkQxvg-T" || !expired && token != good {
			t.Fatalf("%q is taken for account %q", token, account) // who has no key makes none, nor another form of one
		}
	})
}
