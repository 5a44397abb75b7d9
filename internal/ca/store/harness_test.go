package store_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// start is the beginning of time in tests.
var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// open makes a database in a directory that the test leaves behind.
func open(t testing.TB, change ...func(*store.Config)) *store.DB {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "ca.db"), change...)
}

func openAt(t testing.TB, path string, change ...func(*store.Config)) *store.DB {
	t.Helper()
	config := store.Config{Path: path}
	for _, f := range change {
		f(&config)
	}
	db, err := store.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func policy(t testing.TB) rules.Policy {
	t.Helper()
	names, err := acme.ParseSubtrees([]string{"test"})
	if err != nil {
		t.Fatal(err)
	}
	return rules.Policy{Names: names, Profiles: []rules.Profile{rules.Classic()}}
}

func newAccount(t testing.TB) rules.Account {
	t.Helper()
	key, err := acme.NewKey(newKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	a, problem := rules.NewAccount(policy(t), key, acme.NewAccount{Contact: []string{"mailto:admin@example.org"}}, start)
	if problem != nil {
		t.Fatal(problem)
	}
	return a
}

func newOrder(t testing.TB, a rules.Account, now time.Time, names ...string) (rules.Order, []rules.Authz) {
	t.Helper()
	req := acme.NewOrder{}
	for _, name := range names {
		req.Identifiers = append(req.Identifiers, acme.IdentifierFor(name))
	}
	wanted, problem := rules.ReadNewOrder(policy(t), req)
	if problem != nil {
		t.Fatal(problem)
	}
	placed, problem := rules.NewOrder(wanted, rules.Held{Account: a}, now)
	if problem != nil {
		t.Fatal(problem)
	}
	return placed.Order, placed.Authzs
}

func newCSR(t testing.TB, names ...string) rules.CSR {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	csr, problem := rules.ParseCSR(der)
	if problem != nil {
		t.Fatal(problem)
	}
	return csr
}

// reservation is a certificate of an order before it is signed.
func reservation(o rules.Order, now time.Time) rules.Certificate {
	serial := make([]byte, 18)
	_, _ = rand.Read(serial)
	digest := sha256.Sum256(serial)
	return rules.Certificate{
		Serial: fmt.Sprintf("%x", serial), Issuer: "01", Order: o.ID, Account: o.Account, Profile: o.Profile,
		State: rules.Reserved, Digest: digest[:], NotBefore: now.Add(-time.Hour), NotAfter: now.Add(90 * 24 * time.Hour), Created: now,
	}
}

// issued is a reservation with a certificate of n octets.
func issued(c rules.Certificate, n int) rules.Certificate {
	c.State, c.DER, c.Key = rules.Issued, make([]byte, n), make([]byte, sha256.Size)
	_, _ = rand.Read(c.DER)
	_, _ = rand.Read(c.Key)
	return c
}

func random(n int) []byte {
	octets := make([]byte, n)
	_, _ = rand.Read(octets)
	return octets
}
