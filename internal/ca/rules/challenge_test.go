package rules_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

const onion = "bbcweb3hytmzhn5d532owbu6oqadra5z3ar726vq5kgwwn6aucdccrad.onion"

// everything is a policy that offers whatever there is, and tls-sni, which is to be offered by nobody (RFC 8555 §9.7.8).
func everything(t *testing.T) rules.Policy {
	p := policy(t)
	names, err := acme.ParseSubtrees([]string{"test", "onion", "10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	p.Names = names
	p.Proving = rules.Proving{
		Offer: append(rules.StandardChallenges(), acme.DNSPersist01, acme.OnionCSR01, acme.ProofOfPossession01, "tls-sni-01", "tls-sni-02", "new-01"),
	}
	return p
}

// placed are the authorizations of a new order for names.
func placed(t *testing.T, p rules.Policy, names ...string) []rules.Authz {
	t.Helper()
	request, problem := rules.ReadNewOrder(p, acme.NewOrder{Identifiers: dns(names...)})
	if problem != nil {
		t.Fatal(problem)
	}
	got, problem := rules.NewOrder(request, rules.Held{Account: account(t)}, start)
	if problem != nil {
		t.Fatal(problem)
	}
	return got.Authzs
}

func types(a rules.Authz) (list []acme.ChallengeType) {
	for _, c := range a.Challenges {
		list = append(list, c.Type)
	}
	return list
}

// What is offered for which kind of name, where everything is.
func TestV17TLSSNIIsNeverOffered(t *testing.T) {
	for name, want := range map[string]string{
		"a.test":         "http-01 dns-01 tls-alpn-01 dns-account-01 dns-persist-01",
		"*.a.test":       "dns-01 dns-account-01 dns-persist-01",
		"10.0.0.1":       "http-01 tls-alpn-01",
		onion:            "onion-csr-01",
		"www." + onion:   "onion-csr-01",
		"*.www." + onion: "onion-csr-01",
	} {
		p := everything(t)
		var got []string
		for _, kind := range types(placed(t, p, name)[0]) {
			got = append(got, string(kind))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
		p.Profiles[0].Possession.Within = time.Hour
		withPossession := slices.Contains(types(placed(t, p, name)[0]), acme.ProofOfPossession01)
		if withPossession == strings.HasSuffix(name, "onion") {
			t.Errorf("%s: possession is offered: %v", name, withPossession)
		}
	}
}

// A profile that takes no challenge which can prove control of a name is not for it.
func TestProfileThatTakesNoChallenge(t *testing.T) {
	p := everything(t)
	p.Profiles[0].Challenges = []acme.ChallengeType{acme.HTTP01}
	if got := types(placed(t, p, "a.test")[0]); !slices.Equal(got, p.Profiles[0].Challenges) {
		t.Errorf("challenges are %v", got)
	}
	if _, problem := rules.ReadNewOrder(p, acme.NewOrder{Identifiers: dns("*.a.test")}); problem == nil || problem.Type != acme.TypeRejectedIdentifier {
		t.Errorf("a wildcard: %v, want rejectedIdentifier", problem)
	}
}

// Possession beside another proof makes a second authorization, and one that rests on possession serves no other order.
func TestPossessionIsForOneOrder(t *testing.T) {
	p := everything(t)
	p.Profiles[0].Possession = rules.Possession{Within: time.Hour, Also: true}
	authzs := placed(t, p, "a.test", "*.a.test")
	if len(authzs) != 4 || !slices.Equal(types(authzs[2]), []acme.ChallengeType{acme.ProofOfPossession01}) || authzs[2].Challenges[0].Within != 0 || !authzs[3].Wildcard {
		t.Fatalf("the authorizations are %+v", authzs)
	}
	proven := authzs[0]
	challenge := proven.Challenge(acme.ProofOfPossession01)
	challenge.Status, challenge.Validated, proven.Status = acme.StatusValid, &start, acme.StatusValid
	request, problem := rules.ReadNewOrder(p, acme.NewOrder{Identifiers: dns("a.test")})
	if problem != nil {
		t.Fatal(problem)
	}
	proven.Account = "x"
	again, problem := rules.NewOrder(request, rules.Held{Account: rules.Account{ID: "x", Status: acme.StatusValid}, Authzs: []rules.Authz{proven}}, start)
	if problem != nil || again.Authzs[0].ID == proven.ID {
		t.Errorf("an authorization that rests on possession serves another order: %v", problem)
	}
}

// An older proof of another kind makes a key enough; one by possession, or too old a one, or for another name does not.
func TestPossessionSuffices(t *testing.T) {
	old := func(kind acme.ChallengeType, name string, age time.Duration) rules.Authz {
		base, wildcard := acme.IdentifierFor(name).Base()
		at := start.Add(-age)
		return rules.Authz{Identifier: base, Wildcard: wildcard, Status: acme.StatusValid, Challenges: []rules.Challenge{{Type: kind, Status: acme.StatusValid, Validated: &at}}}
	}
	ended := func(a rules.Authz, status acme.Status) rules.Authz { a.Status = status; return a }
	a := rules.Authz{Identifier: acme.IdentifierFor("a.b.test")}
	for what, c := range map[string]struct {
		on   []rules.Authz
		want bool
	}{
		"dns-01":                 {[]rules.Authz{old(acme.DNS01, "a.b.test", time.Hour)}, true},
		"its wildcard":           {[]rules.Authz{old(acme.DNS01, "*.b.test", time.Hour)}, true},
		"just in time":           {[]rules.Authz{old(acme.HTTP01, "a.b.test", 24*time.Hour)}, true},
		"too old":                {[]rules.Authz{old(acme.HTTP01, "a.b.test", 24*time.Hour+1)}, false},
		"possession":             {[]rules.Authz{old(acme.ProofOfPossession01, "a.b.test", time.Hour)}, false},
		"possession and another": {[]rules.Authz{old(acme.ProofOfPossession01, "a.b.test", 0), old(acme.DNS01, "b.test", 0)}, false},
		"both":                   {[]rules.Authz{old(acme.ProofOfPossession01, "a.b.test", 0), old(acme.DNS01, "a.b.test", 0)}, true},
		"given up":               {[]rules.Authz{ended(old(acme.DNS01, "a.b.test", 0), acme.StatusDeactivated)}, false},
		"revoked":                {[]rules.Authz{ended(old(acme.DNS01, "a.b.test", 0), acme.StatusRevoked)}, false},
		"nothing":                {nil, false},
	} {
		if got := a.PossessionSuffices(24*time.Hour, c.on, start) == nil; got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
