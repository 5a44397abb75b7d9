package rules

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/acme"
)

// CSR is a certificate signing request whose form, key and signature have been
// checked (RFC 8555 §7.4). Of a CSR, only the names and the key count.
type CSR struct {
	DER         []byte
	PublicKey   crypto.PublicKey
	Identifiers []acme.Identifier // of the subject's CN and the SAN, in normal form, sorted
	MustStaple  bool              // it asks for the TLS feature status_request (RFC 7633 §4.2.3.1)
}

// CSRRules say how a CSR is read. The zero value is how a CA does.
type CSRRules struct {
	// SANAlone takes the names of the SAN and overlooks the common name, e-mail addresses and URIs, whatever they are: for tests.
	SANAlone bool
	LeastRSA int // bits of an RSA key, at least; 0 means 2048
}

// ParseCSR reads and checks a CSR in DER as a CA does.
func ParseCSR(der []byte) (CSR, *acme.Problem) { return CSRRules{}.Parse(der) }

// Parse reads and checks a CSR in DER.
func (c CSRRules) Parse(der []byte) (CSR, *acme.Problem) {
	bad := func(format string, args ...any) (CSR, *acme.Problem) {
		return CSR{}, acme.Problemf(acme.TypeBadCSR, format, args...)
	}
	if bytes.HasPrefix(der, []byte("-----BEGIN")) {
		return bad("the CSR is PEM: send the DER, base64url-encoded (RFC 8555 §7.4)")
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		_, problem := bad("the CSR is not a PKCS #10 request in DER")
		return CSR{}, problem.Breaking(acme.RuleCSRForm)
	}
	if why := weakness(request.PublicKey, cmp.Or(c.LeastRSA, leastRSA)); why != "" {
		return bad("the key of the CSR %s", why)
	}
	switch request.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.MD5WithRSA, x509.MD2WithRSA, x509.DSAWithSHA1:
		return bad("the CSR is signed with %s: use SHA-256 or better", request.SignatureAlgorithm)
	}
	if err := request.CheckSignature(); err != nil {
		return bad("the signature of the CSR does not verify")
	}
	if c.SANAlone {
		request.EmailAddresses, request.URIs, request.Subject.CommonName = nil, nil, ""
	}
	if len(request.EmailAddresses) > 0 || len(request.URIs) > 0 {
		return bad("the CSR asks for e-mail addresses or URIs: leave them out")
	}
	csr := CSR{DER: der, PublicKey: request.PublicKey, MustStaple: asksForStaple(request.Extensions)}
	names := make([]acme.Identifier, 0, len(request.DNSNames)+len(request.IPAddresses)+1)
	for _, name := range request.DNSNames {
		names = append(names, acme.Identifier{Type: acme.DNS, Value: name})
	}
	for _, ip := range request.IPAddresses {
		names = append(names, acme.Identifier{Type: acme.IP, Value: ip.String()})
	}
	if cn := request.Subject.CommonName; cn != "" {
		names = append(names, acme.IdentifierFor(cn))
	}
	for _, name := range names {
		normal, problem := name.Normalize()
		if problem != nil {
			return bad("a name in the CSR cannot be in a certificate: %s", problem.Detail)
		}
		csr.Identifiers = append(csr.Identifiers, normal)
	}
	csr.Identifiers = sorted(csr.Identifiers)
	return csr, nil
}

// asksForStaple reports whether extensions have a TLS feature extension with status_request alone (RFC 7633 §6).
func asksForStaple(extensions []pkix.Extension) bool {
	return slices.ContainsFunc(extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}) && bytes.Equal(e.Value, []byte{0x30, 0x03, 0x02, 0x01, 0x05})
	})
}

// matches checks that the CSR asks for exactly what the order is for (RFC 8555 §7.4).
func (c CSR) matches(ordered []acme.Identifier) *acme.Problem {
	want := sorted(ordered)
	if slices.Equal(c.Identifiers, want) {
		return nil
	}
	return acme.Problemf(acme.TypeBadCSR, "the CSR is for %s, but the order is for %s: they must be the same",
		list(c.Identifiers), list(want)).Breaking(acme.RuleCSRNames)
}

// sorted returns ids in one fixed order, each once.
func sorted(ids []acme.Identifier) []acme.Identifier {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b acme.Identifier) int {
		return strings.Compare(string(a.Type)+a.Value, string(b.Type)+b.Value)
	})
	return slices.Compact(ids)
}

// list names some identifiers for a person.
func list(ids []acme.Identifier) string {
	if len(ids) == 0 {
		return "no name at all"
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.Value
	}
	return some(names)
}

// some lists at most twenty names, since a sentence goes to a peer, possibly many times.
func some(names []string) string {
	if rest := len(names) - 20; rest > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:20], ", "), rest)
	}
	return strings.Join(names, ", ")
}
