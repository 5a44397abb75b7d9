package rules

import (
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// refuseOnion says why no certificate is issued for a name under .onion; nil if one is.
// Such a name is not in the DNS (RFC 7686), so without onion-csr-01 nothing could prove control of it.
func (p Policy) refuseOnion(base acme.Identifier) *acme.Problem {
	if !acme.IsOnion(base.Value) {
		return nil
	}
	if !p.Proving.Offers(acme.OnionCSR01) {
		return acme.Problemf(acme.TypeRejectedIdentifier, "this CA does not issue for names under .onion (its operator can change that with --onion)")
	}
	if _, err := acme.OnionKey(base.Value); err != nil {
		return acme.Problemf(acme.TypeRejectedIdentifier, "%s", err)
	}
	return nil
}

// OnionRecords are the CAA records that an onion service has signed for one of an order's identifiers.
type OnionRecords struct {
	Identifier acme.Identifier
	Records    []acme.CAARecord
}

// How long a record set may be signed for (RFC 9799 §6.4: 8 hours), with some slack
// for clocks, which clients of Tor set wrong on purpose.
const maxOnionCAA = 8*time.Hour + 15*time.Minute

// ReadOnionCAA checks what came with a finalize request as CAA record sets of onion services
// (RFC 9799 §6.4), and gives the records for each of the order's identifiers under .onion. This CA
// cannot read a service's descriptor, so there must be a set for each.
func ReadOnionCAA(ids []acme.Identifier, sent map[string]acme.OnionCAA, now time.Time) ([]OnionRecords, *acme.Problem) {
	var list []OnionRecords
	var wrong []*acme.Problem
	for _, id := range ids {
		base, _ := id.Base()
		if id.Type != acme.DNS || !acme.IsOnion(base.Value) {
			continue
		}
		records, problem := readOnionCAA(base.Value, sent, now)
		if problem != nil {
			wrong = append(wrong, problem.About(id))
		}
		list = append(list, OnionRecords{id, records})
	}
	if len(wrong) > 0 {
		return nil, together(wrong, "CAA records of some onion services are missing or cannot be used (RFC 9799 §6.4)")
	}
	return list, nil
}

func readOnionCAA(name string, sent map[string]acme.OnionCAA, now time.Time) ([]acme.CAARecord, *acme.Problem) {
	service := acme.OnionService(name)
	set, ok := sent[service]
	if !ok {
		return nil, acme.Problemf(acme.TypeOnionCAARequired, `"onionCAA" has no member %q: this CA cannot ask the service, so its signed CAA records must come with the request, or null signed if it has none`, service)
	}
	key, err := acme.OnionKey(service)
	switch expiry := time.Unix(set.Expiry, 0); {
	case err != nil:
		return nil, acme.Problemf(acme.TypeRejectedIdentifier, "%s", err)
	case !now.Before(expiry):
		return nil, acme.Problemf(acme.TypeMalformed, `the CAA records of %s expired on %s: sign them anew`, service, expiry.UTC().Format(time.RFC3339))
	case expiry.After(now.Add(maxOnionCAA)):
		return nil, acme.Problemf(acme.TypeMalformed, `the CAA records of %s are signed for more than 8 hours`, service)
	case !set.Verify(key):
		return nil, acme.Problemf(acme.TypeUnauthorized, "the signature of the CAA records of %s is not by the key of the service", service)
	case set.CAA == nil:
		return nil, nil
	}
	records, why := parseOnionCAA(*set.CAA)
	if why != "" {
		return nil, acme.Problemf(acme.TypeMalformed, "the CAA records of %s cannot be read: %s", service, why)
	}
	return records, nil
}

// maxOnionRecords bounds the records of one onion service.
const maxOnionRecords = 100

// parseOnionCAA reads lines such as `caa 128 issue "ca.example"` (RFC 9799 §6, RFC 8659 §4.1.1). What
// cannot be read is refused: it might be what forbids to issue.
func parseOnionCAA(text string) (records []acme.CAARecord, why string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			continue
		}
		fields := strings.SplitN(line, " ", 4)
		if len(fields) != 4 || fields[0] != "caa" {
			return nil, `a line is not of the form: caa FLAGS TAG "VALUE"`
		}
		flags, err := strconv.ParseUint(fields[1], 10, 8)
		if err != nil {
			return nil, "the flags of a record are not a number from 0 to 255"
		}
		if !isCAATag(fields[2]) {
			return nil, "a record has no tag of letters and digits"
		}
		value, ok := unquote(fields[3])
		if !ok {
			return nil, "the value of a record is not closed by a quotation mark"
		}
		records = append(records, acme.CAARecord{Flags: uint8(flags), Tag: fields[2], Value: value})
		if len(records) > maxOnionRecords {
			return nil, "they are too many"
		}
	}
	return records, ""
}

// isCAATag reports whether tag has the form of RFC 8659 §4.1. One that is only like "issue" must not pass for a property
// that says nothing.
func isCAATag(tag string) bool {
	return tag != "" && !strings.ContainsFunc(tag, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9')
	})
}

// unquote reads a value in the presentation format of RFC 8659 §4.1.1: a word, or
// text between quotation marks, within which a backslash stands before a quotation mark or a backslash.
func unquote(text string) (string, bool) {
	if !strings.HasPrefix(text, `"`) {
		return text, text != "" && !strings.ContainsAny(text, `" `)
	}
	var value strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return value.String(), i == len(text)-1
		case c == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
			value.WriteByte(text[i])
		case c == '\\':
			return "", false // RFC 1035 §5.1 has octets by number; no value of CAA needs them
		default:
			value.WriteByte(c)
		}
	}
	return "", false
}

// OnionClaim is what a finalize request says about the onion services in its order.
type OnionClaim struct {
	AccountURL string // as the client knows it
	Sets       map[string]acme.OnionCAA
	Now        time.Time
	Issuers    []string // the names by which CAA records know this CA
}

// CheckOnions decides whether the onion services in an order let this CA issue for a CSR (RFC 9799 §3.2, §6). An
// order without any needs nothing.
func CheckOnions(o Order, csr CSR, claim OnionClaim) *acme.Problem {
	sets, problem := ReadOnionCAA(o.Identifiers, claim.Sets, claim.Now)
	if problem != nil {
		return problem
	}
	var refused []*acme.Problem
	for _, set := range sets {
		base, wildcard := set.Identifier.Base()
		if key, err := acme.OnionKey(base.Value); err != nil || key.Equal(csr.PublicKey) {
			return acme.Problemf(acme.TypeBadCSR, "the key of the CSR is that of an onion service: make another one (RFC 9799 §3.2)")
		}
		// There is no tree to climb: a service and all below it have one set (RFC 9799 §6.1), and the rest is as in the DNS.
		issuance := acme.Issuance{Wildcard: wildcard, Method: acme.OnionCSR01, AccountURL: claim.AccountURL, Issuers: claim.Issuers}
		if why := issuance.RefusedBy(set.Records); why != "" {
			refused = append(refused, acme.Problemf(acme.TypeCAA, "the CAA records of %s do not permit the certificate: %s", acme.OnionService(base.Value), why).About(set.Identifier))
		}
	}
	if len(refused) > 0 {
		return together(refused, "the CAA records of some onion services do not permit the certificate")
	}
	return nil
}
