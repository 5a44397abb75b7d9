package acme

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// Key is a public key in the form of a JSON Web Key (RFC 7517): an account's
// identity. The zero Key is not usable.
type Key struct {
	jwk        jose.JSONWebKey
	thumbprint string
}

// NewKey wraps an *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey.
func NewKey(public crypto.PublicKey) (*Key, error) {
	return newKey(jose.JSONWebKey{Key: public})
}

// ParseKey reads a JWK from a peer. It refuses private keys, symmetric keys,
// points off their curve and kinds of key that no ACME algorithm uses.
// Whether the key is strong enough is for the caller to say.
func ParseKey(data []byte) (*Key, *Problem) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil || members == nil {
		return nil, Problemf(TypeMalformed, `"jwk" is not a JSON object with unique members`)
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, ok := members[private]; ok {
			return nil, Problemf(TypeBadPublicKey, "the JWK has the member %q of a secret key: send the public part alone, and replace that key", private)
		}
	}
	// Only what identifies a key counts (RFC 7638 §3.2); certificates in x5c and the like are not looked at.
	required := make(map[string]string, 4)
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
		raw, ok := members[name]
		if !ok {
			continue
		}
		var value string
		if err := json.Unmarshal(raw, &value); err != nil {
			return nil, Problemf(TypeMalformed, "the member %q of the JWK is not a string", name)
		}
		required[name] = value
	}
	canonical, err := json.Marshal(required)
	if err != nil {
		return nil, Problemf(TypeMalformed, `"jwk" cannot be read`)
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(canonical); err != nil {
		return nil, Problemf(TypeBadPublicKey, "the JWK is not a valid RSA, P-256, P-384, P-521 or Ed25519 public key")
	}
	key, err := newKey(jwk)
	if err != nil {
		return nil, Problemf(TypeBadPublicKey, "%v", err)
	}
	return key, nil
}

func newKey(jwk jose.JSONWebKey) (*Key, error) {
	switch public := jwk.Key.(type) {
	case *ecdsa.PublicKey:
		if _, ok := ecdsaAlgorithm(public.Curve); !ok {
			return nil, fmt.Errorf("curve %s is not supported: use P-256, P-384 or P-521", public.Curve.Params().Name)
		}
	case *rsa.PublicKey, ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("keys of this kind are not supported: use RSA, P-256, P-384, P-521 or Ed25519")
	}
	digest, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("computing the JWK thumbprint: %w", err)
	}
	return &Key{jwk: jwk, thumbprint: base64.RawURLEncoding.EncodeToString(digest)}, nil
}

// Public is the key itself: *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.jwk.Key }

// Thumbprint is the RFC 7638 thumbprint with SHA-256, as base64url: what RFC 8555 §8.1 puts after a token.
func (k *Key) Thumbprint() string { return k.thumbprint }

// Equal reports whether k and other are the same public key.
func (k *Key) Equal(other *Key) bool { return k.thumbprint == other.thumbprint }

// MarshalJSON writes the JWK with the members that identify the key and no others.
func (k *Key) MarshalJSON() ([]byte, error) { return k.jwk.MarshalJSON() }

// UnmarshalJSON reads what MarshalJSON wrote. Input of a peer goes through ParseKey.
func (k *Key) UnmarshalJSON(data []byte) error {
	parsed, problem := ParseKey(data)
	if problem != nil {
		return problem
	}
	*k = *parsed
	return nil
}

// ecdsaAlgorithm gives the JWS algorithm that RFC 7518 §3.4 ties to curve.
func ecdsaAlgorithm(curve elliptic.Curve) (algorithm, bool) {
	for _, a := range algorithms {
		if a.curve != nil && a.curve == curve {
			return a, true
		}
	}
	return algorithm{}, false
}
