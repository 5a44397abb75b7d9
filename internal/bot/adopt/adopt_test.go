package adopt_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/adopt"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// pebble is somebody else's CA, at which other people's clients get certificates.
func pebble(t *testing.T) *pebbletest.Server {
	t.Helper()
	server, err := pebbletest.Start(t.TempDir(), "PEBBLE_WFE_NONCEREJECT=0") // dehydrated does not ask again
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

// run runs a program to its end.
func run(t *testing.T, environment []string, name string, args ...string) {
	t.Helper()
	command := exec.Command(name, args...)
	command.Env = append(command.Environ(), environment...)
	if text, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
}

// store opens an empty tree of certbot's.
func store(t *testing.T) (*lineage.Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := lineage.Open(lineage.Dirs{Config: filepath.Join(dir, "etc"), Work: filepath.Join(dir, "lib"), Logs: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, dir
}

// tree is all that is in a directory, with content, modes and times.
func tree(t *testing.T, directory string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// carry imports, first as a rehearsal that must change nothing, and checks that the source stays as it is.
func carry(t *testing.T, c adopt.Config) (adopt.Report, *lineage.Store, string) {
	t.Helper()
	s, dir := store(t)
	source, before := tree(t, c.Dir), tree(t, dir)
	found, err := adopt.Read(c)
	if err != nil {
		t.Fatal(err)
	}
	if report := adopt.Carry(s, c, found, true); report.Failures() > 0 || len(report.Certificates) == 0 || report.Certificates[0].Outcome != adopt.WouldImport {
		t.Errorf("the dry run says %+v", report)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("the dry run has written something:\n%s\nbefore:\n%s", after, before)
	}
	report := adopt.Carry(s, c, found, false)
	if report.Failures() > 0 {
		t.Fatalf("the import failed: %+v", report)
	}
	if after := tree(t, c.Dir); after != source {
		t.Errorf("the source was changed:\n%s\nbefore:\n%s", after, source)
	}
	again := adopt.Carry(s, c, found, false)
	for _, made := range again.Certificates {
		if made.Outcome != adopt.Exists {
			t.Errorf("a second import: %+v", made)
		}
	}
	certbotReads(t, s, report)
	return report, s, dir
}

// certbotReads has Debian's certbot list what was imported.
func certbotReads(t *testing.T, s *lineage.Store, report adopt.Report) {
	t.Helper()
	if err := s.Close(); err != nil { // certbot takes the same locks
		t.Fatal(err)
	}
	dirs := s.Dirs()
	text, err := exec.Command("certbot", "certificates", "--config-dir", dirs.Config, "--work-dir", dirs.Work, "--logs-dir", dirs.Logs).CombinedOutput()
	if err != nil || strings.Contains(string(text), "invalid") {
		t.Errorf("certbot: %v\n%s", err, text)
	}
	for _, c := range report.Certificates {
		if !strings.Contains(string(text), "Certificate Name: "+c.Name+"\n") {
			t.Errorf("certbot does not know %s:\n%s", c.Name, text)
		}
	}
}

// params reads the configuration of an imported lineage.
func params(t *testing.T, s *lineage.Store, name string) lineage.Params {
	t.Helper()
	l, err := s.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Conf.Params()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Material(1); err != nil {
		t.Error(err)
	}
	return p
}

// hasAccount checks that the account of a lineage is there and whole.
func hasAccount(t *testing.T, s *lineage.Store, p lineage.Params) {
	t.Helper()
	accounts, err := s.Accounts(p.Server)
	if err != nil {
		t.Fatal(err)
	}
	a, err := accounts.Load(p.Account)
	if err != nil || !strings.HasPrefix(a.URL, "https://127.0.0.1:") && !strings.HasPrefix(a.URL, "https://ca.test/") {
		t.Errorf("the account %s: %+v, %v", p.Account, a, err)
	}
}

func TestLegoOfDebian(t *testing.T) {
	ca, dir := pebble(t), t.TempDir()
	for _, args := range [][]string{{"-d", "a.test", "-d", "www.a.test"}, {"-d", "b.test", "--key-type", "rsa2048"}} {
		run(t, []string{"LEGO_CA_CERTIFICATES=" + ca.Bundle}, "lego", append([]string{"--server", ca.Directory, "--email", "me@a.test", "--accept-tos",
			"--path", dir, "--http", "--http.port", fmt.Sprintf("127.0.0.1:%d", ca.HTTPPort)}, append(args, "run")...)...)
	}
	report, s, _ := carry(t, adopt.Config{Source: adopt.Lego, Dir: dir, Server: ca.Directory})
	if len(report.Certificates) != 2 || len(report.Accounts) != 1 {
		t.Fatalf("imported %+v", report)
	}
	p := params(t, s, "a.test")
	if p.KeyType != "ecdsa" || p.EllipticCurve != "secp256r1" || p.Server != ca.Directory {
		t.Errorf("a.test: %+v", p)
	}
	hasAccount(t, s, p)
	if p := params(t, s, "b.test"); p.KeyType != "rsa" || p.RSAKeySize != 2048 {
		t.Errorf("b.test: %+v", p)
	}
}

func TestDehydratedOfDebian(t *testing.T) {
	ca, dir := pebble(t), t.TempDir()
	root := filepath.Join(dir, "www")
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", ca.HTTPPort))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(root))}
	go func() { _ = server.Serve(listener) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	challenges := filepath.Join(root, ".well-known", "acme-challenge")
	if err := os.MkdirAll(challenges, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "config"), fmt.Sprintf("# what there is\nCA=%q\nCURL_OPTS=\"--cacert %s\"\nWWW=\"${BASEDIR}/www\"\nWELLKNOWN=\"${WWW}/.well-known/acme-challenge\"\nKEY_ALGO=prime256v1\n",
		ca.Directory, ca.Bundle))
	write(t, filepath.Join(dir, "domains.txt"), "a.test www.a.test  > main\n")
	for _, args := range [][]string{{"--register", "--accept-terms"}, {"--cron"}} {
		run(t, nil, "dehydrated", append([]string{"--config", filepath.Join(dir, "config")}, args...)...)
	}
	write(t, filepath.Join(dir, "domains.txt"), "a.test www.a.test > main\nlater.test\n")
	report, s, _ := carry(t, adopt.Config{Source: adopt.Dehydrated, Dir: dir})
	p := params(t, s, "main")
	if p.Authenticator != "webroot" || len(p.WebrootPath) != 1 || p.WebrootPath[0] != root || len(p.WebrootMap) != 2 || p.Server != ca.Directory {
		t.Errorf("main: %+v", p)
	}
	hasAccount(t, s, p)
	if !strings.Contains(strings.Join(report.Notes, "\n"), "later.test") {
		t.Errorf("nothing is said of a line without a certificate: %q", report.Notes)
	}
}

func TestCaddyOfDebian(t *testing.T) {
	ca, dir := pebble(t), t.TempDir()
	config := filepath.Join(t.TempDir(), "caddy.json")
	write(t, config, fmt.Sprintf(`{"admin": {"disabled": true}, "storage": {"module": "file_system", "root": %q},
	"apps": {"http": {"http_port": %d, "https_port": %d, "servers": {"s": {"listen": ["127.0.0.1:%[3]d"], "routes": [{"match": [{"host": ["a.test"]}]}]}}},
	"tls": {"automation": {"policies": [{"issuers": [{"module": "acme", "ca": %q, "email": "me@a.test", "trusted_roots_pem_files": [%q],
	"challenges": {"tls-alpn": {"disabled": true}}}]}]}}}}`, dir, ca.HTTPPort, freePort(t), ca.Directory, ca.Bundle))
	command := exec.Command("caddy", "run", "--config", config)
	command.Env = append(command.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	said, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	done := false
	for lines := bufio.NewScanner(said); !done && lines.Scan(); {
		fmt.Fprintln(&log, lines.Text())
		done = strings.Contains(lines.Text(), "certificate obtained successfully")
	}
	_ = command.Process.Kill()
	_ = command.Wait() // it was killed
	if !done {
		t.Fatalf("caddy got no certificate:\n%s", &log)
	}
	report, s, _ := carry(t, adopt.Config{Source: adopt.Caddy, Dir: dir})
	p := params(t, s, "a.test")
	if p.Server != ca.Directory || p.Authenticator != "standalone" || len(report.Accounts) != 1 {
		t.Errorf("a.test: %+v, %+v", p, report)
	}
	hasAccount(t, s, p)
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// authority is who signs the certificates of layouts that are made by hand.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	pem         string
}

var issuer = sync.OnceValue(func() authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(60 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return authority{key, template, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
})

// pair makes a key, and a certificate of it for names; kind is rsa or ecdsa.
func pair(t *testing.T, kind string, names ...string) (key, cert string) {
	t.Helper()
	var private any
	var public any
	if kind == "rsa" {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		private, public = k, k.Public()
	} else {
		k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		private, public = k, k.Public()
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(60 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer().certificate, public, issuer().key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
