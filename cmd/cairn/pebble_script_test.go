package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// TestPebbleScripts runs what other projects' tests run when they start Pebble.
func TestPebbleScripts(t *testing.T) {
	testscript.Run(t, scripts("testdata/pebble", map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"pebble":       pebbleUp,
		"challtestsrv": challtestsrv,
		"localhost":    localhost,
		"fill":         fill,
	}))
}

// pebble PROGRAM ARG...: starts a program in the place of Pebble, and waits for the line that says that it is ready.
func pebbleUp(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Path = ts.MkAbs(args[0])
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_ALTERNATE_ROOTS=1", "TMPDIR=" + ts.MkAbs(".")}
	awaitLine(ts, cmd, "ACME directory available at: https://127.0.0.1:")
}

// awaitLine starts cmd and waits until it has written text.
func awaitLine(ts *testscript.TestScript, cmd *exec.Cmd, text string) {
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	cmd.Stderr = cmd.Stdout
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	seen := make(chan string, 1)
	go func() { // goes on reading, so that the program can go on writing
		var all bytes.Buffer
		buffer, found := make([]byte, 4096), false
		for {
			n, err := out.Read(buffer)
			if !found {
				all.Write(buffer[:n])
				if found = strings.Contains(all.String(), text); found {
					seen <- ""
				}
			}
			if err != nil {
				if !found {
					seen <- all.String()
				}
				return
			}
		}
	}()
	select {
	case output := <-seen:
		if output != "" {
			ts.Fatalf("%s ended:\n%s", cmd.Path, output)
		}
	case <-time.After(30 * time.Second):
		ts.Fatalf("%s does not say %q", cmd.Path, text)
	}
}

// challtestsrv DNS MANAGEMENT: starts Pebble's DNS server for tests on these ports.
func challtestsrv(ts *testscript.TestScript, _ bool, args []string) {
	path, err := pebbletest.Program("pebble-challtestsrv")
	ts.Check(err)
	cmd := exec.Command(path, "-dnsserver", "127.0.0.1:"+args[0], "-management", "127.0.0.1:"+args[1],
		"-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1")
	awaitLine(ts, cmd, "Starting management server")
}

// localhost CERT KEY: writes what a project has in its tree for Pebble's HTTPS: a certificate and its key.
func localhost(ts *testscript.TestScript, _ bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	private, err := x509.MarshalECPrivateKey(key)
	ts.Check(err)
	for path, block := range map[string]*pem.Block{args[0]: {Type: "CERTIFICATE", Bytes: der}, args[1]: {Type: "EC PRIVATE KEY", Bytes: private}} {
		ts.Check(os.WriteFile(ts.MkAbs(path), pem.EncodeToMemory(block), 0o600))
	}
}

func TestCalledPebble(t *testing.T) {
	for program, want := range map[string]bool{"pebble": true, "/usr/bin/pebble": true, "pebble.exe": true, "cairn": false, "pebble/cairn": false, "": false} {
		if got := calledPebble(program); got != want {
			t.Errorf("%q: %v", program, got)
		}
	}
}
