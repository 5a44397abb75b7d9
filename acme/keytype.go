package acme

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// KeyType is a kind of key that is certified: "RSA" of any size, "RSA-2048" or another size in
// bits, "P-256", "P-384", "P-521" or "Ed25519".
type KeyType string

// The kinds of keys without a size.
const (
	KeyRSA     KeyType = "RSA"
	KeyP256    KeyType = "P-256"
	KeyP384    KeyType = "P-384"
	KeyP521    KeyType = "P-521"
	KeyEd25519 KeyType = "Ed25519"
)

// ParseKeyType reads the name of a kind of key, in any case.
func ParseKeyType(name string) (KeyType, error) {
	for _, known := range []KeyType{KeyRSA, KeyP256, KeyP384, KeyP521, KeyEd25519} {
		if strings.EqualFold(name, string(known)) {
			return known, nil
		}
	}
	if size, ok := strings.CutPrefix(strings.ToUpper(name), "RSA-"); ok {
		if bits, err := strconv.Atoi(size); err == nil && strconv.Itoa(bits) == size && bits >= 2048 && bits <= 8192 && bits%8 == 0 {
			return KeyType("RSA-" + size), nil
		}
	}
	return "", fmt.Errorf("%q is not a kind of key: use RSA, RSA-2048 (or another size to 8192), P-256, P-384, P-521 or Ed25519", name)
}

// KeyTypeOf is the kind of a public key, with its size if it is RSA; "" if it is of no known kind.
func KeyTypeOf(public crypto.PublicKey) KeyType {
	switch public := public.(type) {
	case *rsa.PublicKey:
		return KeyType(fmt.Sprintf("RSA-%d", public.N.BitLen()))
	case *ecdsa.PublicKey:
		return KeyType(public.Curve.Params().Name)
	case ed25519.PublicKey:
		return KeyEd25519
	}
	return ""
}

// In reports whether t is one of allowed, among which KeyRSA stands for every size.
func (t KeyType) In(allowed []KeyType) bool {
	return slices.Contains(allowed, t) || strings.HasPrefix(string(t), "RSA-") && slices.Contains(allowed, KeyRSA)
}
