package crl_test

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/crl"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// issuer is a CA with a store, at a clock that the test moves.
type issuer struct {
	t      *testing.T
	db     *store.DB
	signer *sign.Signer
	cert   *x509.Certificate
	now    time.Time
	config crl.Config
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t, now: time.Now().Truncate(time.Second)}
	names, err := acme.ParseSubtrees([]string{"test", "10.0.0.0/8", "fc00::/7"})
	if err != nil {
		t.Fatal(err)
	}
	about := sign.CAConfig{CommonName: "Test", Names: names, NotBefore: i.now.Add(-time.Hour), Lifetime: 24 * 365 * time.Hour}
	rootKey, err := sign.NewKey(elliptic.P384())
	if err != nil {
		t.Fatal(err)
	}
	root := sign.Issuer{ID: "root", Key: rootKey, Certificate: parse(t)(sign.NewRoot(rootKey, about))}
	key, err := sign.NewKey(elliptic.P256())
	if err != nil {
		t.Fatal(err)
	}
	about.CommonName = "Test issuer"
	i.cert = parse(t)(sign.NewIntermediate(key.Public(), root, about))
	if i.db, err = store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "db"), Now: func() time.Time { return i.now }, Twice: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.db.Close() })
	if i.signer, err = sign.New(sign.Config{
		Issuers:  []sign.Issuer{{ID: "1", Certificate: i.cert, Key: key}},
		Profiles: []sign.Profile{sign.Classic()}, Journal: work.Journal{DB: i.db},
	}); err != nil {
		t.Fatal(err)
	}
	i.config = crl.Config{DB: i.db, Signer: i.signer, Issuers: []string{"1"}, Log: slog.New(slog.DiscardHandler)}
	return i
}

// parse reads a certificate that was just made.
func parse(t *testing.T) func(der []byte, err error) *x509.Certificate {
	return func(der []byte, err error) *x509.Certificate {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return certificate
	}
}

