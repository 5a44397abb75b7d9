package store_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

func getCertificate(t testing.TB, db *store.DB, serial string) rules.Certificate {
	t.Helper()
	return get(t, db, func(tx *store.Tx) (rules.Certificate, error) { return tx.Certificate(serial) })
}

func sameCertificate(t testing.TB, got, want rules.Certificate) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// insertReservation reserves a certificate for a new order.
func insertReservation(t testing.TB, db *store.DB) rules.Certificate {
	t.Helper()
	o, _ := newOrder(t, newAccount(t), start, "a.test")
	c := reservation(o, start)
	update(t, db, func(tx *store.Tx) error { return tx.InsertCertificate(c) })
	return c
}

// insertIssued stores a certificate that was issued.
func insertIssued(t testing.TB, db *store.DB) rules.Certificate {
	t.Helper()
	before := insertReservation(t, db)
	c := issued(before, certificateSize)
	update(t, db, func(tx *store.Tx) error { return tx.UpdateCertificate(before, c) })
	return c
}

// revoke revokes c at a moment.
func revoke(t testing.TB, db *store.DB, c rules.Certificate, at time.Time) rules.Certificate {
	t.Helper()
	reason := rules.Superseded
	after, problem := c.Revoke(&reason, false, at)
	if problem != nil {
		t.Fatal(problem)
	}
	update(t, db, func(tx *store.Tx) error { return tx.UpdateCertificate(c, after) })
	return after
}

func testCertificates(t *testing.T, open opener) {
	db := open(t)
	reserved := insertReservation(t, db)
	sameCertificate(t, getCertificate(t, db, reserved.Serial), reserved)
	c := issued(reserved, certificateSize)
	update(t, db, func(tx *store.Tx) error { return tx.UpdateCertificate(reserved, c) })
	sameCertificate(t, getCertificate(t, db, c.Serial), c)
	sameCertificate(t, get(t, db, func(tx *store.Tx) (rules.Certificate, error) { return tx.CertificateOf(c.Order) }), c)
	revoked := revoke(t, db, c, start.Add(time.Hour))
	sameCertificate(t, getCertificate(t, db, c.Serial), revoked)
}

// testOneCertificateForAnOrder: a serial is used once, and an order has one certificate that is not abandoned.
func testOneCertificateForAnOrder(t *testing.T, open opener) {
	db := open(t)
	first := insertReservation(t, db)
	second := first
	second.Serial = "00ff"
	refused(t, db, store.ErrExists, func(tx *store.Tx) error { return tx.InsertCertificate(second) })
	sameSerial := first
	sameSerial.Order = "another"
	refused(t, db, store.ErrExists, func(tx *store.Tx) error { return tx.InsertCertificate(sameSerial) })
	// What was refused has not taken the other order either.
	refused(t, db, store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.CertificateOf("another"); return err })

	update(t, db, func(tx *store.Tx) error {
		if err := tx.UpdateCertificate(first, first.Abandon(start)); err != nil {
			return err
		}
		return tx.InsertCertificate(second)
	})
	sameCertificate(t, get(t, db, func(tx *store.Tx) (rules.Certificate, error) { return tx.CertificateOf(first.Order) }), second)
	refused(t, db, store.ErrExists, func(tx *store.Tx) error { return tx.InsertCertificate(first) })

	// Fifty signers at once.
	o, _ := newOrder(t, newAccount(t), start, "a.test")
	var group sync.WaitGroup
	var winners sync.Map
	for range 50 {
		c := reservation(o, start)
		group.Go(func() {
			switch err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertCertificate(c) }); {
			case err == nil:
				winners.Store(c.Serial, true)
			case !errors.Is(err, store.ErrExists):
				t.Error(err)
			}
		})
	}
	group.Wait()
	winner := get(t, db, func(tx *store.Tx) (rules.Certificate, error) { return tx.CertificateOf(o.ID) })
	if _, ok := winners.Load(winner.Serial); !ok || size(&winners) != 1 {
		t.Errorf("%d signers reserved, the order has %s", size(&winners), winner.Serial)
	}
}

func testCertificateConflicts(t *testing.T, open opener) {
	db := open(t)
	reserved := insertReservation(t, db)
	c := issued(reserved, certificateSize)
	update(t, db, func(tx *store.Tx) error { return tx.UpdateCertificate(reserved, c) })
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.UpdateCertificate(reserved, reserved.Abandon(start)) })
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.UpdateCertificate(reserved, issued(reserved, 10)) })
	revoked := revoke(t, db, c, start)
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.UpdateCertificate(c, revoked) })
	compromised := rules.KeyCompromise
	worse, problem := revoked.Revoke(&compromised, true, start)
	if problem != nil {
		t.Fatal(problem)
	}
	update(t, db, func(tx *store.Tx) error { return tx.UpdateCertificate(revoked, worse) })
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.UpdateCertificate(revoked, revoked) })
	sameCertificate(t, getCertificate(t, db, c.Serial), worse)
}

func revision(t testing.TB, db *store.DB, issuer string) int64 {
	t.Helper()
	return get(t, db, func(tx *store.Tx) (int64, error) { return tx.Revision(issuer) })
}

// revokedAt lists the serials that belong on a list made at now.
func revokedAt(t testing.TB, db *store.DB, issuer string, now time.Time) (serials []string) {
	t.Helper()
	for _, c := range get(t, db, func(tx *store.Tx) ([]rules.Certificate, error) { return tx.Revoked(issuer, now) }) {
		serials = append(serials, c.Serial)
	}
	slices.Sort(serials)
	return serials
}

