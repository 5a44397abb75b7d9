package front_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// limited starts an authority with limits.
func limited(t testing.TB, limits rules.Limits) *authority {
	t.Helper()
	return newAuthority(t, func(c *front.Config) { c.Limits = limits })
}

func newOrder(names ...string) string {
	payload, err := json.Marshal(acme.NewOrder{Identifiers: identifiers(names...)})
	if err != nil {
		panic(err)
	}
	return string(payload)
}

// together sends 200 requests at the same time and counts their statuses.
func together(t *testing.T, send func(i int) int) map[int]int {
	t.Helper()
	statuses := make(chan int)
	for i := range 200 {
		go func() { statuses <- send(i) }()
	}
	count := map[int]int{}
	for range 200 {
		count[<-statuses]++
	}
	return count
}

// persist sends a request until it is decided on: on a machine with much else to do it can be put off.
func persist(c *client, where, payload string) int {
	for range 10 {
		if r := c.post(where, payload); r.StatusCode != http.StatusServiceUnavailable {
			return r.StatusCode
		}
	}
	return http.StatusServiceUnavailable
}

// TestE06OrdersNeverPassTheLimit: 200 concurrent orders meet a limit of 50, and exactly 50 pass.
func TestE06OrdersNeverPassTheLimit(t *testing.T) {
	a := limited(t, rules.Limits{rules.OrdersPerAccount: {Count: 50, Period: 24 * time.Hour}})
	c := a.register()
	got := together(t, func(i int) int { return persist(c, "/new-order", newOrder(fmt.Sprintf("n%d.test", i))) })
	if got[http.StatusCreated]+got[http.StatusTooManyRequests] != 200 || got[http.StatusCreated] > 50 {
		t.Errorf("statuses %v, want 50 of 201 and 150 of 429", got)
	}
	a.view(func(tx *store.Tx) error {
		orders, err := tx.OrdersOf(c.kid[strings.LastIndex(c.kid, "/")+1:], "", 1000)
		if len(orders) != 50 {
			t.Errorf("%d orders are in the store", len(orders))
		}
		return err
	})
}

// TestE06CertificatesNeverPassTheLimit: 200 ready orders for one domain, of several accounts, are finalized at once.
func TestE06CertificatesNeverPassTheLimit(t *testing.T) {
	a := limited(t, rules.Limits{rules.CertificatesPerDomain: {Count: 50, Period: 24 * time.Hour}})
	clients := []*client{a.register(), a.register(), a.register(), a.register()}
	key := newKey(t)
	urls, payloads := make([]string, 200), make([]string, 200)
	for i := range urls {
		name := fmt.Sprintf("n%d.corp.test", i)
		_, o := clients[i%len(clients)].ready(name)
		urls[i], payloads[i] = o.Finalize, csr(t, key, name)
	}
	got := together(t, func(i int) int { return persist(clients[i%len(clients)], urls[i], payloads[i]) })
	if got[http.StatusOK] != 50 || got[http.StatusTooManyRequests] != 150 {
		t.Errorf("statuses %v, %d issued, want 50 of 200 and 150 of 429", got, a.worker.issued.Load())
	}
	r := clients[0].post("/new-order", newOrder("more.corp.test"))
	if p := r.wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited); !strings.Contains(p.Detail, "certificates under corp.test: at most 50 in 24h") {
		t.Errorf("detail %s", p.Detail)
	}
	clients[0].order("another.example.test") // of another domain
}

