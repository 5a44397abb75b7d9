package rules_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// TestLimitStates goes through a limit of 3 in 30 s, so one each 10 s: every filling × every wait, by the second.
func TestLimitStates(t *testing.T) {
	limit := rules.Limit{Count: 3, Period: 30 * time.Second}
	for filled := 0; filled <= 30; filled++ { // seconds until the bucket is as good as new
		full := noon.Add(time.Duration(filled) * time.Second)
		left, good := limit.Left(full, noon)
		if want := (30 - filled) / 10; left != want || !good.Equal(full) {
			t.Errorf("%d s from full: %d left, good at %s; want %d", filled, left, good.Sub(noon), want)
		}
		after, wait := limit.Spend(full, noon)
		switch {
		case filled <= 20 && (wait != 0 || !after.Equal(full.Add(10*time.Second))):
			t.Errorf("%d s from full: refused for %s, or as good as new at %s", filled, wait, after.Sub(noon))
		case filled > 20 && (wait != time.Duration(filled-20)*time.Second || !after.Equal(full)):
			t.Errorf("%d s from full: wait %s, as good as new at %s", filled, wait, after.Sub(noon))
		case filled > 20:
			if _, again := limit.Spend(full, noon.Add(wait)); again != 0 {
				t.Errorf("%d s from full: after the wait of %s there is one more of %s", filled, wait, again)
			}
			if _, early := limit.Spend(full, noon.Add(wait-time.Microsecond)); early <= 0 {
				t.Errorf("%d s from full: one is possible before the wait of %s is over", filled, wait)
			}
		}
	}
}

func TestLimitTable(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit rules.Limit
		full  time.Duration // from noon; "never used" is a year before
		left  int
		wait  time.Duration
	}{
		{"unused", rules.Limit{Count: 5, Period: time.Hour}, -8760 * time.Hour, 5, 0},
		{"as good as new just now", rules.Limit{Count: 5, Period: time.Hour}, 0, 5, 0},
		{"one used", rules.Limit{Count: 5, Period: time.Hour}, 12 * time.Minute, 4, 0},
		{"all used", rules.Limit{Count: 5, Period: time.Hour}, time.Hour, 0, 12 * time.Minute},
		{"a burst", rules.Limit{Count: 1, Period: 24 * time.Hour, Burst: 1152}, 1152 * 24 * time.Hour, 0, 24 * time.Hour},
		{"a burst of less", rules.Limit{Count: 10, Period: 10 * time.Second, Burst: 1}, time.Second, 0, time.Second},
		{"filled by a wider limit", rules.Limit{Count: 5, Period: time.Hour}, 1000 * time.Hour, 1, 0},
		{"by a clock that went back", rules.Limit{Count: 1, Period: time.Second}, 87600 * time.Hour, 1, 0},
		{"by a clock that went back a little", rules.Limit{Count: 5, Period: time.Hour}, time.Hour + time.Minute, 0, 13 * time.Minute},
		{"rounded up", rules.Limit{Count: 5, Period: time.Hour}, time.Hour + time.Microsecond, 0, 12*time.Minute + time.Microsecond},
	} {
		left, _ := c.limit.Left(noon.Add(c.full), noon)
		_, wait := c.limit.Spend(noon.Add(c.full), noon)
		if left != c.left || wait != c.wait {
			t.Errorf("%s: %d left, wait %s; want %d, %s", c.name, left, wait, c.left, c.wait)
		}
	}
}

// TestLimitHolds sends random sequences of events at random limits: in no window whatever are
// there more than the burst and what comes back within it; and whoever waits as told gets through.
func TestLimitHolds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		limit := rules.Limit{Count: 1 + random.IntN(50), Period: time.Duration(1 + random.Int64N(int64(time.Hour)))}
		if round%2 == 0 {
			limit.Burst = 1 + random.IntN(60)
		}
		if limit.Period/time.Duration(limit.Count) < 10*time.Microsecond {
			continue
		}
		each := limit.Period / time.Duration(limit.Count)
		now, full := noon, time.Time{}
		var permitted []time.Time
		for range 400 {
			now = now.Add(time.Duration(random.ExpFloat64() * float64(each) * 0.7)).Truncate(time.Millisecond)
			after, wait := limit.Spend(full, now)
			if wait == 0 {
				permitted = append(permitted, now)
			} else if _, still := limit.Spend(full, now.Add(wait)); still > 0 {
				t.Fatalf("%+v: told to wait %s, and then %s more", limit, wait, still)
			}
			full = after
		}
		for i := range permitted {
			for j := i; j < len(permitted); j++ {
				window := permitted[j].Sub(permitted[i])
				if most := limit.Allowed() + int(window/each); j-i+1 > most {
					t.Fatalf("%+v: %d within %s, at most %d", limit, j-i+1, window, most)
				}
			}
		}
		if len(permitted) < min(limit.Allowed(), 300) {
			t.Fatalf("%+v: only %d got through", limit, len(permitted))
		}
	}
}

