package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

func getOrder(t testing.TB, db *store.DB, id string) rules.Order {
	t.Helper()
	return get(t, db, func(tx *store.Tx) (rules.Order, error) { return tx.Order(id) })
}

func sameOrder(t testing.TB, got, want rules.Order) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// insertOrder places an order for a.test and returns it with its authorizations.
func insertOrder(t testing.TB, db *store.DB, names ...string) (rules.Order, []rules.Authz) {
	t.Helper()
	o, authzs := newOrder(t, newAccount(t), start, append(names, "a.test")...)
	update(t, db, func(tx *store.Tx) error { return tx.InsertOrder(o, authzs) })
	return o, authzs
}

// testOrders takes orders through all that can come to them; every field is kept.
func testOrders(t *testing.T, open opener) {
	db := open(t)
	placed, _ := insertOrder(t, db, "b.test", "c.test")
	sameOrder(t, getOrder(t, db, placed.ID), placed)
	processing := placed
	processing.CSR, processing.CSRDigest = []byte("csr"), []byte("digest")
	processing.Lease = rules.Lease{}.Taken("worker", start, lease)
	update(t, db, func(tx *store.Tx) error { return tx.UpdateOrder(placed, processing) })
	sameOrder(t, getOrder(t, db, placed.ID), processing)
	valid := processing.Issued("00ff")
	update(t, db, func(tx *store.Tx) error { return tx.UpdateOrder(processing, valid) })
	sameOrder(t, getOrder(t, db, placed.ID), valid)

	before, _ := insertOrder(t, db)
	problem := acme.Problemf(acme.TypeCompound, "two names")
	problem.Subproblems = []*acme.Problem{acme.Problemf(acme.TypeCAA, "not this CA").About(acme.IdentifierFor("a.test"))}
	failed := before.Fail(problem)
	update(t, db, func(tx *store.Tx) error { return tx.UpdateOrder(before, failed) })
	sameOrder(t, getOrder(t, db, before.ID), failed)
}

// testOrderIsWhole inserts an order one of whose authorizations is there already: nothing of it stays.
func testOrderIsWhole(t *testing.T, open opener) {
	db := open(t)
	_, taken := insertOrder(t, db)
	o, authzs := newOrder(t, newAccount(t), start, "b.test", "c.test")
	refused(t, db, store.ErrExists, func(tx *store.Tx) error { return tx.InsertOrder(o, append(authzs, taken...)) })
	refused(t, db, store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.Authz(authzs[0].ID); return err })
	refused(t, db, store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.Order(o.ID); return err })
	update(t, db, func(tx *store.Tx) error { return tx.InsertOrder(o, authzs) })
	refused(t, db, store.ErrExists, func(tx *store.Tx) error { return tx.InsertOrder(o, nil) })
}

func testOrderConflicts(t *testing.T, open opener) {
	db := open(t)
	free, _ := insertOrder(t, db)
	mine := free
	mine.CSR, mine.CSRDigest = []byte("csr"), []byte("digest")
	mine.Lease = rules.Lease{}.Taken("me", start, lease)
	update(t, db, func(tx *store.Tx) error { return tx.UpdateOrder(free, mine) })
	// Somebody takes it up when my lease has lapsed, at first for as long as I had it.
	yours := mine
	yours.Lease.By = "you"
	update(t, db, func(tx *store.Tx) error { return tx.UpdateOrder(mine, yours) })
	for name, stale := range map[string]rules.Order{"before the lease": free, "with a lost lease": mine} {
		refused(t, db, store.ErrConflict, func(tx *store.Tx) error {
			if err := tx.UpdateOrder(stale, stale.Issued("00ff")); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	// It is put off, which leaves nobody's lease on it, and then done: who read it in between has lost.
	later := yours
	later.Lease = rules.Lease{Due: start.Add(time.Hour)}
	update(t, db, func(tx *store.Tx) error { return tx.UpdateOrder(yours, later) })
	done := later.Issued("00ff")
	update(t, db, func(tx *store.Tx) error { return tx.UpdateOrder(later, done) })
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.UpdateOrder(later, mine) })
	// Nobody has a lease on it, as before it was finalized: who read it then, and was stopped until now, has lost too.
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.UpdateOrder(free, mine) })
	sameOrder(t, getOrder(t, db, free.ID), done)
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error {
		missing := done
		missing.ID = rules.NewID(start)
		return tx.UpdateOrder(missing, missing)
	})
}

