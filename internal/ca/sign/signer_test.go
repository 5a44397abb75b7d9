package sign_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

func rsaKey(t testing.TB, bits int) crypto.PublicKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	check(t, err)
	return key.Public()
}

// TestClassicShape looks at a certificate field by field.
func TestClassicShape(t *testing.T) {
	h := newHierarchy(t, "internal", "10.0.0.0/8")
	before := time.Now().Truncate(time.Second)
	c := h.issue(t, h.request("order", "b.internal", "*.a.internal", "10.1.2.3"))
	issuer := h.intermediate.Certificate
	for what, ok := range map[string]bool{
		"subject":          c.Subject.String() == "CN=b.internal",
		"issuer":           bytes.Equal(c.RawIssuer, issuer.RawSubject),
		"DNS names":        slices.Equal(c.DNSNames, []string{"b.internal", "*.a.internal"}),
		"addresses":        len(c.IPAddresses) == 1 && c.IPAddresses[0].String() == "10.1.2.3",
		"notBefore":        !c.NotBefore.Before(before.Add(-time.Hour)) && c.NotBefore.Before(time.Now().Add(-time.Hour+time.Second)),
		"validity":         c.NotAfter.Sub(c.NotBefore) == 90*24*time.Hour-time.Second,
		"key usage":        c.KeyUsage == x509.KeyUsageDigitalSignature,
		"extended usage":   slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) && len(c.UnknownExtKeyUsage) == 0,
		"not a CA":         c.BasicConstraintsValid && !c.IsCA,
		"AKI":              bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId),
		"SKI":              len(c.SubjectKeyId) == 20,
		"AIA":              slices.Equal(c.IssuingCertificateURL, []string{issuerURL}) && len(c.OCSPServer) == 0,
		"CRLDP":            slices.Equal(c.CRLDistributionPoints, []string{crlURL}),
		"no policy":        len(c.Policies) == 0,
		"serial":           len(c.SerialNumber.Bytes()) == 19 && c.SerialNumber.Sign() > 0,
		"algorithm":        c.SignatureAlgorithm == x509.ECDSAWithSHA256,
		"no other":         len(c.Extensions) == 8,
		"SAN not critical": !critical(c, "2.5.29.17"),
	} {
		if !ok {
			t.Errorf("%s is wrong: %+v", what, c)
		}
	}
}

func critical(c *x509.Certificate, oid string) bool {
	for _, extension := range c.Extensions {
		if extension.Id.String() == oid {
			return extension.Critical
		}
	}
	return false
}

// TestSubjects looks at the common name, and whether every verifier takes the certificate.
func TestSubjects(t *testing.T) {
	h := newHierarchy(t, "internal", "10.0.0.0/8", "fc00::/7")
	long := strings.Repeat("a", 56) + ".internal" // 65 octets
	tests := []struct {
		names []string
		key   crypto.PublicKey
		cn    string
		usage x509.KeyUsage
	}{
		{[]string{"a.internal"}, newKey(t, elliptic.P256()).Public(), "a.internal", x509.KeyUsageDigitalSignature},
		{[]string{"internal"}, newKey(t, elliptic.P384()).Public(), "internal", x509.KeyUsageDigitalSignature},
		{[]string{"*.w.internal"}, rsaKey(t, 2048), "*.w.internal", x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment},
		{[]string{long, "b.internal"}, newKey(t, elliptic.P256()).Public(), "b.internal", x509.KeyUsageDigitalSignature},
		{[]string{long}, newKey(t, elliptic.P256()).Public(), "", x509.KeyUsageDigitalSignature},
		{[]string{"10.1.2.3"}, newKey(t, elliptic.P256()).Public(), "", x509.KeyUsageDigitalSignature},
		{[]string{"fd00::1", "10.1.2.3"}, newKey(t, elliptic.P256()).Public(), "", x509.KeyUsageDigitalSignature},
		{[]string{"10.1.2.3", "c.internal"}, newKey(t, elliptic.P256()).Public(), "c.internal", x509.KeyUsageDigitalSignature},
	}
	var leaves []leaf
	for i, test := range tests {
		r := h.request(fmt.Sprint(i), test.names...)
		r.PublicKey = test.key
		c := h.issue(t, r)
		if c.Subject.CommonName != test.cn || len(c.Subject.Names) > 1 || critical(c, "2.5.29.17") != (test.cn == "") {
			t.Errorf("%v: subject %q, SAN critical %v", test.names, c.Subject, critical(c, "2.5.29.17"))
		}
		if c.KeyUsage != test.usage {
			t.Errorf("%v: key usage %b", test.names, c.KeyUsage)
		}
		leaves = append(leaves, leaf{name: fmt.Sprint(test.names), host: strings.Replace(test.names[0], "*", "x", 1), cert: c})
	}
	for verifier, verify := range verifiers {
		for i, ok := range verify(t, h, leaves) {
			if !ok {
				t.Errorf("%s does not take the certificate for %s", verifier, leaves[i].name)
			}
		}
	}
}

