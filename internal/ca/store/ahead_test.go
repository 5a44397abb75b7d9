package store_test

import (
	"errors"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// testAhead reads ahead what is there, what is not, and what is not read then, in each order, and writes in between.
func testAhead(t *testing.T, open opener) {
	db := open(t)
	a := newAccount(t)
	o, authzs := newOrder(t, a, start, "www.a.test", "b.test")
	update(t, db, func(tx *store.Tx) error { return errors.Join(tx.InsertAccount(a), tx.InsertOrder(o, authzs)) })
	update(t, db, func(tx *store.Tx) error {
		tx.Ahead(
			func(tx *store.Tx) error { _, err := tx.Order(o.ID); return err },
			func(tx *store.Tx) error { _, err := tx.Order("none"); return err },
			func(tx *store.Tx) error { _, err := tx.KeyBlocked([]byte{1}); return err },
			func(tx *store.Tx) error { _, err := tx.Account("bad\x00id"); return err },
			func(tx *store.Tx) error { _, err := tx.AccountByKey(a.Key.Thumbprint()); return err },
		)
		if _, err := tx.Order("none"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an order that is not there: %v", err)
		}
		if _, err := tx.Account("bad\x00id"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an ID that cannot be: %v", err)
		}
		if got, err := tx.AccountByKey(a.Key.Thumbprint()); err != nil || got.ID != a.ID {
			t.Errorf("the account is %q: %v", got.ID, err)
		}
		if blocked, err := tx.KeyBlocked([]byte{1}); err != nil || blocked {
			t.Errorf("the key is blocked: %t, %v", blocked, err)
		}
		before, err := tx.Order(o.ID)
		if err != nil || before.Account != a.ID || len(before.Authzs) != 2 {
			t.Errorf("the order is %+v: %v", before, err)
		}
		if err := tx.UpdateOrder(before, before.Fail(acme.Problemf(acme.TypeMalformed, "x"))); err != nil {
			return err
		}
		if after, err := tx.Order(o.ID); err != nil || after.Error == nil {
			t.Errorf("what was written is not read: %+v, %v", after, err)
		}
		return tx.BlockKey([]byte{1})
	})
	update(t, db, func(tx *store.Tx) error {
		if blocked, err := tx.KeyBlocked([]byte{1}); err != nil || !blocked {
			t.Errorf("another transaction is told what the one before had read: %t, %v", blocked, err)
		}
		return nil
	})
}

// testAtOnce: all of the writes are done, or none.
func testAtOnce(t *testing.T, open opener) {
	db := open(t)
	a := newAccount(t)
	o, authzs := newOrder(t, a, start, "a.test")
	update(t, db, func(tx *store.Tx) error { return tx.InsertOrder(o, authzs) })
	failed, other := o.Fail(acme.Problemf(acme.TypeMalformed, "x")), o
	other.Lease.By = "somebody else"
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error {
		return tx.AtOnce(func(tx *store.Tx) error {
			return errors.Join(tx.BlockKey([]byte{1}), tx.UpdateOrder(other, failed), tx.BlockKey([]byte{2}))
		})
	})
	for _, key := range [][]byte{{1}, {2}} {
		if get(t, db, func(tx *store.Tx) (bool, error) { return tx.KeyBlocked(key) }) {
			t.Errorf("key %x is blocked, although not all was done", key)
		}
	}
	update(t, db, func(tx *store.Tx) error {
		return tx.AtOnce(func(tx *store.Tx) error { return errors.Join(tx.BlockKey([]byte{1}), tx.UpdateOrder(o, failed)) })
	})
	if got := get(t, db, func(tx *store.Tx) (rules.Order, error) { return tx.Order(o.ID) }); got.Error == nil {
		t.Error("the order was not saved")
	}
	if !get(t, db, func(tx *store.Tx) (bool, error) { return tx.KeyBlocked([]byte{1}) }) {
		t.Error("the key is not blocked")
	}
}

// testLook: a look may turn out to be a view.
func testLook(t *testing.T, open opener) {
	db := open(t)
	a := newAccount(t)
	update(t, db, func(tx *store.Tx) error { return tx.InsertAccount(a) })
	if err := db.Look(t.Context(), func(tx *store.Tx) error {
		got, err := tx.Account(a.ID)
		if got.ID != a.ID || tx.Now.IsZero() {
			t.Errorf("the account is %q at %s", got.ID, tx.Now)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	var got rules.Account
	if err := db.Look(t.Context(), func(tx *store.Tx) (err error) { got, err = tx.AccountByKey(a.Key.Thumbprint()); return err }); err != nil || got.ID != a.ID {
		t.Errorf("by two reads the account is %q: %v", got.ID, err)
	}
	if err := db.Look(t.Context(), func(tx *store.Tx) error { _, err := tx.Account("none"); return err }); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an account that is not there: %v", err)
	}
}