// list has p look for work and returns the newest list.
func (i *issuer) list(p *crl.Publisher) *x509.RevocationList {
	i.t.Helper()
	if err := p.Update(i.t.Context()); err != nil {
		i.t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(p.DER("1"))
	if err != nil {
		i.t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(i.cert); err != nil {
		i.t.Fatal(err)
	}
	return list
}

// add stores a certificate in some state.
func (i *issuer) add(serial string, notAfter time.Time, change func(rules.Certificate) rules.Certificate) {
	i.t.Helper()
	err := i.db.Update(i.t.Context(), func(tx *store.Tx) error {
		c := rules.Certificate{Serial: serial, Issuer: "1", Order: "order-" + serial, State: rules.Reserved, NotBefore: tx.Now, NotAfter: notAfter, Created: tx.Now}
		if err := tx.InsertCertificate(c); err != nil {
			return err
		}
		return tx.UpdateCertificate(c, change(c))
	})
	if err != nil {
		i.t.Fatal(err)
	}
}

func (i *issuer) revoked(c rules.Certificate) rules.Certificate {
	c.State, c.DER, c.Revoked, c.Reason = rules.Issued, []byte{1}, i.now, rules.KeyCompromise
	return c
}

func serials(list *x509.RevocationList) (all []string) {
	for _, entry := range list.RevokedCertificateEntries {
		all = append(all, fmt.Sprintf("%02x:%d", entry.SerialNumber, entry.ReasonCode))
	}
	return all
}

func TestListFollowsRevocations(t *testing.T) {
	i := newIssuer(t)
	p := crl.New(i.config)
	if first := i.list(p); first.Number.Int64() != 1 || len(first.RevokedCertificateEntries) != 0 {
		t.Fatalf("the first list: %s, %v", first.Number, serials(first))
	}
	if again := i.list(p); again.Number.Int64() != 1 {
		t.Errorf("nothing changed, and there is list %s", again.Number)
	}
	end := i.now.Add(30 * 24 * time.Hour)
	i.add("0a", end, i.revoked)
	i.add("0b", end, func(c rules.Certificate) rules.Certificate { return c.Abandon(i.now) })
	i.add("0c", end, func(c rules.Certificate) rules.Certificate { c.State, c.DER = rules.Issued, []byte{1}; return c })
	second := i.list(p)
	if got := serials(second); second.Number.Int64() != 2 || !slices.Equal(got, []string{"0a:1", "0b:4"}) {
		t.Errorf("list %s has %v", second.Number, got)
	}
	// A new life of the process goes on where the old one was.
	if next := i.list(crl.New(i.config)); next.Number.Int64() != 2 {
		t.Errorf("after a restart there is list %s", next.Number)
	}
	i.now = i.now.Add(25 * time.Hour)
	third := i.list(p)
	if third.Number.Int64() != 3 || third.NextUpdate.Sub(third.ThisUpdate) != 7*24*time.Hour {
		t.Errorf("a day later: list %s until %s", third.Number, third.NextUpdate)
	}
}

// RFC 5280 §3.3: an entry must appear on one list that is made after the certificate's end.
func TestEntryStaysForOneListAfterTheEnd(t *testing.T) {
	i := newIssuer(t)
	p := crl.New(i.config)
	i.add("0a", i.now.Add(time.Hour), i.revoked)
	i.list(p)
	i.now = i.now.Add(25 * time.Hour)
	if got := serials(i.list(p)); len(got) != 1 {
		t.Errorf("the first list after its end has %v", got)
	}
	i.now = i.now.Add(25 * time.Hour)
	if got := serials(i.list(p)); len(got) != 0 {
		t.Errorf("the second list after its end has %v", got)
	}
}

// A list names every address under which it was ever promised (RFC 5280 §6.3.3 (b)(2)).
func TestListGetsAnIssuersNewName(t *testing.T) {
	i := newIssuer(t)
	i.list(crl.New(i.config))
	i.config.URLs = map[string][]string{"1": {"http://new.test/crl/1.crl", "http://old.test/crl/1.crl"}}
	p := crl.New(i.config)
	list := i.list(p)
	if list.Number.Int64() != 2 {
		t.Errorf("the issuer has a new address, and there is list %s", list.Number)
	}
	for _, url := range i.config.URLs["1"] {
		if !bytes.Contains(list.Raw, []byte(url)) {
			t.Errorf("the list does not name %s", url)
		}
	}
	if again := i.list(p); again.Number.Int64() != 2 {
		t.Errorf("nothing changed, and there is list %s", again.Number)
	}
}

// A list whose storing fails is not published, and its number is used again.
func TestUnstoredListIsNotPublished(t *testing.T) {
	i := newIssuer(t)
	p := crl.New(i.config)
	i.list(p)
	i.add("0a", i.now.Add(time.Hour), i.revoked)
	ctx, cancel := context.WithCancel(t.Context())
	broken := i.config
	broken.Signer = cancelling{i.signer, cancel}
	q := crl.New(broken)
	if err := q.Update(ctx); err == nil || q.DER("1") != nil {
		t.Errorf("a list that was not stored is published: %v", err)
	}
	if got := i.list(p); got.Number.Int64() != 2 || len(serials(got)) != 1 {
		t.Errorf("afterwards list %s has %v", got.Number, serials(got))
	}
}

// cancelling signs, and then takes the caller's time away.
type cancelling struct {
	crl.Signer
	cancel func()
}

func (c cancelling) CRL(ctx context.Context, r sign.CRLRequest) ([]byte, error) {
	defer c.cancel()
	return c.Signer.CRL(ctx, r)
}

// A frozen issuer's list is served as it is, and none is made.
func TestFrozenIssuer(t *testing.T) {
	i := newIssuer(t)
	i.list(crl.New(i.config))
	i.config.Frozen = []string{"1"}
	i.config.Signer = refusing{}
	i.add("0a", i.now.Add(time.Hour), i.revoked)
	i.now = i.now.Add(48 * time.Hour)
	if got := i.list(crl.New(i.config)); got.Number.Int64() != 1 {
		t.Errorf("a frozen issuer made list %s", got.Number)
	}
}

type refusing struct{}

func (refusing) CRL(context.Context, sign.CRLRequest) ([]byte, error) {
	return nil, errors.New("there is no key")
}

// meanwhile publishes a list by another process while this one's is being signed.
type meanwhile struct {
	crl.Signer
	other func()
}

func (m meanwhile) CRL(ctx context.Context, r sign.CRLRequest) ([]byte, error) {
	der, err := m.Signer.CRL(ctx, r)
	m.other()
	return der, err
}

// Two processes publish at once: one number has one list, and the slower process goes on with the other's.
func TestTwoPublishers(t *testing.T) {
	i := newIssuer(t)
	fast := crl.New(i.config)
	i.list(fast)
	i.add("0a", i.now.Add(time.Hour), i.revoked)
	behind := i.config
	once := sync.OnceFunc(func() {
		i.now = i.now.Add(time.Second) // so that the lists differ
		i.add("0b", i.now.Add(time.Hour), i.revoked)
		i.list(fast)
	})
	behind.Signer = meanwhile{i.signer, once}
	slow := crl.New(behind)
	if err := slow.Update(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(slow.DER("1"), fast.DER("1")) {
		t.Error("the slower process hands out a list that is not in the database")
	}
	newest := &crl.Newest{DB: i.db, Log: i.config.Log}
	if got := i.list(slow); got.Number.Int64() != 2 || len(serials(got)) != 2 || !bytes.Equal(newest.DER(t.Context(), "1"), got.Raw) {
		t.Errorf("list %s has %v", got.Number, serials(got))
	}
	if newest.DER(t.Context(), "2") != nil {
		t.Error("there is a list of an issuer that is not there")
	}
}
