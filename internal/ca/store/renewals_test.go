package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

func TestReplacements(t *testing.T) {
	db := open(t)
	a := newAccount(t)
	first, authzs := newOrder(t, a, start, "a.test")
	first.Replaces = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
	update(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.InsertOrder(first, authzs), tx.Replace("0a", "", first.ID))
	})
	got := get(t, db, func(tx *store.Tx) (rules.OpenOrder, error) { return tx.Replacement("0a") })
	if got.Order.ID != first.ID || got.Order.Replaces != first.Replaces || len(got.Authzs) != 1 || got.Authzs[0].ID != authzs[0].ID {
		t.Errorf("the replacement is %+v", got)
	}
	refused(t, db, store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.Replacement("0b"); return err })
	refused(t, db, store.ErrExists, func(tx *store.Tx) error { return tx.Replace("0a", "", "other") })
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.Replace("0a", "stranger", "other") })
}

func TestRenewalWindows(t *testing.T) {
	db := open(t)
	read := func() *rules.Renewal {
		return get(t, db, func(tx *store.Tx) (*rules.Renewal, error) { return tx.Renewal("0a") })
	}
	if got := read(); got != nil {
		t.Errorf("nobody asked for %+v", got)
	}
	for _, want := range []rules.Renewal{
		{Start: start, End: start.Add(time.Hour), Explanation: "https://ca.test/why"},
		{Start: start.Add(time.Hour), End: start.Add(2 * time.Hour)},
	} {
		update(t, db, func(tx *store.Tx) error { return tx.SetRenewal("0a", &want) })
		if got := read(); got == nil || !got.Start.Equal(want.Start) || !got.End.Equal(want.End) || got.Explanation != want.Explanation {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	update(t, db, func(tx *store.Tx) error { return tx.SetRenewal("0a", nil) })
	if got := read(); got != nil {
		t.Errorf("what was taken back is %+v", got)
	}
}

// What is valid now, of this account, for these names: with and without a wildcard label, and nothing else.
func TestValidAuthzs(t *testing.T) {
	db := open(t)
	a, other := newAccount(t), newAccount(t)
	insert := func(a rules.Account, name string, status acme.Status, expires time.Time) string {
		o, authzs := newOrder(t, a, start, name)
		authzs[0].Status, authzs[0].Expires = status, expires
		update(t, db, func(tx *store.Tx) error { return tx.InsertOrder(o, authzs) })
		return authzs[0].ID
	}
	later := time.Now().Add(24 * time.Hour)
	want := map[string]bool{
		insert(a, "a.test", acme.StatusValid, later):   true,
		insert(a, "*.a.test", acme.StatusValid, later): true,
		insert(a, "b.test", acme.StatusValid, later):   true,
	}
	insert(a, "c.test", acme.StatusValid, later)
	insert(a, "a.test", acme.StatusPending, later)
	insert(a, "a.test", acme.StatusValid, time.Now().Add(-time.Hour))
	insert(other, "a.test", acme.StatusValid, later)
	for _, names := range [][]string{{"a.test", "b.test"}, {"*.a.test", "b.test", "d.test"}} {
		got := get(t, db, func(tx *store.Tx) ([]rules.Authz, error) {
			var ids []acme.Identifier
			for _, name := range names {
				ids = append(ids, acme.IdentifierFor(name))
			}
			return tx.ValidAuthzs(a.ID, ids)
		})
		if len(got) != len(want) {
			t.Errorf("%q: %d authorizations", names, len(got))
		}
		for _, authz := range got {
			if !want[authz.ID] {
				t.Errorf("%q: %+v", names, authz)
			}
		}
	}
	if got := get(t, db, func(tx *store.Tx) ([]rules.Authz, error) { return tx.ValidAuthzs(a.ID, nil) }); got != nil {
		t.Errorf("for no names: %+v", got)
	}
}
