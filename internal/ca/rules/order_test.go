package rules_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func jwk(t testing.TB, key crypto.Signer) *acme.Key {
	t.Helper()
	k, err := acme.NewKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func policy(t testing.TB) rules.Policy {
	t.Helper()
	names, err := acme.ParseSubtrees([]string{"test", "localhost", "10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	return rules.Policy{Names: names, Profiles: []rules.Profile{rules.Classic()}}
}

func account(t testing.TB) rules.Account {
	t.Helper()
	a, problem := rules.NewAccount(policy(t), jwk(t, newKey(t)), acme.NewAccount{}, start)
	if problem != nil {
		t.Fatal(problem)
	}
	return a
}

func dns(names ...string) (ids []acme.Identifier) {
	for _, name := range names {
		ids = append(ids, acme.IdentifierFor(name))
	}
	return ids
}

func csrFor(t testing.TB, key crypto.Signer, template x509.CertificateRequest) rules.CSR {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	csr, problem := rules.ParseCSR(der)
	if problem != nil {
		t.Fatal(problem)
	}
	return csr
}

func order(t testing.TB, names ...string) (rules.Order, []rules.Authz, rules.Account) {
	t.Helper()
	a := account(t)
	placed, problem := place(policy(t), rules.Held{Account: a}, acme.NewOrder{Identifiers: dns(names...)}, start)
	if problem != nil {
		t.Fatal(problem)
	}
	return placed.Order, placed.Authzs, a
}

// place decides on a newOrder request.
func place(p rules.Policy, held rules.Held, req acme.NewOrder, now time.Time) (rules.Placed, *acme.Problem) {
	wanted, problem := rules.ReadNewOrder(p, req)
	if problem != nil {
		return rules.Placed{}, problem
	}
	return rules.NewOrder(wanted, held, now)
}

func TestNewOrder(t *testing.T) {
	long := ""
	for range 64 {
		long += "a"
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf("h%d.test", i)
	}
	cases := []struct {
		name string
		req  acme.NewOrder
		want acme.ProblemType // "" for accepted
		subs int
	}{
		{"one", acme.NewOrder{Identifiers: dns("a.test")}, "", 0},
		{"address", acme.NewOrder{Identifiers: dns("10.1.2.3")}, "", 0},
		{"O11 duplicates and case", acme.NewOrder{Identifiers: dns("a.test", "A.test")}, "", 0},
		{"O08 empty", acme.NewOrder{}, acme.TypeMalformed, 0},
		{"O08 type", acme.NewOrder{Identifiers: []acme.Identifier{{Type: "email", Value: "a@b"}}}, acme.TypeUnsupportedIdentifier, 1},
		{"no type", acme.NewOrder{Identifiers: []acme.Identifier{{Value: "a.test"}}}, acme.TypeMalformed, 1},
		{"O08 outside", acme.NewOrder{Identifiers: dns("example.com")}, acme.TypeRejectedIdentifier, 1},
		{"address outside", acme.NewOrder{Identifiers: dns("192.0.2.1")}, acme.TypeRejectedIdentifier, 1},
		{"suffix that is no label", acme.NewOrder{Identifiers: dns("eviltest")}, acme.TypeRejectedIdentifier, 1},
		{"E05 several", acme.NewOrder{Identifiers: dns("a.test", "example.com", "example.org")}, acme.TypeRejectedIdentifier, 2},
		{"E05 of two types", acme.NewOrder{Identifiers: dns("a_b.test", "example.org")}, acme.TypeCompound, 2},
		{"profile", acme.NewOrder{Identifiers: dns("a.test"), Profile: "classic"}, "", 0},
		{"unknown profile", acme.NewOrder{Identifiers: dns("a.test"), Profile: "nope"}, acme.TypeInvalidProfile, 0},
		{"too many", acme.NewOrder{Identifiers: dns(many...)}, acme.TypeMalformed, 0},
		{"V12 wildcard", acme.NewOrder{Identifiers: dns("*.a.test", "a.test")}, "", 0},
		{"wildcard right under a permitted suffix", acme.NewOrder{Identifiers: dns("*.test")}, "", 0},
		{"wildcard outside", acme.NewOrder{Identifiers: dns("*.example.com")}, acme.TypeRejectedIdentifier, 1},
		{"wildcard over an address", acme.NewOrder{Identifiers: []acme.Identifier{{Type: acme.DNS, Value: "*.10.0.0.1"}}}, acme.TypeMalformed, 1},
		{"wildcard as ip", acme.NewOrder{Identifiers: []acme.Identifier{{Type: acme.IP, Value: "*.10.0.0.1"}}}, acme.TypeMalformed, 1},
		{"O04 two wildcards", acme.NewOrder{Identifiers: dns("*.*.test")}, acme.TypeMalformed, 1},
		{"O04 inner wildcard", acme.NewOrder{Identifiers: dns("a.*.test")}, acme.TypeMalformed, 1},
		{"O04 part of a label", acme.NewOrder{Identifiers: dns("*x.test")}, acme.TypeMalformed, 1},
		{"O04 bare", acme.NewOrder{Identifiers: dns("*")}, acme.TypeMalformed, 1},
		{"O09 label of 64", acme.NewOrder{Identifiers: dns(long + ".test")}, acme.TypeMalformed, 1},
		{"O09 empty label", acme.NewOrder{Identifiers: dns("a..test")}, acme.TypeMalformed, 1},
		{"O09 trailing dot", acme.NewOrder{Identifiers: []acme.Identifier{{Type: acme.DNS, Value: "a.test."}}}, acme.TypeMalformed, 1},
		{"O09 underscore", acme.NewOrder{Identifiers: dns("_a.test")}, acme.TypeMalformed, 1},
		{"O09 hyphen first", acme.NewOrder{Identifiers: dns("-a.test")}, acme.TypeMalformed, 1},
		{"O09 raw unicode", acme.NewOrder{Identifiers: dns("bücher.test")}, acme.TypeMalformed, 1},
		{"O09 A-label", acme.NewOrder{Identifiers: dns("xn--bcher-kva.test")}, "", 0},
		{"O09 bad punycode", acme.NewOrder{Identifiers: dns("xn--zzzzzzzzzz99999.test")}, acme.TypeMalformed, 1},
		{"O09 other reserved prefix", acme.NewOrder{Identifiers: dns("ab--cd.test")}, acme.TypeMalformed, 1},
		{"address as dns", acme.NewOrder{Identifiers: []acme.Identifier{{Type: acme.DNS, Value: "10.0.0.1"}}}, acme.TypeMalformed, 1},
		{"address not canonical", acme.NewOrder{Identifiers: []acme.Identifier{{Type: acme.IP, Value: "010.0.0.1"}}}, acme.TypeMalformed, 1},
		{"name as ip", acme.NewOrder{Identifiers: []acme.Identifier{{Type: acme.IP, Value: "a.test"}}}, acme.TypeMalformed, 1},
	}
	a := account(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			placed, problem := place(policy(t), rules.Held{Account: a}, c.req, start)
			o, authzs := placed.Order, placed.Authzs
			if c.want == "" {
				if problem != nil || len(authzs) != len(o.Identifiers) || len(o.Authzs) != len(authzs) {
					t.Fatalf("refused with %v, or %d identifiers with %d authorizations", problem, len(o.Identifiers), len(authzs))
				}
				return
			}
			if problem == nil || problem.Type != c.want || len(problem.Subproblems) != c.subs || problem.Identifier != nil {
				t.Fatalf("got %v with %d subproblems, want %s with %d", problem, len(problem.Subproblems), c.want, c.subs)
			}
			for _, sub := range problem.Subproblems {
				if sub.Identifier == nil {
					t.Errorf("subproblem %v names no identifier", sub)
				}
			}
		})
	}
}

// RFC 8555 §7.1.3, BR §3.2.2.4.19 and .20: only the DNS can speak for a wildcard; RFC 8738 §7: and never for an address.
func TestV12AndV17ChallengesOffered(t *testing.T) {
	for name, want := range map[string][]acme.ChallengeType{
		"a.test":   {acme.HTTP01, acme.DNS01, acme.TLSALPN01, acme.DNSAccount01},
		"*.a.test": {acme.DNS01, acme.DNSAccount01},
		"10.0.0.1": {acme.HTTP01, acme.TLSALPN01},
	} {
		_, authzs, _ := order(t, name)
		var got []acme.ChallengeType
		tokens := map[string]bool{}
		for _, c := range authzs[0].Challenges {
			got, tokens[c.Token] = append(got, c.Type), true
		}
		if !slices.Equal(got, want) || len(tokens) != len(want) {
			t.Errorf("%s: challenges are %v with %d tokens, want %v", name, got, len(tokens), want)
		}
		base, wildcard := acme.IdentifierFor(name).Base()
		if authzs[0].Identifier != base || authzs[0].Wildcard != wildcard || authzs[0].Asked() != acme.IdentifierFor(name) {
			t.Errorf("%s: the authorization is for %v, wildcard %v", name, authzs[0].Identifier, authzs[0].Wildcard)
		}
	}
}

// What went wrong with a wildcard is said of the wildcard, since its base name may be in the same order.
func TestWildcardInOrderError(t *testing.T) {
	o, authzs, a := order(t, "a.test", "*.a.test")
	authzs[0] = prove(t, authzs[:1], a, nil)[0]
	attempted, problem := authzs[1].Attempt(rules.Answer{Type: acme.DNS01, Key: a.Key}, rules.Lease{}, start)
	if problem != nil {
		t.Fatal(problem)
	}
	authzs[1] = attempted.Settle(rules.Outcome{Problem: acme.Problemf(acme.TypeDNS, "no record")}, start)
	failed := rules.OrderError(o, authzs, start)
	if failed == nil || len(failed.Subproblems) != 1 || failed.Subproblems[0].Identifier.Value != "*.a.test" {
		t.Errorf("the order's error is %v", failed)
	}
}

func TestV06AndV07TokenAndIDsAreUnguessable(t *testing.T) {
	seen := map[string]bool{}
	last := ""
	for i := range 200 {
		o, authzs, _ := order(t, "a.test")
		token := authzs[0].Challenges[0].Token
		if len(token) != 43 || !acme.ValidToken(token) || seen[token] || seen[o.ID] {
			t.Fatalf("token %q, ID %q", token, o.ID)
		}
		seen[token], seen[o.ID] = true, true
		id := rules.NewID(start.Add(time.Duration(i) * time.Millisecond))
		if len(id) != 24 || id <= last {
			t.Fatalf("ID %q does not sort after %q", id, last)
		}
		last = id
	}
}

func TestParseCSR(t *testing.T) {
	key := newKey(t)
	der := func(template x509.CertificateRequest) []byte {
		out, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	good := der(x509.CertificateRequest{DNSNames: []string{"a.test"}})
	broken := slices.Clone(good)
	broken[len(broken)-1] ^= 1
	mail, _ := url.Parse("https://a.test/")
	cases := []struct {
		name string
		der  []byte
		ok   bool
	}{
		{"good", good, true},
		{"CN alone", der(x509.CertificateRequest{Subject: pkix.Name{CommonName: "a.test"}}), true},
		{"empty", nil, false},
		{"F02 PEM", []byte("-----BEGIN CERTIFICATE REQUEST-----\n"), false},
		{"F02 trailing data", append(slices.Clone(good), 0), false},
		{"F02 truncated", good[:len(good)-7], false},
		{"F02 signature", broken, false},
		{"F03 e-mail", der(x509.CertificateRequest{DNSNames: []string{"a.test"}, EmailAddresses: []string{"a@a.test"}}), false},
		{"F03 URI", der(x509.CertificateRequest{DNSNames: []string{"a.test"}, URIs: []*url.URL{mail}}), false},
		{"name that cannot be", der(x509.CertificateRequest{DNSNames: []string{"a_b.test"}}), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, problem := rules.ParseCSR(c.der)
			if (problem == nil) != c.ok || problem != nil && problem.Type != acme.TypeBadCSR {
				t.Errorf("got %v", problem)
			}
		})
	}
}

func TestF03CSRMustNameExactlyTheOrder(t *testing.T) {
	key := newKey(t)
	cases := []struct {
		name    string
		ordered []string
		csr     x509.CertificateRequest
		ok      bool
	}{
		{"SAN", []string{"a.test"}, x509.CertificateRequest{DNSNames: []string{"a.test"}}, true},
		{"upper case", []string{"a.test"}, x509.CertificateRequest{DNSNames: []string{"A.TEST"}}, true},
		{"CN only", []string{"a.test"}, x509.CertificateRequest{Subject: pkix.Name{CommonName: "a.test"}}, true},
		{"CN beside SAN", []string{"a.test", "b.test"}, x509.CertificateRequest{Subject: pkix.Name{CommonName: "a.test"}, DNSNames: []string{"b.test"}}, true},
		{"address", []string{"10.0.0.1"}, x509.CertificateRequest{IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}}, true},
		{"address in the CN", []string{"10.0.0.1"}, x509.CertificateRequest{Subject: pkix.Name{CommonName: "10.0.0.1"}}, true},
		{"missing", []string{"a.test", "b.test"}, x509.CertificateRequest{DNSNames: []string{"a.test"}}, false},
		{"extra", []string{"a.test"}, x509.CertificateRequest{DNSNames: []string{"a.test", "b.test"}}, false},
		{"other", []string{"a.test"}, x509.CertificateRequest{DNSNames: []string{"b.test"}}, false},
		{"CN outside", []string{"a.test"}, x509.CertificateRequest{Subject: pkix.Name{CommonName: "b.test"}, DNSNames: []string{"a.test"}}, false},
		{"none", []string{"a.test"}, x509.CertificateRequest{}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o, authzs, a := order(t, c.ordered...)
			authzs = prove(t, authzs, a, nil)
			after, problem := o.Finalize(authzs, csrFor(t, key, c.csr), rules.Lease{}, start)
			if (problem == nil) != c.ok {
				t.Fatalf("got %v", problem)
			}
			want := acme.StatusReady // F04: a refused CSR leaves the order ready
			if c.ok {
				want = acme.StatusProcessing
			}
			if got := rules.OrderStatus(after, authzs, start); got != want {
				t.Errorf("the order is %s, want %s", got, want)
			}
		})
	}
}

