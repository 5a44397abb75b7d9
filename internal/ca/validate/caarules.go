package validate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
)

// caaRecord is a CAA record, as octets (RFC 8659 §4.1).
type caaRecord struct {
	flags uint8
	tag   string
	value string
}

func (r caaRecord) String() string {
	return fmt.Sprintf(`%d %s "%s"`, r.flags, clip(r.tag, maxCAAEcho), clip(r.value, maxCAAEcho))
}

// maxCAAEcho is how many octets of a CAA value a client is shown. The record is
// there to be read by every authority, so it is no secret.
const maxCAAEcho = 128

// caaRecords are those among records.
func caaRecords(records []dns.RR) []caaRecord {
	var list []caaRecord
	for _, rr := range records {
		if caa, ok := rr.(*dns.CAA); ok {
			list = append(list, caaRecord{caa.Flag, caa.Tag, caa.Value})
		}
	}
	return list
}

// caaCritical is the one flag that there is; the others are ignored (RFC 8659 §4.1).
const caaCritical = 1 << 7

// caaTags are the properties that Cairn knows: those of RFC 8659 §4, and
// others that do not restrict certificates for servers.
var caaTags = []string{"issue", "issuewild", "iodef",
	"issuemail",                    // RFC 9495
	"issuevmc",                     // for mark certificates
	"contactemail", "contactphone"} // BR Appendix A.1

// judgeCAA decides whether the relevant record set permits an issuance. It
// returns "" if it does, and else why not, as a sentence about the records.
func judgeCAA(set []caaRecord, r CAARequest) string {
	if record, ok := unknownCritical(set); ok {
		return fmt.Sprintf("the record %s is critical, and the authority does not know such records (RFC 8659 §4.1)", record)
	}
	tag := "issue"
	tagged := func(record caaRecord) bool { return strings.EqualFold(record.tag, tag) }
	if r.Wildcard && slices.ContainsFunc(set, func(record caaRecord) bool { return strings.EqualFold(record.tag, "issuewild") }) {
		tag = "issuewild" // RFC 8659 §4.3: it alone counts then
	}
	var reasons []string
	for _, record := range set {
		if !tagged(record) {
			continue
		}
		why := judgeProperty(record.value, r)
		if why == "" {
			return ""
		}
		reasons = append(reasons, fmt.Sprintf("%s %s", record, why))
	}
	if more := len(reasons) - maxCAAReasons; more > 0 {
		reasons = append(reasons[:maxCAAReasons], fmt.Sprintf("%d more do not permit it either", more))
	}
	return strings.Join(reasons, "; ") // RFC 8659 §4.2: without such a property nothing is restricted
}

// unknownCritical finds a record that forbids everything to whoever does not know it.
func unknownCritical(set []caaRecord) (caaRecord, bool) {
	i := slices.IndexFunc(set, func(record caaRecord) bool {
		return record.flags&caaCritical != 0 && !slices.Contains(caaTags, strings.ToLower(record.tag))
	})
	if i < 0 {
		return caaRecord{}, false
	}
	return set[i], true
}

// maxCAAReasons bounds how many records one sentence tells of.
const maxCAAReasons = 4

// judgeProperty decides whether one issue or issuewild property permits an
// issuance: "" if it does, else why not, to follow the record.
func judgeProperty(value string, r CAARequest) string {
	property, ok := parseIssue(value)
	if !ok {
		return "is malformed, and so permits nobody (RFC 8659 §4.2)"
	}
	if property.Issuer == "" {
		return "permits nobody"
	}
	if !slices.ContainsFunc(r.Issuers, func(own string) bool { return strings.EqualFold(own, property.Issuer) }) {
		return "permits another authority"
	}
	accounts, methods := all(property.Parameters, "accounturi"), all(property.Parameters, "validationmethods")
	switch {
	case len(accounts) > 1 || len(methods) > 1:
		return "has a parameter twice, and so permits nobody (RFC 8657)"
	case len(accounts) == 1 && (accounts[0] == "" || accounts[0] != r.AccountURL):
		return "permits another account" // RFC 8657 §3
	case len(methods) == 1 && !permitsMethod(methods[0], r.Method):
		return fmt.Sprintf("does not permit %s", r.Method) // RFC 8657 §4
	}
	return ""
}

// all returns the values of the parameters with a tag.
func all(parameters []acme.IssueParameter, tag string) []string {
	var values []string
	for _, p := range parameters {
		if p.Tag == tag {
			values = append(values, p.Value)
		}
	}
	return values
}

// parseIssue reads the value of a property by the grammar of RFC 8659 §4.2, which has
// neither octets beyond ASCII nor a dot after a domain name.
func parseIssue(text string) (acme.IssueValue, bool) {
	issuer, _, _ := strings.Cut(text, ";")
	if strings.ContainsFunc(text, func(c rune) bool { return c > '~' }) || strings.HasSuffix(strings.Trim(issuer, " \t"), ".") {
		return acme.IssueValue{}, false
	}
	value, err := acme.ParseIssueValue(text)
	return value, err == nil
}

// permitsMethod reports whether a validationmethods parameter lists a challenge
// type: value = [*(label ",") label], label = 1*(ALPHA / DIGIT / "-") (RFC 8657
// §4). An empty or malformed list permits none.
func permitsMethod(list string, method acme.ChallengeType) bool {
	permitted := false
	for label := range strings.SplitSeq(list, ",") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return false
		}
		permitted = permitted || label == string(method) || label == brMethods[method]
	}
	return permitted
}

// brMethods are the labels of the same methods after the sections of BR §3.2.2.4,
// which ballot SC-098 wants to be accepted too.
var brMethods = map[acme.ChallengeType]string{
	acme.HTTP01:       "ca-tbr-19",
	acme.DNS01:        "ca-tbr-7",
	acme.TLSALPN01:    "ca-tbr-20",
	acme.DNSAccount01: "ca-tbr-21",
	acme.DNSPersist01: "ca-tbr-22",
}
