package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// JSON is laid out as Pebble's is, and has its media types: programs look at the text alone.
func TestPebbleText(t *testing.T) {
	c := asPebble(t, pebbletest.Config{Environment: quick()})
	directory := c.get(c.base + "/dir")
	if got := directory.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("the directory is %q", got)
	}
	if !bytes.Contains(directory.body, []byte("\n   \"newNonce\": \"https://")) {
		t.Errorf("the directory is %s", directory.body)
	}
	if got := c.post(c.base+"/sign-me-up", `{}`).Header.Get("Content-Type"); got != "application/problem+json; charset=utf-8" {
		t.Errorf("a problem is %q", got)
	}
	c.register()
	url, _, _ := c.issue("a.example")
	if got := c.post(url, "").Header.Get("Content-Type"); got != "application/pem-certificate-chain; charset=utf-8" {
		t.Errorf("a certificate is %q", got)
	}
}

// Small RSA keys are those of accounts in many tests, and members may be in any case.
func TestPebbleSmallAccountKey(t *testing.T) {
	c := asPebble(t, pebbletest.Config{Environment: quick()})
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	url := c.base + "/sign-me-up"
	body, err := acme.SignJWS(key, acme.Header{URL: url, Nonce: c.get(c.base + "/nonce-plz").Header.Get("Replay-Nonce"), Key: jwkOf(t, key.Public())},
		[]byte(`{"TermsOfServiceAgreed":true,"Contact":["mailto:a@example.org"]}`))
	if err != nil {
		t.Fatal(err)
	}
	made := c.want(c.do(http.MethodPost, url, nil, body), http.StatusCreated)
	if contacts := made.list("contact"); len(contacts) != 1 {
		t.Errorf("contacts %q", contacts)
	}
}

// Of a CSR, the names of the SAN and the key count, also a small one. Its subject and its e-mail addresses do not.
// The certificate is found by its serial.
func TestPebbleCSR(t *testing.T) {
	c := asPebble(t, pebbletest.Config{Environment: quick()})
	c.register()
	url, order := c.ordered("a.example")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "Somebody's server"}, DNSNames: []string{"a.example"}, EmailAddresses: []string{"a@example.org"},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	c.want(c.post(order.member("finalize"), `{"csr":"`+b64(der)+`"}`), http.StatusOK)
	valid := c.until(url, "processing", "ready")
	certificate := valid.member("certificate")
	if certificate == "" {
		t.Fatalf("%s\n%s", valid.body, c.server.Log())
	}
	leaf, err := x509.ParseCertificate(ders(c.post(certificate, "").body)[0])
	if serial := filepath.Base(certificate); err == nil && serial != fmt.Sprintf("%x", leaf.SerialNumber.Bytes()) {
		t.Errorf("certificate %x is at %s", leaf.SerialNumber, certificate)
	}
	if err != nil || len(leaf.DNSNames) != 1 || len(leaf.EmailAddresses) != 0 || leaf.Subject.CommonName != "" {
		t.Errorf("the certificate is for %q, %q, %q (%v)", leaf.Subject, leaf.DNSNames, leaf.EmailAddresses, err)
	}
}

// A redirect of an http-01 challenge leads to any port.
func TestPebbleRedirect(t *testing.T) {
	c := asPebble(t, pebbletest.Config{Environment: []string{"PEBBLE_WFE_NONCEREJECT=0"}})
	c.register()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := filepath.Base(r.URL.Path)
		_, _ = fmt.Fprint(w, token+"."+jwkOf(t, c.key.Public()).Thumbprint())
	}))
	t.Cleanup(target.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(target.URL, "http://"), ":")
	at := fmt.Sprintf("127.0.0.1:%d", c.server.HTTPPort)
	redirect := &http.Server{Addr: at, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://a.example:"+port+r.URL.Path, http.StatusFound)
	})}
	go func() { _ = redirect.ListenAndServe() }()
	t.Cleanup(func() { _ = redirect.Close() })
	order := c.post(c.base+"/order-plz", orderFor("a.example"))
	c.prove(order.list("authorizations")[0])
	if got := c.until(order.location(), "pending").member("status"); got != "ready" {
		t.Errorf("the order is %s\n%s", got, c.post(order.list("authorizations")[0], "").body)
	}
}

// A signal ends the program as it ends Pebble, which catches none; nothing is left behind.
func TestPebbleEndsBySignal(t *testing.T) {
	directory, state := t.TempDir(), t.TempDir()
	c := asPebble(t, pebbletest.Config{Directory: directory})
	c.server.End()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		cmd := exec.Command("cairn", "pebble", "-config", filepath.Join(directory, "pebble.json"))
		cmd.Env = append(cmd.Environ(), "TMPDIR="+state)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.Contains(lines.Text(), "ACME directory available at") {
				_ = cmd.Process.Signal(signal)
			}
		}
		_ = cmd.Wait()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != signal {
			t.Errorf("after %s: %s", signal, cmd.ProcessState)
		}
		if left, err := os.ReadDir(state); err != nil || len(left) > 0 {
			t.Errorf("%s leaves %v (%v)", signal, left, err)
		}
	}
}
