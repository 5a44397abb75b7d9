package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

func getAuthz(t testing.TB, db *store.DB, id string) rules.Authz {
	t.Helper()
	return get(t, db, func(tx *store.Tx) (rules.Authz, error) { return tx.Authz(id) })
}

func sameAuthz(t testing.TB, got, want rules.Authz) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// attempted is an authorization whose client has responded, worked on by by.
func attempted(t testing.TB, a rules.Authz, by string) rules.Authz {
	t.Helper()
	after, problem := a.Attempt(rules.Answer{Type: acme.HTTP01, Key: newAccount(t).Key}, rules.Lease{}.Taken(by, start, lease), start)
	if problem != nil {
		t.Fatal(problem)
	}
	return after
}

func testAuthzs(t *testing.T, open opener) {
	db := open(t)
	_, authzs := insertOrder(t, db, "b.test", "c.test", "d.test")
	wild := authzs[0]
	wild.ID, wild.Wildcard, wild.Identifier = rules.NewID(start), true, acme.IdentifierFor("2001:db8::1")
	update(t, db, func(tx *store.Tx) error {
		o, _ := newOrder(t, newAccount(t), start, "a.test")
		return tx.InsertOrder(o, []rules.Authz{wild})
	})
	sameAuthz(t, getAuthz(t, db, wild.ID), wild)

	asked := []string{authzs[2].ID, wild.ID, authzs[0].ID, authzs[2].ID}
	found := get(t, db, func(tx *store.Tx) ([]rules.Authz, error) { return tx.Authzs(asked) })
	for i, want := range []rules.Authz{authzs[2], wild, authzs[0], authzs[2]} {
		sameAuthz(t, found[i], want)
	}

	problem := acme.Problemf(acme.TypeConnection, "refused")
	for i, outcome := range []*acme.Problem{nil, problem} {
		before := authzs[i]
		tried := attempted(t, before, "worker")
		update(t, db, func(tx *store.Tx) error { return tx.UpdateAuthz(before, tried) })
		sameAuthz(t, getAuthz(t, db, before.ID), tried)
		settled := tried.Settle(rules.Outcome{Problem: outcome}, start.Add(time.Second))
		update(t, db, func(tx *store.Tx) error { return tx.UpdateAuthz(tried, settled) })
		sameAuthz(t, getAuthz(t, db, before.ID), settled)
	}
}

func testAuthzConflicts(t *testing.T, open opener) {
	db := open(t)
	_, authzs := insertOrder(t, db)
	free := authzs[0]
	mine := attempted(t, free, "me")
	update(t, db, func(tx *store.Tx) error { return tx.UpdateAuthz(free, mine) })
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.UpdateAuthz(free, attempted(t, free, "you")) })
	// The client gives it up while it is being validated: the outcome comes too late.
	given, problem := mine.Update(acme.Deactivation{Status: acme.StatusDeactivated}, start)
	if problem != nil {
		t.Fatal(problem)
	}
	update(t, db, func(tx *store.Tx) error { return tx.UpdateAuthz(mine, given) })
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.UpdateAuthz(mine, mine.Settle(rules.Outcome{}, start)) })
	// The lease alone does not tell the two apart.
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.UpdateAuthz(free, mine) })
	sameAuthz(t, getAuthz(t, db, free.ID), given)
}

func testHolds(t *testing.T, open opener) {
	now := start
	db := open(t, func(c *store.Config) { c.Now = func() time.Time { return now } })
	a, stranger := newAccount(t), newAccount(t)
	o, authzs := newOrder(t, a, start, "a.test", "b.test", "c.test")
	for i := range authzs {
		authzs[i].Expires = start.Add(time.Hour)
	}
	authzs[0].Status = acme.StatusValid
	authzs[1].Status, authzs[1].Wildcard = acme.StatusValid, true
	update(t, db, func(tx *store.Tx) error { return tx.InsertOrder(o, authzs) })
	for _, c := range []struct {
		account, name string
		at            time.Time
		want          bool
	}{
		{a.ID, "a.test", start, true},
		{a.ID, "*.a.test", start, false},
		{a.ID, "b.test", start, false},
		{a.ID, "*.b.test", start, true},
		{a.ID, "c.test", start, false}, // pending
		{a.ID, "d.test", start, false},
		{stranger.ID, "a.test", start, false},
		{a.ID, "a.test", start.Add(time.Hour), false}, // expired
	} {
		now = c.at
		id := acme.Identifier{Type: acme.DNS, Value: c.name}
		if held := get(t, db, func(tx *store.Tx) (bool, error) { return tx.Holds(c.account, id) }); held != c.want {
			t.Errorf("account %s holds %s at %s: %t", c.account, c.name, c.at, held)
		}
	}
}

// testOneTakesTheLease lets 50 workers want the same lapsed work.
func testOneTakesTheLease(t *testing.T, open opener) {
	db := open(t)
	_, authzs := insertOrder(t, db)
	lapsed := attempted(t, authzs[0], "gone")
	update(t, db, func(tx *store.Tx) error { return tx.UpdateAuthz(authzs[0], lapsed) })
	var group sync.WaitGroup
	var winners sync.Map
	for i := range 50 {
		group.Go(func() {
			by := fmt.Sprint("worker ", i)
			switch err := db.Update(t.Context(), func(tx *store.Tx) error {
				taken := lapsed
				taken.Lease = lapsed.Lease.Taken(by, start.Add(time.Hour), lease)
				return tx.UpdateAuthz(lapsed, taken)
			}); {
			case err == nil:
				winners.Store(by, true)
			case !errors.Is(err, store.ErrConflict):
				t.Error(err)
			}
		})
	}
	group.Wait()
	by := getAuthz(t, db, lapsed.ID).Lease.By
	if _, ok := winners.Load(by); !ok || size(&winners) != 1 {
		t.Errorf("%d workers have the lease, which says %q", size(&winners), by)
	}
}
