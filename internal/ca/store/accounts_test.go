package store_test

import (
	"errors"
	"reflect"
	"sync"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

func getAccount(t testing.TB, db *store.DB, id string) rules.Account {
	t.Helper()
	return get(t, db, func(tx *store.Tx) (rules.Account, error) { return tx.Account(id) })
}

func sameAccount(t testing.TB, got, want rules.Account) {
	t.Helper()
	if !got.Key.Equal(want.Key) {
		t.Errorf("the key is %s, want %s", got.Key.Thumbprint(), want.Key.Thumbprint())
	}
	got.Key = want.Key
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func testAccounts(t *testing.T, open opener) {
	db := open(t)
	a, bare := newAccount(t), newAccount(t)
	a.TermsAgreed = "https://ca.test/terms"
	bare.Contact = nil
	update(t, db, func(tx *store.Tx) error { return errors.Join(tx.InsertAccount(a), tx.InsertAccount(bare)) })
	for _, want := range []rules.Account{a, bare} {
		sameAccount(t, getAccount(t, db, want.ID), want)
		sameAccount(t, get(t, db, func(tx *store.Tx) (rules.Account, error) { return tx.AccountByKey(want.Key.Thumbprint()) }), want)
	}
}

func testAccountChanges(t *testing.T, open opener) {
	db := open(t)
	a, other, fresh := newAccount(t), newAccount(t), newAccount(t)
	update(t, db, func(tx *store.Tx) error { return errors.Join(tx.InsertAccount(a), tx.InsertAccount(other)) })

	moved := a
	moved.Key, moved.Contact = fresh.Key, []string{"mailto:root@example.org"}
	taken := a
	taken.Key = other.Key
	refused(t, db, store.ErrExists, func(tx *store.Tx) error { return tx.UpdateAccount(a, taken) })
	sameAccount(t, getAccount(t, db, a.ID), a)
	update(t, db, func(tx *store.Tx) error { return tx.UpdateAccount(a, moved) })
	sameAccount(t, getAccount(t, db, a.ID), moved)
	refused(t, db, store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.AccountByKey(a.Key.Thumbprint()); return err })

	// Who still has the account with its old key changes nothing.
	stale := a
	stale.Contact = nil
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.UpdateAccount(a, stale) })
	ended := moved
	ended.Status = acme.StatusDeactivated
	update(t, db, func(tx *store.Tx) error { return tx.UpdateAccount(moved, ended) })
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.UpdateAccount(moved, moved) })
	sameAccount(t, getAccount(t, db, a.ID), ended)

	// A key that was given up is free (RFC 8555 §7.3.5).
	update(t, db, func(tx *store.Tx) error {
		again := newAccount(t)
		again.Key = a.Key
		return tx.InsertAccount(again)
	})
}

// testOneKeyOneAccount registers one key 200 times at once, as newAccount does: look, then insert.
func testOneKeyOneAccount(t *testing.T, open opener) {
	db := open(t)
	key := newAccount(t).Key
	ids := make(chan string, 200)
	var group sync.WaitGroup
	for range cap(ids) {
		a := newAccount(t)
		a.Key = key
		group.Go(func() {
			var found rules.Account
			if err := db.Update(t.Context(), func(tx *store.Tx) (err error) {
				if found, err = tx.AccountByKey(key.Thumbprint()); !errors.Is(err, store.ErrNotFound) {
					return err
				}
				found = a
				return tx.InsertAccount(a)
			}); err != nil {
				t.Error(err)
			}
			ids <- found.ID
		})
	}
	group.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Fatalf("the key has the accounts %s and %s", first, id)
		}
	}

	// And those who do not look are refused, all but one.
	blind := newAccount(t)
	var made, exists sync.Map
	for range 200 {
		a := newAccount(t)
		a.Key = blind.Key
		group.Go(func() {
			switch err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertAccount(a) }); {
			case err == nil:
				made.Store(a.ID, true)
			case errors.Is(err, store.ErrExists):
				exists.Store(a.ID, true)
			default:
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := size(&made); n != 1 || size(&exists) != 199 {
		t.Errorf("%d accounts were made and %d refused", n, size(&exists))
	}
	rows := get(t, db, func(tx *store.Tx) (int64, error) { return tx.Number("SELECT count(*) FROM accounts") })
	if rows != 2 {
		t.Errorf("there are %d accounts, want 2", rows)
	}
}

func size(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}
