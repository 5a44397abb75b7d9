package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

const pemPrivateKey = "PRIVATE KEY" // RFC 7468 §10: PKCS#8

// minRSABits is the least size of an RSA key, of a CA or a subscriber (BR §6.1.5).
const minRSABits = 2048

// NewKey makes a private key on the curve: P-384 for a root, P-256 for an intermediate.
func NewKey(curve elliptic.Curve) (*ecdsa.PrivateKey, error) {
	if curve != elliptic.P256() && curve != elliptic.P384() {
		return nil, errors.New("making a key: the curve is neither P-256 nor P-384")
	}
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return key, nil
}

// EncodeKey returns key as one PEM block of PKCS#8 (RFC 5958), without a password.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}), nil
}

// ParseKey reads what EncodeKey wrote: one PEM block of PKCS#8 and nothing
// after it, with a key that a CA may use: ECDSA on P-256 or P-384, or RSA of
// 2048 bits and more.
func ParseKey(text []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("reading a key: there is no PEM block")
	}
	if block.Type != pemPrivateKey {
		return nil, fmt.Errorf("reading a key: the PEM block is %.40q, not %q (PKCS#8)", block.Type, pemPrivateKey)
	}
	if len(bytes.TrimSpace(rest)) != 0 {
		return nil, errors.New("reading a key: there is more after the first PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("reading a key: a %T cannot sign", parsed)
	}
	if _, err := algorithmOf(key.Public()); err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	return key, nil
}

// algorithmOf says how a CA's key signs. The hash is fixed by the curve (BR §7.1.3.2.2).
func algorithmOf(pub crypto.PublicKey) (x509.SignatureAlgorithm, error) {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256():
			return x509.ECDSAWithSHA256, nil
		case elliptic.P384():
			return x509.ECDSAWithSHA384, nil
		}
		return 0, fmt.Errorf("a CA does not sign with curve %s", pub.Curve.Params().Name)
	case *rsa.PublicKey:
		if bits := pub.N.BitLen(); bits < minRSABits {
			return 0, fmt.Errorf("an RSA key of %d bits is too small: %d is the least", bits, minRSABits)
		}
		return x509.SHA256WithRSA, nil
	}
	return 0, fmt.Errorf("a CA does not sign with a %T", pub)
}

// throwawayFor makes a key that signs as pub's owner does, to be used on what is only linted.
func throwawayFor(pub crypto.PublicKey) (crypto.Signer, error) {
	if pub, ok := pub.(*ecdsa.PublicKey); ok {
		return NewKey(pub.Curve)
	}
	return rsa.GenerateKey(rand.Reader, minRSABits)
}

// keyIdentifier is the subject key identifier of pub: the first 160 bits of the
// SHA-256 of the subjectPublicKey (RFC 7093 §2 method 1).
func keyIdentifier(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) != 0 {
		return nil, errors.New("the public key's encoding is not a SubjectPublicKeyInfo")
	}
	sum := sha256.Sum256(info.Key.RightAlign())
	return sum[:20], nil
}

// newSerial draws a serial number of 19 octets: the minutes since 1970 in four, and 120 bits from a CSPRNG
// (RFC 5280 §4.1.2.2: positive, at most 20 octets; BR §7.1: at least 64 random bits, not sequential). Its second bit
// is set, so that it has as many hexadecimal digits for those who leave out the first zero.
// What begins with its time is stored beside what is made at the same time, however many
// certificates there are; a certificate says when it was made anyway.
func newSerial(now time.Time) []byte {
	serial := binary.BigEndian.AppendUint32(make([]byte, 0, 19), uint32(now.Unix()/60)|1<<30) // so until 4011
	serial = serial[:19]
	_, _ = rand.Read(serial[4:]) // crypto/rand.Read never fails since Go 1.24: it ends the program instead
	return serial
}
