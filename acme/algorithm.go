package acme

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384 and crypto.SHA512
	"encoding/asn1"
	"math/big"
)

// algorithm is a way to sign a JWS (RFC 7518 §3.1, RFC 8037 §3.1).
type algorithm struct {
	name  string
	hash  crypto.Hash
	curve elliptic.Curve // for ECDSA
}

// algorithms is all that ACME may use here: no MAC and no "none" (RFC 8555 §6.2).
var algorithms = []algorithm{
	{name: "ES256", hash: crypto.SHA256, curve: elliptic.P256()},
	{name: "ES384", hash: crypto.SHA384, curve: elliptic.P384()},
	{name: "ES512", hash: crypto.SHA512, curve: elliptic.P521()},
	{name: "RS256", hash: crypto.SHA256},
	{name: "EdDSA"},
}

// AlgorithmNames lists the JWS algorithms that requests may be signed with.
func AlgorithmNames() []string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = a.name
	}
	return names
}

func knownAlgorithm(name string) bool {
	for _, a := range algorithms {
		if a.name == name {
			return true
		}
	}
	return false
}

// badAlgorithm lists what can be used instead (RFC 8555 §6.2).
func badAlgorithm(format string, args ...any) *Problem {
	problem := Problemf(TypeBadSignatureAlgorithm, format, args...)
	problem.Algorithms = AlgorithmNames()
	return problem
}

// algorithmFor gives the one algorithm that a public key is used with.
func algorithmFor(public crypto.PublicKey) (algorithm, bool) {
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		return ecdsaAlgorithm(public.Curve)
	case *rsa.PublicKey:
		return algorithms[3], true
	case ed25519.PublicKey:
		return algorithms[4], true
	}
	return algorithm{}, false
}

func (a algorithm) digest(signed []byte) []byte {
	h := a.hash.New()
	h.Write(signed)
	return h.Sum(nil)
}

func (a algorithm) verify(public crypto.PublicKey, signed, signature []byte) bool {
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		// RFC 7518 §3.4: R and S, each as long as the field; the DER form is not a JWS signature.
		size := fieldSize(a.curve)
		if len(signature) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		return ecdsa.Verify(public, a.digest(signed), r, s)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, a.hash, a.digest(signed), signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(public, signed, signature)
	}
	return false
}

func (a algorithm) sign(key crypto.Signer, signed []byte) ([]byte, error) {
	if a.hash == 0 { // Ed25519 hashes by itself
		return key.Sign(rand.Reader, signed, crypto.Hash(0))
	}
	signature, err := key.Sign(rand.Reader, a.digest(signed), a.hash)
	if err != nil || a.curve == nil {
		return signature, err
	}
	var parts struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &parts); err != nil {
		return nil, err
	}
	size := fieldSize(a.curve)
	fixed := make([]byte, 2*size)
	parts.R.FillBytes(fixed[:size])
	parts.S.FillBytes(fixed[size:])
	return fixed, nil
}

// fieldSize is the length of a coordinate of curve in octets.
func fieldSize(curve elliptic.Curve) int { return (curve.Params().BitSize + 7) / 8 }
