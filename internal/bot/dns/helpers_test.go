package dns_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/dnstest"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// world is a DNS.
type world struct {
	*dnstest.DNS
	resolver *dns.Resolver
}

func newWorld(t *testing.T) *world {
	t.Helper()
	d, err := dnstest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	resolver, err := dns.NewResolver(dns.ResolverConfig{Servers: []string{d.Resolver()}, Port: d.Port, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return &world{d, resolver}
}

// zone makes a zone with servers on the addresses.
func (w *world) zone(t *testing.T, name string, addresses ...string) *dnstest.Zone {
	t.Helper()
	zone, err := w.Zone(name, addresses...)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// route always leads to one provider.
func route(p dns.Provider, entry dns.Entry) func(...string) (*dns.Route, error) {
	entry.Title = "the test's provider"
	r := &dns.Route{Entry: entry, Provider: p}
	return func(...string) (*dns.Route, error) { return r, nil }
}

// authority is a CA with an account, which asks the DNS of a world.
type authority struct {
	pebble *pebbletest.Server
	client *acme.Client
}

func newAuthority(t *testing.T, w *world) *authority {
	t.Helper()
	pebble, err := pebbletest.StartConfig(pebbletest.Config{
		Directory: t.TempDir(), Arguments: []string{"-dnsserver", w.Resolver()},
		Environment: []string{"PEBBLE_AUTHZREUSE=0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pebble.Stop)
	bundle, err := os.ReadFile(pebble.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	client, err := acme.NewClient(acme.ClientConfig{
		Directory: pebble.Directory, Key: key,
		HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Register(t.Context(), acme.NewAccount{TermsOfServiceAgreed: true}); err != nil {
		t.Fatal(err)
	}
	return &authority{pebble, client}
}

// obtain gets a certificate for names, which are proven by solver.
func (a *authority) obtain(t *testing.T, solver renew.Solver, names ...string) (*x509.Certificate, error) {
	t.Helper()
	o := renew.NewObtainer(renew.ObtainConfig{
		Client: a.client, Server: a.pebble.Directory, Solver: solver, Jobs: renew.OpenJobs(filepath.Join(t.TempDir(), "orders")),
	})
	key, err := renew.KeySpec{}.Complete()
	if err != nil {
		t.Fatal(err)
	}
	want := renew.Want{Lineage: "test", Key: key}
	for _, name := range names {
		want.Identifiers = append(want.Identifiers, acme.IdentifierFor(name))
	}
	issued, err := o.Obtain(t.Context(), want, nil)
	if err != nil {
		return nil, err
	}
	return issued.Chain.Certificates[0], nil
}
