package acme_test

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
)

// rfc9773ID is the identifier that RFC 9773 §4.1 gives for the certificate of its appendix A.
const rfc9773ID = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"

const rfc9773Certificate = `-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
`

func TestCertIDOfRFC9773(t *testing.T) {
	block, _ := pem.Decode([]byte(rfc9773Certificate))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	id, err := acme.CertIDOf(cert)
	if err != nil || id.String() != rfc9773ID {
		t.Errorf("the certificate's identifier is %s, %v", id, err)
	}
	parsed, problem := acme.ParseCertID(rfc9773ID)
	if problem != nil {
		t.Fatal(problem)
	}
	if got := hex.EncodeToString(parsed.KeyID); got != "69885b6b87464041e1b37b847ba0ae2cde01c8d4" || parsed.Serial() != "87654321" || parsed.String() != rfc9773ID {
		t.Errorf("read back it is key %s, serial %s, %s", got, parsed.Serial(), parsed)
	}
}

func TestCertIDWithoutKeyID(t *testing.T) {
	if _, err := acme.CertIDOf(&x509.Certificate{SerialNumber: big.NewInt(1)}); err == nil {
		t.Error("a certificate without an authority key identifier has an identifier")
	}
}

func TestCertIDIsWrittenInOneWay(t *testing.T) {
	const key = "aYhba4dGQEHhs3uEe6CuLN4ByNQ"
	for name, text := range map[string]string{
		"empty":                    "",
		"no period":                key,
		"three parts":              key + ".AQ.AQ",
		"no key":                   ".AIdlQyE",
		"no serial":                key + ".",
		"padding":                  key + "=.AIdlQyE",
		"padding of the serial":    key + ".AIdlQyE=",
		"base64, not base64url":    "+" + key[1:] + ".AIdlQyE",
		"line break":               key[:8] + "\n" + key[8:] + ".AIdlQyE",
		"bits beyond the last one": key[:len(key)-1] + "R.AIdlQyE",
		"zero":                     key + ".AA",
		"negative":                 key + ".h2VDIQ",
		"longer than DER":          key + ".AAE",
		"of 21 octets":             key + ".AQEBAQEBAQEBAQEBAQEBAQEBAQEB",
		"endless":                  strings.Repeat("A", 1<<16) + ".AQ",
	} {
		if id, problem := acme.ParseCertID(text); problem == nil || problem.Type != acme.TypeMalformed {
			t.Errorf("%s: read as %s, %v", name, id, problem)
		}
	}
}

func FuzzParseCertID(f *testing.F) {
	for _, seed := range []string{rfc9773ID, "AQ.AQ", ".", "", "AQ.AIA", "AQ==.AQ", "AQ.fw", "A.A"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, problem := acme.ParseCertID(text)
		if problem != nil {
			return
		}
		if id.String() != text {
			t.Errorf("%q is written as %q", text, id)
		}
		if serial, ok := new(big.Int).SetString(id.Serial(), 16); !ok || serial.Sign() <= 0 || len(id.Serial())%2 != 0 {
			t.Errorf("%q has the serial %q", text, id.Serial())
		}
	})
}
