package acme

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// RenewalInfo is when a server suggests to renew a certificate (RFC 9773 §4.2).
type RenewalInfo struct {
	SuggestedWindow RenewalWindow `json:"suggestedWindow"`
	ExplanationURL  string        `json:"explanationURL,omitempty"` // a page for people
}

// RenewalWindow bounds the suggested time of a renewal. End is after Start (RFC 9773 §4.2).
type RenewalWindow struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Bounds on the parts of a CertID, in octets. RFC 5280 §4.1.2.2 allows serial numbers of 20
// octets; a key identifier is a hash, and the longest that is in use has 64.
const (
	maxCertIDKey    = 64
	maxCertIDSerial = 20
)

// CertID names a certificate by who issued it and its serial number (RFC 9773 §4.1).
type CertID struct {
	KeyID  []byte // the keyIdentifier of the certificate's authority key identifier
	serial []byte // the content octets of the serial number in DER
}

// ErrNoKeyID means that a certificate does not say which key signed it, and so has no CertID.
var ErrNoKeyID = errors.New("the certificate has no authority key identifier")

// CertIDOf is the CertID of a certificate.
func CertIDOf(cert *x509.Certificate) (CertID, error) {
	if len(cert.AuthorityKeyId) == 0 {
		return CertID{}, ErrNoKeyID
	}
	encoded, err := asn1.Marshal(cert.SerialNumber)
	if err != nil {
		return CertID{}, fmt.Errorf("encoding a serial number: %w", err)
	}
	var content asn1.RawValue
	if _, err := asn1.Unmarshal(encoded, &content); err != nil {
		return CertID{}, fmt.Errorf("encoding a serial number: %w", err)
	}
	return CertID{KeyID: cert.AuthorityKeyId, serial: content.Bytes}, nil
}

// ParseCertID reads a CertID. There is one way to write it: base64url without padding
// of both parts, and a positive serial number in as few octets as DER needs (RFC 9773 §4.1).
func ParseCertID(text string) (CertID, *Problem) {
	bad := func(why string) (CertID, *Problem) {
		return CertID{}, Problemf(TypeMalformed, "%.128q is not the identifier of a certificate: %s (RFC 9773 §4.1)", text, why)
	}
	first, second, found := strings.Cut(text, ".")
	if !found {
		return bad("it is not of two parts with a period in between")
	}
	strict := base64.RawURLEncoding.Strict()
	if len(first) > strict.EncodedLen(maxCertIDKey) || len(second) > strict.EncodedLen(maxCertIDSerial+1) {
		return bad("it is too long")
	}
	if !isBase64URL(first) || !isBase64URL(second) { // a decoder would skip line breaks
		return bad("a part is not base64url without padding")
	}
	key, err := strict.DecodeString(first)
	serial, err2 := strict.DecodeString(second)
	switch {
	case err != nil || err2 != nil:
		return bad("a part is not base64url without padding")
	case len(key) == 0:
		return bad("the key identifier is empty")
	case len(serial) == 0:
		return bad("the serial number is empty")
	case serial[0]&0x80 != 0:
		return bad("the serial number is negative: the first octet must be 00")
	case serial[0] == 0 && (len(serial) == 1 || serial[1]&0x80 == 0):
		return bad("the serial number is zero or longer than DER makes it")
	case len(serial) > maxCertIDSerial:
		return bad("the serial number has more than 20 octets")
	}
	return CertID{KeyID: key, serial: serial}, nil
}

// String writes id as it stands in URLs and in an order's "replaces".
func (id CertID) String() string {
	return base64.RawURLEncoding.EncodeToString(id.KeyID) + "." + base64.RawURLEncoding.EncodeToString(id.serial)
}

// Serial is the serial number in lower-case hex, two digits an octet, without the octet for the sign.
func (id CertID) Serial() string {
	if len(id.serial) > 1 && id.serial[0] == 0 {
		return hex.EncodeToString(id.serial[1:])
	}
	return hex.EncodeToString(id.serial)
}
