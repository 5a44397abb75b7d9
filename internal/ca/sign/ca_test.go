package sign_test

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

const (
	issuerURL  = "http://ca.internal:8080/intermediate.cer"
	crlURL     = "http://ca.internal:8080/intermediate.crl"
	rootURL    = "http://ca.internal:8080/root.cer"
	rootCRLURL = "http://ca.internal:8080/root.crl"
)

// hierarchy is a root, an intermediate, and a leaf key to certify.
type hierarchy struct {
	root, intermediate sign.Issuer
	leafKey            crypto.Signer
}

func newHierarchy(t testing.TB, permitted ...string) hierarchy {
	t.Helper()
	names, err := acme.ParseSubtrees(permitted)
	check(t, err)
	now := time.Now()
	rootKey, key, leafKey := newKey(t, elliptic.P384()), newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	rootDER, err := sign.NewRoot(rootKey, sign.CAConfig{
		CommonName: "Test root", Names: names, NotBefore: now.Add(-2 * time.Hour), Lifetime: 20 * 365 * 24 * time.Hour,
	})
	check(t, err)
	root := sign.Issuer{ID: "root", Certificate: parse(t, rootDER), Key: rootKey, CRLURL: rootCRLURL}
	der, err := sign.NewIntermediate(key.Public(), root, sign.CAConfig{
		CommonName: "Test intermediate", Names: names, NotBefore: now.Add(-2 * time.Hour), Lifetime: 5 * 365 * 24 * time.Hour,
		IssuerURL: rootURL, CRLURL: rootCRLURL,
	})
	check(t, err)
	intermediate := sign.Issuer{
		ID: "intermediate", Certificate: parse(t, der), Key: key, Chain: [][]byte{der},
		IssuerURL: issuerURL, CRLURL: crlURL,
	}
	return hierarchy{root: root, intermediate: intermediate, leafKey: leafKey}
}

func (h hierarchy) signer(t testing.TB, j sign.Journal) *sign.Signer {
	t.Helper()
	s, err := sign.New(sign.Config{
		Issuers: []sign.Issuer{h.intermediate, h.root}, Profiles: []sign.Profile{sign.Classic()}, Journal: j,
	})
	check(t, err)
	return s
}

// request asks for the names under the profile classic.
func (h hierarchy) request(order string, names ...string) sign.Request {
	r := sign.Request{Order: order, Profile: "classic", PublicKey: h.leafKey.Public()}
	for _, name := range names {
		r.Identifiers = append(r.Identifiers, acme.IdentifierFor(name))
	}
	return r
}

func (h hierarchy) issue(t testing.TB, r sign.Request) *x509.Certificate {
	t.Helper()
	c, err := h.signer(t, newMemory()).Certificate(context.Background(), r)
	check(t, err)
	return parse(t, c.DER)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := sign.NewKey(curve)
	check(t, err)
	return key
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return cert
}

// write puts DER structures as PEM blocks into one file of a temporary directory.
func write(t testing.TB, kind string, ders ...[]byte) string {
	t.Helper()
	var text []byte
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	file := filepath.Join(t.TempDir(), "file.pem")
	check(t, os.WriteFile(file, text, 0o600))
	return file
}