// prove attempts and settles every authorization, with problem as the outcome.
func prove(t testing.TB, authzs []rules.Authz, a rules.Account, outcome *acme.Problem) []rules.Authz {
	t.Helper()
	authzs = slices.Clone(authzs)
	for i := range authzs {
		attempted, problem := authzs[i].Attempt(rules.Answer{Type: acme.HTTP01, Key: a.Key}, rules.Lease{}.Taken("w", start, time.Minute), start)
		if problem != nil {
			t.Fatal(problem)
		}
		authzs[i] = attempted.Settle(rules.Outcome{Problem: outcome}, start)
	}
	return authzs
}

// TestOrdersOnlyMoveAlongRFC8555 runs random events over an order and checks that
// every change of status is an edge of RFC 8555 §7.1.6 and that final states stay final.
func TestOrdersOnlyMoveAlongRFC8555(t *testing.T) {
	edges := map[[2]acme.Status]bool{
		{acme.StatusPending, acme.StatusReady}:      true,
		{acme.StatusPending, acme.StatusInvalid}:    true,
		{acme.StatusReady, acme.StatusProcessing}:   true,
		{acme.StatusReady, acme.StatusInvalid}:      true,
		{acme.StatusProcessing, acme.StatusValid}:   true,
		{acme.StatusProcessing, acme.StatusInvalid}: true,
	}
	key := newKey(t)
	csr := csrFor(t, key, x509.CertificateRequest{DNSNames: []string{"a.test", "b.test"}})
	other := csrFor(t, newKey(t), x509.CertificateRequest{DNSNames: []string{"a.test", "b.test"}})
	reached := map[acme.Status]int{}
	for seed := range uint64(3000) {
		random := mathrand.New(mathrand.NewPCG(seed, 1))
		o, authzs, a := order(t, "a.test", "b.test")
		now, before := start, acme.StatusPending
		for range 12 {
			i := random.IntN(len(authzs))
			switch event := random.IntN(12); event {
			case 0, 1, 2:
				if next, problem := authzs[i].Attempt(rules.Answer{Type: acme.HTTP01, Key: a.Key}, rules.Lease{}, now); problem == nil {
					authzs[i] = next
				}
			case 3, 4, 5:
				authzs[i] = authzs[i].Settle(rules.Outcome{}, now)
			case 6:
				if random.IntN(4) == 0 {
					authzs[i] = authzs[i].Settle(rules.Outcome{Problem: acme.Problemf(acme.TypeConnection, "refused")}, now)
				}
			case 7, 8:
				chosen := csr
				if event == 8 {
					chosen = other
				}
				if next, problem := o.Finalize(authzs, chosen, rules.Lease{}, now); problem == nil {
					o = next
				} else if before == acme.StatusReady {
					t.Fatalf("seed %d: a ready order refuses a good CSR: %v", seed, problem)
				}
			case 9:
				if before == acme.StatusProcessing {
					o = o.Issued("00ff")
				}
			case 10:
				if before == acme.StatusProcessing && random.IntN(3) == 0 {
					o = o.Fail(acme.Problemf(acme.TypeServerInternal, "broken"))
				}
			case 11:
				if random.IntN(6) == 0 {
					authzs[i], _ = authzs[i].Update(acme.Deactivation{Status: acme.StatusDeactivated}, now)
				}
				now = now.Add(time.Duration(random.IntN(100)) * time.Hour)
			}
			after := rules.OrderStatus(o, authzs, now)
			if after != before && !edges[[2]acme.Status{before, after}] && !(before == acme.StatusPending && after == acme.StatusReady) {
				t.Fatalf("seed %d: %s → %s", seed, before, after)
			}
			if (rules.OrderError(o, authzs, now) != nil) != (after == acme.StatusInvalid) {
				t.Fatalf("seed %d: %s with error %v", seed, after, rules.OrderError(o, authzs, now))
			}
			reached[after]++
			before = after
		}
	}
	for _, status := range []acme.Status{acme.StatusPending, acme.StatusReady, acme.StatusProcessing, acme.StatusValid, acme.StatusInvalid} {
		if reached[status] == 0 {
			t.Errorf("no run reached %s", status)
		}
	}
}

