package sign_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/sign"
)

func TestKeyRoundTrip(t *testing.T) {
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	for name, key := range map[string]crypto.Signer{
		"P-256": newKey(t, elliptic.P256()), "P-384": newKey(t, elliptic.P384()), "RSA": big,
	} {
		text, err := sign.EncodeKey(key)
		check(t, err)
		again, err := sign.ParseKey(text)
		check(t, err)
		if !key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(again) {
			t.Errorf("%s: another key came back", name)
		}
		file := filepath.Join(t.TempDir(), "key.pem")
		check(t, os.WriteFile(file, text, 0o600))
		if out, err := exec.Command(tool(t, "openssl", "openssl"), "pkey", "-in", file, "-noout", "-check").CombinedOutput(); err != nil {
			t.Errorf("%s: openssl does not read the key: %s", name, out)
		}
	}
	if _, err := sign.NewKey(elliptic.P521()); err == nil {
		t.Error("made a P-521 key for a CA")
	}
}

func TestParseKeyRefuses(t *testing.T) {
	text, err := sign.EncodeKey(newKey(t, elliptic.P256()))
	check(t, err)
	block, _ := pem.Decode(text)
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		check(t, err)
		return encode("PRIVATE KEY", der)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	check(t, err)
	for name, text := range map[string][]byte{
		"nothing":         nil,
		"no PEM":          []byte("key"),
		"DER":             block.Bytes,
		"cut short":       encode("PRIVATE KEY", block.Bytes[:len(block.Bytes)-1]),
		"another type":    encode("EC PRIVATE KEY", block.Bytes),
		"encrypted":       encode("ENCRYPTED PRIVATE KEY", block.Bytes),
		"two keys":        bytes.Repeat(text, 2),
		"more text":       append(bytes.Clone(text), "more"...),
		"Ed25519":         pkcs8(edwards),
		"P-224":           pkcs8(p224),
		"a public key":    encode("PUBLIC KEY", block.Bytes),
		"not a PEM block": []byte(strings.Replace(string(text), "-----BEGIN", "-----START", 1)),
	} {
		if key, err := sign.ParseKey(text); err == nil {
			t.Errorf("%s: read a %T", name, key)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		text, err := sign.EncodeKey(newKey(f, curve))
		check(f, err)
		f.Add(text)
	}
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := sign.ParseKey(text)
		if err != nil {
			return
		}
		again, err := sign.EncodeKey(key)
		check(t, err)
		if _, err := sign.ParseKey(again); err != nil {
			t.Errorf("a key that was read is not read again: %v", err)
		}
	})
}
