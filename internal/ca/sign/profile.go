package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cairn-ca/cairn/acme"
)

// maxCommonName is the bound of X.520 on a common name, in characters (RFC 5280 appendix A.1).
const maxCommonName = 64

// Limits on what a request may ask for.
const (
	maxRSABits     = 8192 // a larger key costs every client dearly and protects no one
	maxRSAExponent = 1 << 31
	defaultNames   = 100 // names in a certificate, as at Let's Encrypt
)

// Profile says what a certificate looks like, and limits again what may be asked for: a
// front that was taken over gets no other certificates than these. Each has key usage
// digitalSignature and is not a CA's.
type Profile struct {
	Name     string
	Validity time.Duration // from notBefore to the end of its last second
	// Longest is the most that a request may ask for (RFC 8555 §7.4); less than Validity means that.
	Longest time.Duration
	// ValidityLimit is the most that Validity may be, by date; nil for no limit.
	ValidityLimit func(now time.Time) time.Duration
	Backdate      time.Duration // how far notBefore lies back, for clients whose clocks are slow

	MaxNames    int                   // names in one certificate; 0 means 100
	Names       acme.Subtrees         // which names there can be; empty for all that the issuer permits
	Identifiers []acme.IdentifierType // and of which types; nil for all
	Keys        []acme.KeyType        // which kinds of keys; nil for all but Ed25519

	CommonName      bool    // the subject names the first domain that fits; otherwise it does not
	Subject         Subject // what else is in the subject
	KeyID           bool    // there is a subject key identifier
	KeyEncipherment bool    // RSA keys may encipher keys, for the key exchange of TLS 1.2 without forward secrecy
	Usages          []Usage // extended key usages; nil means ServerAuth alone
	NoCRL           bool    // there is no CRL distribution point
	NoRevAvail      bool    // the certificate says that its revocation is not published (RFC 9608); only with NoCRL
	LeastRSA        int     // bits of an RSA key, at least; 0 means 2048, and less is for tests
	StapleAsked     bool    // MustStaple is for those requests that ask for it
	MustStaple      bool    // the certificate says that its server staples OCSP responses (RFC 7633)
}

// Subject is what the operator puts into the subject of certificates, beside a common name. Empty fields are left out.
type Subject struct {
	Country            string // two letters (ISO 3166)
	Province, Locality string
	Organization, Unit string
}

// name is s as a subject.
func (s Subject) name() pkix.Name {
	return pkix.Name{
		Country: list(s.Country), Province: list(s.Province), Locality: list(s.Locality),
		Organization: list(s.Organization), OrganizationalUnit: list(s.Unit),
	}
}