// TestRefused asks for what must not be signed; the journal must not hear of it.
func TestRefused(t *testing.T) {
	h := newHierarchy(t, "internal", "10.0.0.0/8")
	change := func(f func(*sign.Request)) sign.Request { r := h.request("order", "a.internal"); f(&r); return r }
	named := func(names ...string) sign.Request { return h.request("order", names...) }
	raw := func(ids ...acme.Identifier) sign.Request {
		return change(func(r *sign.Request) { r.Identifiers = ids })
	}
	keyed := func(key crypto.PublicKey) sign.Request { return change(func(r *sign.Request) { r.PublicKey = key }) }
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	check(t, err)
	even := rsaKey(t, 2048).(*rsa.PublicKey)
	even.E = 4
	var many []string
	for i := range 101 {
		many = append(many, fmt.Sprintf("n%d.internal", i))
	}
	for name, r := range map[string]sign.Request{
		"no order":               change(func(r *sign.Request) { r.Order = "" }),
		"an unknown profile":     change(func(r *sign.Request) { r.Profile = "tlsclient" }),
		"no name":                named(),
		"too many names":         named(many...),
		"a name twice":           named("a.internal", "a.internal"),
		"a name in capitals":     raw(acme.Identifier{Type: acme.DNS, Value: "A.internal"}),
		"an address as a domain": raw(acme.Identifier{Type: acme.DNS, Value: "10.0.0.1"}),
		"a domain as an address": raw(acme.Identifier{Type: acme.IP, Value: "a.internal"}),
		"another kind of name":   raw(acme.Identifier{Type: "email", Value: "a@internal"}),
		"a NUL":                  raw(acme.Identifier{Type: acme.DNS, Value: "a\x00.internal"}),
		"a name outside":         named("example.com"),
		"one name outside":       named("a.internal", "example.com"),
		"an address outside":     named("192.0.2.1"),
		"a broken xn-- name":     named("xn--0000h.internal"), // lint: not decodable
		"no key":                 keyed(nil),
		"P-224":                  keyed(p224.Public()),
		//lint:ignore SA1019 a key that only these fields can hold
		"a point off the curve": keyed(&ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}),
		"RSA of 1024 bits":      keyed(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}),
		"an even exponent":      keyed(even),
		"a private key":         keyed(h.leafKey),
		"the issuer's key":      keyed(h.intermediate.Key.Public()),
		"the root's key":        keyed(h.root.Key.Public()),
		"notBefore too early":   change(func(r *sign.Request) { r.NotBefore = time.Now().Truncate(time.Second).Add(-2 * time.Hour) }),
		"notAfter too late":     change(func(r *sign.Request) { r.NotAfter = time.Now().Truncate(time.Second).Add(91 * 24 * time.Hour) }),
		"notAfter in the past":  change(func(r *sign.Request) { r.NotAfter = time.Now().Truncate(time.Second).Add(-time.Minute) }),
		"half seconds":          change(func(r *sign.Request) { r.NotAfter = time.Now().Truncate(time.Second).Add(time.Hour + time.Second/2) }),
	} {
		t.Run(name, func(t *testing.T) {
			journal := newMemory()
			c, err := h.signer(t, journal).Certificate(context.Background(), r)
			if !errors.Is(err, sign.ErrRefused) || c.DER != nil {
				t.Errorf("got %v, %v", c, err)
			}
			if len(journal.serials) != 0 {
				t.Error("a serial was reserved")
			}
		})
	}
}

