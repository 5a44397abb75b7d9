package ca_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"net/url"
	"sync/atomic"
	"testing"

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