// check says which field breaks the bounds of RFC 5280 appendix A.1.
func (s Subject) check() error {
	if s.Country != "" && (len(s.Country) != 2 || strings.Trim(s.Country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		return fmt.Errorf("subject: country %q is not two capital letters, such as DE", s.Country)
	}
	for _, field := range []struct {
		name, value string
		limit       int
	}{
		{"province", s.Province, 128}, {"locality", s.Locality, 128}, {"organization", s.Organization, 64}, {"unit", s.Unit, 64},
	} {
		switch {
		case utf8.RuneCountInString(field.value) > field.limit:
			return fmt.Errorf("subject: %s has more than %d characters (RFC 5280 appendix A.1)", field.name, field.limit)
		case !utf8.ValidString(field.value) || strings.TrimSpace(field.value) != field.value || strings.ContainsFunc(field.value, unicode.IsControl):
			return fmt.Errorf("subject: %s %q begins or ends with a space, or has a character that cannot be seen", field.name, field.value)
		}
	}
	return nil
}

// SubjectText is what the operator puts into the subject, for people; "" for nothing.
func (p Profile) SubjectText() string { return p.Subject.name().String() }

// Classic is the shape that Let's Encrypt gave certificates for its first ten
// years, which about every client has met: 90 days, a common name, a subject
// key identifier. There is no policy: that of the Baseline Requirements claims
// that they were followed, which a private CA cannot (BR §7.1.6.1).
func Classic() Profile {
	return Profile{
		Name:            "classic",
		Validity:        90 * 24 * time.Hour,
		Backdate:        time.Hour,
		MaxNames:        defaultNames,
		CommonName:      true,
		KeyID:           true,
		KeyEncipherment: true,
	}
}

// Check says what of p makes no sense; the text begins with the field as a configuration file has it.
func (p Profile) Check() error {
	switch {
	case p.Name == "":
		return errors.New("a profile has no name")
	case p.Backdate < 0:
		return fmt.Errorf("backdate: %s is not a time", p.Backdate)
	case p.Validity < time.Second+p.Backdate:
		return fmt.Errorf("validity: it is counted from notBefore, so %s with a back-dating of %s leaves nothing: make it longer", p.Validity, p.Backdate)
	case p.Validity%time.Second != 0 || p.Backdate%time.Second != 0:
		return errors.New("validity: certificates know no fractions of a second: give validity and backdate in whole ones")
	case p.MaxNames < 0:
		return fmt.Errorf("max_names: %d is not a number of names", p.MaxNames)
	case p.NoRevAvail && !p.NoCRL:
		return errors.New("no_revocation_available: a certificate with a CRL distribution point must not say so (RFC 9608 §2): add `crl: false`")
	case p.NoRevAvail && (p.MustStaple || p.StapleAsked):
		return errors.New("no_revocation_available: a certificate cannot say so and have OCSP responses stapled: leave out one of it and must_staple")
	}
	for i, usage := range p.Usages {
		if parsed, err := ParseUsage(string(usage)); err != nil {
			return fmt.Errorf("usages: %w", err)
		} else if parsed != usage || slices.Contains(p.Usages[:i], usage) {
			return fmt.Errorf("usages: %q is there twice, or under another name", usage)
		}
	}
	return p.Subject.check()
}

func (p Profile) check() error {
	if err := p.Check(); err != nil {
		return fmt.Errorf("profile %q: %w", p.Name, err)
	}
	return nil
}

// usages are those that p's certificates have.
func (p Profile) usages() []Usage {
	if len(p.Usages) == 0 {
		return []Usage{ServerAuth}
	}
	return p.Usages
}

// limit is how many names a certificate has at most.
func (p Profile) limit() int {
	if p.MaxNames == 0 {
		return defaultNames
	}
	return p.MaxNames
}

// permits says why p does not allow what is asked for; nil if it does.
func (p Profile) permits(r Request) error {
	if len(r.Identifiers) == 0 || len(r.Identifiers) > p.limit() {
		return fmt.Errorf("%d names: a certificate has from 1 to %d", len(r.Identifiers), p.limit())
	}
	free := len(p.Names.Domains)+len(p.Names.Ranges) == 0
	for _, id := range r.Identifiers {
		if p.Identifiers != nil && !slices.Contains(p.Identifiers, id.Type) || !free && !p.Names.Contains(id) {
			return fmt.Errorf("profile %q is not for the name %q", p.Name, id.Value)
		}
	}
	kind := acme.KeyTypeOf(r.PublicKey)
	if p.Keys == nil && kind == acme.KeyEd25519 || p.Keys != nil && !kind.In(p.Keys) {
		return fmt.Errorf("profile %q is not for keys of type %s", p.Name, kind)
	}
	return nil
}

// grace is how far the notBefore that a request asks for may lie back at least, whatever the profile dates back.
const grace = time.Hour

// validity returns the first and the last second of a certificate that is made
// at now for r. Both count (RFC 5280 §4.1.2.5), hence the second less (BR §6.3.2).
// What the profile gives is cut to what the issuer's own validity leaves; what
// the client asked for is given as it is or refused (RFC 8555 §7.4).
func (p Profile) validity(r Request, issuer *x509.Certificate, now time.Time) (notBefore, notAfter time.Time, err error) {
	now = now.UTC().Truncate(time.Second)
	fail := func(format string, args ...any) (time.Time, time.Time, error) {
		return time.Time{}, time.Time{}, fmt.Errorf("%w: %w: "+format, append([]any{ErrRefused, ErrValidity}, args...)...)
	}
	if now.Before(issuer.NotBefore) || now.After(issuer.NotAfter) {
		return time.Time{}, time.Time{}, fmt.Errorf("the issuer's certificate is valid from %s to %s only: it cannot sign now",
			issuer.NotBefore.Format(time.RFC3339), issuer.NotAfter.Format(time.RFC3339))
	}
	earliest := later(now.Add(-p.Backdate), issuer.NotBefore)
	notBefore = earliest
	if !r.NotBefore.IsZero() {
		notBefore = r.NotBefore.UTC()
		// An order waits for its validations: what was "now" when it was made may have passed since.
		oldest := later(now.Add(-max(p.Backdate, grace)), issuer.NotBefore)
		if notBefore.Before(oldest) || notBefore.After(now.Add(max(p.Validity, p.Longest))) {
			return fail("notBefore %s is out of the profile's range", notBefore.Format(time.RFC3339))
		}
	}
	validity := p.Validity
	if !r.NotAfter.IsZero() {
		validity = max(validity, p.Longest)
	}
	if p.ValidityLimit != nil {
		validity = min(validity, p.ValidityLimit(now))
	}
	latest := notBefore.Add(validity - time.Second)
	if latest.After(issuer.NotAfter) {
		latest = issuer.NotAfter
	}
	notAfter = latest
	if !r.NotAfter.IsZero() {
		notAfter = r.NotAfter.UTC()
		if notAfter.After(latest) {
			return fail("notAfter %s is later than %s, which is the most", notAfter.Format(time.RFC3339), latest.Format(time.RFC3339))
		}
	}
	if notBefore.Nanosecond() != 0 || notAfter.Nanosecond() != 0 {
		return fail("validity in fractions of a second")
	}
	if !notAfter.After(notBefore) || notAfter.Before(now) {
		return fail("a validity from %s to %s", notBefore.Format(time.RFC3339), notAfter.Format(time.RFC3339))
	}
	return notBefore, notAfter, nil
}

// template is the certificate that p gives for r, valid as said.
func (p Profile) template(r Request, issuer Issuer, serial []byte) (*x509.Certificate, error) {
	t := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		Subject:               p.Subject.name(), // if it is empty, the SAN is critical (RFC 5280 §4.2.1.6)
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true, // critical, and cA left at FALSE
		IssuingCertificateURL: list(issuer.IssuerURL),
	}
	setUsages(t, p.usages())
	if !p.NoCRL {
		t.CRLDistributionPoints = list(issuer.CRLURL)
	}
	if p.StapleAsked {
		p.MustStaple = p.MustStaple || r.MustStaple
	}
	t.OCSPServer = list(issuer.OCSPURL)
	t.ExtraExtensions = p.extensions()
	if _, ok := r.PublicKey.(*rsa.PublicKey); ok && p.KeyEncipherment {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment // for the RSA key exchange of TLS 1.2
	}
	for _, id := range r.Identifiers {
		if id.Type == acme.IP {
			t.IPAddresses = append(t.IPAddresses, shortest(net.ParseIP(id.Value)))
			continue
		}
		t.DNSNames = append(t.DNSNames, id.Value)
		if p.CommonName && t.Subject.CommonName == "" && len(id.Value) <= maxCommonName {
			t.Subject.CommonName = id.Value
		}
	}
	if p.KeyID {
		id, err := keyIdentifier(r.PublicKey)
		if err != nil {
			return nil, err
		}
		t.SubjectKeyId = id
	}
	return t, nil
}