// testPagesOfOrders pages through an account's orders while more are placed: no
// page repeats or leaves out an order that was there when the first was read.
func testPagesOfOrders(t *testing.T, open opener) {
	db := open(t)
	a, stranger := newAccount(t), newAccount(t)
	place := func(owner rules.Account, at time.Time) string {
		o, authzs := newOrder(t, owner, at, "a.test")
		update(t, db, func(tx *store.Tx) error { return tx.InsertOrder(o, authzs) })
		return o.ID
	}
	var want []string
	for i := range 25 {
		want = append(want, place(a, start.Add(time.Duration(i)*time.Second)))
		place(stranger, start.Add(time.Duration(i)*time.Second))
	}
	slices.Reverse(want)
	var group sync.WaitGroup
	group.Go(func() {
		for i := range 25 {
			place(a, start.Add(time.Hour+time.Duration(i)*time.Second))
		}
	})
	var got []string
	for after, more := place(a, start.Add(time.Minute)), true; more; {
		page := get(t, db, func(tx *store.Tx) ([]rules.Order, error) { return tx.OrdersOf(a.ID, after, 7) })
		more = len(page) == 7
		for _, o := range page {
			got = append(got, o.ID)
			after = o.ID
		}
	}
	group.Wait()
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	newest := get(t, db, func(tx *store.Tx) ([]rules.Order, error) { return tx.OrdersOf(a.ID, "", 100) })
	if len(newest) != 51 || newest[50].ID != want[24] || newest[0].ID <= newest[1].ID {
		t.Errorf("the account has %d orders, from %s", len(newest), newest[0].ID)
	}
}

func testLapsedLeases(t *testing.T, open opener) {
	now := start
	db := open(t, func(c *store.Config) { c.Now = func() time.Time { return now } })
	leases := []struct {
		name   string
		lease  rules.Lease
		lapsed int // place in the list, oldest first; 0 for not in it
		leased bool
	}{
		{"no work", rules.Lease{}, 0, false},
		{"held", rules.Lease{Due: start.Add(-5 * time.Minute), Until: start.Add(time.Millisecond), By: "w"}, 0, true},
		{"lapsed now", rules.Lease{Due: start.Add(-2 * time.Minute), Until: start, By: "w"}, 2, true},
		{"lapsed long ago", rules.Lease{Due: start.Add(-time.Hour), Until: start.Add(-time.Minute), By: "w"}, 1, true},
		{"free", rules.Lease{Due: start}, 3, false},
		{"put off", rules.Lease{Due: start.Add(time.Millisecond)}, 0, false},
	}
	lapsed, leased := make([]string, 3), 0
	lapsedAuthzs := make([]string, 3)
	for _, c := range leases {
		o, authzs := newOrder(t, newAccount(t), start, "a.test")
		o.Lease, authzs[0].Lease = c.lease, c.lease
		update(t, db, func(tx *store.Tx) error { return tx.InsertOrder(o, authzs) })
		if c.lapsed > 0 {
			lapsed[c.lapsed-1], lapsedAuthzs[c.lapsed-1] = o.ID, authzs[0].ID
		}
		if c.leased {
			leased++
		}
	}
	for limit := range 5 {
		orders := get(t, db, func(tx *store.Tx) ([]rules.Order, error) { return tx.LapsedOrders(limit) })
		authzs := get(t, db, func(tx *store.Tx) ([]rules.Authz, error) { return tx.LapsedAuthzs(limit) })
		if want := lapsed[:min(limit, 3)]; !slices.Equal(ids(orders), want) {
			t.Errorf("at most %d: %v, want %v", limit, ids(orders), want)
		}
		if len(authzs) != min(limit, 3) || limit > 0 && authzs[0].ID != lapsedAuthzs[0] {
			t.Errorf("at most %d: %d authorizations", limit, len(authzs))
		}
	}
	orders := get(t, db, func(tx *store.Tx) ([]rules.Order, error) { return tx.LeasedOrders() })
	authzs := get(t, db, func(tx *store.Tx) ([]rules.Authz, error) { return tx.LeasedAuthzs() })
	if len(orders) != leased || len(authzs) != leased {
		t.Errorf("%d orders and %d authorizations are leased, want %d", len(orders), len(authzs), leased)
	}
	now = start.Add(time.Millisecond)
	if orders := get(t, db, func(tx *store.Tx) ([]rules.Order, error) { return tx.LapsedOrders(9) }); len(orders) != 5 {
		t.Errorf("a millisecond later, %d leases have lapsed, want 5", len(orders))
	}
}

func ids(orders []rules.Order) (list []string) {
	for _, o := range orders {
		list = append(list, o.ID)
	}
	return list
}

func testNotFound(t *testing.T, open opener) {
	db := open(t)
	for name, read := range map[string]func(*store.Tx) error{
		"account":       func(tx *store.Tx) error { _, err := tx.Account("x"); return err },
		"key":           func(tx *store.Tx) error { _, err := tx.AccountByKey("x"); return err },
		"order":         func(tx *store.Tx) error { _, err := tx.Order("x"); return err },
		"authorization": func(tx *store.Tx) error { _, err := tx.Authz("x"); return err },
		"certificate":   func(tx *store.Tx) error { _, err := tx.Certificate("x"); return err },
		"issuance":      func(tx *store.Tx) error { _, err := tx.CertificateOf("x"); return err },
		"CRL":           func(tx *store.Tx) error { _, err := tx.CRL("x"); return err },
	} {
		// What is not there is no failure of the transaction's: it goes on.
		if err := db.View(t.Context(), func(tx *store.Tx) error {
			if err := read(tx); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
			_, err := tx.KeyBlocked([]byte("x"))
			return err
		}); err != nil {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
}
