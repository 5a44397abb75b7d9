package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

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

// Profile says what a certificate looks like. All are for TLS servers: extended
// key usage serverAuth alone, key usage digitalSignature (and keyEncipherment
// for RSA), not a CA.
type Profile struct {
	Name       string
	Validity   time.Duration // from notBefore to the end of its last second
	Backdate   time.Duration // how far notBefore lies back, for clients whose clocks are slow
	MaxNames   int           // names in one certificate; 0 means 100
	CommonName bool          // the subject names the first domain that fits; otherwise it is empty
	KeyID      bool          // there is a subject key identifier
}

// Classic is the shape that Let's Encrypt gave certificates for its first ten
// years, which about every client has met: 90 days, a common name, a subject
// key identifier. There is no policy: that of the Baseline Requirements claims
// that they were followed, which a private CA cannot (BR §7.1.6.1).
func Classic() Profile {
	return Profile{
		Name:       "classic",
		Validity:   90 * 24 * time.Hour,
		Backdate:   time.Hour,
		MaxNames:   defaultNames,
		CommonName: true,
		KeyID:      true,
	}
}

func (p Profile) check() error {
	switch {
	case p.Name == "":
		return errors.New("a profile has no name")
	case p.Backdate < 0 || p.Validity < time.Second+p.Backdate:
		return fmt.Errorf("profile %q: a validity of %s and a back-dating of %s leave nothing", p.Name, p.Validity, p.Backdate)
	case p.MaxNames < 0:
		return fmt.Errorf("profile %q: the limit on names is negative", p.Name)
	}
	return nil
}

// validity returns the first and the last second of a certificate that is made
// at now for r. Both count (RFC 5280 §4.1.2.5), hence the second less (BR §6.3.2).
// What the profile gives is cut to what the issuer's own validity leaves; what
// the client asked for is given as it is or refused (RFC 8555 §7.4).
func (p Profile) validity(r Request, issuer *x509.Certificate, now time.Time) (notBefore, notAfter time.Time, err error) {
	now = now.UTC().Truncate(time.Second)
	fail := func(format string, args ...any) (time.Time, time.Time, error) {
		return time.Time{}, time.Time{}, fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
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
		if notBefore.Before(earliest) || notBefore.After(now.Add(p.Validity)) {
			return fail("notBefore %s is out of the profile's range", notBefore.Format(time.RFC3339))
		}
	}
	latest := notBefore.Add(p.Validity - time.Second)
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
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, // critical, and cA left at FALSE
		IssuingCertificateURL: list(issuer.IssuerURL),
		CRLDistributionPoints: list(issuer.CRLURL),
	}
	if _, ok := r.PublicKey.(*rsa.PublicKey); ok {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment // for the RSA key exchange of TLS 1.2
	}
	for _, id := range r.Identifiers {
		if id.Type == acme.IP {
			t.IPAddresses = append(t.IPAddresses, shortest(net.ParseIP(id.Value)))
			continue
		}
		t.DNSNames = append(t.DNSNames, id.Value)
		if p.CommonName && t.Subject.CommonName == "" && len(id.Value) <= maxCommonName {
			t.Subject = pkix.Name{CommonName: id.Value} // else empty, and then the SAN is critical (RFC 5280 §4.2.1.6)
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

// checkKey refuses keys that no client should use (BR §6.1.5, §6.1.6).
func checkKey(pub crypto.PublicKey) error {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			_, err := pub.ECDH() // fails for a point that is not on the curve
			return err
		}
		return errors.New("the key's curve is not P-256, P-384 or P-521")
	case *rsa.PublicKey:
		bits := pub.N.BitLen()
		switch {
		case bits < minRSABits || bits > maxRSABits || bits%8 != 0:
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
