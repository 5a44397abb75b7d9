package store_test

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

var stored = flag.Int("stored", 20_000, "how many certificates BenchmarkLarge has in its store")

// perAccount is how many certificates an account has in a large store.
const perAccount = 10

// fill puts what n issuances leave into db, for many accounts, names and keys.
func fill(b *testing.B, db *store.DB, n int) {
	b.Helper()
	template := newIssuance(b, db)
	for done := 0; done < n; {
		update(b, db, func(tx *store.Tx) error {
			var a rules.Account
			for range min(1000, n-done) {
				if done%perAccount == 0 {
					a = template.a
					a.ID = rules.NewID(tx.Now)
					if err := tx.FillAccount(a, fmt.Sprintf("%x", random(32))); err != nil {
						return err
					}
				}
				name := fmt.Sprintf("%x.test", random(8))
				o, authzs := newOrder(b, a, tx.Now, name)
				authz := authzs[0]
				authz.Status, authz.Expires = acme.StatusValid, tx.Now.Add(authz.ValidFor)
				c := issued(reservation(o, tx.Now), certificateSize)
				if err := errors.Join(tx.InsertOrder(o.Issued(c.Serial), []rules.Authz{authz}), tx.InsertCertificate(c)); err != nil {
					return err
				}
				done++
			}
			return nil
		})
	}
}

// asked is run with all that the front looks up on the way, as requests do.
func (i issuance) asked() {
	for range 7 { // requests: who asks
		_ = get(i.t, i.db, func(tx *store.Tx) (rules.Account, error) { return tx.Account(i.a.ID) })
	}
	id := []acme.Identifier{acme.IdentifierFor(i.name)}
	i.update(func(tx *store.Tx) error {
		_, errA := tx.Standing(i.a.ID, 100)
		_, errB := tx.ValidAuthzs(i.a.ID, id)
		_, errC := tx.AccountByKey(fmt.Sprintf("%x", random(32)))
		if errors.Is(errC, store.ErrNotFound) {
			errC = nil
		}
		_, errD := tx.KeyBlocked(random(32))
		return errors.Join(errA, errB, errC, errD)
	})
	c := i.run()
	_ = get(i.t, i.db, func(tx *store.Tx) (rules.Certificate, error) { return tx.Certificate(c.Serial) })
}

// BenchmarkLarge measures the transactions of an issuance, and the look-ups of its requests, in an empty store and in one
// that has -stored certificates, and a tenth as many accounts, with 32 at the same time.
func BenchmarkLarge(b *testing.B) {
	for _, n := range []int{0, *stored} {
		path := filepath.Join(b.TempDir(), "ca.db")
		volatile := openAt(b, path, func(c *store.Config) { c.Volatile = true })
		fill(b, volatile, n)
		if err := volatile.Close(); err != nil {
			b.Fatal(err)
		}
		db := openAt(b, path)
		issuances := make([]issuance, 500)
		for k := range issuances {
			i := newIssuance(b, db)
			i.name = fmt.Sprintf("%x.test", random(8))
			i.csr = newCSR(b, i.name)
			issuances[k] = i
		}
		b.Run(fmt.Sprintf("stored=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			var left atomic.Int64
			left.Store(int64(b.N))
			used := processorTime()
			var all sync.WaitGroup
			for range 32 {
				all.Go(func() {
					for k := left.Add(-1); k >= 0; k = left.Add(-1) {
						issuances[k%int64(len(issuances))].asked()
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64((processorTime()-used).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
		if n > 0 && b.N == 1 {
			b.Log(db.Sizes(b))
		}
	}
}

// BenchmarkDelete measures how long the rows of one issuance take to be deleted, in batches as work.CleanUp does it.
func BenchmarkDelete(b *testing.B) {
	db := open(b)
	fill(b, db, b.N)
	end := rules.IDsFrom(time.Now().Add(time.Hour))
	b.ReportAllocs()
	b.ResetTimer()
	used := processorTime()
	for deleted := 0; deleted < b.N; {
		var orders []rules.Order
		var authzs []rules.Authz
		var certificates []rules.Certificate
		if err := db.View(b.Context(), func(tx *store.Tx) error {
			var errA, errB, errC error
			orders, errA = tx.OldOrders("", end, 200)
			authzs, errB = tx.OldAuthzs("", end, 200)
			issuances, errC := tx.OldIssuances("", end, 200)
			for _, i := range issuances {
				c, err := tx.Certificate(i.Serial)
				certificates, errC = append(certificates, c), errors.Join(errC, err)
			}
			return errors.Join(errA, errB, errC)
		}); err != nil {
			b.Fatal(err)
		}
		update(b, db, func(tx *store.Tx) error {
			for k := range orders {
				if err := errors.Join(tx.DeleteOrder(orders[k]), tx.DeleteAuthz(authzs[k]), tx.DeleteCertificate(certificates[k], nil)); err != nil {
					return err
				}
			}
			return nil
		})
		deleted += len(orders)
		if len(orders) == 0 {
			b.Fatal("there is nothing left")
		}
	}
	b.ReportMetric(float64((processorTime()-used).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}
