package acme_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
)

const caaAccount = "https://ca.lan:8443/acct/17"

func issuance(name string) acme.Issuance {
	_, wildcard := acme.IdentifierFor(name).Base()
	return acme.Issuance{Wildcard: wildcard, Method: acme.DNS01, AccountURL: caaAccount, Issuers: []string{"ca.example", "ca2.example"}}
}

// caaRules are record sets and what they permit. A record is "FLAGS TAG VALUE".
var caaRules = []struct {
	records string // separated by |
	name    string // "" means a.test
	want    string // a part of the refusal, "" if permitted
}{
	{"", "", ""},
	{"0 issue ca.example", "", ""},
	{"0 issue ca2.example", "", ""},
	{"0 issue CA.Example", "", ""},
	{"0 ISSUE ca.example", "", ""},
	{"128 issue ca.example", "", ""},
	{"0 issue \t ca.example \t", "", ""},
	{"0 issue other.example", "", `0 issue "other.example" permits another authority`},
	{"0 issue other.example|0 issue ca.example", "", ""},
	{"0 issue other.example|0 issue third.example", "", "; "},
	{"0 issue ;", "", "permits nobody"},
	{"0 issue ", "", "permits nobody"},
	{"0 issue ;|0 issue ca.example", "", ""},
	{"0 issue sub.ca.example", "", "another authority"},
	{"0 issue example", "", "another authority"},
	// A set without issue restricts nothing (RFC 8659 §4.2).
	{"0 iodef mailto:x@a.test", "", ""},
	{"0 issuewild ;", "", ""},
	{"128 iodef mailto:x@a.test|128 issuemail ;|128 contactemail x@a.test", "", ""},
	// Wildcards (RFC 8659 §4.3).
	{"0 issue other.example|0 issuewild ca.example", "*.a.test", ""},
	{"0 issue ca.example|0 issuewild ;", "*.a.test", `0 issuewild ";"`},
	{"0 issue ca.example|0 issuewild ;", "", ""},
	{"0 issue ca.example", "*.a.test", ""},
	{"0 issue other.example", "*.a.test", "another authority"},
	// The critical flag (RFC 8659 §4.1), and flags that are none.
	{"128 tbs unknown|0 issue ca.example", "", "is critical"},
	{"255 tbs unknown|0 issue ca.example", "", "is critical"},
	{"0 tbs unknown|0 issue ca.example", "", ""},
	{"127 tbs unknown|0 issue ca.example", "", ""},
	// A record without a tag is malformed; whatever it was to say, it must not pass for "no restriction".
	{"128  x|0 issue ca.example", "", "has no tag"},
	{"0  ", "", "has no tag"},
	{"0  |0 issue ca.example", "", "has no tag"},
	// What is malformed permits nobody, and forbids nothing to whom another record permits it.
	{"0 issue ca.example.", "", "malformed"},
	{"0 issue .ca.example", "", "malformed"},
	{"0 issue ca..example", "", "malformed"},
	{"0 issue -ca.example", "", "malformed"},
	{"0 issue ca.example other", "", "malformed"},
	{"0 issue ca.example\xff", "", "malformed"},
	{"0 issue ca.example; accounturi", "", "malformed"},
	{"0 issue ca.example; =x", "", "malformed"},
	{"0 issue ca.example; a=b;", "", "malformed"},
	{"0 issue ca.example; a=b c", "", "malformed"},
	{"0 issue ca.example;;", "", "malformed"},
	{"0 issue %%%%%", "", "malformed"},
	{"0 issue %%%%%|0 issue ca.example", "", ""},
	// Parameters.
	{"0 issue ca.example;", "", ""},
	{"0 issue ca.example ; \t policy=ev ; x-y=", "", ""},
	{"0 issue ca.example; accounturi=" + caaAccount, "", ""},
	{"0 issue ca.example; accounturi = " + caaAccount, "", ""},
	{"0 issue ca.example; AccountURI=" + caaAccount + "0", "", "another account"},
	{"0 issue ca.example; accounturi=" + strings.ToUpper(caaAccount), "", "another account"},
	{"0 issue ca.example; accounturi=", "", "another account"},
	{"0 issue ca.example; accounturi=" + caaAccount + "; accounturi=" + caaAccount, "", "twice"},
	{"0 issue ca.example; accounturi=https://ca.lan:8443/acct/18|0 issue ca.example; accounturi=" + caaAccount, "", ""},
	{"0 issue other.example; accounturi=" + caaAccount, "", "another authority"},
	{"0 issue ca.example; validationmethods=dns-01", "", ""},
	{"0 issue ca.example; validationmethods=http-01,dns-01", "", ""},
	{"0 issue ca.example; validationmethods=ca-tbr-7", "", ""},
	{"0 issue ca.example; validationmethods=http-01", "", "does not permit dns-01"},
	{"0 issue ca.example; validationmethods=ca-tbr-19", "", "does not permit dns-01"},
	{"0 issue ca.example; validationmethods=", "", "does not permit"},
	{"0 issue ca.example; validationmethods=dns-01,", "", "does not permit"},
	{"0 issue ca.example; validationmethods=dns-01,*", "", "does not permit"},
	{"0 issue ca.example; validationmethods=DNS-01", "", "does not permit"},
	{"0 issue ca.example; validationmethods=dns-01; validationmethods=dns-01", "", "twice"},
	{"0 issue ca.example; validationmethods=dns-01; accounturi=x", "", "another account"},
	{"0 issuewild ca.example; validationmethods=http-01", "*.a.test", "does not permit"},
}

