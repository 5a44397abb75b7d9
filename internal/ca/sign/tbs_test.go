package sign_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// TestTBSCertificate compares what is signed with what crypto/x509 encodes of the same template: for every
// kind of issuer, key, name and profile, and at both ends of the two ways to write a time.
func TestTBSCertificate(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	keys := map[string]crypto.Signer{"RSA": rsaKey, "Ed25519": edKey, "P-256": newKey(t, elliptic.P256()), "P-384": newKey(t, elliptic.P384())}
	plain := sign.Classic()
	all := sign.Classic()
	all.CommonName, all.KeyID, all.KeyEncipherment, all.MustStaple, all.NoRevAvail = true, true, true, true, true
	all.Usages = []sign.Usage{sign.ServerAuth, sign.ClientAuth, "1.3.6.1.5.5.7.3.17"}
	bare := sign.Classic()
	bare.NoCRL, bare.CommonName, bare.KeyID = true, false, false
	long := strings.Repeat("a", 60) + ".internal"
	for issuerName, issuer := range issuersOfEachKind(t) {
		for keyName, key := range keys {
			for profileName, profile := range map[string]sign.Profile{"classic": plain, "all": all, "bare": bare} {
				for _, names := range [][]string{{"a.internal"}, {"*.a.internal", "b.internal", "10.1.2.3", "fd00::1"}, {"10.0.0.1"}, {long}} {
					for _, end := range []time.Time{time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)} {
						t.Run(fmt.Sprintf("%s/%s/%s/%s/%d", issuerName, keyName, profileName, names[0], end.Year()), func(t *testing.T) {
							request := sign.Request{PublicKey: key.Public()}
							for _, name := range names {
								request.Identifiers = append(request.Identifiers, acme.IdentifierFor(name))
							}
							sameAsX509(t, profile, request, issuer, end)
						})
					}
				}
			}
		}
	}
}

func sameAsX509(t *testing.T, profile sign.Profile, request sign.Request, issuer sign.Issuer, end time.Time) {
	t.Helper()
	ours, template, err := sign.TBSCertificate(profile, request, issuer, []byte{1, 0xc8, 0, 0xff, 7}, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = end.Add(-time.Hour), end
	})
	check(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.Certificate, request.PublicKey, issuer.Key)
	check(t, err)
	parsed := parse(t, der)
	if !bytes.Equal(ours, parsed.RawTBSCertificate) {
		t.Errorf("ours %x\nx509 %x", ours, parsed.RawTBSCertificate)
	}
}

// issuersOfEachKind are issuers with each kind of key that a CA may have.
func issuersOfEachKind(t *testing.T) map[string]sign.Issuer {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	issuers := map[string]sign.Issuer{}
	for name, key := range map[string]crypto.Signer{"RSA": rsaKey, "P-256": newKey(t, elliptic.P256()), "P-384": newKey(t, elliptic.P384())} {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Issuer " + name}, SubjectKeyId: []byte{1, 2, 3, 4},
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		check(t, err)
		issuers[name] = sign.Issuer{ID: name, Certificate: parse(t, der), Key: key, IssuerURL: issuerURL, CRLURL: crlURL, OCSPURL: "http://ocsp.internal"}
	}
	return issuers
}

func TestNotInASCII(t *testing.T) {
	issuer := issuersOfEachKind(t)["P-256"]
	request := sign.Request{PublicKey: issuer.Key.Public(), Identifiers: []acme.Identifier{{Type: acme.DNS, Value: "ä.internal"}}}
	if _, _, err := sign.TBSCertificate(sign.Classic(), request, issuer, []byte{1}, func(*x509.Certificate) {}); err == nil {
		t.Error("a name that is not in ASCII was encoded")
	}
}