func testRevocations(t *testing.T, open opener) {
	db := open(t)
	if n := revision(t, db, "01"); n != 0 {
		t.Errorf("the revision of an issuer without certificates is %d", n)
	}
	c, good, other := insertIssued(t, db), insertIssued(t, db), insertReservation(t, db)
	if n := revision(t, db, "01"); n != 0 {
		t.Errorf("issuing changed the revision to %d", n)
	}
	revoked := revoke(t, db, c, start.Add(time.Minute))
	if n := revision(t, db, "01"); n != 1 {
		t.Errorf("after a revocation the revision is %d", n)
	}
	abandoned := other.Abandon(start)
	update(t, db, func(tx *store.Tx) error { return tx.UpdateCertificate(other, abandoned) })
	worse := revoked
	worse.Reason = rules.KeyCompromise
	update(t, db, func(tx *store.Tx) error { return tx.UpdateCertificate(revoked, worse) })
	if n := revision(t, db, "01"); n != 3 || revision(t, db, "02") != 0 {
		t.Errorf("the revision is %d, want 3", n)
	}
	want := []string{c.Serial, other.Serial}
	slices.Sort(want)
	if got := revokedAt(t, db, "01", start); !slices.Equal(got, want) {
		t.Errorf("revoked are %v, want %v and not %s", got, want, good.Serial)
	}
	if got := revokedAt(t, db, "02", start); got != nil {
		t.Errorf("another issuer's list has %v", got)
	}
	for _, got := range get(t, db, func(tx *store.Tx) ([]rules.Certificate, error) { return tx.Revoked("01", start) }) {
		full := map[string]rules.Certificate{worse.Serial: worse, abandoned.Serial: abandoned}[got.Serial]
		sameCertificate(t, got, rules.Certificate{
			Serial: full.Serial, Issuer: full.Issuer, State: full.State, NotAfter: full.NotAfter, Revoked: full.Revoked, Reason: full.Reason,
		})
	}
}

// testRevokedUntilOneListLater: an entry is on one list that is made after the certificate's end (RFC 5280 §3.3).
func testRevokedUntilOneListLater(t *testing.T, open opener) {
	db := open(t)
	c := revoke(t, db, insertIssued(t, db), start)
	publish := func(number int64, at time.Time) bool {
		listed := slices.Contains(revokedAt(t, db, "01", at), c.Serial)
		update(t, db, func(tx *store.Tx) error { return tx.SaveCRL(store.CRL{Issuer: "01", Number: number, ThisUpdate: at}) })
		return listed
	}
	for i, step := range []struct {
		at   time.Time
		want bool
	}{
		{start, true},
		{c.NotAfter, true},
		{c.NotAfter.Add(time.Hour), true},
		{c.NotAfter.Add(2 * time.Hour), false},
	} {
		if listed := publish(int64(i+1), step.at); listed != step.want {
			t.Errorf("list %d of %s has it: %t, want %t", i+1, step.at, listed, step.want)
		}
	}
}

func testCRLs(t *testing.T, open opener) {
	db := open(t)
	first := store.CRL{Issuer: "01", Number: 1, ThisUpdate: start, NextUpdate: start.Add(time.Hour), DER: []byte("one"), Revision: 7}
	second := store.CRL{Issuer: "01", Number: 5, ThisUpdate: start.Add(time.Hour), NextUpdate: start.Add(2 * time.Hour), DER: []byte("two"), Revision: 8}
	other := store.CRL{Issuer: "02", Number: 1, ThisUpdate: start, NextUpdate: start.Add(time.Hour), DER: []byte("other")}
	for _, c := range []store.CRL{first, other, second} {
		update(t, db, func(tx *store.Tx) error { return tx.SaveCRL(c) })
	}
	for _, number := range []int64{5, 4, 1} {
		again := first
		again.Number = number
		refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.SaveCRL(again) })
	}
	for _, want := range []store.CRL{second, other} {
		got := get(t, db, func(tx *store.Tx) (store.CRL, error) { return tx.CRL(want.Issuer) })
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func testAttempts(t *testing.T, open opener) {
	db := open(t)
	want := []store.Attempt{
		{Authz: "a", At: start.Add(time.Millisecond), Method: acme.HTTP01, OK: true},
		{Authz: "a", At: start, Method: acme.HTTP01, Evidence: []byte(`{"status":404}`)},
	}
	for _, a := range []store.Attempt{want[1], want[0], {Authz: "b", At: start, Method: acme.HTTP01}} {
		update(t, db, func(tx *store.Tx) error { return tx.InsertAttempt(a) })
	}
	got := get(t, db, func(tx *store.Tx) ([]store.Attempt, error) { return tx.Attempts("a", 100) })
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := get(t, db, func(tx *store.Tx) ([]store.Attempt, error) { return tx.Attempts("a", 1) }); !reflect.DeepEqual(got, want[:1]) {
		t.Errorf("the newest: %+v", got)
	}
	// Two at the same moment are two.
	update(t, db, func(tx *store.Tx) error { return tx.InsertAttempt(want[1]) })
	if got := get(t, db, func(tx *store.Tx) ([]store.Attempt, error) { return tx.Attempts("a", 100) }); len(got) != 3 {
		t.Errorf("%d attempts, want 3", len(got))
	}
}

func testBlockedKeys(t *testing.T, open opener) {
	db := open(t)
	bad, good := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	for range 2 {
		update(t, db, func(tx *store.Tx) error { return tx.BlockKey(bad) })
	}
	for _, key := range [][]byte{bad, good} {
		blocked := get(t, db, func(tx *store.Tx) (bool, error) { return tx.KeyBlocked(key) })
		if blocked != bytes.Equal(key, bad) {
			t.Errorf("key %x is blocked: %t", key[:2], blocked)
		}
	}
}
