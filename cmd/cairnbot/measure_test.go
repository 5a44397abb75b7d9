package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// The benchmarks of this file run whole programs: cairnbot beside certbot and, where it can do the same, lego. Each
// reports the wall-clock time, the processor time and the peak of memory of one run. `make bench-clients` runs them.

// client is a program that is measured, and how it is told what to do.
type client struct {
	name string
	path string
	// tree gives the options that keep it in a directory.
	tree func(directory string) []string
	// patient is set for one that needs a minute where others need a second.
	patient bool
}

// clients finds the programs; without one of the others there is nothing to compare with, which is a failure.
func clients(b *testing.B) []client {
	b.Helper()
	own := filepath.Join(b.TempDir(), "cairnbot")
	build := exec.Command("go", "build", "-trimpath", "-o", own, ".")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, text)
	}
	certbot, err := exec.LookPath("certbot")
	if err != nil {
		b.Fatal(err)
	}
	tree := func(directory string) []string {
		return []string{"--config-dir", directory + "/etc", "--work-dir", directory + "/lib", "--logs-dir", directory + "/log"}
	}
	list := []client{{name: "cairnbot", path: own, tree: tree}, {name: "certbot", path: certbot, tree: tree, patient: true}}
	if lego, err := exec.LookPath("lego"); err == nil {
		list = append(list, client{name: "lego", path: lego, tree: func(directory string) []string { return []string{"--path", directory + "/lego"} }})
	}
	return list
}

// launcher runs a program and writes down what it took: seconds of clock and of processor, and KiB at the peak. A
// process's peak begins with that of whoever started it, and a test is larger than what it measures.
const launcher = `
import os, resource, subprocess, sys, time
before = resource.getrusage(resource.RUSAGE_CHILDREN)
start = time.time()
code = subprocess.call(sys.argv[2:])
took = time.time() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as out:
    print(took, used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, used.ru_maxrss, file=out)
sys.exit(code)
`

// measure runs a program once an iteration, and reports what it took.
func (c client) measure(b *testing.B, environment []string, arguments ...string) {
	b.Helper()
	figures := filepath.Join(b.TempDir(), "figures")
	var wall, cpu, peak float64
	for b.Loop() {
		command := exec.Command("python3", append([]string{"-c", launcher, figures, c.path}, arguments...)...)
		command.Env = append(command.Environ(), environment...)
		if said, err := command.CombinedOutput(); err != nil {
			b.Fatalf("%s %s: %v\n%s", c.name, strings.Join(arguments, " "), err, said)
		}
		text, err := os.ReadFile(figures)
		if err != nil {
			b.Fatal(err)
		}
		var took, used, size float64
		if _, err := fmt.Sscan(string(text), &took, &used, &size); err != nil {
			b.Fatal(err)
		}
		wall, cpu, peak = wall+took, cpu+used, max(peak, size)
	}
	b.ReportMetric(1000*wall/float64(b.N), "wall-ms/op")
	b.ReportMetric(1000*cpu/float64(b.N), "cpu-ms/op")
	b.ReportMetric(peak/1024, "peak-MiB")
	b.ReportMetric(0, "ns/op") // it has the launcher in it
}

func BenchmarkStart(b *testing.B) {
	for _, c := range clients(b) {
		info, err := os.Stat(c.path)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			c.measure(b, nil, "--version")
			if !c.patient { // certbot's is a few lines of Python
				b.ReportMetric(float64(info.Size())/(1<<20), "file-MiB")
			}
		})
	}
}

// BenchmarkIssue gets one new certificate from Pebble, with an account that is there.
func BenchmarkIssue(b *testing.B) {
	pebble := measuredPebble(b)
	for _, c := range clients(b) {
		b.Run(c.name, func(b *testing.B) {
			directory := b.TempDir()
			c.measure(b, pebble.environment(), c.issue(directory, pebble.Server)...)
		})
	}
}

func (c client) issue(directory string, pebble *pebbletest.Server) []string {
	if c.name == "lego" {
		return append(c.tree(directory), "--server", pebble.Directory, "--accept-tos", "--email", "you@example.org", "--domains", "a.example",
			"--http", "--http.port", "127.0.0.1:"+strconv.Itoa(pebble.HTTPPort), "run")
	}
	return append(c.tree(directory), "certonly", "--standalone", "-d", "a.example", "--server", pebble.Directory, "--force-renewal",
		"--http-01-port", strconv.Itoa(pebble.HTTPPort), "--agree-tos", "-m", "you@example.org", "-n")
}