// TestLimitIsNotClosedForLong: a time that the limit cannot have made, since the limit was wider or
// the clock ahead, gives one event away and no more, and what is told of the wait holds.
func TestLimitIsNotClosedForLong(t *testing.T) {
	limit := rules.Limit{Count: 5, Period: time.Hour}
	full, wait := limit.Spend(noon.Add(7*24*time.Hour), noon)
	if wait != 0 {
		t.Fatalf("told to wait %s", wait)
	}
	if full, wait = limit.Spend(full, noon); wait != 12*time.Minute {
		t.Fatalf("after one event, told to wait %s, want 12m", wait)
	}
	if _, wait := limit.Spend(full, noon.Add(wait)); wait != 0 {
		t.Errorf("after that wait, told to wait %s more", wait)
	}
}

func charge(name rules.LimitName, subject string, limit rules.Limit, used int) rules.Charge {
	return rules.Charge{
		Bucket: rules.Bucket{Limit: name, Subject: subject}, Rule: limit,
		Full: noon.Add(limit.Period / time.Duration(max(limit.Count, 1)) * time.Duration(used)),
	}
}

// TestLimitCarry: what was used under one limit is used under the next.
func TestLimitCarry(t *testing.T) {
	four, hundred, off := rules.Limit{Count: 4, Period: 24 * time.Hour}, rules.Limit{Count: 100, Period: 24 * time.Hour}, rules.Limit{}
	for _, c := range []struct {
		from, to   rules.Limit
		used, left int
	}{{four, hundred, 4, 96}, {four, hundred, 0, 100}, {hundred, four, 1, 3}, {hundred, four, 50, 0}, {four, four, 2, 2}} {
		full := charge("orders-per-account", "a", c.from, c.used).Full
		if left, _ := c.to.Left(c.from.Carry(c.to, full, noon), noon); left != c.left {
			t.Errorf("%d used of %s are %d left of %s, want %d", c.used, c.from, left, c.to, c.left)
		}
	}
	full := noon.Add(time.Hour)
	if !off.Carry(four, full, noon).Equal(full) || !four.Carry(off, full, noon).Equal(full) {
		t.Error("carried from or to no limit")
	}
}

// TestE06AllOrNone: several limits permit a request together, or nothing is taken; the wait is that
// after which all of them permit it.
func TestE06AllOrNone(t *testing.T) {
	hour, day := rules.Limit{Count: 2, Period: 2 * time.Hour}, rules.Limit{Count: 1, Period: 24 * time.Hour}
	for _, c := range []struct {
		name    string
		charges []rules.Charge
		taken   int
		wait    time.Duration
	}{
		{"none", nil, 0, 0},
		{"both permit", []rules.Charge{charge("orders-per-account", "a", hour, 1), charge("certificates-per-domain", "d", day, 0)}, 2, 0},
		{"the first refuses", []rules.Charge{charge("orders-per-account", "a", hour, 2), charge("certificates-per-domain", "d", day, 0)}, 0, time.Hour},
		{"the last refuses", []rules.Charge{charge("orders-per-account", "a", hour, 0), charge("certificates-per-domain", "d", day, 1)}, 0, 24 * time.Hour},
		{"both refuse", []rules.Charge{charge("orders-per-account", "a", hour, 2), charge("certificates-per-domain", "d", day, 1)}, 0, 24 * time.Hour},
		{"no limit", []rules.Charge{{Bucket: rules.Bucket{Limit: "orders-per-account", Subject: "a"}, Full: noon.Add(time.Hour)}}, 0, 0},
	} {
		for range 2 { // in either order
			spent := rules.Spend(c.charges, noon)
			if len(spent.Charges) != c.taken || len(spent.Before) != c.taken || (spent.Problem != nil) != (c.wait > 0) {
				t.Errorf("%s: %d taken from, problem %v", c.name, len(spent.Charges), spent.Problem)
			}
			if p := spent.Problem; p != nil && (p.RetryAfter != c.wait || p.Type != acme.TypeRateLimited || p.Status != 429) {
				t.Errorf("%s: %+v after %s, want %s", c.name, p, p.RetryAfter, c.wait)
			}
			slices.Reverse(c.charges)
		}
	}
	checked := charge("failed-authorizations", "a/b", hour, 0)
	checked.Check = true
	if spent := rules.Spend([]rules.Charge{checked}, noon); len(spent.Charges) != 0 || spent.Problem != nil || len(spent.Quotas) != 1 {
		t.Errorf("what is only checked: %+v", spent)
	}
}

