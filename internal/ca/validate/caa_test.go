package validate_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

const account = "https://ca.lan:8443/acct/17"

func caaRequest(name string) validate.CAARequest {
	base, wildcard := acme.IdentifierFor(name).Base()
	return validate.CAARequest{Identifier: base, Wildcard: wildcard, Method: acme.DNS01, AccountURL: account, Issuers: []string{"ca.example", "ca2.example"}}
}

// caaZone has a tree of names; each test says what is asked and what comes of it.
var caaZone = []string{
	`deep.corp.test. A 10.0.0.1`,
	`corp.test. CAA 0 issue "ca.example"`,
	`shut.corp.test. CAA 0 issue ";"`,
	`below.shut.corp.test. A 10.0.0.1`,
	`alias.corp.test. CNAME target.other.test.`,
	`target.other.test. A 10.0.0.1`,
	`other.test. CAA 0 issue "other.example"`,
	`led.corp.test. CNAME policy.other.test.`,
	`policy.other.test. CAA 0 issue "other.example"`,
	`gone.corp.test. CNAME nowhere.other.test.`,
	`under.alias.test. A 10.0.0.1`,
	`alias.test. CNAME policy.other.test.`,
	`ring.corp.test. CNAME ring2.corp.test.`, `ring2.corp.test. CNAME ring.corp.test.`,
	`free.example. A 10.0.0.1`,
	`top. CAA 0 issue "other.example"`, `x.top. A 10.0.0.1`,
}

// The relevant set is the nearest one, aliases are followed at each label, and nobody climbs from
// their targets (RFC 8659 §3).
func TestCAAClimbs(t *testing.T) {
	prober := validate.New(validate.Config{Resolver: newResolver(t, lowerCase(zone(t, caaZone...)))})
	for _, test := range []struct{ name, at, want string }{
		{"corp.test", "corp.test", ""},
		{"deep.corp.test", "corp.test", ""},
		{"a.b.c.d.corp.test", "corp.test", ""},
		{"*.corp.test", "corp.test", ""},
		{"shut.corp.test", "shut.corp.test", `the CAA records at shut.corp.test (from DNS server 127.0.0.1`},
		{"below.shut.corp.test", "shut.corp.test", `issue for below.shut.corp.test: 0 issue ";" permits nobody`},
		{"*.below.shut.corp.test", "shut.corp.test", `shut.corp.test. CAA 0 issuewild "ca.example"`},
		{"alias.corp.test", "corp.test", ""},
		{"led.corp.test", "led.corp.test", `led.corp.test, which is an alias (CNAME) of policy.other.test,`},
		{"gone.corp.test", "corp.test", ""},
		{"under.alias.test", "alias.test", `One more record would permit it: policy.other.test. CAA 0 issue "ca.example"`},
		{"free.example", "", ""},
		{"x.top", "top", `0 issue "other.example" permits another authority`},
	} {
		result, err := prober.CAA(t.Context(), caaRequest(test.name))
		if err != nil || result.Evidence.CAA == nil {
			t.Errorf("%s: %v, %+v", test.name, err, result)
			continue
		}
		if test.want == "" {
			if result.Problem != nil {
				t.Errorf("%s: %v", test.name, result.Problem)
			}
		} else {
			wantProblem(t, result.Problem, acme.TypeCAA, test.want)
		}
		if result.Evidence.CAA.At != test.at || result.Temporary || (test.want != "") != (result.Evidence.CAA.Refusal != "") {
			t.Errorf("%s: evidence is %+v", test.name, result.Evidence.CAA)
		}
		if last := result.Evidence.Lookups[len(result.Evidence.Lookups)-1]; test.at != "" && last.Name != test.at || last.Questions[0].Type != "CAA" {
			t.Errorf("%s: last lookup is %+v", test.name, last)
		}
	}
}

// A failed lookup never permits, wherever on the way to the first set it fails, and what fails above that does not matter.
func TestCAALookupFails(t *testing.T) {
	whole := lowerCase(zone(t, caaZone...))
	for _, test := range []struct {
		name, failing, want string
		temporary           bool
	}{
		{"deep.corp.test", "deep.corp.test.", "the CAA records of deep.corp.test cannot be looked up", true},
		{"deep.corp.test", "corp.test.", "could not answer (SERVFAIL)", true},
		{"deep.corp.test", "test.", "", false},
		{"free.example", "example.", "the CAA records of example cannot", true},
		{"ring.corp.test", "", "go in a circle", false},
	} {
		prober := validate.New(validate.Config{Resolver: newResolver(t, func(w dns.ResponseWriter, query *dns.Msg) {
			if strings.EqualFold(query.Question[0].Name, test.failing) {
				w.WriteMsg(new(dns.Msg).SetRcode(query, dns.RcodeServerFailure))
				return
			}
			whole(w, query)
		})})
		result, err := prober.CAA(t.Context(), caaRequest(test.name))
		if err != nil || result.Temporary != test.temporary || (test.want == "") != (result.Problem == nil) {
			t.Errorf("%s, %s fails: %+v, %v", test.name, test.failing, result, err)
			continue
		}
		if test.want != "" {
			wantProblem(t, result.Problem, acme.TypeDNS, test.want)
		}
	}
}

// Neither addresses nor .onion names are asked for, and faults of the caller are errors.
func TestCAAIsNotAsked(t *testing.T) {
	prober := validate.New(validate.Config{Resolver: newResolver(t, func(dns.ResponseWriter, *dns.Msg) { t.Error("the DNS was asked") })})
	onion := strings.Repeat("a", 55) + "d.onion"
	for _, name := range []string{"10.0.0.1", "fd00::1", "x." + onion} {
		if result, err := prober.CAA(t.Context(), caaRequest(name)); err != nil || result.Problem != nil || len(result.Evidence.Lookups) > 0 {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
	}
	for name, change := range map[string]func(*validate.CAARequest){
		"wildcard": func(r *validate.CAARequest) { r.Identifier = acme.IdentifierFor("*.a.test") },
		"case":     func(r *validate.CAARequest) { r.Identifier.Value = "A.test" },
		"nobody":   func(r *validate.CAARequest) { r.Issuers = nil },
		"issuer":   func(r *validate.CAARequest) { r.Issuers = []string{"Ca.example"} },
	} {
		r := caaRequest("a.test")
		change(&r)
		if result, err := prober.CAA(t.Context(), r); err == nil {
			t.Errorf("%s: %+v", name, result)
		}
	}
}

// The longest name takes a bounded number of questions.
func TestCAAIsBounded(t *testing.T) {
	prober := validate.New(validate.Config{Resolver: newResolver(t, zone(t, "test. A 10.0.0.1"))})
	name := strings.Repeat("a.", 124) + "test"
	result, err := prober.CAA(t.Context(), caaRequest(name))
	if err != nil || result.Problem != nil || len(result.Evidence.Lookups) != 125 {
		t.Errorf("%v, %v, %d lookups", err, result.Problem, len(result.Evidence.Lookups))
	}
	names := []string{}
	for _, l := range result.Evidence.Lookups {
		names = append(names, l.Name)
	}
	if names[0] != name || names[124] != "test" || !slices.IsSortedFunc(names, func(a, b string) int { return len(b) - len(a) }) {
		t.Errorf("asked for %v", names)
	}
}
