package ca_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// TestOwnCertificateFollowsTheMachine: the CA's HTTPS certificate is for every name and
// address of the machine that its root permits, and for new ones once they are there.
func TestOwnCertificateFollowsTheMachine(t *testing.T) {
	var machine atomic.Pointer[ca.Machine]
	set := func(addresses ...string) {
		m := ca.Machine{Names: []string{"ca.test"}}
		for _, a := range addresses {
			m.Addresses = append(m.Addresses, netip.MustParseAddr(a))
		}
		machine.Store(&m)
	}
	set("127.0.0.1", "10.0.0.7")
	a := catest.Start(t, "", func(c *ca.Config) {
		c.Machine = func() (ca.Machine, error) { return *machine.Load(), nil }
	})
	first := servedBy(t, a)
	for _, name := range []string{"ca.test", "localhost", "127.0.0.1", "10.0.0.7"} {
		if err := first.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if err := a.FitCertificate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !servedBy(t, a).Equal(first) {
		t.Error("a certificate that fits was replaced")
	}
	set("127.0.0.1", "10.0.0.8", "203.0.113.5") // the last one is public: the root does not permit it
	if err := a.FitCertificate(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := servedBy(t, a)
	if err := second.VerifyHostname("10.0.0.8"); err != nil {
		t.Error(err)
	}
	for _, gone := range []string{"10.0.0.7", "203.0.113.5"} {
		if second.VerifyHostname(gone) == nil {
			t.Errorf("the certificate is for %s", gone)
		}
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	b := catest.Start(t, a.Dir, func(c *ca.Config) {
		c.Machine = func() (ca.Machine, error) { return *machine.Load(), nil }
	})
	if !servedBy(t, b).Equal(second) {
		t.Error("a restart replaced a certificate that fits")
	}
	_ = b.Stop()
	catest.CheckCA(t, a.Dir, first, second)
}

// TestMachineWithManyAddresses: a host of containers has more addresses than a certificate takes names.
func TestMachineWithManyAddresses(t *testing.T) {
	m := ca.Machine{Names: []string{"ca.test"}}
	for i := range 300 {
		m.Addresses = append(m.Addresses, netip.AddrFrom4([4]byte{10, 0, byte(i / 200), byte(i % 200)}))
	}
	a := catest.Start(t, "", func(c *ca.Config) {
		c.Machine = func() (ca.Machine, error) { return m, nil }
	})
	leaf := servedBy(t, a)
	for _, name := range []string{"ca.test", "localhost", "127.0.0.1", "10.0.0.0"} {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if err := a.FitCertificate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !servedBy(t, a).Equal(leaf) {
		t.Error("a certificate that fits was replaced")
	}
}

// servedBy is the leaf that an authority serves, verified under its root.
func servedBy(t *testing.T, a *catest.Authority) *x509.Certificate {
	t.Helper()
	u, err := url.Parse(a.URL())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.Page().Root)
	conn, err := tls.Dial("tcp", u.Host, &tls.Config{RootCAs: pool, ServerName: u.Hostname()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// givePair writes a self-signed certificate with its key where a configuration names them.
func givePair(t *testing.T, certificate, key, name string) *x509.Certificate {
	t.Helper()
	signer := catest.NewKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// TestGivenCertificate: an HTTPS certificate that the operator gives is served, and the next one once it is there. What
// cannot be read keeps the CA from starting, and does no harm while it runs.
func TestGivenCertificate(t *testing.T) {
	certificate, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	given := func(c *ca.Config) {
		c.Front.Certificate, c.Front.Key = certificate, key
	}
	config := catest.Config(t, filepath.Join(t.TempDir(), "ca"), 80)
	given(&config)
	if _, err := ca.Open(t.Context(), config); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the files it starts: %v", err)
	}
	first := givePair(t, certificate, key, "*.test")
	a := catest.Start(t, "", given)
	served := func() *x509.Certificate {
		conn, err := tls.Dial("tcp", a.URL()[len("https://"):], &tls.Config{InsecureSkipVerify: true}) // it is compared with what was given
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0]
	}
	if !served().Equal(first) {
		t.Error("the certificate that was given is not served")
	}
	second := givePair(t, certificate, key, "ca.test")
	if err := a.FitCertificate(t.Context()); err != nil || !served().Equal(second) {
		t.Errorf("the next certificate is not served: %v", err)
	}
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.FitCertificate(t.Context()); err == nil || !served().Equal(second) {
		t.Errorf("what cannot be read took the place of what can: %v", err)
	}
}
