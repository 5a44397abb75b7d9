package store_test

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/pgtest"
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
// (with that of the database's server) and space for one certificate, and how many transactions share a commit.
func BenchmarkIssuance(b *testing.B) {
	for _, c := range []struct {
		name     string
		parallel int
	}{{"alone", 1}, {"parallel=32", 32}} {
		b.Run(c.name, func(b *testing.B) {
			db := openAt(b, filepath.Join(b.TempDir(), "ca.db"))
			i := newIssuance(b, db)
			empty, commits := db.FileSize(b), db.Commits()
			used := issueInParallel(b, i, c.parallel)
			b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(db.FileSize(b)-empty)/float64(b.N), "db-B/op")
			b.ReportMetric(7*float64(b.N)/float64(db.Commits()-commits), "tx/commit")
		})
		b.Run("PostgreSQL/"+c.name, func(b *testing.B) {
			// As a server that runs for long has it: the space of old versions of rows is used again.
			server := pgtest.Start(b, "autovacuum_naptime=1s", "autovacuum_vacuum_scale_factor=0.05")
			if err := store.Migrate(b.Context(), store.MigrateConfig{URL: server.URL("postgres", "")}); err != nil {
				b.Fatal(err)
			}
			db := openURL(b, server.URL("postgres", ""))
			i := newIssuance(b, db)
			for range 2 * c.parallel { // connections and their statements are made once
				i.run()
			}
			empty, theirs := databaseSize(b, db), serverTime(b, server)
			used := issueInParallel(b, i, c.parallel)
			theirs = serverTime(b, server) - theirs
			b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "own-cpu-ms/op")
			b.ReportMetric(float64((used+theirs).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(databaseSize(b, db)-empty)/float64(b.N), "db-B/op")
		})
	}
}

// issueInParallel runs b.N issuances and returns the processor time that this process used for them.
func issueInParallel(b *testing.B, i issuance, parallel int) time.Duration {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	used := processorTime()
	var group sync.WaitGroup
	for range parallel {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				i.run()
			}
		})
	}
	group.Wait()
	b.StopTimer()
	return processorTime() - used
}

// databaseSize is the size of the tables on a server with their indexes, evidence not included.
func databaseSize(b *testing.B, db *store.DB) (size int64) {
	b.Helper()
	return get(b, db, func(tx *store.Tx) (int64, error) {
		return tx.Number(`SELECT CAST(sum(pg_total_relation_size(oid)) AS BIGINT) FROM pg_class
			WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'attempts'`)
	})
}

func serverTime(b *testing.B, server *pgtest.Server) time.Duration {
	b.Helper()
	used, err := server.ProcessorTime()
	if err != nil {
		b.Fatal(err)
	}
	return used
}
