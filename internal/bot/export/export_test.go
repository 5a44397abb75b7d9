package export_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/cairn-ca/cairn/internal/bot/export"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

func material(t *testing.T) lineage.Material {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	m, err := lineage.NewMaterial(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), append(certificate, certificate...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWrite(t *testing.T) {
	directory := t.TempDir()
	at := func(name string) string { return filepath.Join(directory, name) }
	if err := errors.Join(os.WriteFile(at("password"), []byte("gehéim\r\nmore"), 0o600), os.WriteFile(at("real.pem"), nil, 0o644), os.Symlink("real.pem", at("link.pem"))); err != nil {
		t.Fatal(err)
	}
	m := material(t)
	if err := export.Write(m, export.Config{PKCS12: at("a.p12"), PasswordFile: at("password"), Combined: at("link.pem"), Group: -1}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(at("a.p12"))
	if err != nil {
		t.Fatal(err)
	}
	_, leaf, chain, err := pkcs12.DecodeChain(data, "gehéim")
	if err != nil || leaf.DNSNames[0] != "a.example" || len(chain) != 1 {
		t.Errorf("%v, %d in the chain, %v", leaf, len(chain), err)
	}
	if text, err := os.ReadFile(at("real.pem")); err != nil || string(text) != string(m.Key)+string(m.Fullchain) {
		t.Errorf("the link leads to %q, %v", text, err)
	}
	if info, err := os.Stat(at("real.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a key has the mode %s, %v", info.Mode(), err)
	}
	// One that fails leaves the other, and nothing else.
	err = export.Write(m, export.Config{PKCS12: at("b.p12"), PasswordFile: at("nosuch"), Combined: at("b.pem"), Mode: 0o640, Group: os.Getgid()})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a password: %v", err)
	}
	if info, err := os.Stat(at("b.pem")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) != 5 {
		t.Errorf("there are %v, %v", entries, err)
	}
	if err := export.Write(m, export.Config{Combined: at("nosuch/b.pem"), Group: -1}); err == nil {
		t.Error("it was written into a directory that is not there")
	}
}
