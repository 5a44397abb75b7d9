package ca_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/ca/profile"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// custom are the standard profiles and some of an operator's, who uses every field.
func custom() profile.List {
	devices := profile.Classic()
	devices.Name, devices.Description = "devices", "for both ends"
	devices.Usages = []sign.Usage{sign.ServerAuth, sign.ClientAuth, "1.3.6.1.5.5.7.3.17"}
	devices.Subject = sign.Subject{Country: "DE", Province: "Hessen", Locality: "Kassel", Organization: "Beispiel & Söhne", Unit: "Werk 2"}
	devices.Keys = []acme.KeyType{acme.KeyP384, acme.KeyEd25519, "RSA-3072"}
	devices.Names = acme.Subtrees{Domains: []string{"a.test"}}
	devices.CommonName, devices.Challenges = false, []acme.ChallengeType{acme.HTTP01}
	clients := profile.TLSServer()
	clients.Name, clients.Usages, clients.MustStaple = "clients", []sign.Usage{sign.ClientAuth}, true
	clients.Validity, clients.Backdate = 5*time.Minute, 10*time.Second
	silent := profile.ShortLived()
	silent.Name, silent.NoCRL, silent.NoRevAvail, silent.Reuse, silent.KeyID = "silent", true, true, 0, true
	return append(profile.Standard(), devices, clients, silent)
}

var (
	oidFeature    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}
	oidNoRevAvail = asn1.ObjectIdentifier{2, 5, 29, 56}
)

func hasExtension(cert *x509.Certificate, oid asn1.ObjectIdentifier) bool {
	for _, e := range cert.Extensions {
		if e.Id.Equal(oid) && !e.Critical {
			return true
		}
	}
	return false
}

// ordered obtains a certificate of a profile for names and a key.
func ordered(t *testing.T, a *catest.Authority, client *acme.Client, key crypto.Signer, prof string, names ...string) (*acme.Chain, error) {
	t.Helper()
	var ids []acme.Identifier
	for _, name := range names {
		ids = append(ids, acme.IdentifierFor(name))
	}
	ctx := t.Context()
	order, err := client.NewOrder(ctx, acme.NewOrder{Identifiers: ids, Profile: prof})
	if err != nil {
		return nil, err
	}
	if prof != "" && order.Profile != prof {
		t.Errorf("the order has the profile %q, not %q", order.Profile, prof)
	}
	if err := catest.Prove(ctx, client, a.Responder, order); err != nil {
		return nil, err
	}
	if order, err = client.WaitOrder(ctx, order, acme.StatusReady); err != nil {
		return nil, err
	}
	csr, err := catest.CSR(key, ids)
	if err != nil {
		return nil, err
	}
	if order, err = client.Finalize(ctx, order, csr); err != nil {
		return nil, err
	}
	if order, err = client.WaitOrder(ctx, order, acme.StatusValid); err != nil {
		return nil, err
	}
	return client.Certificate(ctx, order.Certificate, acme.CertificateRequest{PublicKey: key.Public(), Identifiers: ids})
}

