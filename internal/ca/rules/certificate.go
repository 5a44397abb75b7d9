package rules

import (
	"bytes"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// State is how far the signing of a certificate has come. The row of a certificate
// is also the signer's journal: it is there before the signature is.
type State string

// The states of a certificate. Reserved becomes one of the other two, which are final.
const (
	Reserved  State = "reserved"  // the serial is taken and a signature may exist
	Issued    State = "issued"    // signed and stored
	Abandoned State = "abandoned" // never to be handed out, and revoked in case a signature exists
)

// OwnPurpose is what Certificate.Order begins with where the certificate is the CA's own.
const OwnPurpose = "https-"

// Certificate is a certificate that was issued or may have been.
type Certificate struct {
	Serial    string // lower-case hex, two digits an octet
	Issuer    string // the ID of the issuer
	Order     string // what it was issued for: an order's ID, or for the CA's own OwnPurpose with an ID
	Account   string // "" for the CA's own
	Profile   string
	State     State
	Digest    []byte // SHA-256 of the TBSCertificate that was to be signed
	DER       []byte // once issued
	Key       []byte // KeyDigest of the certified key, once issued; nil in records from before there was this field
	NotBefore time.Time
	NotAfter  time.Time
	Created   time.Time
	Revoked   time.Time // zero if it is not
	Reason    int       // RFC 5280 §5.3.1; 0 if none was given
}

// The reasons for revocation that a subscriber may give (RFC 5280 §5.3.1, BR §7.2.2).
const (
	Unspecified          = 0
	KeyCompromise        = 1
	AffiliationChanged   = 3
	Superseded           = 4
	CessationOfOperation = 5
)

// Revoke decides on a revokeCert request by someone who may make it (RFC 8555 §7.6).
// Revocation is final; the holder of the key may still say that it is compromised.
func (c Certificate) Revoke(reason *int, byItsKey bool, now time.Time) (Certificate, *acme.Problem) {
	why := Unspecified
	if reason != nil {
		why = *reason
	}
	switch why {
	case Unspecified, KeyCompromise, AffiliationChanged, Superseded, CessationOfOperation:
	default:
		return c, acme.Problemf(acme.TypeBadRevocationReason, "reason %d cannot be given: use 0, 1, 3, 4 or 5, or none", why)
	}
	if !now.Before(c.NotAfter) {
		return c, acme.Problemf(acme.TypeMalformed, "the certificate has expired: there is nothing to revoke")
	}
	if !c.Revoked.IsZero() {
		if byItsKey && why == KeyCompromise && c.Reason != KeyCompromise {
			c.Reason = KeyCompromise // BR §4.9.1.1: later evidence upgrades the reason
			return c, nil
		}
		return c, acme.Problemf(acme.TypeAlreadyRevoked, "the certificate was revoked on %s", c.Revoked.UTC().Format(time.RFC3339))
	}
	c.Revoked, c.Reason = now, why
	return c, nil
}

// RevokeSibling revokes c because its key, which others have certificates for too, is compromised (BR §4.9.1.1 (3)). It
// reports false where there is nothing to revoke.
func (c Certificate) RevokeSibling(now time.Time) (Certificate, bool) {
	if c.State != Issued || !c.Revoked.IsZero() || !now.Before(c.NotAfter) {
		return c, false
	}
	c.Revoked, c.Reason = now, KeyCompromise
	return c, true
}

// IsFor reports whether der is this certificate to the last octet.
func (c Certificate) IsFor(der []byte) bool {
	return c.State == Issued && bytes.Equal(c.DER, der)
}

// Abandon gives up a serial whose signing did not finish. In case a signature exists, it is revoked.
func (c Certificate) Abandon(now time.Time) Certificate {
	c.State, c.Revoked, c.Reason = Abandoned, now, Superseded
	return c
}