func TestFinalizeAgain(t *testing.T) {
	o, authzs, a := order(t, "a.test")
	key := newKey(t)
	csr := csrFor(t, key, x509.CertificateRequest{DNSNames: []string{"a.test"}})
	if _, problem := o.Finalize(authzs, csr, rules.Lease{}, start); problem == nil || problem.Type != acme.TypeOrderNotReady {
		t.Errorf("F01: finalizing a pending order gives %v", problem)
	}
	authzs = prove(t, authzs, a, nil)
	o, problem := o.Finalize(authzs, csr, rules.Lease{}, start)
	if problem != nil {
		t.Fatal(problem)
	}
	if _, problem := o.Finalize(authzs, csr, rules.Lease{By: "other"}, start); problem != nil {
		t.Errorf("the same CSR again: %v", problem)
	}
	o = o.Issued("01")
	if again, problem := o.Finalize(authzs, csr, rules.Lease{By: "other"}, start); problem != nil || again.CSR != nil {
		t.Errorf("the same CSR after issuance: %v", problem)
	}
	second := csrFor(t, newKey(t), x509.CertificateRequest{DNSNames: []string{"a.test"}})
	if _, problem := o.Finalize(authzs, second, rules.Lease{}, start); problem == nil || problem.Type != acme.TypeOrderNotReady {
		t.Errorf("another CSR after issuance gives %v", problem)
	}
}

func TestRSAKeysThatAreRefused(t *testing.T) {
	prime := func(bits int) *big.Int {
		p, err := rand.Prime(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := prime(1024)
	next := new(big.Int).Add(p, big.NewInt(2))
	for !next.ProbablyPrime(10) {
		next.Add(next, big.NewInt(2))
	}
	moduli := map[string]*big.Int{
		"1024 bits":     new(big.Int).Mul(prime(512), prime(512)),
		"close factors": new(big.Int).Mul(p, next),
		"small factor":  new(big.Int).Mul(new(big.Int).Mul(big.NewInt(751), prime(1014)), prime(1024)),
		"even":          new(big.Int).Lsh(prime(2047), 1),
	}
	for name, n := range moduli {
		if why := rules.Weakness(n, 65537); why == "" {
			t.Errorf("%s: accepted", name)
		}
	}
	good := new(big.Int).Mul(prime(1024), prime(1024))
	for good.BitLen() != 2048 {
		good.Mul(prime(1024), prime(1024))
	}
	if why := rules.Weakness(good, 3); why == "" {
		t.Error("exponent 3 accepted")
	}
	if why := rules.Weakness(good, 65537); why != "" {
		t.Errorf("a good key %s", why)
	}
}
