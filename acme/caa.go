package acme

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// CAARecord is a CAA record, as octets (RFC 8659 §4.1).
type CAARecord struct {
	Flags uint8
	Tag   string
	Value string
}

// String is the record as people read it, bounded and printable.
func (r CAARecord) String() string {
	return fmt.Sprintf(`%d %s "%s"`, r.Flags, echo(r.Tag), echo(r.Value))
}

// maxCAAEcho is how many octets of a CAA value a client is shown. The record is
// there to be read by every authority, so it is no secret.
const maxCAAEcho = 128

// echo bounds s, which a stranger wrote, and makes it safe to print.
func echo(s string) string {
	quoted := strconv.QuoteToASCII(s[:min(len(s), maxCAAEcho)])
	return quoted[1 : len(quoted)-1]
}

// Issuance is what CAA records permit or forbid: a certificate by one of several names of an authority.
type Issuance struct {
	Wildcard   bool
	Method     ChallengeType // by which control was proven
	AccountURL string        // as the client knows it
	Issuers    []string      // the authority's own CAA identities, as CheckCAAIdentity wants them
}

// CheckCAAIdentity says what is wrong with a domain name that is to stand for the
// authority in CAA records.
func CheckCAAIdentity(identity string) error {
	value, ok := parseIssue(identity)
	switch {
	case identity == "":
		return errors.New("it is empty")
	case strings.ToLower(identity) != identity:
		return errors.New("it belongs in lower case")
	case !ok || value.Issuer != identity:
		return errors.New("it is not a domain name, for example ca.example")
	}
	return nil
}

// caaCritical is the one flag that there is; the others are ignored (RFC 8659 §4.1).
const caaCritical = 1 << 7

// caaTags are the properties that Cairn knows: those of RFC 8659 §4, and
// others that do not restrict certificates for servers.
var caaTags = []string{"issue", "issuewild", "iodef",
	"issuemail",                    // RFC 9495
	"issuevmc",                     // for mark certificates
	"contactemail", "contactphone"} // BR Appendix A.1

// RefusedBy decides whether a relevant record set (RFC 8659 §3) permits an issuance. It
// returns "" if it does, and else why not, as a sentence about the records.
func (i Issuance) RefusedBy(set []CAARecord) string {
	if record, ok := UndecidableCAA(set); ok && record.Tag == "" {
		return fmt.Sprintf("the record %s has no tag, so it is malformed and may mean anything (RFC 8659 §4.1)", record)
	} else if ok {
		return fmt.Sprintf("the record %s is critical, and the authority does not know such records (RFC 8659 §4.1)", record)
	}
	tag := "issue"
	tagged := func(record CAARecord) bool { return strings.EqualFold(record.Tag, tag) }
	if i.Wildcard && slices.ContainsFunc(set, func(record CAARecord) bool { return strings.EqualFold(record.Tag, "issuewild") }) {
		tag = "issuewild" // RFC 8659 §4.3: it alone counts then
	}
	var reasons []string
	for _, record := range set {
		if !tagged(record) {
			continue
		}
		why := i.refusedByProperty(record.Value)
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

// UndecidableCAA finds a record that forbids everything to whoever does not know it: one that is critical
// and unknown, or that has not even a tag.
func UndecidableCAA(set []CAARecord) (CAARecord, bool) {
	i := slices.IndexFunc(set, func(record CAARecord) bool {
		return record.Tag == "" || record.Flags&caaCritical != 0 && !slices.Contains(caaTags, strings.ToLower(record.Tag))
	})
	if i < 0 {
		return CAARecord{}, false
	}
	return set[i], true
}

// maxCAAReasons bounds how many records one sentence tells of.
const maxCAAReasons = 4

// refusedByProperty decides whether one issue or issuewild property permits an
// issuance: "" if it does, else why not, to follow the record.
func (i Issuance) refusedByProperty(value string) string {
	property, ok := parseIssue(value)
	if !ok {
		return "is malformed, and so permits nobody (RFC 8659 §4.2)"
	}
	if property.Issuer == "" {
		return "permits nobody"
	}
	if !slices.ContainsFunc(i.Issuers, func(own string) bool { return strings.EqualFold(own, property.Issuer) }) {
		return "permits another authority"
	}
	accounts, methods := all(property.Parameters, "accounturi"), all(property.Parameters, "validationmethods")
	switch {
	case len(accounts) > 1 || len(methods) > 1:
		return "has a parameter twice, and so permits nobody (RFC 8657)"
	case len(accounts) == 1 && (accounts[0] == "" || accounts[0] != i.AccountURL):
		return "permits another account" // RFC 8657 §3
	case len(methods) == 1 && !permitsMethod(methods[0], i.Method):
		return fmt.Sprintf("does not permit %s", i.Method) // RFC 8657 §4
	}
	return ""
}

// all returns the values of the parameters with a tag.
func all(parameters []IssueParameter, tag string) []string {
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
func parseIssue(text string) (IssueValue, bool) {
	issuer, _, _ := strings.Cut(text, ";")
	if strings.ContainsFunc(text, func(c rune) bool { return c > '~' }) || strings.HasSuffix(strings.Trim(issuer, " \t"), ".") {
		return IssueValue{}, false
	}
	value, err := ParseIssueValue(text)
	return value, err == nil
}

// permitsMethod reports whether a validationmethods parameter lists a challenge
// type: value = [*(label ",") label], label = 1*(ALPHA / DIGIT / "-") (RFC 8657
// §4). An empty or malformed list permits none.
func permitsMethod(list string, method ChallengeType) bool {
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
var brMethods = map[ChallengeType]string{
	HTTP01:       "ca-tbr-19",
	DNS01:        "ca-tbr-7",
	TLSALPN01:    "ca-tbr-20",
	DNSAccount01: "ca-tbr-21",
	DNSPersist01: "ca-tbr-22",
}