// registered is a client with an account.
func registered(t *testing.T, a *catest.Authority) *acme.Client {
	t.Helper()
	client := a.Client(t)
	if _, err := client.Register(t.Context(), acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	return client
}

// shape is what is expected of a certificate.
type shape struct {
	profile    string
	key        crypto.Signer
	names      []string
	validity   time.Duration
	backdate   time.Duration
	subject    string
	usage      x509.KeyUsage
	usages     []x509.ExtKeyUsage
	unknown    int
	keyID, crl bool
	extension  asn1.ObjectIdentifier
	purpose    string // of openssl verify
}

func shapes(t *testing.T) []shape {
	t.Helper()
	rsaKey := func(bits int) crypto.Signer {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	const signs, ciphers = x509.KeyUsageDigitalSignature, x509.KeyUsageKeyEncipherment
	server := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	company := "OU=Werk 2,O=Beispiel & Söhne,L=Kassel,ST=Hessen,C=DE"
	return []shape{
		{"", catest.NewKey(t), []string{"a.test", "127.0.0.1"}, 90 * day, time.Hour, "CN=a.test", signs, server, 0, true, true, nil, "sslserver"},
		{"classic", rsaKey(2048), []string{"a.test"}, 90 * day, time.Hour, "CN=a.test", signs | ciphers, server, 0, true, true, nil, "sslserver"},
		{"tlsserver", rsaKey(2048), []string{"a.test"}, 45 * day, time.Hour, "", signs, server, 0, false, true, nil, "sslserver"},
		{"shortlived", catest.NewKey(t), []string{"a.test", "127.0.0.1"}, 160 * time.Hour, time.Hour, "", signs, server, 0, false, true, nil, "sslserver"},
		{"devices", edwards, []string{"www.a.test"}, 90 * day, time.Hour, company, signs, append(server, client...), 1, true, true, nil, "sslclient"},
		{"devices", rsaKey(3072), []string{"a.test"}, 90 * day, time.Hour, company, signs | ciphers, append(server, client...), 1, true, true, nil, "sslserver"},
		{"clients", catest.NewKey(t), []string{"b.test"}, 5 * time.Minute, 10 * time.Second, "", signs, client, 0, false, true, oidFeature, "sslclient"},
		{"silent", catest.NewKey(t), []string{"127.0.0.1"}, 160 * time.Hour, time.Hour, "", signs, server, 0, true, false, oidNoRevAvail, "sslserver"},
	}
}

// Each property of each profile, as seen by crypto/x509 and by OpenSSL.
func TestProfilesCertificates(t *testing.T) {
	a := catest.Start(t, "", func(c *ca.Config) {
		c.Profiles = custom()
		c.AllowTargets = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	client := registered(t, a)
	var seen []*x509.Certificate
	for _, want := range shapes(t) {
		t.Run(want.profile+"/"+want.names[0], func(t *testing.T) {
			begun := time.Now()
			chain, err := ordered(t, a, client, want.key, want.profile, want.names...)
			if err != nil {
				t.Fatal(err)
			}
			leaf := chain.Certificates[0]
			seen = append(seen, leaf)
			want.check(t, leaf, begun)
			verifyWithOpenSSL(t, a.Page().Root, chain.Certificates, want.purpose)
		})
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	catest.CheckCA(t, a.Dir, seen...)
}

func (want shape) check(t *testing.T, leaf *x509.Certificate, begun time.Time) {
	t.Helper()
	validity := leaf.NotAfter.Sub(leaf.NotBefore) + time.Second
	if validity != want.validity {
		t.Errorf("it is valid for %s, not %s", validity, want.validity)
	}
	if back := begun.Sub(leaf.NotBefore); back < want.backdate-30*time.Second || back > want.backdate+2*time.Second {
		t.Errorf("it is back-dated by %s, not %s", back, want.backdate)
	}
	if got := leaf.Subject.String(); got != want.subject {
		t.Errorf("the subject is %q, not %q", got, want.subject)
	}
	if leaf.KeyUsage != want.usage || !slices.Equal(leaf.ExtKeyUsage, want.usages) || len(leaf.UnknownExtKeyUsage) != want.unknown {
		t.Errorf("the usages are %b, %v, %v", leaf.KeyUsage, leaf.ExtKeyUsage, leaf.UnknownExtKeyUsage)
	}
	if (len(leaf.SubjectKeyId) > 0) != want.keyID || (len(leaf.CRLDistributionPoints) == 1) != want.crl {
		t.Errorf("key identifier %x, distribution points %q", leaf.SubjectKeyId, leaf.CRLDistributionPoints)
	}
	for _, oid := range []asn1.ObjectIdentifier{oidFeature, oidNoRevAvail} {
		if hasExtension(leaf, oid) != (want.extension != nil && oid.Equal(want.extension)) {
			t.Errorf("extension %v: %v", oid, hasExtension(leaf, oid))
		}
	}
	var names []string
	names = append(names, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if !slices.Equal(names, want.names) || len(leaf.AuthorityKeyId) == 0 || len(leaf.IssuingCertificateURL) != 1 || len(leaf.OCSPServer) != 0 || len(leaf.PolicyIdentifiers) != 0 {
		t.Errorf("names %q, authority key identifier %x, issuer at %q", names, leaf.AuthorityKeyId, leaf.IssuingCertificateURL)
	}
}

// verifyWithOpenSSL asks OpenSSL whether a chain is good for a purpose.
func verifyWithOpenSSL(t *testing.T, root *x509.Certificate, chain []*x509.Certificate, purpose string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, certs ...*x509.Certificate) string {
		var text bytes.Buffer
		for _, cert := range certs {
			if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	out, err := exec.Command("openssl", "verify", "-x509_strict", "-purpose", purpose,
		"-CAfile", write("root", root), "-untrusted", write("above", chain[1:]...), write("leaf", chain[0])).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "OK") {
		t.Errorf("OpenSSL: %v: %s", err, out)
	}
}

// What a profile does not allow is refused, at the time when that can be known.
func TestProfilesRefuse(t *testing.T) {
	a := catest.Start(t, "", func(c *ca.Config) { c.Profiles = custom() })
	client := registered(t, a)
	small, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		profile, name string
		key           crypto.Signer
		want          acme.ProblemType
	}{
		"unknown":                     {"nope", "a.test", small, acme.TypeInvalidProfile},
		"the CA's own":                {profile.OwnName, "a.test", small, acme.TypeInvalidProfile},
		"address in a DNS profile":    {"tlsserver", "127.0.0.1", small, acme.TypeInvalidProfile},
		"name outside of the profile": {"devices", "b.test", small, acme.TypeInvalidProfile},
		"key of another kind":         {"devices", "a.test", small, acme.TypeBadCSR},
		"Ed25519 unless it is named":  {"classic", "a.test", edwards, acme.TypeBadCSR},
	} {
		_, err := ordered(t, a, client, c.key, c.profile, c.name)
		var problem *acme.Problem
		if !errors.As(err, &problem) || problem.Type != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// An order whose profile has gone cannot be finalized (draft-ietf-acme-profiles §4); others can, and
// the directory says what is offered.
func TestProfileGoneMeanwhile(t *testing.T) {
	a := catest.Start(t, "", func(c *ca.Config) { c.Profiles = custom() })
	client := registered(t, a)
	ids := []acme.Identifier{acme.IdentifierFor("c.test")}
	order, err := client.NewOrder(t.Context(), acme.NewOrder{Identifiers: ids, Profile: "silent"})
	if err != nil {
		t.Fatal(err)
	}
	if err := catest.Prove(t.Context(), client, a.Responder, order); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(a.URL(), "https://")
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	again := catest.Start(t, a.Dir, func(c *ca.Config) {
		c.Listen, c.URL = "127.0.0.1:"+address[strings.LastIndex(address, ":")+1:], a.URL()
		c.Profiles = profile.Standard()
	})
	csr, err := catest.CSR(catest.NewKey(t), ids)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Finalize(t.Context(), order, csr)
	var problem *acme.Problem
	if !errors.As(err, &problem) || problem.Type != acme.TypeInvalidProfile {
		t.Errorf("finalizing gives %v", err)
	}
	fresh := again.Client(t)
	directory, err := fresh.Directory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(directory.Meta.Profiles) != 3 || directory.Meta.Profiles["shortlived"] == "" || directory.RenewalInfo == "" {
		t.Errorf("the directory offers %v", directory.Meta.Profiles)
	}
}

// A profile for clients needs an issuer that allows it: the next one is made when such a profile
// comes, under the same root, and what the earlier one issued stays good.
func TestUsagesNeedAnIssuer(t *testing.T) {
	a := catest.Start(t, "")
	client := registered(t, a)
	before, err := ordered(t, a, client, catest.NewKey(t), "classic", "a.test")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	b := catest.Start(t, a.Dir, func(c *ca.Config) { c.Profiles = custom() })
	after, err := ordered(t, b, registered(t, b), catest.NewKey(t), "clients", "b.test")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(before.Certificates[1].Raw, after.Certificates[1].Raw) || !a.Page().Root.Equal(b.Page().Root) {
		t.Error("the issuer is the same, or the root is another")
	}
	verifyWithOpenSSL(t, b.Page().Root, after.Certificates, "sslclient")
	verifyWithOpenSSL(t, b.Page().Root, before.Certificates, "sslserver")
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	catest.CheckCA(t, a.Dir, before.Certificates[0], after.Certificates[0])
}

func TestProfilesThatCannotWorkHere(t *testing.T) {
	for want, change := range map[string]func(*profile.Definition){
		"names: this CA does not issue for example.org": func(d *profile.Definition) { d.Names.Domains = []string{"example.org"} },
		`challenges: "dns-nope-01" is not offered`:      func(d *profile.Definition) { d.Challenges = []acme.ChallengeType{"dns-nope-01"} },
		"retries: 99": func(d *profile.Definition) { d.Retries = 99 },
	} {
		config := catest.Config(t, filepath.Join(t.TempDir(), "ca"), 80)
		d := profile.Classic()
		change(&d)
		config.Profiles = profile.List{d}
		if a, err := ca.Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
			if a != nil {
				_ = a.Close()
			}
		}
	}
}