// TestE06RefusalSaysWhen: what was asked, by which limit, until when, and where to read more.
func TestE06RefusalSaysWhen(t *testing.T) {
	a := limited(t, rules.Limits{
		rules.OrdersPerAccount:   {Count: 1, Period: time.Hour},
		rules.CertificatesPerSet: {Count: 1, Period: 24 * time.Hour},
	})
	c := a.register()
	c.issue(newKey(t), "a.test")
	r := c.post("/new-order", newOrder("a.test"))
	p := r.wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited)
	// Both limits refuse; the wait is that of the longer one, so that the same request passes then.
	wait, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || wait < 86390 || wait > 86400 || !strings.Contains(p.Detail, "certificates-per-set") {
		t.Errorf("Retry-After %q, %s", r.Header.Get("Retry-After"), p.Detail)
	}
	if help := `<` + a.url + `/limits>;rel="help"`; !strings.Contains(strings.Join(r.Header.Values("Link"), ", "), help) {
		t.Errorf("links %q, want %s", r.Header.Values("Link"), help)
	}
	// The other set is limited by the order alone.
	r = c.post("/new-order", newOrder("b.test"))
	if wait, _ = strconv.Atoi(r.Header.Get("Retry-After")); wait < 3590 || wait > 3600 {
		t.Errorf("Retry-After %d, want an hour", wait)
	}
	page := a.get("/limits").want(http.StatusOK)
	if !strings.Contains(string(page.body), "<td><code>orders-per-account</code></td><td>new orders, and authorizations asked for without one (newAuthz), of one account</td><td>1 in 1h</td>") {
		t.Errorf("the page is %s", page.body)
	}
	if policy := page.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") {
		t.Errorf("its policy is %q", policy)
	}
}

// TestRefusedRequestsSpendNothing: neither a request that a limit refuses nor one that is refused for another reason.
func TestRefusedRequestsSpendNothing(t *testing.T) {
	a := limited(t, rules.Limits{rules.OrdersPerAccount: {Count: 2, Period: time.Hour}, rules.CertificatesPerSet: {Count: 1, Period: time.Hour}})
	c := a.register()
	c.issue(newKey(t), "a.test") // one order, and the certificate
	for range 5 {
		c.post("/new-order", newOrder("a.test")).wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited) // the set
		c.post("/new-order", newOrder("a.example.org")).wantProblem(http.StatusForbidden, acme.TypeRejectedIdentifier)
	}
	c.order("b.test") // the second order
	c.post("/new-order", newOrder("c.test")).wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited)

	// What is kept for an account is limited, whether it is an order or an authorization without one.
	d := limited(t, rules.Limits{rules.OrdersPerAccount: {Count: 2, Period: time.Hour}}).register()
	d.preauthorize("a.test", false)
	d.order("b.test")
	d.post("/new-authz", `{"identifier":{"type":"dns","value":"c.test"}}`).wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited)

	// A bad signature spends nothing either (J14).
	b := limited(t, rules.Limits{rules.OrdersPerAccount: {Count: 1, Period: time.Hour}}).register()
	forged := *b
	forged.key = newKey(t)
	forged.post("/new-order", newOrder("a.test")).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	b.order("a.test")
}

// items reads a list of RFC 9651 §3.1 whose members are strings with integers as parameters.
func items(t *testing.T, field string) map[string]map[string]int64 {
	t.Helper()
	member := regexp.MustCompile(`^"([\x20-\x21\x23-\x5b\x5d-\x7e]*)"((?:;[a-z][a-z0-9_.*-]*=-?[0-9]{1,15})*)$`)
	parsed := map[string]map[string]int64{}
	for _, text := range strings.Split(field, ", ") {
		m := member.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("%q is not an item of RFC 9651 in %q", text, field)
		}
		parsed[m[1]] = map[string]int64{}
		for _, parameter := range strings.Split(strings.TrimPrefix(m[2], ";"), ";") {
			name, value, _ := strings.Cut(parameter, "=")
			parsed[m[1]][name], _ = strconv.ParseInt(value, 10, 64)
		}
	}
	return parsed
}

