package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// two are two processes' worth of one database. The clock of the second one's machine is wrong by minutes.
func two(t *testing.T) []*store.DB {
	t.Helper()
	url := migrated(t)
	wrong := store.Config{URL: url, Now: func() time.Time { return time.Now().Add(-7 * time.Minute) }}
	second, err := store.Open(t.Context(), wrong)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	})
	return []*store.DB{openURL(t, url), second}
}

// everywhere runs fn n times on each of dbs, all at once.
func everywhere(dbs []*store.DB, n int, fn func(db *store.DB)) {
	var group sync.WaitGroup
	for range n {
		for _, db := range dbs {
			group.Go(func() { fn(db) })
		}
	}
	group.Wait()
}

func TestClockIsTheDatabases(t *testing.T) {
	dbs := two(t)
	truth := func(db *store.DB) (said, now time.Time) {
		update(t, db, func(tx *store.Tx) error {
			millis, err := tx.Number("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)")
			said, now = tx.Now, time.UnixMilli(millis)
			return err
		})
		return said, now
	}
	for _, db := range dbs {
		for range 20 {
			if said, now := truth(db); now.Sub(said).Abs() > 500*time.Millisecond || said.Location() != time.UTC || said.Nanosecond()%1e6 != 0 {
				t.Errorf("a transaction's time is %v, the database's %v", said, now)
			}
		}
	}
	// A lease that one takes has not lapsed for the other.
	a := newAccount(t)
	o, authzs := newOrder(t, a, time.Now(), "a.test")
	leased := attempted(t, authzs[0], "worker")
	update(t, dbs[1], func(tx *store.Tx) error {
		leased.Lease = rules.Lease{}.Taken("worker", tx.Now, lease)
		return errors.Join(tx.InsertOrder(o, authzs), tx.UpdateAuthz(authzs[0], leased))
	})
	for _, db := range dbs {
		if list := get(t, db, func(tx *store.Tx) ([]rules.Authz, error) { return tx.LapsedAuthzs(10) }); len(list) != 0 {
			t.Errorf("a fresh lease has lapsed: %+v", list)
		}
	}
}

func TestOneOfTwoTakesALease(t *testing.T) {
	dbs := two(t)
	for range 20 {
		o, authzs := newOrder(t, newAccount(t), time.Now(), "a.test")
		update(t, dbs[0], func(tx *store.Tx) error { return tx.InsertOrder(o, authzs) })
		var took, lost atomic.Int64
		everywhere(dbs, 4, func(db *store.DB) {
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				taken := o
				taken.Lease = o.Lease.Taken("worker", tx.Now, lease)
				return tx.UpdateOrder(o, taken)
			})
			switch {
			case err == nil:
				took.Add(1)
			case errors.Is(err, store.ErrConflict):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
		if took.Load() != 1 || lost.Load() != 7 {
			t.Errorf("%d took the lease and %d did not", took.Load(), lost.Load())
		}
	}
}

func TestOneCertificateOfTwoSigners(t *testing.T) {
	dbs := two(t)
	for range 20 {
		o, _ := newOrder(t, newAccount(t), time.Now(), "a.test")
		var reserved atomic.Int64
		everywhere(dbs, 4, func(db *store.DB) {
			err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertCertificate(reservation(o, tx.Now)) })
			if err == nil {
				reserved.Add(1)
			} else if !errors.Is(err, store.ErrExists) {
				t.Error(err)
			}
		})
		if n := get(t, dbs[0], func(tx *store.Tx) (int64, error) {
			return tx.Number("SELECT count(*) FROM certificates WHERE order_id = '" + o.ID + "'")
		}); reserved.Load() != 1 || n != 1 {
			t.Errorf("%d were reserved, %d are there", reserved.Load(), n)
		}
	}
}

// TestLimitHoldsForTwo: of many at the same time, exactly as many get through as the limit permits, and nobody is
// put off because of the others.
func TestLimitHoldsForTwo(t *testing.T) {
	dbs := two(t)
	var through, limited atomic.Int64
	everywhere(dbs, 100, func(db *store.DB) {
		err := db.Update(t.Context(), func(tx *store.Tx) error { return spend(tx, someLimits, someBucket) })
		switch {
		case err == nil:
			through.Add(1)
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrUnavailable):
			t.Error(err)
		default:
			limited.Add(1)
		}
	})
	if through.Load() != 50 || limited.Load() != 150 {
		t.Errorf("%d got through, %d were limited", through.Load(), limited.Load())
	}
}

// TestRevocationsAreCounted: revocations at the same time are all in the revision, whichever slot they count in.
func TestRevocationsAreCounted(t *testing.T) {
	dbs := two(t)
	everywhere(dbs, 30, func(db *store.DB) {
		if err := db.Update(t.Context(), func(tx *store.Tx) error {
			c := reservation(rules.Order{ID: rules.NewID(tx.Now)}, tx.Now).Abandon(tx.Now)
			return tx.InsertCertificate(c)
		}); err != nil {
			t.Error(err)
		}
	})
	if n := revision(t, dbs[0], "01"); n != 60 {
		t.Errorf("60 revocations are counted as %d", n)
	}
	if slots := get(t, dbs[0], func(tx *store.Tx) (int64, error) { return tx.Number("SELECT count(*) FROM revisions") }); slots < 8 {
		t.Errorf("they are counted in %d slots", slots)
	}
}

// TestHostileTexts: what PostgreSQL cannot store is nowhere to be found, and no error.
func TestHostileTexts(t *testing.T) {
	db := openShared(t)
	for _, id := range []string{"a\x00b", "\xff", "'; DROP TABLE orders; --", string(make([]byte, 100000))} {
		if err := db.View(t.Context(), func(tx *store.Tx) error { _, err := tx.Order(id); return err }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("order %.20q: %v", id, err)
		}
	}
	if err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.Pause(store.Paused{Account: "a\x00b"}) }); err == nil {
		t.Error("a text with an octet 0 was stored")
	}
}