// TestLintRefuses has a name that only a lint knows to be wrong: the error names the lint.
func TestLintRefuses(t *testing.T) {
	h := newHierarchy(t, "internal")
	journal := newMemory()
	_, err := h.signer(t, journal).Certificate(context.Background(), h.request("order", "xn--0000h.internal"))
	if !errors.Is(err, sign.ErrRefused) || !strings.Contains(err.Error(), "e_international_dns_name_not_unicode") {
		t.Errorf("the error does not name the lint: %v", err)
	}
	if len(journal.serials) != 0 {
		t.Error("a serial was reserved")
	}
}

// TestOnceForAnOrder asks again for an order that has its certificate.
func TestOnceForAnOrder(t *testing.T) {
	h := newHierarchy(t, "internal")
	journal := newMemory()
	s := h.signer(t, journal)
	first, err := s.Certificate(context.Background(), h.request("order", "a.internal", "b.internal"))
	check(t, err)
	first.DER = slices.Clone(first.DER)
	again, err := s.Certificate(context.Background(), h.request("order", "b.internal", "a.internal"))
	check(t, err)
	if again.Serial != first.Serial || !bytes.Equal(again.DER, first.DER) || again.Issuer != "intermediate" ||
		!again.NotBefore.Equal(first.NotBefore) || !again.NotAfter.Equal(first.NotAfter) {
		t.Errorf("first %+v, then %+v", first, again)
	}
	other := h.request("order", "a.internal", "b.internal")
	other.PublicKey = newKey(t, elliptic.P256()).Public()
	for _, r := range []sign.Request{other, h.request("order", "a.internal")} {
		if c, err := s.Certificate(context.Background(), r); !errors.Is(err, sign.ErrRefused) || c.DER != nil {
			t.Errorf("a certificate for another key or names: %v, %v", c, err)
		}
	}
}

// TestValidity moves the clock to and beyond the end of the issuer's own validity.
func TestValidity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHierarchy(t, "internal")
		s := h.signer(t, newMemory())
		end := h.intermediate.Certificate.NotAfter
		now := time.Now().UTC().Truncate(time.Second)

		asked := h.request("asked", "a.internal")
		asked.NotBefore, asked.NotAfter = now, now.Add(24*time.Hour)
		c, err := s.Certificate(t.Context(), asked)
		check(t, err)
		if !c.NotBefore.Equal(asked.NotBefore) || !c.NotAfter.Equal(asked.NotAfter) {
			t.Errorf("asked for %s to %s, got %s to %s", asked.NotBefore, asked.NotAfter, c.NotBefore, c.NotAfter)
		}

		time.Sleep(time.Until(end.Add(-24 * time.Hour)))
		c, err = s.Certificate(t.Context(), h.request("late", "a.internal"))
		check(t, err)
		if !c.NotAfter.Equal(end) || !parse(t, c.DER).NotAfter.Equal(end) {
			t.Errorf("a day before the issuer ends, a certificate ends %s, not %s", c.NotAfter, end)
		}

		time.Sleep(time.Until(end.Add(time.Second)))
		if c, err := s.Certificate(t.Context(), h.request("too late", "a.internal")); err == nil || !strings.Contains(err.Error(), "issuer's certificate is valid") {
			t.Errorf("after the issuer's end: %v, %v", c, err)
		}
		if _, err := s.Certificate(t.Context(), h.request("late", "a.internal")); err != nil {
			t.Errorf("what was issued is not returned any more: %v", err)
		}
	})
}

// badKey signs, but not always what it should.
type badKey struct {
	crypto.Signer
	bad func(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

func (k badKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.bad(rand, digest, opts)
}

// TestBadKey has a key machine that fails: nothing leaves, and the next attempt takes a new serial.
func TestBadKey(t *testing.T) {
	h := newHierarchy(t, "internal")
	good := h.intermediate.Key
	for name, bad := range map[string]func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error){
		"no answer": func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errors.New("no answer") },
		"nothing":   func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil },
		"another digest": func(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			return good.Sign(rand, make([]byte, len(digest)), opts)
		},
	} {
		t.Run(name, func(t *testing.T) {
			journal := newMemory()
			h := h
			h.intermediate.Key = badKey{good, bad}
			if c, err := h.signer(t, journal).Certificate(context.Background(), h.request("order", "a.internal")); err == nil || c.DER != nil {
				t.Errorf("got %v, %v", c, err)
			}
			h.intermediate.Key = good
			c, err := h.signer(t, journal).Certificate(context.Background(), h.request("order", "a.internal"))
			check(t, err)
			if len(journal.abandoned) != 1 {
				t.Errorf("abandoned %v", journal.abandoned)
			}
			journal.consistent(t, map[string][]sign.Certificate{"order": {c}})
		})
	}
}