// BenchmarkNoneDue is what a timer does twice a day, nearly always: it looks, and nothing is due.
func BenchmarkNoneDue(b *testing.B) {
	for _, n := range []int{1, 100, 1000, 10000} {
		directory := b.TempDir()
		plant(b, directory, n, "https://127.0.0.1:1/dir", "")
		for _, c := range clients(b)[:2] {
			b.Run(fmt.Sprintf("%d/%s", n, c.name), func(b *testing.B) {
				c.measure(b, nil, append(c.tree(directory), "renew", "--no-random-sleep-on-renew", "-n")...)
			})
		}
	}
}

// BenchmarkList lists certificates.
func BenchmarkList(b *testing.B) {
	directory := b.TempDir()
	plant(b, directory, 1000, "https://127.0.0.1:1/dir", "")
	for _, c := range clients(b)[:2] {
		b.Run("1000/"+c.name, func(b *testing.B) { c.measure(b, nil, append(c.tree(directory), "certificates")...) })
	}
}

// BenchmarkAllDue renews every certificate there is, at Pebble.
func BenchmarkAllDue(b *testing.B) {
	pebble := measuredPebble(b)
	for _, n := range []int{1, 100, 1000, 10000} {
		for _, c := range clients(b)[:2] {
			if c.patient && n > 100 {
				continue // it would take hours
			}
			b.Run(fmt.Sprintf("%d/%s", n, c.name), func(b *testing.B) {
				directory := b.TempDir()
				register := append(c.tree(directory), "register", "--server", pebble.Directory, "--agree-tos", "-m", "you@example.org", "-n")
				command := exec.Command(c.path, register...)
				command.Env = append(command.Environ(), pebble.environment()...)
				if text, err := command.CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, text)
				}
				plant(b, directory, n, pebble.Directory, accountIn(b, directory))
				c.measure(b, pebble.environment(), append(c.tree(directory), "renew", "--force-renewal", "--no-random-sleep-on-renew", "-n",
					"--http-01-port", strconv.Itoa(pebble.HTTPPort))...)
			})
		}
	}
}

// pebbleUnderLoad is a Pebble that does nothing to hinder a measurement.
type pebbleUnderLoad struct{ *pebbletest.Server }

func measuredPebble(b *testing.B) pebbleUnderLoad {
	b.Helper()
	pebble, err := pebbletest.Start(b.TempDir(), "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pebble.Stop)
	return pebbleUnderLoad{pebble}
}

func (p pebbleUnderLoad) environment() []string {
	return []string{"REQUESTS_CA_BUNDLE=" + p.Bundle, "LEGO_CA_CERTIFICATES=" + p.Bundle}
}

// accountIn finds the only account below a directory.
func accountIn(b *testing.B, directory string) string {
	b.Helper()
	found := ""
	err := filepath.WalkDir(filepath.Join(directory, "etc/accounts"), func(path string, _ fs.DirEntry, err error) error {
		if filepath.Base(path) == "regr.json" {
			found = filepath.Base(filepath.Dir(path))
		}
		return err
	})
	if err != nil || found == "" {
		b.Fatalf("no account: %v", err)
	}
	return found
}

// plant lays down n certificates as certbot keeps them, of which none is due.
func plant(tb testing.TB, directory string, n int, server, account string) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	issuer := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an issuer"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(5, 0, 0)}
	above := certificate(tb, issuer, issuer, key)
	for i := range n {
		name := fmt.Sprintf("n%d.example", i)
		leaf := certificate(tb, &x509.Certificate{SerialNumber: big.NewInt(int64(i + 2)), DNSNames: []string{name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 90)}, issuer, key)
		files := map[string][]byte{"cert": leaf, "chain": above, "fullchain": append(leaf[:len(leaf):len(leaf)], above...), "privkey": private}
		if err := plantOne(directory, name, files, server, account); err != nil {
			tb.Fatal(err)
		}
	}
}

func certificate(tb testing.TB, template, issuer *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func plantOne(directory, name string, files map[string][]byte, server, account string) error {
	archive, live := filepath.Join(directory, "etc/archive", name), filepath.Join(directory, "etc/live", name)
	err := errors.Join(os.MkdirAll(archive, 0o755), os.MkdirAll(live, 0o755), os.MkdirAll(filepath.Join(directory, "etc/renewal"), 0o755))
	conf := "version = 2.1.0\narchive_dir = " + archive + "\n"
	for _, kind := range []string{"cert", "privkey", "chain", "fullchain"} {
		link := filepath.Join(live, kind+".pem")
		err = errors.Join(err, os.WriteFile(filepath.Join(archive, kind+"1.pem"), files[kind], 0o600), os.Symlink("../../archive/"+name+"/"+kind+"1.pem", link))
		conf += kind + " = " + link + "\n"
	}
	conf += "\n# Options used in the renewal process\n[renewalparams]\naccount = " + account + "\nauthenticator = standalone\nserver = " + server + "\nkey_type = ecdsa\n"
	return errors.Join(err, os.WriteFile(filepath.Join(directory, "etc/renewal", name+".conf"), []byte(conf), 0o644))
}
