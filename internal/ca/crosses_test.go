package ca_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// rootOf reads a root from the data directory.
func rootOf(t *testing.T, dir, number string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "roots", number, "root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := acme.ParseChain(text)
	if err != nil {
		t.Fatal(err)
	}
	return chain[0]
}

// verifies reports whether a chain leads to root, for all that its leaf is for.
func verifies(t *testing.T, chain *acme.Chain, root *x509.Certificate) bool {
	t.Helper()
	roots, above := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for _, certificate := range chain.Certificates[1:] {
		above.AddCert(certificate)
	}
	_, err := chain.Certificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: above})
	return err == nil
}

// alternatesOf fetches the other chains of what was obtained.
func alternatesOf(t *testing.T, client *acme.Client, got *catest.Obtained) (chains []*acme.Chain) {
	t.Helper()
	for _, url := range got.Chain.Alternates {
		chain, err := client.Certificate(t.Context(), url, acme.CertificateRequest{PublicKey: got.Key.Public(), Identifiers: got.Order.Identifiers})
		if err != nil {
			t.Fatal(err)
		}
		if !chain.Certificates[0].Equal(got.Chain.Certificates[0]) {
			t.Error("another chain is for another certificate")
		}
		chains = append(chains, chain)
	}
	return chains
}

// TestF12OldRootVouchesForTheNewIssuer: with another root, who trusts the old one alone can go on with the other
// chain, for the names that the old one permits.
func TestF12OldRootVouchesForTheNewIssuer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	first := catest.Start(t, dir)
	client := first.Client(t)
	if _, err := client.Register(t.Context(), acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	got, err := catest.Obtain(t.Context(), client, first.Responder, "a.test")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Chain.Alternates) != 0 {
		t.Errorf("with one root there are the alternates %q", got.Chain.Alternates)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	names, err := acme.ParseSubtrees([]string{"corp.example"})
	if err != nil {
		t.Fatal(err)
	}
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 ca.test a.test www.corp.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	second := catest.Start(t, dir, func(c *ca.Config) {
		c.Names, c.NewRoot, c.HostsFile, c.NoCAA = names, true, hosts, true // there is no DNS here to ask for CAA
	})
	client = second.Client(t)
	if _, err := client.Register(t.Context(), acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	old, fresh := rootOf(t, dir, "1"), rootOf(t, dir, "2")
	if got, err = catest.Obtain(t.Context(), client, second.Responder, "a.test"); err != nil {
		t.Fatal(err)
	}
	others := alternatesOf(t, client, got)
	if len(others) != 1 || !verifies(t, got.Chain, fresh) || verifies(t, got.Chain, old) || !verifies(t, others[0], old) || verifies(t, others[0], fresh) {
		t.Errorf("%d other chains; by default: new root %t, old root %t", len(others), verifies(t, got.Chain, fresh), verifies(t, got.Chain, old))
	}
	// What the old root does not permit has no chain to it.
	if got, err = catest.Obtain(t.Context(), client, second.Responder, "a.test", "www.corp.example"); err != nil {
		t.Fatal(err)
	}
	if len(got.Chain.Alternates) != 0 || !verifies(t, got.Chain, fresh) {
		t.Errorf("for a new name there are the alternates %q", got.Chain.Alternates)
	}
	// A later start makes nothing more.
	if err := second.Stop(); err != nil {
		t.Fatal(err)
	}
	third := catest.Start(t, dir)
	if err := third.Stop(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "issuers", "*", "cross-*.pem"))
	if want := []string{filepath.Join(dir, "issuers", "2", "cross-1.pem")}; err != nil || !slices.Equal(files, want) {
		t.Errorf("files %q, want %q, %v", files, want, err)
	}
}

// TestF12AlternateRoots: a first run can make several roots, each of which has a chain.
func TestF12AlternateRoots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	authority := catest.Start(t, dir, func(c *ca.Config) { c.AlternateRoots = 2 })
	client := authority.Client(t)
	if _, err := client.Register(t.Context(), acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	got, err := catest.Obtain(t.Context(), client, authority.Responder, "a.test")
	if err != nil {
		t.Fatal(err)
	}
	others := alternatesOf(t, client, got)
	if len(others) != 2 {
		t.Fatalf("alternates %q", got.Chain.Alternates)
	}
	for number, chain := range map[string]*acme.Chain{"3": got.Chain, "2": others[0], "1": others[1]} {
		for _, other := range []string{"1", "2", "3"} {
			if verifies(t, chain, rootOf(t, dir, other)) != (other == number) {
				t.Errorf("the chain to root %s, with root %s: %t", number, other, other != number)
			}
		}
	}
}
