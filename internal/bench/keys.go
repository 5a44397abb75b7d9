package bench

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cairn-ca/cairn/acme"
)

// keyPool has the keys that are made before the clock starts.
type keyPool struct {
	keys     []crypto.Signer // of certificates; used in turn
	spkis    [][]byte
	accounts []*account // of accounts to be
	taken    atomic.Int64
}

// Keys take milliseconds (P-256: microseconds) to make, so that they are shared by many certificates once
// there are enough for none to be remembered: an RSA key costs a hundred times as much as a certificate.
const (
	poolCheap = 4096 // P-256, Ed25519
	poolDear  = 32   // all others
)

func newKeyPool(c Config) (*keyPool, error) {
	p, size := new(keyPool), poolDear
	if c.KeyType == acme.KeyP256 || c.KeyType == acme.KeyEd25519 {
		size = poolCheap
	}
	if c.Count > 0 {
		size = min(size, c.Count+c.Warmup+1)
	}
	for range size {
		key, err := generate(c.KeyType)
		if err != nil {
			return nil, err
		}
		spki, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			return nil, err
		}
		p.keys, p.spkis = append(p.keys, key), append(p.spkis, spki)
	}
	if !c.NewAccounts {
		return p, nil
	}
	for range c.ahead() {
		a, err := newAccountKey()
		if err != nil {
			return nil, err
		}
		p.accounts = append(p.accounts, a)
	}
	return p, nil
}

// generate makes a key.
func generate(kind acme.KeyType) (crypto.Signer, error) {
	switch kind {
	case acme.KeyP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case acme.KeyP384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case acme.KeyP521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case acme.KeyEd25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	size := 2048 // KeyRSA alone
	if bits, ok := strings.CutPrefix(string(kind), "RSA-"); ok {
		var err error
		if size, err = strconv.Atoi(bits); err != nil {
			return nil, fmt.Errorf("keys of type %q: %w", kind, err)
		}
	}
	return rsa.GenerateKey(rand.Reader, size)
}

// sign makes the CSR of request number n.
func (p *keyPool) sign(n int, r *request) error {
	i := n % len(p.keys)
	template := new(x509.CertificateRequest)
	for _, id := range r.identifiers {
		template.DNSNames = append(template.DNSNames, id.Value)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, p.keys[i])
	if err != nil {
		return fmt.Errorf("making a CSR: %w", err)
	}
	r.csr, r.spki = base64.RawURLEncoding.EncodeToString(der), p.spkis[i]
	return nil
}

// newAccount gives a key that has no account yet, made beforehand while there are any.
func (p *keyPool) newAccount() (*account, error) {
	if i := int(p.taken.Add(1) - 1); i < len(p.accounts) {
		return p.accounts[i], nil
	}
	return newAccountKey()
}
