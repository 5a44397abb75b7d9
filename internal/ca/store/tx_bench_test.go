package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// BenchmarkUpdate is each kind of transaction that an issuance has, alone and without the wait for the disk. What
// a transaction begins with is made outside of what is measured, but for its identifier.
func BenchmarkUpdate(b *testing.B) {
	db := open(b, func(c *store.Config) { c.Volatile = true })
	i := newIssuance(b, db)
	o, authzs := newOrder(b, i.a, time.Now(), i.name)
	attempted, problem := authzs[0].Attempt(rules.Answer{Type: acme.HTTP01, Key: i.a.Key}, rules.Lease{}.Taken("worker", time.Now(), lease), time.Now())
	if problem != nil {
		b.Fatal(problem)
	}
	valid := attempted.Settle(rules.Outcome{}, time.Now())
	processing, problem := o.Finalize([]rules.Authz{valid}, i.csr, rules.Lease{}.Taken("worker", time.Now(), lease), time.Now())
	if problem != nil {
		b.Fatal(problem)
	}
	reserved := reservation(o, time.Now())
	settled := issued(reserved, certificateSize)
	i.update(func(tx *store.Tx) error {
		return errors.Join(tx.InsertOrder(o, authzs), tx.InsertCertificate(reserved))
	})
	evidence := store.Pack([]byte(`{"started":"2026-11-23T00:00:00Z","millis":3}`))

	for _, kind := range []struct {
		name string
		run  func(tx *store.Tx) error
	}{
		{"nothing", func(*store.Tx) error { return nil }},
		{"order", func(tx *store.Tx) error {
			next, authz := o, authzs[0]
			next.ID, authz.ID = rules.NewID(tx.Now), rules.NewID(tx.Now)
			return tx.InsertOrder(next, []rules.Authz{authz})
		}},
		{"attempt", func(tx *store.Tx) error { // and back, so that it can be done again
			return errors.Join(tx.UpdateAuthz(authzs[0], attempted), tx.UpdateAuthz(attempted, authzs[0]))
		}},
		{"settle", func(tx *store.Tx) error {
			return errors.Join(tx.UpdateAuthz(authzs[0], valid), tx.UpdateAuthz(valid, authzs[0]),
				tx.InsertAttempt(store.Attempt{Authz: o.ID, At: tx.Now, Method: acme.HTTP01, OK: true, Evidence: evidence}))
		}},
		{"finalize", func(tx *store.Tx) error {
			return errors.Join(tx.UpdateOrder(o, processing), tx.UpdateOrder(processing, o))
		}},
		{"reserve", func(tx *store.Tx) error {
			next := reserved
			next.Serial, next.Order = rules.NewID(tx.Now), rules.NewID(tx.Now)
			return tx.InsertCertificate(next)
		}},
		{"issued", func(tx *store.Tx) error {
			return errors.Join(tx.UpdateCertificate(reserved, settled), tx.UpdateCertificate(settled, reserved))
		}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := db.Update(b.Context(), kind.run); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkView is what requests look up.
func BenchmarkView(b *testing.B) {
	db := open(b)
	i := newIssuance(b, db)
	c := i.run()
	o := get(b, db, func(tx *store.Tx) (rules.Order, error) { return tx.Order(c.Order) })
	ids := []acme.Identifier{acme.IdentifierFor(i.name)}
	thumbprint := i.a.Key.Thumbprint()
	for _, kind := range []struct {
		name string
		run  func(tx *store.Tx) error
	}{
		{"nothing", func(*store.Tx) error { return nil }},
		{"account", func(tx *store.Tx) error { _, err := tx.Account(i.a.ID); return err }},
		{"key", func(tx *store.Tx) error { _, err := tx.AccountByKey(thumbprint); return err }},
		{"order", func(tx *store.Tx) error {
			found, err := tx.Order(o.ID)
			if err == nil {
				_, err = tx.Authzs(found.Authzs)
			}
			return err
		}},
		{"held", func(tx *store.Tx) error {
			_, errA := tx.Standing(i.a.ID, 100)
			_, errB := tx.ValidAuthzs(i.a.ID, ids)
			return errors.Join(errA, errB)
		}},
		{"certificate", func(tx *store.Tx) error { _, err := tx.Certificate(c.Serial); return err }},
	} {
		b.Run(kind.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := db.View(b.Context(), kind.run); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
