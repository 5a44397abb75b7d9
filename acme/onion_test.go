package acme_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
)

// The names in RFC 9799 §2 and §6.4.2.
const (
	bbcOnion     = "bbcweb3hytmzhn5d532owbu6oqadra5z3ar726vq5kgwwn6aucdccrad.onion"
	exampleOnion = "5anebu2glyc235wbbop3m2ukzlaptpkq333vdtdvcjpigyb7x2i2m2qd.onion"
)

func TestOnionKey(t *testing.T) {
	for _, name := range []string{bbcOnion, "www." + bbcOnion, "*." + exampleOnion, "a.b." + exampleOnion} {
		key, err := acme.OnionKey(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if service := acme.OnionService(name); acme.OnionName(key) != service || !strings.HasSuffix(name, service) {
			t.Errorf("%s: the service is %s", name, service)
		}
	}
	for _, name := range []string{
		"onion", ".onion", "a.onion", "expyuzz4wqqyqhjn.onion", "www.expyuzz4wqqyqhjn.onion", // version 2
		"c" + bbcOnion[1:], strings.Replace(bbcOnion, "rad.onion", "rae.onion", 1), // checksum, version
		bbcOnion[1:], "a" + bbcOnion, strings.Replace(bbcOnion, "b", "1", 1), strings.ToUpper(bbcOnion[:56]) + ".onion", "é" + bbcOnion[1:],
	} {
		if _, err := acme.OnionKey(name); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for name, want := range map[string]bool{"onion": true, bbcOnion: true, "onion.test": false, "xonion": false, "a.onion.": false} {
		if acme.IsOnion(name) != want {
			t.Errorf("%s is of Tor: %v", name, !want)
		}
	}
}

func TestOnionCSR(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := acme.NewOnionCSR(key, "bI6/MRqV4gw=")
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := csr.CheckSignature(); err != nil || !key.Public().(ed25519.PublicKey).Equal(csr.PublicKey) {
		t.Errorf("the CSR is signed by %v: %v", csr.PublicKey, err)
	}
	want, _ := base64.StdEncoding.DecodeString("bI6/MRqV4gw=")
	ca, applicant, err := acme.OnionNonces(csr.RawTBSCertificateRequest)
	if err != nil || !bytes.Equal(ca, want) || len(applicant) != 16 {
		t.Errorf("the nonces are %x and %x: %v", ca, applicant, err)
	}
	if _, err := acme.NewOnionCSR(key, "***"); err == nil {
		t.Error("a nonce that is not base64 is taken")
	}
}

// The example of RFC 9799 §6.4.2. The signature in it is over the records that stood in the drafts, with
// another CA than the text has since.
func TestOnionCAAOfTheRFC(t *testing.T) {
	key, err := acme.OnionKey(exampleOnion)
	if err != nil {
		t.Fatal(err)
	}
	records := "caa 128 issue \"test.acmeforonions.org; validationmethods=onion-csr-01\"\ncaa 0 iodef \"mailto:example@example.com\""
	good := acme.OnionCAA{CAA: &records, Expiry: 1697210719, Signature: "u_iP6JZ4JZBrzQUKH6lSrWejjRfeQmkTuehc0_FaaTNPAV0RVxpUz9r44DRdy6kgy0ofnx18KIhMrP7N1wpxAA=="}
	if !good.Verify(key) {
		t.Error("the signature does not verify")
	}
	for _, change := range []func(*acme.OnionCAA){
		func(c *acme.OnionCAA) { c.Expiry++ },
		func(c *acme.OnionCAA) { c.CAA = nil },
		func(c *acme.OnionCAA) { other := records + "\n"; c.CAA = &other },
		func(c *acme.OnionCAA) { c.Signature = "" },
		func(c *acme.OnionCAA) { c.Signature = strings.ReplaceAll(c.Signature, "_", "/") },
		func(c *acme.OnionCAA) { c.Signature += "AA" },
	} {
		bad := good
		change(&bad)
		if bad.Verify(key) {
			t.Errorf("%+v verifies", bad)
		}
	}
}

func TestSignOnionCAA(t *testing.T) {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := acme.SignOnionCAA(key, nil, 1<<40)
	if err != nil || !c.Verify(public) || string(c.Signed()) != "onion-caa|1099511627776|" {
		t.Errorf("%+v does not verify: %v", c, err)
	}
}

// Whatever name is read is one that its key makes.
func FuzzOnionKey(f *testing.F) {
	f.Add(bbcOnion)
	f.Add("www." + exampleOnion)
	f.Add("onion")
	f.Add("")
	f.Fuzz(func(t *testing.T, name string) {
		key, err := acme.OnionKey(name)
		if err == nil && acme.OnionName(key) != acme.OnionService(name) {
			t.Errorf("%q has key %x", name, key)
		}
	})
}

func FuzzOnionNonces(f *testing.F) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	der, err := acme.NewOnionCSR(key, "bI6/MRqV4gw=")
	if err != nil {
		f.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(csr.RawTBSCertificateRequest)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, tbs []byte) {
		if ca, applicant, err := acme.OnionNonces(tbs); err != nil && (ca != nil || applicant != nil) {
			t.Errorf("%x: nonces beside %v", tbs, err)
		}
	})
}
