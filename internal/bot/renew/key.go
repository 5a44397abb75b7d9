package renew

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// KeySpec says what key a certificate gets, in the words of the options.
type KeySpec struct {
	Type  string `json:"type"`            // "ecdsa" or "rsa"
	Curve string `json:"curve,omitempty"` // "secp256r1", "secp384r1" or "secp521r1"; for ecdsa
	Bits  int    `json:"bits,omitempty"`  // at least 2048; for rsa
}

// DefaultCurve and DefaultBits are what a key has where nothing else is asked for.
const (
	DefaultCurve = "secp256r1"
	DefaultBits  = 2048
)

// Complete fills in the defaults, drops what does not belong to the type, and checks the rest.
func (s KeySpec) Complete() (KeySpec, error) {
	switch s.Type {
	case "", "ecdsa":
		s.Type, s.Bits = "ecdsa", 0
		if s.Curve == "" {
			s.Curve = DefaultCurve
		}
		if curveNamed(s.Curve) == nil {
			return s, fmt.Errorf("elliptic curve %q is not known: use secp256r1, secp384r1 or secp521r1", s.Curve)
		}
	case "rsa":
		s.Curve = ""
		if s.Bits == 0 {
			s.Bits = DefaultBits
		}
		if s.Bits < 2048 || s.Bits > 16384 || s.Bits%8 != 0 {
			return s, fmt.Errorf("an RSA key of %d bits is not possible: use 2048, 3072 or 4096", s.Bits)
		}
	default:
		return s, fmt.Errorf("key type %q is not known: use ecdsa or rsa", s.Type)
	}
	return s, nil
}

func curveNamed(name string) elliptic.Curve {
	switch name {
	case "secp256r1":
		return elliptic.P256()
	case "secp384r1":
		return elliptic.P384()
	case "secp521r1":
		return elliptic.P521()
	}
	return nil
}

// Generate makes a key of a complete spec.
func (s KeySpec) Generate() (crypto.Signer, error) {
	if s.Type == "rsa" {
		return rsa.GenerateKey(rand.Reader, s.Bits)
	}
	return ecdsa.GenerateKey(curveNamed(s.Curve), rand.Reader)
}

// EncodeKey writes a private key as PKCS#8 in PEM.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
