package rules_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"slices"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// FuzzParseCSR: whatever is taken for a CSR has a strong key and names that can be in a certificate, each once.
func FuzzParseCSR(f *testing.F) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	for _, template := range []*x509.CertificateRequest{
		{},
		{Subject: pkix.Name{CommonName: "A.test"}},
		{DNSNames: []string{"a.test", "*.b.test"}, IPAddresses: []net.IP{{10, 0, 0, 1}, net.IPv6loopback}},
		{DNSNames: []string{"a.test"}, EmailAddresses: []string{"a@a.test"}},
		{DNSNames: []string{"a..test", "xn--a.test"}},
	} {
		for _, key := range []any{p256, edwards} {
			der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(der)
			f.Add(der[:len(der)/2])
			f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
		}
	}
	f.Add([]byte{0x30, 0x80, 0x00, 0x00})
	f.Fuzz(func(t *testing.T, der []byte) {
		csr, problem := rules.ParseCSR(der)
		if problem != nil {
			if problem.Status == 0 || problem.Detail == "" {
				t.Fatalf("the problem says nothing: %+v", problem)
			}
			return
		}
		if csr.PublicKey == nil {
			t.Fatal("a CSR without a key")
		}
		for i, id := range csr.Identifiers {
			if normal, problem := id.Normalize(); problem != nil || normal != id {
				t.Fatalf("%v is not in normal form (%v)", id, problem)
			}
			if slices.Contains(csr.Identifiers[:i], id) {
				t.Fatalf("%v is there twice", id)
			}
		}
	})
}
