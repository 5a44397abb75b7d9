package rules_test

import (
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// valid is an authorization of an account for a name, proven at start.
func valid(t *testing.T, a rules.Account, name string, edit func(*rules.Authz)) rules.Authz {
	t.Helper()
	placed, problem := place(policy(t), rules.Held{Account: a}, acme.NewOrder{Identifiers: dns(name)}, start)
	if problem != nil {
		t.Fatal(problem)
	}
	authz := placed.Authzs[0]
	proven := start
	authz.Status, authz.Expires = acme.StatusValid, start.Add(authz.ValidFor)
	authz.Challenges[0].Status, authz.Challenges[0].Validated = acme.StatusValid, &proven
	if edit != nil {
		edit(&authz)
	}
	return authz
}

// O05: what serves another order, and for how long.
func TestO05WhichAuthorizationsAreReused(t *testing.T) {
	a, other := account(t), account(t)
	long := policy(t)
	short := policy(t)
	short.Profiles[0].OrderLifetime, short.Profiles[0].Reuse = 8*time.Hour, 7*time.Hour
	never := policy(t)
	never.Profiles[0].Reuse = 0
	dnsOnly := policy(t)
	dnsOnly.Profiles[0].Challenges = []acme.ChallengeType{acme.DNS01}
	limited := policy(t)
	limited.Profiles[0].ReuseLimit = func(time.Time) time.Duration { return 10 * day }
	for name, c := range map[string]struct {
		policy rules.Policy
		authz  rules.Authz
		asked  string
		after  time.Duration
		want   bool
	}{
		"at once":                           {long, valid(t, a, "a.test", nil), "a.test", 0, true},
		"after 28 days":                     {long, valid(t, a, "a.test", nil), "a.test", 28 * day, true},
		"when an order would have no time":  {long, valid(t, a, "a.test", nil), "a.test", 30*day - 20*time.Hour, false},
		"after the period":                  {long, valid(t, a, "a.test", nil), "a.test", 30 * day, false},
		"in the shorter period":             {short, valid(t, a, "a.test", nil), "a.test", 6 * time.Hour, true},
		"after the shorter period":          {short, valid(t, a, "a.test", nil), "a.test", 7 * time.Hour, false},
		"under a limit by date":             {limited, valid(t, a, "a.test", nil), "a.test", 9 * day, true},
		"over a limit by date":              {limited, valid(t, a, "a.test", nil), "a.test", 10 * day, false},
		"not at all":                        {never, valid(t, a, "a.test", nil), "a.test", 0, false},
		"another name":                      {long, valid(t, a, "b.test", nil), "a.test", 0, false},
		"a wildcard for its base":           {long, valid(t, a, "*.a.test", nil), "a.test", 0, false},
		"a base for its wildcard":           {long, valid(t, a, "a.test", nil), "*.a.test", 0, false},
		"another account's":                 {long, valid(t, other, "a.test", nil), "a.test", 0, false},
		"a proof that does not count":       {dnsOnly, valid(t, a, "a.test", nil), "a.test", 0, false},
		"a pending one":                     {long, valid(t, a, "a.test", func(z *rules.Authz) { z.Status = acme.StatusPending }), "a.test", 0, false},
		"one that was given up":             {long, valid(t, a, "a.test", func(z *rules.Authz) { z.Status = acme.StatusDeactivated }), "a.test", 0, false},
		"one without a proof":               {long, valid(t, a, "a.test", func(z *rules.Authz) { z.Challenges = nil }), "a.test", 0, false},
		"one that ends before the period":   {long, valid(t, a, "a.test", func(z *rules.Authz) { z.Expires = start.Add(day) }), "a.test", 5 * time.Hour, false},
		"one without the time of its proof": {long, valid(t, a, "a.test", func(z *rules.Authz) { z.Challenges[0].Validated = nil }), "a.test", 0, false},
	} {
		now := start.Add(c.after)
		placed, problem := place(c.policy, rules.Held{Account: a, Authzs: []rules.Authz{c.authz}}, acme.NewOrder{Identifiers: dns(c.asked)}, now)
		if problem != nil {
			t.Fatalf("%s: %v", name, problem)
		}
		reused := placed.Order.Authzs[0] == c.authz.ID
		if reused != c.want || (len(placed.New) == 0) != c.want {
			t.Errorf("%s: reused is %v", name, reused)
		}
		if status := rules.OrderStatus(placed.Order, placed.Authzs, now); (status == acme.StatusReady) != c.want {
			t.Errorf("%s: the order is %s", name, status)
		}
		if placed.Order.Expires.After(placed.Authzs[0].Expires) && reused {
			t.Errorf("%s: the order outlives its authorization", name)
		}
	}
}

// Of several, the one that serves the longest.
func TestTheLongestIsReused(t *testing.T) {
	a := account(t)
	old := valid(t, a, "a.test", func(z *rules.Authz) { z.Expires = start.Add(10 * day) })
	best := valid(t, a, "a.test", nil)
	for _, held := range [][]rules.Authz{{old, best}, {best, old}} {
		placed, problem := place(policy(t), rules.Held{Account: a, Authzs: held}, acme.NewOrder{Identifiers: dns("a.test")}, start)
		if problem != nil || placed.Order.Authzs[0] != best.ID {
			t.Errorf("%v: the order has %s", problem, placed.Order.Authzs[0])
		}
	}
}

func TestExternalAccountsOnly(t *testing.T) {
	p := policy(t)
	p.Profiles[0].External = true
	a := account(t)
	if _, problem := place(p, rules.Held{Account: a}, acme.NewOrder{Identifiers: dns("a.test")}, start); problem == nil || problem.Type != acme.TypeUnauthorized {
		t.Errorf("without a binding: %v", problem)
	}
	a.ExternalKey = "key"
	if _, problem := place(p, rules.Held{Account: a}, acme.NewOrder{Identifiers: dns("a.test")}, start); problem != nil {
		t.Errorf("with one: %v", problem)
	}
}

// draft-ietf-acme-profiles §4: a profile that the client chose is wrong; where the CA chose, the name is.
func TestNamesThatDoNotFitTheProfile(t *testing.T) {
	p := policy(t)
	p.Profiles[0].Identifiers = []acme.IdentifierType{acme.DNS}
	p.Profiles[0].Names = acme.Subtrees{Domains: []string{"a.test"}}
	all := rules.Classic()
	all.Name = "all"
	p.Profiles = append(p.Profiles, all)
	for _, c := range []struct {
		profile, name string
		want          acme.ProblemType
	}{
		{"classic", "b.test", acme.TypeInvalidProfile},
		{"classic", "10.0.0.1", acme.TypeInvalidProfile},
		{"", "b.test", acme.TypeRejectedIdentifier},
		{"", "10.0.0.1", acme.TypeUnsupportedIdentifier},
		{"all", "10.0.0.1", ""},
		{"classic", "www.a.test", ""},
	} {
		_, problem := place(p, rules.Held{Account: account(t)}, acme.NewOrder{Identifiers: dns(c.name), Profile: c.profile}, start)
		switch {
		case c.want == "" && problem != nil, c.want != "" && (problem == nil || problem.Type != c.want || len(problem.Subproblems) != 1):
			t.Errorf("%s in profile %q: %v", c.name, c.profile, problem)
		}
	}
}
