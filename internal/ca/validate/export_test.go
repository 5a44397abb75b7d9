package validate

import (
	"crypto/sha256"
	"crypto/x509"
	"net/netip"
	"net/url"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
)

// The tests are outside the package; these are the parts they reach into:
// parsers to fuzz, and what cannot be shown on a loopback interface.

var (
	ParseHosts      = parseHosts
	ParseResolvConf = parseResolvConf
	IsPublic        = isPublic
	IsInner         = isInner
)

// Judge tells which rule forbids an address, "" if none does.
func Judge(allow []netip.Prefix, addr netip.Addr, source SourceKind, loopbackOK bool) string {
	rule, _ := targets{allow: allow}.judge(Address{Addr: addr, Source: Source{Kind: source}}, loopbackOK)
	return rule.What
}

// Order is the order in which addresses are tried.
func Order(addrs []netip.Addr) []netip.Addr {
	var in []Address
	for _, addr := range addrs {
		in = append(in, Address{Addr: addr})
	}
	var out []netip.Addr
	for _, a := range inOrder(in) {
		out = append(out, a.Addr)
	}
	return out
}

// Compare tells what is wrong with a page, "" if it proves control.
func Compare(body []byte, want string) string { return string(compare(body, want)) }

// RedirectTarget is where a Location header leads, or why it is not followed.
func RedirectTarget(c Config, from *url.URL, locations []string) (*url.URL, string) {
	a := &attempt{Prober: New(c)}
	return a.redirectTarget(from, locations)
}

// WrongPage is the detail of the problem about a page at addr.
func WrongPage(inner bool, addr netip.Addr, body string) string {
	a := &attempt{Prober: New(Config{}), inner: inner, request: Request{
		Identifier: acme.Identifier{Type: acme.DNS, Value: "a.test"}, Token: "token", KeyAuthorization: "token.thumbprint"}}
	err := a.judgePage(page{url: a.firstURL(), target: netip.AddrPortFrom(addr, 80), status: 200,
		contentType: "no content type", length: "some octets", body: []byte(body)})
	return err.(*acme.Problem).Detail
}

// ReadAnswer reads an answer to a question about name, and follows its aliases.
func ReadAnswer(packed []byte, name string, id uint16) ([]netip.Addr, bool) {
	q := question{canonicalName(name), dns.TypeA}
	query := newQuestion(q, true)
	query.Id = id
	answer, _ := readAnswer(packed, query)
	if answer == nil {
		return nil, false
	}
	return addressesIn(followAliases(answer, q, maxAliases).records), true
}

// ReadTXT reads an answer to a question about the TXT records of name.
func ReadTXT(packed []byte, name string, id uint16) (values []string, ok bool) {
	q := question{canonicalName(name), dns.TypeTXT}
	query := newQuestion(q, true)
	query.Id = id
	answer, _ := readAnswer(packed, query)
	if answer == nil {
		return nil, false
	}
	return outcome{records: followAliases(answer, q, maxAliases).records}.texts(), true
}

// CheckALPNCertificate tells what is wrong with a certificate in DER, "" if it proves control of id.
func CheckALPNCertificate(cert *x509.Certificate, id acme.Identifier, keyAuthorization string) string {
	return string(checkALPNCertificate(cert, id, sha256.Sum256([]byte(keyAuthorization))))
}

// TrustsAD tells the full form of a DNS server, and whether its AD bit counts.
func TrustsAD(server string) (full string, trusted bool, err error) {
	u, err := parseUpstream(server)
	return u.String(), u.trustsAD(), err
}

// ExtendedErrors are those in an answer, and the words that a client is told.
func ExtendedErrors(answer *dns.Msg) (list []ExtendedError, words string) {
	list = extendedErrors(answer)
	return list, tellExtended(list)
}

// ReadCAA reads an answer to a question about the CAA records of name.
func ReadCAA(packed []byte, name string, id uint16) (records []string, ok bool) {
	q := question{canonicalName(name), dns.TypeCAA}
	query := newQuestion(q, true)
	query.Id = id
	answer, _ := readAnswer(packed, query)
	if answer == nil {
		return nil, false
	}
	for _, record := range caaRecords(followAliases(answer, q, maxAliases).records) {
		records = append(records, record.String())
	}
	return records, true
}
