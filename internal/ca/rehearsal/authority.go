package rehearsal

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// authority is a root and an issuer, so that chains look like those of real CAs.
type authority struct {
	root, issuer *x509.Certificate
	key          crypto.Signer // the issuer's; the root's is thrown away
}

// authorityLifetime is longer than any certificate that is issued.
const authorityLifetime = 2 * 365 * 24 * time.Hour

func newAuthority(now time.Time) (*authority, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root, err := certify("Cairn Rehearsal Root", rootKey.Public(), nil, rootKey, now)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	issuer, err := certify("Cairn Rehearsal", key.Public(), root, rootKey, now)
	return &authority{root, issuer, key}, err
}

// serial draws a number of 16 octets, of which the first is not 0.
func serial() *big.Int {
	octets := make([]byte, 16)
	_, _ = rand.Read(octets) // never fails
	octets[0] = octets[0]&0x3f | 0x40
	return new(big.Int).SetBytes(octets)
}

// certify makes the certificate of a CA; without parent it is signed with the key itself.
func certify(name string, public crypto.PublicKey, parent *x509.Certificate, signer crypto.Signer, now time.Time) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(authorityLifetime),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("certifying %s: %w", name, err)
	}
	return x509.ParseCertificate(der)
}

// mustStaple is the TLS feature extension with status_request alone (RFC 7633 §6).
var mustStaple = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 0x03, 0x02, 0x01, 0x05}}

// issue makes a certificate for a signing request whose names have been checked, and gives it with the issuer's.
func (a *authority) issue(csr rules.CSR, lifetime time.Duration, now time.Time) ([][]byte, error) {
	template := &x509.Certificate{
		SerialNumber: serial(), NotBefore: now.Add(-time.Hour).Truncate(time.Second), NotAfter: now.Add(lifetime).Truncate(time.Second),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, id := range csr.Identifiers {
		if id.Type == acme.IP {
			template.IPAddresses = append(template.IPAddresses, net.ParseIP(id.Value))
		} else {
			template.DNSNames = append(template.DNSNames, id.Value)
		}
	}
	if csr.MustStaple {
		template.ExtraExtensions = append(template.ExtraExtensions, mustStaple)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.issuer, csr.PublicKey, a.key)
	return [][]byte{der, a.issuer.Raw}, err
}

// server makes the certificate of the CA's own door.
func (a *authority) server() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	chain, err := a.issue(rules.CSR{PublicKey: key.Public(), Identifiers: []acme.Identifier{{Type: acme.IP, Value: "127.0.0.1"}}},
		authorityLifetime-time.Hour, time.Now())
	return tls.Certificate{Certificate: chain, PrivateKey: key}, err
}

func (a *authority) rootPEM() []byte { return chainPEM([][]byte{a.root.Raw}) }

func chainPEM(chain [][]byte) (text []byte) {
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text
}
