package lineage_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// authority issues certificates for tests.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	serial      int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: ecKey(t, elliptic.P256()), serial: 1}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue gives a private key and the chain of a new certificate, in PEM.
func (a *authority) issue(t *testing.T, key crypto.Signer, names ...string) (keyPEM, chainPEM []byte) {
	t.Helper()
	a.serial++
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 90),
	}, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	for _, der := range [][]byte{der, a.certificate.Raw} {
		chainPEM = append(chainPEM, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return keyPEM, chainPEM
}

func (a *authority) material(t *testing.T, names ...string) lineage.Material {
	t.Helper()
	var key *ecdsa.PrivateKey = ecKey(t, elliptic.P256())
	keyPEM, chainPEM := a.issue(t, key, names...)
	m, err := lineage.NewMaterial(keyPEM, chainPEM)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var params = lineage.Params{
	Account: "34ab0252e553ffb25c84ba951e632df4", Server: "https://localhost:14000/dir", Authenticator: "webroot", KeyType: "ecdsa",
	WebrootPath: []string{"/var/www"}, WebrootMap: []lineage.Webroot{{Name: "a.example", Path: "/var/www"}},
}

// setup is what the lineages of tests are created with.
var setup = lineage.Setup{Params: params}

func open(t *testing.T, dirs lineage.Dirs) *lineage.Store {
	t.Helper()
	store, err := lineage.Open(dirs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	if err := store.Unrecovered(); err != nil {
		t.Fatal(err)
	}
	return store
}

func create(t *testing.T, store *lineage.Store, name string, m lineage.Material) *lineage.Lineage {
	t.Helper()
	l, err := store.Create(name, m, setup)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// renew adds a version and makes it live.
func renew(t *testing.T, l *lineage.Lineage, m lineage.Material) int {
	t.Helper()
	version, err := l.AddVersion(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Deploy(version); err != nil {
		t.Fatal(err)
	}
	if err := l.Prune(); err != nil {
		t.Fatal(err)
	}
	return version
}

// certbot runs Debian's.
func certbot(t *testing.T, dirs lineage.Dirs, args ...string) (output string, err error) {
	t.Helper()
	if _, err := os.Stat("/usr/bin/certbot"); err != nil {
		t.Fatal("/usr/bin/certbot is missing: install the Debian package certbot")
	}
	command := exec.Command("/usr/bin/certbot", append(args, "-n", "--config-dir", dirs.Config, "--work-dir", dirs.Work, "--logs-dir", dirs.Logs)...)
	text, err := command.CombinedOutput()
	return string(text), err
}

// mustList has certbot list its certificates, and checks that it finds these and no fault.
func mustList(t *testing.T, dirs lineage.Dirs, names ...string) {
	t.Helper()
	out, err := certbot(t, dirs, "certificates")
	if err != nil || strings.Contains(out, "INVALID") || strings.Contains(out, "invalid") || strings.Count(out, "(VALID: ") != len(names) {
		t.Fatalf("certbot certificates: %v\n%s", err, out)
	}
	for _, name := range names {
		if !strings.Contains(out, "Certificate Name: "+name+"\n") {
			t.Fatalf("certbot does not list %s:\n%s", name, out)
		}
	}
}

// live reads the four files as a server does.
func live(dirs lineage.Dirs, name string) (m lineage.Material, err error) {
	for kind, to := range map[lineage.Kind]*[]byte{lineage.Cert: &m.Cert, lineage.Key: &m.Key, lineage.Chain: &m.Chain, lineage.Fullchain: &m.Fullchain} {
		if *to, err = os.ReadFile(filepath.Join(dirs.Config, "live", name, string(kind)+".pem")); err != nil {
			return m, err
		}
	}
	return m, m.Check()
}

func same(a, b lineage.Material) bool {
	return bytes.Equal(a.Cert, b.Cert) && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Chain, b.Chain) && bytes.Equal(a.Fullchain, b.Fullchain)
}

// snapshot describes all of a tree: names, modes, links, contents.
func snapshot(t *testing.T, top string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		detail := ""
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			detail, err = os.Readlink(path)
		case info.Mode().IsRegular():
			var text []byte
			text, err = os.ReadFile(path)
			detail = fmt.Sprintf("%q", text)
		}
		fmt.Fprintln(&b, info.Mode(), path, detail)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
