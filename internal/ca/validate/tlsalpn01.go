package validate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/acme"
)

// tlsALPN01 looks at the certificate that the identifier's TLS server shows for
// the protocol "acme-tls/1" (RFC 8737 §3; for addresses RFC 8738 §6). Nothing is
// sent over the connection, and it is closed at once (RFC 8737 §4).
func (a *attempt) tlsALPN01(ctx context.Context) error {
	id := a.request.Identifier
	to := destination{name: id.Value, port: uint16(a.config.TLSALPN01Port), listener: "the ACME client's TLS server"}
	link, err := a.connect(ctx, to)
	if err != nil {
		return err
	}
	defer link.conn.Close()
	where := fmt.Sprintf("%s at %s port %d (%s)", id.Value, link.target.Addr(), link.target.Port(), link.source)
	seen := Handshake{Target: link.target, ServerName: serverNameFor(id)}
	conn, err := a.handshake(ctx, link, &tls.Config{ServerName: seen.ServerName, NextProtos: []string{acme.ALPNProtocol}})
	if err != nil {
		seen.Error = clip(err.Error(), maxEvidenceText)
		a.evidence.Handshakes = append(a.evidence.Handshakes, seen)
		return since(err, acme.Problemf(acme.TypeTLS, "%s: %s", where, tellTLS(err)))
	}
	defer conn.Close()
	state := conn.ConnectionState()
	seen.note(state)
	a.evidence.Handshakes = append(a.evidence.Handshakes, seen)
	// A server that ignores ALPN shows the certificate that it shows to everybody,
	// which is no proof (RFC 8737 §3).
	if state.NegotiatedProtocol != acme.ALPNProtocol {
		return acme.Problemf(acme.TypeUnauthorized, "%s did not agree to speak %s: what answers there is not the ACME client's TLS server", where, acme.ALPNProtocol)
	}
	if found := checkALPNCertificate(state.PeerCertificates[0], id, sha256.Sum256([]byte(a.request.KeyAuthorization))); found != isProof {
		return acme.Problemf(acme.TypeUnauthorized, "%s showed a certificate that does not answer the challenge: %s", where, found)
	}
	return nil
}

// serverNameFor is the server name (SNI) that asks for id's certificate: for an
// address its name in the reverse zone (RFC 8738 §6), without the final dot that RFC 6066 §3 forbids.
func serverNameFor(id acme.Identifier) string {
	if id.Type != acme.IP {
		return id.Value
	}
	name, err := dns.ReverseAddr(id.Value)
	if err != nil {
		return "" // not reached: checkRequest has parsed the address
	}
	return strings.TrimSuffix(name, ".")
}

// note writes down what a finished handshake showed.
func (h *Handshake) note(state tls.ConnectionState) {
	h.Version, h.Protocol = tls.VersionName(state.Version), clip(state.NegotiatedProtocol, maxEvidenceText)
	leaf := state.PeerCertificates[0] // without PSK, TLS always has one
	digest := sha256.Sum256(leaf.Raw)
	h.Certificate = hex.EncodeToString(digest[:])
	for _, name := range leaf.DNSNames[:min(len(leaf.DNSNames), maxEvidenceItems)] {
		h.Names = append(h.Names, clip(name, maxEvidenceText))
	}
	for _, ip := range leaf.IPAddresses[:min(len(leaf.IPAddresses), maxEvidenceItems)] {
		h.Names = append(h.Names, ip.String())
	}
}

// finding is what is wrong with a certificate. The words tell the client nothing
// of what is in it, since it may be that of another server inside the network.
type finding string

const (
	isProof       finding = ""
	noIdentifier  finding = "it has no acmeIdentifier extension (RFC 8737 §3)"
	notCritical   finding = "its acmeIdentifier extension is not marked as critical (RFC 8737 §3)"
	notADigest    finding = "its acmeIdentifier extension does not hold an OCTET STRING of 32 octets (RFC 8737 §3)"
	otherDigest   finding = "its acmeIdentifier extension holds another digest: it was made for another challenge or with another account's key"
	noAltName     finding = "it has no subjectAltName extension"
	badAltName    finding = "its subjectAltName extension cannot be read"
	otherAltName  finding = "the name in its subjectAltName extension is another one"
	manyAltNames  finding = "its subjectAltName extension has more than this one name"
	twoExtensions finding = "it has one of its extensions twice"
)

var (
	oidACMEIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31} // RFC 8737 §6.1
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// checkALPNCertificate compares a certificate with what RFC 8737 §3 prescribes:
// id and nothing else in its subjectAltName, and the digest in a critical
// extension. Who signed it and when it is valid does not matter.
func checkALPNCertificate(cert *x509.Certificate, id acme.Identifier, digest [sha256.Size]byte) finding {
	identifier, n := extension(cert, oidACMEIdentifier)
	altName, m := extension(cert, oidSubjectAltName)
	switch {
	case n > 1 || m > 1:
		return twoExtensions
	case n == 0:
		return noIdentifier
	case !identifier.Critical:
		return notCritical
	case m == 0:
		return noAltName
	}
	if found := checkAltName(altName.Value, id); found != isProof {
		return found
	}
	value, isDigest := bytes.CutPrefix(identifier.Value, []byte{byte(cbasn1.OCTET_STRING), sha256.Size}) // DER
	switch {
	case !isDigest || len(value) != sha256.Size:
		return notADigest
	case !bytes.Equal(value, digest[:]):
		return otherDigest
	}
	return isProof
}

// extension finds an extension, and says how often it is there.
func extension(cert *x509.Certificate, oid asn1.ObjectIdentifier) (found pkix.Extension, n int) {
	for _, e := range cert.Extensions {
		if e.Id.Equal(oid) {
			found, n = e, n+1
		}
	}
	return found, n
}

// checkAltName reads GeneralNames (RFC 5280 §4.2.1.6), which must be id alone. It
// reads them itself, because x509 passes over the kinds of names that it does not know.
func checkAltName(der []byte, id acme.Identifier) finding {
	input := cryptobyte.String(der)
	var names, value cryptobyte.String
	var tag cbasn1.Tag
	if !input.ReadASN1(&names, cbasn1.SEQUENCE) || !input.Empty() || !names.ReadAnyASN1(&value, &tag) {
		return badAltName
	}
	if !names.Empty() {
		return manyAltNames
	}
	const dNSName, iPAddress = 2, 7
	same := false
	switch {
	case id.Type == acme.DNS && tag == cbasn1.Tag(dNSName).ContextSpecific():
		// The identifier is ASCII; of the same length, nothing but ASCII folds to it.
		same = len(value) == len(id.Value) && strings.EqualFold(string(value), id.Value)
	case id.Type == acme.IP && tag == cbasn1.Tag(iPAddress).ContextSpecific():
		addr, ok := netip.AddrFromSlice(value)
		same = ok && addr.String() == id.Value
	}
	if !same {
		return otherAltName
	}
	return isProof
}
