package pebble

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // names keys (RFC 5280 §4.2.1.2); nothing rests on it
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"
)

// caLifetime is how long roots and intermediates last: longer than any test, with a clock that is moved.
const caLifetime = 30 * 365 * 24 * time.Hour

// authority is a root or an intermediate with its key.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// chain is a root with the intermediates below it, the one that issues first.
type chain struct {
	root          authority
	intermediates []authority
}

// above is what is served above a certificate, in DER.
func (c chain) above() (list [][]byte) {
	for _, a := range c.intermediates {
		list = append(list, a.certificate.Raw)
	}
	return list
}

// newKey makes a key of the kind that the configuration asks for.
func newKey(algorithm string) (crypto.Signer, error) {
	if algorithm == "rsa" {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// label tells the names of one CA from those of another.
func label() string {
	var random [3]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

// newChain makes a root and length intermediates below it, of which the last one is for issuer, which is
// the same key under the same name in all chains: so one certificate has a path to each root.
func newChain(algorithm string, length int, issuer authority, now time.Time) (chain, error) {
	name := label()
	root, err := newAuthority(algorithm, "Pebble Root CA "+name, authority{}, now)
	if err != nil {
		return chain{}, err
	}
	made := chain{root: root, intermediates: make([]authority, length)}
	above := root
	for i := length - 1; i > 0; i-- {
		if above, err = newAuthority(algorithm, fmt.Sprintf("Pebble Intermediate CA %s #%d", name, i), above, now); err != nil {
			return chain{}, err
		}
		made.intermediates[i] = above
	}
	made.intermediates[0] = authority{key: issuer.key}
	made.intermediates[0].certificate, err = certify(issuer.certificate.Subject.CommonName, issuer.key, above, now)
	return made, err
}

// newIssuer makes what newChain certifies: a key and, in a certificate of no other use, a name.
func newIssuer(algorithm string) (authority, error) {
	key, err := newKey(algorithm)
	if err != nil {
		return authority{}, fmt.Errorf("making the key of an intermediate: %w", err)
	}
	name := &x509.Certificate{Subject: pkix.Name{CommonName: "Pebble Intermediate CA " + label()}}
	return authority{certificate: name, key: key}, nil
}

// newAuthority makes a key and has parent certify it; the zero value of parent stands for itself.
func newAuthority(algorithm, name string, parent authority, now time.Time) (authority, error) {
	key, err := newKey(algorithm)
	if err != nil {
		return authority{}, fmt.Errorf("making the key of %s: %w", name, err)
	}
	certificate, err := certify(name, key, parent, now)
	return authority{certificate, key}, err
}

// certify makes the certificate of a CA. Unlike those of `cairn up`, it has no name constraints: tests are
// about any name.
func certify(name string, key crypto.Signer, parent authority, now time.Time) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // never fails
	id, err := keyID(key.Public())
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(append([]byte{1}, serial[1:]...)),
		Subject:               pkix.Name{CommonName: name},
		SubjectKeyId:          id,
		NotBefore:             now.UTC().Add(-24 * time.Hour),
		NotAfter:              now.UTC().Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	signer := key
	above := template
	if parent.key != nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		signer, above = parent.key, parent.certificate
	}
	der, err := x509.CreateCertificate(rand.Reader, template, above, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("certifying %s: %w", name, err)
	}
	return x509.ParseCertificate(der)
}

// keyID names a key by the SHA-1 of its bits (RFC 5280 §4.2.1.2, method 1).
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encoding a public key: %w", err)
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &spki); err != nil {
		return nil, fmt.Errorf("reading a public key: %w", err)
	}
	digest := sha1.Sum(spki.Key.Bytes)
	return digest[:], nil
}
