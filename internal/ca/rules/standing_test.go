package rules_test

import (
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// Which authorizations for a domain and all below it serve an order, once the policy has become stricter.
func TestStandingAuthorizationsUnderAStricterPolicy(t *testing.T) {
	a := account(t)
	standing := valid(t, a, "corp.test", func(z *rules.Authz) { z.Subdomains, z.Preauthorized = true, true })
	for name, c := range map[string]struct {
		edit  func(*rules.Policy)
		asked string
		after time.Duration
		want  bool
	}{
		"as it was":                        {func(*rules.Policy) {}, "a.corp.test", 29 * day, true},
		"no subdomains any more":           {func(p *rules.Policy) { p.NoSubdomains = true }, "a.corp.test", 0, false},
		"the domain itself even so":        {func(p *rules.Policy) { p.NoSubdomains = true }, "corp.test", 0, true},
		"a profile whose proofs end early": {func(p *rules.Policy) { p.Profiles[0].AuthzLifetime = time.Hour }, "a.corp.test", time.Hour, false},
		"a limit by date": {func(p *rules.Policy) {
			p.Profiles[0].ReuseLimit = func(time.Time) time.Duration { return 10 * day }
		}, "a.corp.test", 10 * day, false},
		"just within it": {func(p *rules.Policy) {
			p.Profiles[0].ReuseLimit = func(time.Time) time.Duration { return 10 * day }
		}, "a.corp.test", 10*day - 1, true},
		"a proof that does not count": {func(p *rules.Policy) {
			p.Profiles[0].Challenges = []acme.ChallengeType{acme.DNSAccount01}
		}, "a.corp.test", 0, false},
	} {
		p := policy(t)
		c.edit(&p)
		placed, problem := place(p, rules.Held{Account: a, Standing: []rules.Authz{standing}}, acme.NewOrder{Identifiers: dns(c.asked)}, start.Add(c.after))
		if problem != nil {
			t.Fatalf("%s: %v", name, problem)
		}
		if got := placed.Order.Authzs[0] == standing.ID; got != c.want {
			t.Errorf("%s: it serves the order: %v", name, got)
		}
	}
}

// RFC 8555 §7.1.6: a proof that comes when the authorization has expired revives neither it nor its order.
func TestZ02AProofThatComesTooLate(t *testing.T) {
	_, authzs, a := order(t, "a.test")
	attempted, problem := authzs[0].Attempt(rules.Answer{Type: acme.HTTP01, Key: a.Key}, rules.Lease{}.Taken("w", start, time.Minute), start)
	if problem != nil {
		t.Fatal(problem)
	}
	if late := attempted.Settle(rules.Outcome{}, attempted.Expires.Add(-1)); late.Status != acme.StatusValid {
		t.Errorf("in time it is %s", late.Status)
	}
	late := attempted.Settle(rules.Outcome{}, attempted.Expires)
	if got := late.StatusAt(attempted.Expires); got != acme.StatusExpired || late.Challenges[0].Status != acme.StatusInvalid ||
		late.Challenges[0].Error == nil || late.Challenges[0].Validated != nil || !late.Lease.Due.IsZero() {
		t.Errorf("it is %s, with %+v", got, late.Challenges[0])
	}
}

// An order lasts as long as any other if one pending authorization is for several of its names (RFC 9444 §4.3).
func TestOrderWithAPendingAncestor(t *testing.T) {
	p := policy(t)
	p.Profiles[0].PendingLifetime = time.Hour
	placed, problem := place(p, rules.Held{Account: account(t)}, acme.NewOrder{
		Identifiers: dns("a.corp.test", "b.corp.test"),
		Ancestors:   map[string]string{"a.corp.test": "corp.test", "b.corp.test": "corp.test"},
	}, start)
	if problem != nil || len(placed.Authzs) != 1 || !placed.Order.Expires.Equal(start.Add(p.Profiles[0].OrderLifetime)) {
		t.Errorf("%v: %d authorizations, until %s", problem, len(placed.Authzs), placed.Order.Expires)
	}
}
