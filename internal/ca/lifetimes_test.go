package ca_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// These tests live through decades in bubbles of time. Nothing is served in them, since
// a connection does not wait in the bubble's time.

const day = 24 * time.Hour

// inBubble runs test with a function that starts the authority of one data directory again.
// The test's own Close ends it.
func inBubble(t *testing.T, test func(t *testing.T, dir string, open func() *ca.CA)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// A bubble begins in 2000, which no authority takes for today.
		time.Sleep(time.Until(time.Date(2027, time.January, 1, 0, 0, 0, 0, time.UTC)))
		dir := filepath.Join(t.TempDir(), "ca")
		config := catest.Config(t, dir, 1)
		test(t, dir, func() *ca.CA {
			t.Helper()
			a, err := ca.Open(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			return a
		})
	})
}

func closeCA(t *testing.T, a *ca.CA) {
	t.Helper()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOwnCertificateIsRenewed: by itself, while the authority runs, when two thirds of
// its life are over, and not before.
func TestOwnCertificateIsRenewed(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string, open func() *ca.CA) {
		a := open()
		first := a.Certificate().Leaf
		life := first.NotAfter.Sub(first.NotBefore)
		// keep runs what Serve runs, for a few minutes around a moment of the certificate's life.
		keep := func(until time.Duration) {
			time.Sleep(time.Until(first.NotBefore.Add(until)) - 5*time.Minute)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			a.KeepCertificate(ctx)
		}
		keep(life*2/3 - time.Hour)
		if !a.Certificate().Leaf.Equal(first) {
			t.Fatal("the certificate was renewed before two thirds of its life were over")
		}
		keep(life*2/3 + time.Hour)
		second := a.Certificate().Leaf
		if second.Equal(first) || time.Until(second.NotAfter) < life*2/3 {
			t.Errorf("the certificate after two thirds of its life ends at %s", second.NotAfter)
		}
		closeCA(t, a)
		// The next start takes the new one up.
		a = open()
		if !a.Certificate().Leaf.Equal(second) {
			t.Error("the renewed certificate was not kept")
		}
		closeCA(t, a)
		catest.CheckCA(t, dir, first, second)
	})
}

// TestOwnCertificateIsMadeAnew: at a start, whatever is wrong with the one that is there.
func TestOwnCertificateIsMadeAnew(t *testing.T) {
	tests := []struct {
		name   string
		change func(*x509.Certificate)
		kept   bool
	}{
		{"nothing is wrong", func(*x509.Certificate) {}, true},
		{"it is not yet valid", func(c *x509.Certificate) { c.NotBefore = c.NotBefore.Add(2 * time.Hour) }, false},
		{"its end is near", func(c *x509.Certificate) {
			c.NotBefore = c.NotBefore.Add(-60 * day)
			c.NotAfter = c.NotAfter.Add(-61 * day)
		}, false},
		{"its end is not near", func(c *x509.Certificate) {
			c.NotBefore = c.NotBefore.Add(-59 * day)
			c.NotAfter = c.NotAfter.Add(-59 * day)
		}, true},
		{"it has ended", func(c *x509.Certificate) {
			c.NotBefore = c.NotBefore.Add(-200 * day)
			c.NotAfter = c.NotAfter.Add(-200 * day)
		}, false},
		{"it lacks a name", func(c *x509.Certificate) { c.DNSNames = c.DNSNames[:1] }, false},
		{"it lacks an address", func(c *x509.Certificate) { c.IPAddresses = c.IPAddresses[:1] }, false},
		{"it is of another issuer", nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, dir string, open func() *ca.CA) {
				a := open()
				closeCA(t, a)
				planted := plant(t, dir, a.Certificate(), test.change)
				b := open()
				leaf := b.Certificate().Leaf
				if leaf.Equal(planted) != test.kept {
					t.Errorf("the planted certificate was kept: %v", leaf.Equal(planted))
				}
				if !test.kept && (time.Now().Before(leaf.NotBefore) || time.Until(leaf.NotAfter) < 89*day) {
					t.Errorf("the new certificate is valid from %s to %s", leaf.NotBefore, leaf.NotAfter)
				}
				closeCA(t, b)
			})
		})
	}
}

// plant puts a certificate like own, with a change, in its place. Where change is nil, another key has signed it.
func plant(t *testing.T, dir string, own *tls.Certificate, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	issuer, err := tls.LoadX509KeyPair(filepath.Join(dir, "issuers", "1", "issuer.pem"), filepath.Join(dir, "issuers", "1", "issuer.key"))
	if err != nil {
		t.Fatal(err)
	}
	template := *own.Leaf
	template.SerialNumber = big.NewInt(7)
	parent, signer := *issuer.Leaf, issuer.PrivateKey
	if change != nil {
		change(&template)
	} else {
		key := catest.NewKey(t)
		parent.PublicKey, signer = key.Public(), key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &parent, own.Leaf.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, "https", "cert.pem"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	planted, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return planted
}

// TestIssuerIsRenewed: an issuer that grows old is followed by another under the same root, and
// its CRL goes on. In the last years of the root no issuer could last longer than
// the one before, so none is made, however often the authority starts.
func TestIssuerIsRenewed(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string, open func() *ca.CA) {
		a := open()
		root := a.Page().Root
		closeCA(t, a)
		seen := catest.Seen{Certificates: []*x509.Certificate{a.Certificate().Leaf}}
		numbers := map[string]*big.Int{}
		issuers := 1
		for time.Until(root.NotAfter) > 30*day {
			// Twice in a row: what the first start made is enough for the second.
			for range 2 {
				a := open()
				leaf := a.Certificate().Leaf
				if !a.Page().Root.Equal(root) || a.New() {
					t.Fatalf("%s: there is another root", time.Now())
				}
				if leaf.NotAfter.After(root.NotAfter) || time.Until(leaf.NotAfter) < 29*day {
					t.Errorf("%s: the authority's own certificate ends at %s", time.Now(), leaf.NotAfter)
				}
				issuers = countIssuers(t, dir)
				for i := range issuers {
					id := strconv.Itoa(i + 1)
					list := listOf(t, a, id)
					if last := numbers[id]; last != nil && list.Number.Cmp(last) < 0 || time.Until(list.NextUpdate) <= 0 {
						t.Errorf("%s: list %s of issuer %s is valid until %s, and the last one was %s", time.Now(), list.Number, id, list.NextUpdate, last)
					}
					numbers[id] = list.Number
					seen.Lists = append(seen.Lists, list)
				}
				seen.Certificates = append(seen.Certificates, leaf)
				closeCA(t, a)
			}
			time.Sleep(100 * day)
		}
		// Of five years each, the next one made when a year is left: at 0, 4, 8, 12 and 16.
		if issuers != 5 {
			t.Errorf("there were %d issuers in the life of the root", issuers)
		}
		if n := numbers["1"]; n == nil || n.Cmp(big.NewInt(60)) < 0 {
			t.Errorf("the first issuer's last list is %s", n)
		}
		seen.CheckCA(t, dir)
	})
}

func countIssuers(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "issuers", "*", "issuer.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// listOf is what a publishes as the CRL of an issuer.
func listOf(t *testing.T, a *ca.CA, issuer string) *x509.RevocationList {
	t.Helper()
	answer := httptest.NewRecorder()
	a.Public().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/crl/"+issuer+".crl", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("the CRL of issuer %s: %d", issuer, answer.Code)
	}
	list, err := x509.ParseRevocationList(answer.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return list
}
