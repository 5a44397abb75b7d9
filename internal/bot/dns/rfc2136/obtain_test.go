package rfc2136_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/registry"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// TestACertificateByBIND has a CA look into BIND, which gets the proofs from a credential file of certbot's plugin.
func TestACertificateByBIND(t *testing.T) {
	port := bind(t)
	server := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	client, directory := authority(t, server)
	file := filepath.Join(t.TempDir(), "rfc2136.ini")
	text := "dns_rfc2136_server = 127.0.0.1\ndns_rfc2136_port = " + strconv.Itoa(port) + "\ndns_rfc2136_name = hmac-sha512.\n" +
		"dns_rfc2136_secret = " + secretOf("hmac-sha512") + "\ndns_rfc2136_algorithm = HMAC-SHA512\ndns_rfc2136_sign_query = true\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	router, err := dns.NewRouter(dns.RouterConfig{Find: registry.Find, Provider: "dns-rfc2136", File: file})
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := dns.NewResolver(dns.ResolverConfig{Servers: []string{server}, Port: port, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	solver, err := dns.NewSolver(dns.Config{Route: router.Route, Resolver: resolver})
	if err != nil {
		t.Fatal(err)
	}
	key, err := renew.KeySpec{}.Complete()
	if err != nil {
		t.Fatal(err)
	}
	want := renew.Want{Lineage: "test", Key: key, Identifiers: []acme.Identifier{acme.IdentifierFor("*.dyn.test"), acme.IdentifierFor("dyn.test"), acme.IdentifierFor("www.dyn.test")}}
	o := renew.NewObtainer(renew.ObtainConfig{Client: client, Server: directory, Solver: solver, Jobs: renew.OpenJobs(filepath.Join(t.TempDir(), "orders"))})
	if _, err := o.Obtain(t.Context(), want, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"_acme-challenge.dyn.test.", "_acme-challenge.www.dyn.test."} {
		if left := values(t, port, name); len(left) > 0 {
			t.Errorf("left %q at %s", left, name)
		}
	}
}

// authority is Pebble, which asks server for names, and an account with it.
func authority(t *testing.T, server string) (*acme.Client, string) {
	t.Helper()
	pebble, err := pebbletest.StartConfig(pebbletest.Config{
		Directory: t.TempDir(), Arguments: []string{"-dnsserver", server}, Environment: []string{"PEBBLE_AUTHZREUSE=0"},
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
		Directory: pebble.Directory, Key: key, HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Register(t.Context(), acme.NewAccount{TermsOfServiceAgreed: true}); err != nil {
		t.Fatal(err)
	}
	return client, pebble.Directory
}
