package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAThousandCertificates has renew look at as many, of which none is due. The bound is
// generous: it is there for what takes longer with the square of their number.
func TestAThousandCertificates(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example"}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(0, 0, 90)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	files := map[string][]byte{"cert": certificate, "chain": nil, "fullchain": certificate, "privkey": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})}
	directory := t.TempDir()
	for i := range 1000 {
		name := fmt.Sprintf("n%d.example", i)
		archive, live := filepath.Join(directory, "etc/archive", name), filepath.Join(directory, "etc/live", name)
		err := errors.Join(os.MkdirAll(archive, 0o755), os.MkdirAll(live, 0o755), os.MkdirAll(filepath.Join(directory, "etc/renewal"), 0o755))
		conf := "archive_dir = " + archive + "\n"
		for kind, text := range files {
			link := filepath.Join(live, kind+".pem")
			err = errors.Join(err, os.WriteFile(filepath.Join(archive, kind+"1.pem"), text, 0o600), os.Symlink("../../archive/"+name+"/"+kind+"1.pem", link))
			conf += kind + " = " + link + "\n"
		}
		conf += "[renewalparams]\nserver = https://127.0.0.1:1/dir\nauthenticator = standalone\nkey_type = ecdsa\n"
		if err = errors.Join(err, os.WriteFile(filepath.Join(directory, "etc/renewal", name+".conf"), []byte(conf), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	start := time.Now()
	code := run(t.Context(), []string{"renew", "--config-dir", directory + "/etc", "--work-dir", directory + "/lib", "--logs-dir", directory + "/log"},
		process{out: &out, err: &out, getenv: func(string) string { return "" }})
	if code != exitOK || strings.Count(out.String(), "(skipped)") != 1000 {
		t.Errorf("exit code %d, %d certificates", code, strings.Count(out.String(), "(skipped)"))
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}
