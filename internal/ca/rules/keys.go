package rules

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"math/big"
	"sync"
)

// KeyDigest is the SHA-256 of a key's SubjectPublicKeyInfo, by which compromised keys are known (BR §6.1.1.3 (4)).
func KeyDigest(public crypto.PublicKey) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encoding a public key: %w", err)
	}
	digest := sha256.Sum256(spki)
	return digest[:], nil
}

// fermatRounds is how far BR §6.1.1.3 (3) wants Fermat's factorization tried.
const fermatRounds = 100

// smallPrimes is the product of the primes below 752 (BR §6.1.6).
var smallPrimes = sync.OnceValue(func() *big.Int { return primorial(752) })

// leastRSA is how many bits an RSA key has at least (BR §6.1.5).
const leastRSA = 2048

// weakness says why public is not good enough to identify an account or to be
// certified (BR §6.1.1.3, §6.1.5, §6.1.6), beginning with a verb; "" if it is. An RSA key has at least so many bits.
func weakness(public crypto.PublicKey, least int) string {
	switch public := public.(type) {
	case *rsa.PublicKey:
		return rsaWeakness(public, least)
	case *ecdsa.PublicKey:
		// Parsing has checked that the point is on its curve.
		if name := public.Curve.Params().Name; name != "P-256" && name != "P-384" && name != "P-521" {
			return fmt.Sprintf("is on curve %s: use P-256, P-384 or P-521", name)
		}
		return ""
	case ed25519.PublicKey:
		if allZero(public) {
			return "is all zeros"
		}
		return ""
	default:
		return "is of a kind that is not supported: use RSA of 2048 bits or more, P-256, P-384 or P-521"
	}
}

func rsaWeakness(public *rsa.PublicKey, least int) string {
	n := public.N
	switch bits := n.BitLen(); {
	case bits < least || bits > 8192:
		return fmt.Sprintf("is RSA of %d bits: use %d to 8192", bits, least)
	case bits%8 != 0:
		return fmt.Sprintf("is RSA of %d bits, which is not a multiple of 8", bits)
	case public.E != 65537:
		return fmt.Sprintf("has the RSA exponent %d: use 65537", public.E)
	case n.Bit(0) == 0 || new(big.Int).GCD(nil, nil, n, smallPrimes()).Cmp(big.NewInt(1)) != 0:
		return "has an RSA modulus with a small factor: make a new key"
	case fermatFactors(n, fermatRounds):
		return "has an RSA modulus whose factors lie close together: make a new key"
	case rocaFingerprint(n):
		return "was made by a device with the ROCA defect (CVE-2017-15361): make a new key elsewhere"
	}
	return ""
}

// fermatFactors reports whether n is factored within rounds steps of Fermat's method.
func fermatFactors(n *big.Int, rounds int) bool {
	one := big.NewInt(1)
	a := new(big.Int).Sqrt(n)
	if new(big.Int).Mul(a, a).Cmp(n) < 0 {
		a.Add(a, one)
	}
	b2, b := new(big.Int), new(big.Int)
	for range rounds {
		b2.Mul(a, a).Sub(b2, n)
		b.Sqrt(b2)
		if new(big.Int).Mul(b, b).Cmp(b2) == 0 {
			return true
		}
		a.Add(a, one)
	}
	return false
}

// rocaPrimes are those small primes by which a modulus of the kind in CVE-2017-15361 is recognized.
var rocaPrimes = []int64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157}

// rocaFingerprint reports whether n is a power of 65537 modulo each of rocaPrimes, as
// the moduli are that the affected library made ("The Return of Coppersmith's Attack", §3.3).
// Of other moduli, one in some 2^28 is.
func rocaFingerprint(n *big.Int) bool {
	for _, p := range rocaPrimes {
		residue := new(big.Int).Mod(n, big.NewInt(p)).Int64()
		power, found := int64(1), false
		for range p {
			if power == residue {
				found = true
				break
			}
			power = power * (65537 % p) % p
		}
		if !found {
			return false
		}
	}
	return true
}

// primorial is the product of the odd primes below limit.
func primorial(limit int64) *big.Int {
	product := big.NewInt(1)
	for p := int64(3); p < limit; p += 2 {
		if big.NewInt(p).ProbablyPrime(0) {
			product.Mul(product, big.NewInt(p))
		}
	}
	return product
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
