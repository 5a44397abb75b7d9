package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// testOverdue: the oldest work that nobody has a lease on counts, from when its last lease ended; what is put off does not.
func testOverdue(t *testing.T, open opener) {
	now := start
	db := open(t, func(c *store.Config) { c.Now = func() time.Time { return now } })
	overdue := func(wantOrder, wantAuthz time.Duration) {
		t.Helper()
		order := get(t, db, func(tx *store.Tx) (time.Duration, error) { return tx.OverdueOrder() })
		authz := get(t, db, func(tx *store.Tx) (time.Duration, error) { return tx.OverdueAuthz() })
		if order != wantOrder || authz != wantAuthz {
			t.Errorf("the oldest order is %s overdue, the oldest authorization %s; want %s and %s", order, authz, wantOrder, wantAuthz)
		}
	}
	overdue(0, 0)
	for _, leases := range [][2]rules.Lease{
		{{}, {}},
		{{Due: start.Add(time.Hour)}, {Due: start.Add(time.Second)}},
		{{Due: start.Add(-time.Minute), Until: start.Add(time.Hour), By: "w"}, {}},
		{{Due: start.Add(-time.Minute), Until: start.Add(-10 * time.Second), By: "w"}, {}},
		{{Due: start.Add(-time.Second)}, {}},
	} {
		o, authzs := newOrder(t, newAccount(t), start, "a.test")
		o.Lease, authzs[0].Lease = leases[0], leases[1]
		update(t, db, func(tx *store.Tx) error { return tx.InsertOrder(o, authzs) })
	}
	overdue(10*time.Second, 0)
	now = start.Add(3 * time.Second)
	overdue(13*time.Second, 2*time.Second)
}

// testObserved: each transaction is told of once, with what its caller was told.
func testObserved(t *testing.T, open opener) {
	type key struct{}
	var mu sync.Mutex
	var seen []store.Transaction
	var contexts []any
	db := open(t, func(c *store.Config) {
		c.Observe = func(ctx context.Context, tr store.Transaction) {
			mu.Lock()
			defer mu.Unlock()
			seen, contexts = append(seen, tr), append(contexts, ctx.Value(key{}))
		}
	})
	mine := errors.New("mine")
	ctx := context.WithValue(t.Context(), key{}, "request")
	before := time.Now()
	if err := db.Update(ctx, func(*store.Tx) error { return mine }); !errors.Is(err, mine) {
		t.Fatal(err)
	}
	if err := db.View(ctx, func(*store.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2 || !seen[0].Update || !errors.Is(seen[0].Err, mine) || !seen[0].Decided || seen[1].Update || seen[1].Decided || seen[1].Err != nil {
		t.Fatalf("seen: %+v", seen)
	}
	for i, tr := range seen {
		if tr.Runs != 1 || tr.Began.Before(before) || tr.Took < 0 || tr.Took > time.Since(before) || contexts[i] != "request" {
			t.Errorf("seen: %+v of %v", tr, contexts[i])
		}
	}
}

// testLoadOfWhatHangs: an update that hangs shows, with its age, until it ends.
func testLoadOfWhatHangs(t *testing.T, open opener) {
	db := open(t)
	if level := db.Load(); level.Count != 0 {
		t.Errorf("%d updates are under way", level.Count)
	}
	hold, held, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	began := time.Now()
	go func() {
		ended <- db.Update(context.Background(), func(*store.Tx) error { close(held); <-hold; return nil })
	}()
	<-held
	for time.Since(began) < 20*time.Millisecond {
		if level := db.Load(); level.Count != 1 || level.Oldest > time.Since(began) {
			t.Fatalf("the level is %+v", level)
		}
	}
	if level := db.Load(); level.Oldest < 10*time.Millisecond {
		t.Errorf("after 20 ms the oldest update is %s old", level.Oldest)
	}
	close(hold)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if level := db.Load(); level.Count != 0 || level.Oldest != 0 {
		t.Errorf("afterwards the level is %+v", level)
	}
}
