package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// Records are found by when they were made, and go unless there is work on them by now.
func testOldRecords(t *testing.T, open opener) {
	db := open(t)
	a := newAccount(t)
	var orders []rules.Order
	var authzs []rules.Authz
	update(t, db, func(tx *store.Tx) error {
		for i := range 5 {
			o, as := newOrder(t, a, start.Add(time.Duration(i)*time.Hour), "a.test")
			orders, authzs = append(orders, o), append(authzs, as...)
			if err := tx.InsertOrder(o, as); err != nil {
				return err
			}
		}
		return nil
	})
	before := rules.IDsFrom(start.Add(4 * time.Hour))
	old := get(t, db, func(tx *store.Tx) ([]rules.Order, error) { return tx.OldOrders(orders[0].ID, before, 2) })
	if len(old) != 2 || old[0].ID != orders[1].ID || old[1].ID != orders[2].ID || !old[0].Expires.Equal(orders[1].Expires) || old[0].CSR != nil {
		t.Errorf("old orders: %+v", old)
	}
	rest := get(t, db, func(tx *store.Tx) ([]rules.Authz, error) { return tx.OldAuthzs(authzs[2].ID, before, 100) })
	if len(rest) != 1 || rest[0].ID != authzs[3].ID || rest[0].Status != acme.StatusPending || !rest[0].Expires.Equal(authzs[3].Expires) {
		t.Errorf("old authorizations: %+v", rest)
	}
	busyOrder, busyAuthz := orders[1], authzs[1]
	busyOrder.CSR, busyOrder.Lease = []byte{1}, rules.Lease{Due: start}
	busyAuthz.Lease = rules.Lease{Due: start}
	update(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.UpdateOrder(orders[1], busyOrder), tx.UpdateAuthz(authzs[1], busyAuthz))
	})
	update(t, db, func(tx *store.Tx) error {
		for i := range 3 {
			if err := errors.Join(tx.DeleteOrder(orders[i]), tx.DeleteAuthz(authzs[i])); err != nil {
				return err
			}
		}
		return nil
	})
	left := get(t, db, func(tx *store.Tx) ([]rules.Order, error) { return tx.OrdersOf(a.ID, "", 10) })
	if len(left) != 3 || left[2].ID != orders[1].ID {
		t.Errorf("%d orders are left: %+v", len(left), left)
	}
	found := get(t, db, func(tx *store.Tx) ([]rules.Authz, error) {
		return tx.Authzs([]string{authzs[0].ID, authzs[1].ID, authzs[2].ID})
	})
	if !found[0].Gone() || found[0].ID != authzs[0].ID || found[1].Gone() || !found[2].Gone() {
		t.Errorf("authorizations: %+v", found)
	}
}

// A certificate goes with all that belongs to it, and nothing else does.
func testOldCertificates(t *testing.T, open opener) {
	db := open(t)
	i := newIssuance(t, db)
	old, other := i.run(), i.run()
	name := []acme.Identifier{acme.IdentifierFor("www.a.test")}
	update(t, db, func(tx *store.Tx) error {
		for _, c := range []rules.Certificate{old, other} {
			if err := errors.Join(tx.Replace(c.Serial, "", "x"), tx.SetRenewal(c.Serial, &rules.Renewal{Start: start, End: start}),
				tx.NameCertificate(c, name)); err != nil {
				return err
			}
		}
		return nil
	})
	listed := get(t, db, func(tx *store.Tx) ([]store.Issuance, error) { return tx.OldIssuances("", "~", 10) })
	if !slices.Equal(listed, []store.Issuance{{Order: old.Order, Serial: old.Serial}, {Order: other.Order, Serial: other.Serial}}) {
		t.Errorf("issuances: %+v", listed)
	}
	stale := old
	stale.Revoked = start
	update(t, db, func(tx *store.Tx) error { return tx.DeleteCertificate(stale, name) })
	if c := get(t, db, func(tx *store.Tx) (rules.Certificate, error) { return tx.CertificateOf(old.Order) }); c.Serial != old.Serial {
		t.Error("a certificate went that has changed")
	}
	update(t, db, func(tx *store.Tx) error { return tx.DeleteCertificate(old, name) })
	for _, c := range []rules.Certificate{old, other} {
		rows := get(t, db, func(tx *store.Tx) (rows int64, err error) {
			for _, table := range []string{"certificates", "issuances", "replacements", "renewal_windows", "certificate_names"} {
				n, err := tx.Number("SELECT count(*) FROM " + table + " WHERE serial = '" + c.Serial + "'")
				if err != nil {
					return 0, err
				}
				rows += n
			}
			return rows, nil
		})
		if want := map[string]int64{old.Serial: 0, other.Serial: 5}[c.Serial]; rows != want {
			t.Errorf("%d rows about certificate %s are left, want %d", rows, c.Serial, want)
		}
	}
}

// Which certificate an order led to is known for as long as the certificate is kept (RFC 9773 §5).
func testReplacedByWhatIsGone(t *testing.T, open opener) {
	db := open(t)
	i := newIssuance(t, db)
	replaced, by := i.run(), i.run()
	failed, authzs := newOrder(t, i.a, start, "www.a.test")
	update(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.Replace(replaced.Serial, "", by.Order), tx.Replace(by.Serial, "", failed.ID), tx.InsertOrder(failed, authzs))
	})
	update(t, db, func(tx *store.Tx) error {
		for _, id := range []string{by.Order, failed.ID} {
			o, err := tx.Order(id)
			if err == nil {
				err = tx.DeleteOrder(o)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	for serial, want := range map[string]acme.Status{replaced.Serial: acme.StatusValid, by.Serial: acme.StatusInvalid} {
		o := get(t, db, func(tx *store.Tx) (rules.OpenOrder, error) { return tx.Replacement(serial) })
		if got := rules.OrderStatus(o.Order, o.Authzs, start); got != want || o.Order.ID == "" {
			t.Errorf("the order that is gone counts as %s, want %s", got, want)
		}
	}
}

// An account that changes its key without end does not fill the disk.
func testPastKeysAreBounded(t *testing.T, open opener) {
	db := open(t)
	a := newAccount(t)
	keys := [2]*acme.Key{newAccount(t).Key, a.Key}
	update(t, db, func(tx *store.Tx) error { return tx.InsertAccount(a) })
	for i := range 21 {
		update(t, db, func(tx *store.Tx) error {
			for j := range 50 {
				tx.Now = start.Add(time.Duration(50*i+j) * time.Second)
				moved := a
				moved.Key = keys[j%2]
				if err := tx.UpdateAccount(a, moved); err != nil {
					return err
				}
				a = moved
			}
			return nil
		})
	}
	rows := get(t, db, func(tx *store.Tx) (int64, error) { return tx.Number("SELECT count(*) FROM past_keys") })
	list := get(t, db, func(tx *store.Tx) ([]string, error) { return tx.Thumbprints(a.ID) })
	if rows != 999 || len(list) != 1000 {
		t.Errorf("%d rows are left, and %d keys are listed", rows, len(list))
	}
}
