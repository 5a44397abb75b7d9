// Package roles lets hosts become roles of an authority: the CA that certifies
// roles and nothing else, the tokens by which a host is taken in once, and what a
// host keeps of it.
//
// The CA for roles is trusted: an attacker who has its key can be any role. It is
// no ACME issuer, no ACME issuer is below it, and no role trusts another one, so
// that no subscriber becomes a role.
package roles

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

const (
	caLifetime = 20 * 365 * 24 * time.Hour
	// Lifetime is that of a role's certificate. It is renewed when two thirds are over,
	// so a host may be away for a month.
	Lifetime = 90 * 24 * time.Hour
	// backdate is for hosts whose clocks are slow.
	backdate = time.Hour
)

// Authority is the CA for roles.
type Authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// NewAuthority makes a CA for roles and returns it as PEM.
func NewAuthority(now time.Time) (certificate, key []byte, err error) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "Cairn roles"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(caLifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return nil, nil, fmt.Errorf("making the CA for roles: %w", err)
	}
	if key, err = encodeKey(signer); err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key, nil
}

// LoadAuthority reads what NewAuthority made.
func LoadAuthority(certificate, key []byte) (*Authority, error) {
	cert, err := parseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate of the CA for roles: %w", err)
	}
	signer, err := parseKey(key)
	if err != nil {
		return nil, fmt.Errorf("reading the key of the CA for roles: %w", err)
	}
	if public, ok := signer.Public().(*ecdsa.PublicKey); !cert.IsCA || !ok || !public.Equal(cert.PublicKey) {
		return nil, errors.New("reading the CA for roles: certificate and key do not belong together")
	}
	return &Authority{certificate: cert, key: signer}, nil
}

// Certificate is the CA's own.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// Hash is the SHA-256 of the CA's certificate, which tokens carry.
func (a *Authority) Hash() [sha256.Size]byte { return sha256.Sum256(a.certificate.Raw) }

// Certify makes the certificate by which others know peer, in DER.
func (a *Authority) Certify(peer rpc.Peer, key crypto.PublicKey, now time.Time) ([]byte, error) {
	if err := errors.Join(rpc.CheckNode(peer.Role), rpc.CheckNode(peer.Node)); err != nil {
		return nil, fmt.Errorf("certifying a role: %w", err)
	}
	end := now.Add(Lifetime)
	if end.After(a.certificate.NotAfter) {
		end = a.certificate.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: peer.Role + " " + peer.Node}, URIs: []*url.URL{peer.URI()},
		NotBefore: now.Add(-backdate), NotAfter: end, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("certifying %s: %w", peer.URI(), err)
	}
	return der, nil
}

// Identity is that of peer in the process that has the CA's key. Its key lives in
// memory alone; a certificate is made when it is first needed, and again long before it ends.
func (a *Authority) Identity(peer rpc.Peer) rpc.Identity {
	var mu sync.Mutex
	var current *tls.Certificate
	return rpc.Identity{CA: a.certificate, Certificate: func() (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if current != nil && !Due(current.Leaf, now) {
			return current, nil
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("making a key: %w", err)
		}
		der, err := a.Certify(peer, key.Public(), now)
		if err != nil {
			return nil, err
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certifying %s: %w", peer.URI(), err)
		}
		current = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
		return current, nil
	}}
}

// Due reports whether a role's certificate is to be renewed.
func Due(leaf *x509.Certificate, now time.Time) bool {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	return now.Before(leaf.NotBefore) || now.After(leaf.NotAfter.Add(-life/3))
}

// newSerial is random, 120 bits of it (RFC 5280 §4.1.2.2: positive, at most 20 octets).
func newSerial() *big.Int {
	var octets [16]byte
	_, _ = rand.Read(octets[1:]) // never fails
	octets[0] = 1
	return new(big.Int).SetBytes(octets[:])
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// block reads the one PEM block of a text.
func block(text []byte, kind string) ([]byte, error) {
	found, rest := pem.Decode(text)
	if found == nil || found.Type != kind || strings.TrimSpace(string(rest)) != "" {
		return nil, fmt.Errorf("it is not one %s in PEM", kind)
	}
	return found.Bytes, nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	der, err := block(text, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("it is not a key that signs")
	}
	return signer, nil
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	der, err := block(text, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
