package sign

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

// CRLRequest asks for a CRL.
type CRLRequest struct {
	Issuer     string    // Issuer.ID
	Number     uint64    // rises with every CRL of the issuer (RFC 5280 §5.2.3)
	ThisUpdate time.Time // cut to the second
	NextUpdate time.Time // cut to the second; later than ThisUpdate
	Entries    []Revocation

	// URLs are the CRL's own names: where the certificates say that it is. More
	// than one, if that has changed over time; empty means the issuer's CRLURL.
	// The CRL of a root is given none, whatever they are: its own certificate
	// points to no CRL, so what checks a whole chain (OpenSSL's -crl_check_all,
	// nginx's ssl_crl) takes only a CRL without a name for it.
	URLs []string
}

// Revocation is one entry of a CRL.
type Revocation struct {
	Serial string    // hex, two digits an octet
	At     time.Time // cut to the second, and to ThisUpdate if it is later
	Reason int       // CRLReason: 1, 3, 4, 5 or 9, or 0 for none given (RFC 5280 §5.3.1; BR §7.2.2)
}

// CRL builds a CRL, lints it, signs it and returns its DER. The entries may be
// in any order, each serial once. A CRL for an issuer of end-entity
// certificates says that it covers only those.
func (s *Signer) CRL(ctx context.Context, r CRLRequest) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("making CRL %d of issuer %q: %w", r.Number, r.Issuer, err)
	}
	a := s.authorities[r.Issuer]
	if a == nil {
		return nil, fmt.Errorf("making a CRL: there is no issuer %q", r.Issuer)
	}
	template, err := r.template(a.Issuer)
	if err != nil {
		return nil, fmt.Errorf("making CRL %d of issuer %q: %w", r.Number, r.Issuer, err)
	}
	linted, err := a.lintCRL(template)
	if err != nil {
		return nil, fmt.Errorf("making CRL %d of issuer %q: %w", r.Number, r.Issuer, err)
	}
	der, err := a.sign(linted)
	if err != nil {
		return nil, fmt.Errorf("making CRL %d of issuer %q: %w", r.Number, r.Issuer, err)
	}
	return der, nil
}

func (r CRLRequest) template(issuer Issuer) (*x509.RevocationList, error) {
	t := &x509.RevocationList{
		Number:     new(big.Int).SetUint64(r.Number),
		ThisUpdate: r.ThisUpdate.UTC().Truncate(time.Second),
		NextUpdate: r.NextUpdate.UTC().Truncate(time.Second),
	}
	if !t.NextUpdate.After(t.ThisUpdate) {
		return nil, fmt.Errorf("%w: nextUpdate is not after thisUpdate", ErrRefused)
	}
	for _, revocation := range r.Entries {
		entry, err := revocation.entry(t.ThisUpdate)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, entry)
	}
	slices.SortFunc(t.RevokedCertificateEntries, func(a, b x509.RevocationListEntry) int {
		return a.SerialNumber.Cmp(b.SerialNumber)
	})
	urls := r.URLs
	if len(urls) == 0 {
		urls = list(issuer.CRLURL)
	}
	root := bytes.Equal(issuer.Certificate.RawSubject, issuer.Certificate.RawIssuer)
	if root || len(urls) == 0 {
		return t, nil // a CRL without the extension is for all of its issuer's certificates (RFC 5280 §5.2.5)
	}
	for _, address := range urls {
		if err := checkURL(address); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	onlyUsers := issuer.Certificate.MaxPathLenZero // it cannot issue for another CA
	value, err := distributionPoint(urls, onlyUsers)
	if err != nil {
		return nil, err
	}
	t.ExtraExtensions = []pkix.Extension{{
		Id:       asn1.ObjectIdentifier{2, 5, 29, 28}, // id-ce-issuingDistributionPoint
		Critical: true,                                // RFC 5280 §5.2.5
		Value:    value,
	}}
	return t, nil
}

func (r Revocation) entry(thisUpdate time.Time) (x509.RevocationListEntry, error) {
	serial, err := hex.DecodeString(r.Serial)
	if err != nil || len(serial) == 0 || len(serial) > 20 || bytes.Equal(serial, make([]byte, len(serial))) {
		return x509.RevocationListEntry{}, fmt.Errorf("%q is not a serial number", r.Serial)
	}
	switch r.Reason {
	case 0, 1, 3, 4, 5, 9: // Go leaves the extension out for 0, as RFC 5280 §5.3.1 asks
	default:
		return x509.RevocationListEntry{}, fmt.Errorf("serial %s: reason %d is none that a CRL of ours gives", r.Serial, r.Reason)
	}
	at := r.At.UTC().Truncate(time.Second)
	if r.At.IsZero() {
		return x509.RevocationListEntry{}, fmt.Errorf("serial %s has no date of revocation", r.Serial)
	}
	if at.After(thisUpdate) {
		at = thisUpdate // a clock that was set back must not keep every revocation off the CRL
	}
	return x509.RevocationListEntry{
		SerialNumber:   new(big.Int).SetBytes(serial),
		RevocationTime: at,
		ReasonCode:     r.Reason,
	}, nil
}

// distributionPoint encodes an IssuingDistributionPoint (RFC 5280 §5.2.5). A
// client takes the CRL for the one that a certificate points to only if one of
// the names is the same, byte for byte (RFC 5280 §6.3.3 (b)(2)).
func distributionPoint(urls []string, onlyUsers bool) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	context := func(n uint8) tags.Tag { return tags.Tag(n).ContextSpecific() }
	b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(context(0).Constructed(), func(b *cryptobyte.Builder) { // distributionPoint
			b.AddASN1(context(0).Constructed(), func(b *cryptobyte.Builder) { // fullName
				for _, url := range urls {
					b.AddASN1(context(6), func(b *cryptobyte.Builder) { // uniformResourceIdentifier
						b.AddBytes([]byte(url))
					})
				}
			})
		})
		if onlyUsers {
			b.AddASN1(context(1), func(b *cryptobyte.Builder) { // onlyContainsUserCerts
				b.AddUint8(0xff)
			})
		}
	})
	return b.Bytes()
}