// TestManyAtOnce shares one signer; run with -race it shows what is not guarded.
func TestManyAtOnce(t *testing.T) {
	h := newHierarchy(t, "internal")
	journal := newMemory()
	s := h.signer(t, journal)
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for j := range 8 {
				c, err := s.Certificate(context.Background(), h.request(fmt.Sprint(i, " ", j), fmt.Sprintf("n%d.internal", i)))
				if err != nil || parse(t, c.DER).DNSNames[0] != fmt.Sprintf("n%d.internal", i) {
					t.Errorf("got %v, %v", c, err)
				}
				if _, err := s.CRL(context.Background(), crlRequest("intermediate", uint64(j))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	if len(journal.serials) != 64 {
		t.Errorf("%d serials for 64 certificates", len(journal.serials))
	}
}

// TestOtherIssuers signs with a root's P-384 key and with an unconstrained RSA issuer.
func TestOtherIssuers(t *testing.T) {
	h := newHierarchy(t, "internal")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: h.root.Certificate.Subject, BasicConstraintsValid: true, IsCA: true,
		KeyUsage:  x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	imported := sign.Issuer{ID: "imported", Certificate: parse(t, der), Key: key}
	for _, issuer := range []sign.Issuer{h.root, imported} {
		h.intermediate, h.root.ID = issuer, "other"
		c := h.issue(t, h.request("order", "a.internal"))
		check(t, c.CheckSignatureFrom(issuer.Certificate))
	}
	c := h.issue(t, h.request("order", "example.com")) // the imported one has no constraints
	if len(c.CRLDistributionPoints)+len(c.IssuingCertificateURL) != 0 {
		t.Error("an issuer without URLs has some in its certificates")
	}
}

func TestNewRefuses(t *testing.T) {
	h := newHierarchy(t, "internal")
	leafOnly := h.issue(t, h.request("order", "a.internal"))
	change := func(f func(*sign.Issuer)) []sign.Issuer { i := h.intermediate; f(&i); return []sign.Issuer{i} }
	one := []sign.Issuer{h.intermediate}
	classic := []sign.Profile{sign.Classic()}
	j := newMemory()
	for name, c := range map[string]sign.Config{
		"nothing":             {},
		"no issuer":           {Profiles: classic, Journal: j},
		"no profile":          {Issuers: one, Journal: j},
		"no journal":          {Issuers: one, Profiles: classic},
		"an issuer twice":     {Issuers: slices.Concat(one, one), Profiles: classic, Journal: j},
		"a profile twice":     {Issuers: one, Profiles: slices.Concat(classic, classic), Journal: j},
		"a nameless profile":  {Issuers: one, Profiles: []sign.Profile{{Validity: time.Hour}}, Journal: j},
		"a profile of no use": {Issuers: one, Profiles: []sign.Profile{{Name: "x", Validity: time.Hour, Backdate: time.Hour}}, Journal: j},
		"a nameless issuer":   {Issuers: change(func(i *sign.Issuer) { i.ID = "" }), Profiles: classic, Journal: j},
		"no key":              {Issuers: change(func(i *sign.Issuer) { i.Key = nil }), Profiles: classic, Journal: j},
		"no certificate":      {Issuers: change(func(i *sign.Issuer) { i.Certificate = nil }), Profiles: classic, Journal: j},
		"another key":         {Issuers: change(func(i *sign.Issuer) { i.Key = h.leafKey }), Profiles: classic, Journal: j},
		"an HTTPS CRL":        {Issuers: change(func(i *sign.Issuer) { i.CRLURL = "https://ca.internal/crl" }), Profiles: classic, Journal: j},
		"an odd issuer URL":   {Issuers: change(func(i *sign.Issuer) { i.IssuerURL = "ca.internal/ca" }), Profiles: classic, Journal: j},
		"not a CA":            {Issuers: change(func(i *sign.Issuer) { i.Certificate, i.Key = leafOnly, h.leafKey }), Profiles: classic, Journal: j},
	} {
		if _, err := sign.New(c); err == nil {
			t.Errorf("%s: made a signer", name)
		}
	}
}