func TestRateLimitHeaders(t *testing.T) {
	a := limited(t, rules.Limits{
		rules.OrdersPerAccount:      {Count: 2, Period: 2 * time.Hour},
		rules.CertificatesPerDomain: {Count: 5, Period: 7 * 24 * time.Hour},
		rules.AccountsPerIP:         {Count: 10, Period: time.Hour, Burst: 20},
	})
	c := a.stranger()
	r := c.post("/new-account", `{"termsOfServiceAgreed":true}`).want(http.StatusCreated)
	c.kid = r.location()
	if policy := items(t, r.Header.Get("RateLimit-Policy")); policy["accounts-per-ip"]["q"] != 20 || policy["accounts-per-ip"]["w"] != 7200 {
		t.Errorf("newAccount: %v", policy)
	}
	for i, want := range []struct{ status, left, reset int64 }{{201, 1, 3600}, {201, 0, 7200}, {429, 0, 7200}} {
		r := c.post("/new-order", newOrder("a.one.test", "b.one.test", "two.test")).want(int(want.status))
		policy, left := items(t, r.Header.Get("RateLimit-Policy")), items(t, r.Header.Get("RateLimit"))
		if len(policy) != 2 || policy["orders-per-account"]["q"] != 2 || policy["orders-per-account"]["w"] != 7200 || policy["certificates-per-domain"]["w"] != 604800 {
			t.Errorf("order %d: policy %v", i, policy)
		}
		orders := left["orders-per-account"]
		if len(left) != 2 || orders["r"] != want.left || orders["t"] > want.reset || orders["t"] < want.reset-10 || left["certificates-per-domain"]["r"] != 5 {
			t.Errorf("order %d: left %v", i, left)
		}
	}
	if r := c.fetch(c.kid); r.Header.Get("RateLimit") != "" {
		t.Error("a request that no limit applies to has the header")
	}
	none := newAuthority(t, nil).register()
	if r := none.post("/new-order", newOrder("a.test")); r.Header.Get("RateLimit") != "" || r.Header.Get("RateLimit-Policy") != "" {
		t.Error("without limits there is the header")
	}
}

// wireLimits is what an account is told of its limits.
type wireLimits struct {
	Limits []struct {
		Limit, Subject                    string
		Allowed, Count, Period, Remaining int
		FullAgain                         *time.Time
	}
	Paused []struct{ Identifier, Reason, Unpause string }
	Help   string
}

func TestAccountLimits(t *testing.T) {
	a := limited(t, rules.LimitPresets()["lets-encrypt"])
	c := a.register()
	relation := regexp.MustCompile(`<([^>]*/limits)>;rel="https://[^"]*limits`)
	link := relation.FindStringSubmatch(strings.Join(c.fetch(c.kid).want(http.StatusOK).Header.Values("Link"), ", "))
	if link == nil || link[1] != c.kid+"/limits" {
		t.Fatalf("the account has no link to its limits: %q", link)
	}
	c.issue(newKey(t), "www.corp.test", "corp.test")
	wire := read[wireLimits](c.fetch(link[1]).want(http.StatusOK))
	left := map[string]int{}
	for _, l := range wire.Limits {
		left[l.Limit+" "+l.Subject] = l.Remaining
		if used := l.Remaining < l.Allowed; used != (l.FullAgain != nil) {
			t.Errorf("%+v", l)
		}
	}
	id := c.kid[strings.LastIndex(c.kid, "/")+1:]
	for bucket, want := range map[string]int{
		"orders-per-account " + id: 299, "certificates-per-domain corp.test": 49, "certificates-per-set corp.test, www.corp.test": 4, "accounts-per-ip 127.0.0.1": 9,
	} {
		if left[bucket] != want {
			t.Errorf("%s: %d left, want %d; all: %v", bucket, left[bucket], want, left)
		}
	}
	other := a.register()
	other.fetch(link[1]).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	c.post(link[1], `{}`).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
}

func TestLimitOfAccounts(t *testing.T) {
	a := limited(t, rules.Limits{rules.AccountsPerIP: {Count: 2, Period: time.Hour}})
	first := a.register()
	a.register()
	p := a.stranger().post("/new-account", `{"termsOfServiceAgreed":true}`).wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited)
	if !strings.Contains(p.Detail, "new accounts from 127.0.0.1: at most 2 in 1h") {
		t.Error(p.Detail)
	}
	// An account that is there is found, and that costs nothing.
	again := &client{authority: a, key: first.key}
	again.post("/new-account", `{"termsOfServiceAgreed":true}`).want(http.StatusOK)
}