// What a record set permits, as RFC 8659 §4 and RFC 8657 have it.
func TestCAARules(t *testing.T) {
	for _, test := range caaRules {
		if test.name == "" {
			test.name = "a.test"
		}
		got := issuance(test.name).RefusedBy(caaOf(test.records))
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s for %s: %q, want %q", test.records, test.name, got, test.want)
		}
	}
}

// caaOf reads records "FLAGS TAG VALUE", separated by |.
func caaOf(text string) (list []acme.CAARecord) {
	for record := range strings.SplitSeq(text, "|") {
		fields := strings.SplitN(record, " ", 3)
		if len(fields) < 3 {
			continue
		}
		caa := acme.CAARecord{Tag: fields[1], Value: fields[2]}
		fmt.Sscan(fields[0], &caa.Flags)
		list = append(list, caa)
	}
	return list
}

// A long list of records makes no long sentence.
func TestCAASentenceIsBounded(t *testing.T) {
	list := caaOf(strings.TrimSuffix(strings.Repeat("0 issue "+strings.Repeat("x", 4000)+"|", 50), "|"))
	got := issuance("a.test").RefusedBy(list)
	if len(got) > 2000 || !strings.Contains(got, "46 more do not permit it") {
		t.Errorf("%d octets: %s", len(got), got)
	}
}

// Who is permitted by a value is named in it, in full; and one record more never
// changes what another one permits, unless it is critical and unknown.
func FuzzCAA(f *testing.F) {
	for _, seed := range []string{"ca.example", "", ";", "ca.example;", " ca.example ; accounturi=" + caaAccount, "ca.example; validationmethods=dns-01,http-01", "ca.example; validationmethods=",
		"%%%", "ca.example; a=b; c = d ", "ca.example; a", "CA.EXAMPLE", "ca.example.", "\u212a.example", "ca.example;accounturi=x;accounturi=y"} {
		f.Add(uint8(0), "issue", seed, false)
		f.Add(uint8(128), "issuewild", seed, true)
	}
	f.Add(uint8(128), "tbs", "Unknown", false)
	f.Add(uint8(128), "", "", false)
	f.Fuzz(func(t *testing.T, flag uint8, tag, value string, wildcard bool) {
		r := issuance("a.test")
		r.Wildcard = wildcard
		record := acme.CAARecord{Flags: flag, Tag: tag, Value: value}
		why := r.RefusedBy([]acme.CAARecord{record})
		issue := strings.EqualFold(tag, "issue") || wildcard && strings.EqualFold(tag, "issuewild")
		named := strings.Contains(strings.ToLower(value), "ca.example") || strings.Contains(strings.ToLower(value), "ca2.example")
		if issue && why == "" && !named {
			t.Errorf("%d %s %q permits", flag, tag, value)
		}
		if len(why) > 2000 || strings.ContainsFunc(why, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			t.Errorf("it is told %q", why)
		}
		open := []acme.CAARecord{record, {Tag: "issue", Value: "ca.example"}, {Tag: "issuewild", Value: "ca.example"}}
		if more := r.RefusedBy(open); more != "" && !strings.Contains(more, "is critical") && !strings.Contains(more, "has no tag") {
			t.Errorf("%d %s %q beside one that permits: %s", flag, tag, value, more)
		}
	})
}

// A name that stands for the authority is one that its own rules match.
func FuzzCAAIdentity(f *testing.F) {
	for _, seed := range []string{"ca.example", "", "CA.example", "ca.example.", "a;b", "*.a", "-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, identity string) {
		if acme.CheckCAAIdentity(identity) != nil {
			return
		}
		r := issuance("a.test")
		r.Method, r.Issuers = acme.HTTP01, []string{identity}
		if why := r.RefusedBy([]acme.CAARecord{{Tag: "issue", Value: identity}}); why != "" {
			t.Errorf("%q: %s", identity, why)
		}
	})
}