func TestLimitedDetail(t *testing.T) {
	spent := rules.Spend([]rules.Charge{charge(rules.CertificatesPerDomain, "a.test", rules.Limit{Count: 50, Period: 7 * 24 * time.Hour}, 50)}, noon)
	want := "limit certificates-per-domain: certificates under a.test: at most 50 in 7d; try again after 2026-11-23T15:21:36Z"
	if spent.Problem.Detail != want {
		t.Errorf("got  %s\nwant %s", spent.Problem.Detail, want)
	}
}

func TestRegisteredDomain(t *testing.T) {
	for name, want := range map[string]string{
		"www.example.com": "example.com", "example.com": "example.com", "a.b.example.co.uk": "example.co.uk",
		"co.uk": "co.uk", "*.example.com": "example.com", "x.y.github.io": "y.github.io",
		"host.corp.lan": "corp.lan", "host.lan": "host.lan", "localhost": "localhost", "db.home.arpa": "db.home.arpa",
		"192.0.2.7": "192.0.2.7", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
	} {
		if got := rules.RegisteredDomain(acme.IdentifierFor(name)); got != want {
			t.Errorf("%s is under %s, want %s", name, got, want)
		}
	}
}

func TestBuckets(t *testing.T) {
	all := rules.LimitPresets()["lets-encrypt"]
	ids := func(names ...string) (list []acme.Identifier) {
		for _, name := range names {
			list = append(list, acme.IdentifierFor(name))
		}
		return list
	}
	text := func(buckets []rules.Bucket) string {
		var list []string
		for _, b := range buckets {
			list = append(list, b.ID())
		}
		return strings.Join(list, " ")
	}
	set := "certificates-per-set:" + rules.SetOf(ids("a.x.test", "b.x.test"))
	for _, c := range []struct{ got, want string }{
		{text(all.ForAccount(netip.MustParseAddr("192.0.2.1"))), "accounts-per-ip:192.0.2.1"},
		{text(all.ForAccount(netip.MustParseAddr("::ffff:192.0.2.1"))), "accounts-per-ip:192.0.2.1"},
		{text(all.ForAccount(netip.MustParseAddr("2001:db8:1:2::9"))), "accounts-per-ip:2001:db8:1:2::/64 accounts-per-range:2001:db8:1::/48"},
		{text(all.ForAccount(netip.Addr{})), ""},
		{text(all.ForCertificate(ids("b.x.test", "a.x.test"), false)), set + " certificates-per-domain:x.test"},
		{text(all.ForCertificate(ids("a.x.test", "b.x.test"), true)), set},
		{text(all.ForFailure("acct", acme.IdentifierFor("a.test"))), "failed-authorizations:acct/a.test consecutive-failures:acct/a.test"},
		{text(rules.DefaultLimits().ForOrder("acct")), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
	if rules.DefaultLimits().Stored() || !all.Stored() {
		t.Error("off is on, or the other way round")
	}
}

func TestParseLimit(t *testing.T) {
	for text, want := range map[string]string{
		"50/7d": "50/7d", "300/3h": "300/3h", "1/1d burst 1152": "1/24h burst 1152", "1000/1s": "1000/1s", "5/2w": "5/14d",
		"10/10m burst 10": "10/10m", "off": "off", "5/90s": "5/1m30s", "1/1h30m": "1/1h30m",
	} {
		limit, err := rules.ParseLimit(text)
		if err != nil || limit.String() != want {
			t.Errorf("%q is %s, %v; want %s", text, limit, err, want)
		}
	}
	for _, text := range []string{"", "5", "5/", "/1h", "0/1h", "-1/1h", "5/0s", "5/-1h", "5/1h burst", "5/1h burst 0", "5/1h bust 3",
		"1000001/1s", "5/99999d", "1/3650d burst 100", "5/1h burst 3 4", "5/1h,burst 3", "5.5/1h", "99999999999999999999/1h", "5/99999999999999999999d"} {
		if limit, err := rules.ParseLimit(text); err == nil {
			t.Errorf("%q is %+v", text, limit)
		}
	}
	if _, err := rules.ParseLimitName("order-per-account"); err == nil || !strings.Contains(err.Error(), "orders-per-account") {
		t.Errorf("an unknown limit: %v", err)
	}
	if _, err := rules.ParsePreset("letsencrypt"); err == nil || !strings.Contains(err.Error(), "lets-encrypt, off") {
		t.Errorf("an unknown preset: %v", err)
	}
}

func TestParseSubject(t *testing.T) {
	id := strings.Repeat("x", 24)
	for _, c := range []struct {
		limit      rules.LimitName
		text, want string // "" for an error
	}{
		{rules.AccountsPerIP, "192.0.2.1", "192.0.2.1"}, {rules.AccountsPerIP, "2001:db8::1", "2001:db8::/64"},
		{rules.AccountsPerIP, "2001:db8::/64", "2001:db8::/64"}, {rules.AccountsPerIP, "a.test", ""},
		{rules.AccountsPerRange, "2001:db8:1:2::1", "2001:db8:1::/48"}, {rules.AccountsPerRange, "192.0.2.1", ""},
		{rules.OrdersPerAccount, id, id}, {rules.OrdersPerAccount, "someone", ""},
		{rules.CertificatesPerDomain, "WWW.Example.com", "example.com"}, {rules.CertificatesPerDomain, "a b", ""},
		{rules.CertificatesPerSet, "b.test, a.test", rules.SetOf([]acme.Identifier{acme.IdentifierFor("a.test"), acme.IdentifierFor("b.test")})},
		{rules.CertificatesPerSet, "a.test,,", ""},
		{rules.FailedAuthorizations, id, id}, {rules.FailedAuthorizations, id + "/*.a.test", id + "/a.test"},
		{rules.ConsecutiveFailures, id + "/", ""}, {rules.ConsecutiveFailures, "a.test", ""}, {rules.Floods, "192.0.2.1", ""},
	} {
		b, err := c.limit.ParseSubject(c.text)
		if (err == nil) != (c.want != "") || err == nil && b.Subject != c.want {
			t.Errorf("%s %q is %q, %v; want %q", c.limit, c.text, b.Subject, err, c.want)
		}
	}
}

func FuzzParseLimit(f *testing.F) {
	for _, seed := range []string{"50/7d", "1/24h burst 1152", "off", "1000/1s burst 2000", "5/1µs", "2147483647/3650d burst 2147483647"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		limit, err := rules.ParseLimit(text)
		if err != nil || !limit.On() {
			return
		}
		again, err := rules.ParseLimit(limit.String())
		if err != nil || again.String() != limit.String() {
			t.Fatalf("%q is written as %s, which is %s, %v", text, limit, again, err)
		}
		if limit.Span() <= 0 {
			t.Fatalf("%q has a span of %s", text, limit.Span())
		}
		full, wait := limit.Spend(time.Time{}, noon)
		if wait != 0 || !full.After(noon) {
			t.Fatalf("%q does not permit the first: %s, %s", text, full, wait)
		}
	})
}

func ExampleLimit_Words() {
	for _, name := range rules.LimitNames() {
		fmt.Println(name, rules.LimitPresets()["lets-encrypt"][name].Words())
	}
	// Output:
	// accounts-per-ip 10 in 3h
	// accounts-per-range 500 in 3h
	// orders-per-account 300 in 3h
	// certificates-per-domain 50 in 7d
	// certificates-per-set 5 in 7d
	// failed-authorizations 5 in 1h
	// consecutive-failures 1 in 24h, and 1152 at once
	// floods 1000 in 1s, and 2000 at once
}