func TestOverrideOfALimit(t *testing.T) {
	a := limited(t, rules.Limits{rules.OrdersPerAccount: {Count: 1, Period: time.Hour}})
	c, other := a.register(), a.register()
	id := c.kid[strings.LastIndex(c.kid, "/")+1:]
	a.update(func(tx *store.Tx) error {
		return tx.SetOverride(rules.Override{Limit: rules.OrdersPerAccount, Subject: id, Unlimited: true, Created: tx.Now})
	})
	for range 5 {
		c.order("a.test")
	}
	other.order("a.test")
	other.post("/new-order", newOrder("a.test")).wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited)
}

// TestRenewalsAreNotLimited: one for the same names is not, by domain; one that names its predecessor
// in its time is not at all, and too early it is.
// A chain of certificates that are revoked and replaced at once has limits like any other.
func TestReplacingTheRevokedIsLimited(t *testing.T) {
	a := limited(t, rules.Limits{rules.OrdersPerAccount: {Count: 2, Period: 100 * time.Hour}})
	c := a.register()
	der, _ := c.issue(newKey(t), "a.test")
	c.post("/revoke-cert", revocation(der, "4")).want(http.StatusOK)
	payload, err := json.Marshal(acme.NewOrder{Identifiers: identifiers("b.test", "a.test"), Replaces: certID(t, der).String()})
	if err != nil {
		t.Fatal(err)
	}
	c.order("c.test")
	c.post("/new-order", string(payload)).wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited)
}

func TestRenewalsAreNotLimited(t *testing.T) {
	a := limited(t, rules.Limits{rules.CertificatesPerDomain: {Count: 1, Period: time.Hour}, rules.OrdersPerAccount: {Count: 3, Period: 100 * time.Hour}})
	c := a.register()
	der, _ := c.issue(newKey(t), "a.corp.test")
	c.issue(newKey(t), "a.corp.test") // for the same names
	c.post("/new-order", newOrder("b.corp.test")).wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited)
	c.order("a.corp.test")

	replaces := func() *answer {
		payload, err := json.Marshal(acme.NewOrder{Identifiers: identifiers("a.corp.test", "b.corp.test"), Replaces: certID(t, der).String()})
		if err != nil {
			t.Fatal(err)
		}
		return c.post("/new-order", string(payload))
	}
	window := func(begins time.Duration) {
		a.update(func(tx *store.Tx) error {
			start := tx.Now.Add(begins)
			return tx.SetRenewal(certID(t, der).Serial(), &rules.Renewal{Start: start, End: start.Add(time.Hour)})
		})
	}
	window(time.Hour)
	replaces().wantProblem(http.StatusTooManyRequests, acme.TypeRateLimited)
	window(-time.Hour)
	o := read[acme.Order](replaces().want(http.StatusCreated))
	for _, authz := range o.Authorizations {
		challenge := read[acme.Authorization](c.fetch(authz).want(http.StatusOK)).Challenges[0]
		if challenge.Status == acme.StatusPending {
			c.post(challenge.URL, `{}`).want(http.StatusOK)
		}
	}
	c.post(o.Finalize, csr(t, newKey(t), "a.corp.test", "b.corp.test")).want(http.StatusOK)
}

// TestLimitsOff: nothing of the limits is asked of the store when they are off.
func TestLimitsOff(t *testing.T) {
	a := limited(t, rules.DefaultLimits())
	c := a.register()
	c.issue(newKey(t), "a.test")
	a.view(func(tx *store.Tx) error {
		buckets, err := tx.Buckets("", "", 10)
		if len(buckets) != 0 {
			t.Errorf("there are buckets: %+v", buckets)
		}
		return err
	})
	if r := c.fetch(c.kid); strings.Contains(strings.Join(r.Header.Values("Link"), ","), "/limits") {
		t.Error("the account has a link to limits")
	}
	a.get("/limits").wantProblem(http.StatusNotFound, acme.TypeMalformed)
	a.get("/unpause").wantProblem(http.StatusNotFound, acme.TypeMalformed)
}
