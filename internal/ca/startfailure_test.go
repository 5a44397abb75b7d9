package ca_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/ca/crl"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// What the authority signs for itself goes through the same borders, at its start
// for one: its HTTPS certificate takes the rows 2 to 6 of docs/issuance.md, and there is
// no order and no client that would come back for it. A list is signed and then
// stored, in one commit.

// TestOwnCertificateFailureTable lets every step of the authority's own certificate go
// wrong in every way while it starts. The next start has a certificate, and has given up
// whatever was reserved for the lost one.
func TestOwnCertificateFailureTable(t *testing.T) {
	for _, step := range []string{"lookup", "reserve", "settle"} {
		for _, fault := range faults {
			t.Run(step+" "+fault, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t, 1)
				if err := p.start(t, &failure{}).Stop(); err != nil {
					t.Fatal(err)
				}
				// As a crash leaves it while the certificate is replaced: there is none.
				if err := os.RemoveAll(filepath.Join(p.dir, "https")); err != nil {
					t.Fatal(err)
				}
				failToStart(t, p, &failure{step: step, fault: fault, own: true})
				a := p.start(t, &failure{})
				leaf := servedBy(t, a)
				if err := a.Stop(); err != nil {
					t.Fatal(err)
				}
				catest.CheckCA(t, p.dir, leaf)
			})
		}
	}
}

// failToStart starts an authority at p that fails in the way of f before it listens.
func failToStart(t *testing.T, p place, f *failure) {
	t.Helper()
	if strings.HasPrefix(f.fault, "killed") {
		if err := startChild(t, p, f).Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended otherwise: %v", err)
		}
		return
	}
	if _, err := catest.Open(t.Context(), p.config(t, f)); !errors.Is(err, errInjected) {
		t.Fatalf("the start ended otherwise: %v", err)
	}
}

// TestListFailureTable lets the signing of a CRL go wrong in every way when a revocation
// is to go onto it. "Killed after" is killed before the list is stored.
func TestListFailureTable(t *testing.T) {
	for _, fault := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			p, leaf, first := revokedUnlisted(t)
			failToStart(t, p, &failure{step: "crl", fault: fault})
			a := p.start(t, &failure{})
			second := publishedList(t, a.Page().RootPEM)
			if err := a.Stop(); err != nil {
				t.Fatal(err)
			}
			checkListed(t, p, leaf, first, second)
		})
	}
}

// TestKilledAfterPublishing kills the authority once somebody has fetched a list: the
// next life has that list, or a later one.
func TestKilledAfterPublishing(t *testing.T) {
	p, leaf, first := revokedUnlisted(t)
	c := startChild(t, p, &failure{})
	c.waitUntilReady(t)
	second := publishedList(t, "http://"+p.http+"/root.pem")
	_ = c.Process.Kill()
	if err := c.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child ended otherwise: %v", err)
	}
	catest.Seen{Certificates: []*x509.Certificate{leaf}, Lists: []*x509.RevocationList{first, second}}.CheckCA(t, p.dir)
	a := p.start(t, &failure{})
	third := publishedList(t, a.Page().RootPEM)
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	checkListed(t, p, leaf, first, second, third)
}

// checkListed checks p, and that the last one of the lists seen has leaf.
func checkListed(t *testing.T, p place, leaf *x509.Certificate, seen ...*x509.RevocationList) {
	t.Helper()
	catest.Seen{Certificates: []*x509.Certificate{leaf}, Lists: seen}.CheckCA(t, p.dir)
	last := seen[len(seen)-1]
	if last.Number.Cmp(seen[0].Number) <= 0 {
		t.Errorf("list %s came after list %s", last.Number, seen[0].Number)
	}
	for _, entry := range last.RevokedCertificateEntries {
		if entry.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
			return
		}
	}
	t.Errorf("list %s does not have the serial %x, which was revoked", last.Number, leaf.SerialNumber)
}

// revokedUnlisted leaves a stopped authority with a revoked certificate whose CRL does not
// have it yet: every list after the first start's fails.
func revokedUnlisted(t *testing.T) (place, *x509.Certificate, *x509.RevocationList) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	responder := catest.NewResponder(t)
	p := newPlace(t, responder.Port)
	opened := make(chan struct{})
	a := catest.Start(t, p.dir, func(c *ca.Config) {
		*c = p.config(t, &failure{})
		c.Seams.CRL = func(s crl.Signer) crl.Signer { return onlyBefore{s, opened} }
	})
	close(opened)
	first := publishedList(t, a.Page().RootPEM)
	client := a.Client(t)
	if _, err := client.Register(ctx, acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	got, err := catest.Obtain(ctx, client, responder, "a.test")
	if err != nil {
		t.Fatal(err)
	}
	leaf := got.Chain.Certificates[0]
	if err := client.Revoke(ctx, leaf, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	return p, leaf, first
}

// onlyBefore signs lists until a channel is closed.
type onlyBefore struct {
	crl.Signer
	closed chan struct{}
}

func (o onlyBefore) CRL(ctx context.Context, r sign.CRLRequest) ([]byte, error) {
	select {
	case <-o.closed:
		return nil, errInjected
	default:
		return o.Signer.CRL(ctx, r)
	}
}

// publishedList fetches the CRL of issuer 1 from where rootPEM is.
func publishedList(t *testing.T, rootPEM string) *x509.RevocationList {
	t.Helper()
	resp, err := http.Get(strings.TrimSuffix(rootPEM, "/root.pem") + "/crl/1.crl")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	der, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("fetching the CRL: %s, %v", resp.Status, err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return list
}