// extensions are those that crypto/x509 does not know.
func (p Profile) extensions() (list []pkix.Extension) {
	if p.MustStaple {
		list = append(list, pkix.Extension{
			Id:    asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, // id-pe-tlsfeature (RFC 7633 §6)
			Value: []byte{0x30, 0x03, 0x02, 0x01, 0x05},              // SEQUENCE { status_request(5) }
		})
	}
	if p.NoRevAvail {
		list = append(list, pkix.Extension{
			Id:    asn1.ObjectIdentifier{2, 5, 29, 56}, // id-ce-noRevAvail (RFC 9608 §2)
			Value: []byte{0x05, 0x00},                  // NULL
		})
	}
	return list
}

// checkKey refuses keys that no client should use (BR §6.1.5, §6.1.6). RSA keys have leastRSA bits or more.
func checkKey(pub crypto.PublicKey, leastRSA int) error {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			_, err := pub.ECDH() // fails for a point that is not on the curve
			return err
		}
		return errors.New("the key's curve is not P-256, P-384 or P-521")
	case ed25519.PublicKey:
		return nil // of the right length, since it was parsed; what else it may be is the profile's
	case *rsa.PublicKey:
		bits := pub.N.BitLen()
		switch {
		case bits < leastRSA || bits > maxRSABits || bits%8 != 0:
			return fmt.Errorf("an RSA key of %d bits", bits)
		case pub.E < 3 || pub.E%2 == 0 || pub.E > maxRSAExponent:
			return errors.New("the RSA key's exponent is even, too small or too large")
		}
		return nil
	}
	return fmt.Errorf("a key of type %T", pub)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// shortest is ip in 4 octets if it is an IPv4 address (RFC 5280 §4.2.1.6).
func shortest(ip net.IP) net.IP {
	if v4 := ip.To4(); v4 != nil {
		return v4
	}
	return ip
}
