package store_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// certificateSize is that of a certificate of the default profile, in octets.
const certificateSize = 900

// lease is how long workers take work for.
const lease = time.Minute

// issuance is what the database does for one certificate, without the evidence.
type issuance struct {
	t    testing.TB
	db   *store.DB
	a    rules.Account
	name string
	csr  rules.CSR
}

func newIssuance(t testing.TB, db *store.DB) issuance {
	t.Helper()
	i := issuance{t: t, db: db, a: newAccount(t), name: "www.a.test", csr: newCSR(t, "www.a.test")}
	i.update(func(tx *store.Tx) error { return tx.InsertAccount(i.a) })
	return i
}

func (i issuance) update(fn func(*store.Tx) error) {
	i.t.Helper()
	if err := i.db.Update(i.t.Context(), fn); err != nil {
		i.t.Fatal(err)
	}
}

// run takes one order from its beginning to its certificate, as front and work do.
func (i issuance) run() rules.Certificate {
	i.t.Helper()
	o, authzs := newOrder(i.t, i.a, time.Now(), i.name)
	i.update(func(tx *store.Tx) error { return tx.InsertOrder(o, authzs) })
	var a rules.Authz
	i.update(func(tx *store.Tx) error {
		before, err := tx.Authz(authzs[0].ID)
		if err != nil {
			return err
		}
		var problem *acme.Problem
		if a, problem = before.Attempt(rules.Answer{Type: acme.HTTP01, Key: i.a.Key}, rules.Lease{}.Taken("worker", tx.Now, lease), tx.Now); problem != nil {
			return problem
		}
		return tx.UpdateAuthz(before, a)
	})
	i.update(func(tx *store.Tx) error {
		if err := tx.UpdateAuthz(a, a.Settle(rules.Outcome{}, tx.Now)); err != nil {
			return err
		}
		return tx.InsertAttempt(store.Attempt{Authz: a.ID, At: tx.Now, Method: acme.HTTP01, OK: true})
	})
	i.update(func(tx *store.Tx) error {
		before, err := tx.Order(o.ID)
		if err != nil {
			return err
		}
		authzs, err := tx.Authzs(before.Authzs)
		if err != nil {
			return err
		}
		var problem *acme.Problem
		if o, problem = before.Finalize(authzs, i.csr, rules.Lease{}.Taken("worker", tx.Now, lease), tx.Now); problem != nil {
			return problem
		}
		return tx.UpdateOrder(before, o)
	})
	return i.sign(o)
}

// sign is the part of run that begins with a processing order.
func (i issuance) sign(o rules.Order) (c rules.Certificate) {
	i.t.Helper()
	i.update(func(tx *store.Tx) error {
		if _, err := tx.Order(o.ID); err != nil {
			return err
		}
		c = reservation(o, tx.Now)
		return tx.InsertCertificate(c)
	})
	i.update(func(tx *store.Tx) error {
		before, err := tx.Certificate(c.Serial)
		if err != nil {
			return err
		}
		c = issued(before, certificateSize)
		return tx.UpdateCertificate(before, c)
	})
	i.update(func(tx *store.Tx) error { return tx.UpdateOrder(o, o.Issued(c.Serial)) })
	return c
}

// BenchmarkIssuance measures the seven transactions of one issuance: processor time
// and database file for one certificate, and how many transactions share a commit.
func BenchmarkIssuance(b *testing.B) {
	for _, c := range []struct {
		name     string
		parallel int
	}{{"alone", 1}, {"parallel=32", 32}} {
		b.Run(c.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "ca.db")
			db := openAt(b, path)
			i := newIssuance(b, db)
			empty := db.FileSize(b)
			var left atomic.Int64
			commits := db.Commits()
			b.ReportAllocs()
			b.ResetTimer()
			used := processorTime()
			left.Store(int64(b.N))
			ended := make(chan struct{})
			for range c.parallel {
				go func() {
					defer func() { ended <- struct{}{} }()
					for left.Add(-1) >= 0 {
						i.run()
					}
				}()
			}
			for range c.parallel {
				<-ended
			}
			used = processorTime() - used
			b.StopTimer()
			n := float64(b.N)
			b.ReportMetric(float64(used.Microseconds())/1000/n, "cpu-ms/op")
			b.ReportMetric(float64(db.FileSize(b)-empty)/n, "db-B/op")
			b.ReportMetric(7*n/float64(db.Commits()-commits), "tx/commit")
		})
	}
}
