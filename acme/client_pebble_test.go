package acme_test

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// pebbleConfig starts Pebble and says how to reach it with a new account's key.
func pebbleConfig(t *testing.T) (*pebbletest.Server, acme.ClientConfig) {
	t.Helper()
	pebble, err := pebbletest.Start(t.TempDir())
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
	return pebble, acme.ClientConfig{
		Directory: pebble.Directory, Key: newKey(t), UserAgent: "cairn-test/1",
		HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
	}
}

// TestClientAgainstPebble goes the whole way with a server that we did not write.
func TestClientAgainstPebble(t *testing.T) {
	pebble, config := pebbleConfig(t)
	client, err := acme.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()

	_, err = client.Register(ctx, acme.NewAccount{OnlyReturnExisting: true})
	if p := problemOf(t, err); p.Type != acme.TypeAccountDoesNotExist {
		t.Fatalf("unknown key: %v", p)
	}
	if _, err := client.Register(ctx, acme.NewAccount{TermsOfServiceAgreed: true, Contact: []string{"mailto:a@example.org"}}); err != nil {
		t.Fatal(err)
	}
	again, err := acme.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Register(ctx, acme.NewAccount{OnlyReturnExisting: true}); err != nil || again.AccountURL() != client.AccountURL() {
		t.Fatalf("the account is at %q and %q, %v", client.AccountURL(), again.AccountURL(), err)
	}

	key := newKey(t)
	chain := obtain(t, client, pebble.HTTPPort, key, names("a.example", "127.0.0.1", "b.example"))
	if len(chain.Certificates) < 2 {
		t.Errorf("a chain of %d", len(chain.Certificates))
	}
	leaf := chain.Certificates[0]
	if err := client.Revoke(ctx, leaf, nil, nil); err != nil {
		t.Error(err)
	}
	if p := problemOf(t, client.Revoke(ctx, leaf, nil, key)); p.Type != acme.TypeAlreadyRevoked {
		t.Error(p)
	}
	other := obtain(t, client, pebble.HTTPPort, key, names("a.example"))
	reason := 1
	if err := client.Revoke(ctx, other.Certificates[0], &reason, key); err != nil {
		t.Error(err)
	}
	if account, err := client.Account(ctx); err != nil || account.Status != acme.StatusValid {
		t.Errorf("%+v, %v", account, err)
	}
	if err := client.Deactivate(ctx); err != nil {
		t.Error(err)
	}
	if _, err := client.NewOrder(ctx, acme.NewOrder{Identifiers: names("a.example")}); err == nil {
		t.Error("a deactivated account can order")
	}
}

// obtain gets a certificate, answering challenges at port.
func obtain(t *testing.T, client *acme.Client, port int, key crypto.Signer, ids []acme.Identifier) *acme.Chain {
	t.Helper()
	ctx := t.Context()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, client.KeyAuthorization(strings.TrimPrefix(r.URL.Path, acme.HTTP01Path)))
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()

	order, err := client.NewOrder(ctx, acme.NewOrder{Identifiers: ids})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range order.Authorizations {
		authorization, err := client.Authorization(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		for _, challenge := range authorization.Challenges {
			if challenge.Type == acme.HTTP01 && authorization.Status == acme.StatusPending {
				if _, err := client.Respond(ctx, challenge); err != nil {
					t.Fatal(err)
				}
			}
		}
		if authorization, err = client.WaitAuthorization(ctx, url); err != nil || authorization.Status != acme.StatusValid {
			t.Fatalf("%+v, %v", authorization, err)
		}
	}
	if order, err = client.WaitOrder(ctx, order, acme.StatusReady); err != nil {
		t.Fatal(err)
	}
	template := new(x509.CertificateRequest)
	for _, id := range ids {
		if id.Type == acme.IP {
			template.IPAddresses = append(template.IPAddresses, net.ParseIP(id.Value))
		} else {
			template.DNSNames = append(template.DNSNames, id.Value)
		}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	if order, err = client.Finalize(ctx, order, csr); err != nil {
		t.Fatal(err)
	}
	if order, err = client.WaitOrder(ctx, order, acme.StatusValid); err != nil {
		t.Fatal(err)
	}
	chain, err := client.Certificate(ctx, order.Certificate, acme.CertificateRequest{PublicKey: key.Public(), Identifiers: ids})
	if err != nil {
		t.Fatal(err)
	}
	return chain
}
