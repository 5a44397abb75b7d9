package work

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// batch is how many records one look for lapsed leases takes up.
const batch = 256

// Run takes up work whose lease has lapsed until ctx ends: what a crash or an
// internal fault left behind, and what was put off.
func (w *Worker) Run(ctx context.Context) {
	tick := time.NewTicker(w.Poll)
	defer tick.Stop()
	for {
		if err := w.takeUp(ctx); err != nil && ctx.Err() == nil {
			w.Log.Error("looking for work failed", "error", err)
		}
		w.Pulse.Beat()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// RecoverAll makes all work due that any process has a lease on, and gives up
// serials that were reserved and that nobody will come back to. Only for a
// process that knows that it is the only one, before it starts work or signs.
func (w *Worker) RecoverAll(ctx context.Context) error {
	if err := w.release(ctx, func(rules.Lease) bool { return true }); err != nil {
		return err
	}
	return w.abandon(ctx, 0)
}

// reservedFor is after what time nobody comes back to a reservation whose order is not processing. A signer
// settles within seconds; and if one did come back, it would find the serial given up, and not let the certificate out.
const reservedFor = 10 * time.Minute

// Recover gives up serials that were reserved and that nobody will come back to, while other processes work
// on the same database: those of the CA's own certificates, as a rule, which have no order that is taken up again.
func (w *Worker) Recover(ctx context.Context) error { return w.abandon(ctx, reservedFor) }

// abandon gives up serials that were reserved longer ago than age, unless their order is processing.
func (w *Worker) abandon(ctx context.Context, age time.Duration) error {
	return w.DB.Update(ctx, func(tx *store.Tx) error {
		reserved, err := tx.Reserved()
		if err != nil {
			return err
		}
		for _, c := range reserved {
			if tx.Now.Sub(c.Created) < age {
				continue
			}
			switch order, err := tx.Order(c.Order); {
			case err == nil && order.CSR != nil:
				continue // processing: whoever takes it up replaces the reservation
			case err != nil && !errors.Is(err, store.ErrNotFound): // the CA's own certificates have no order
				return fmt.Errorf("finding the order of serial %s: %w", c.Serial, err)
			}
			if err := tx.UpdateCertificate(c, c.Abandon(tx.Now)); err != nil && !errors.Is(err, store.ErrConflict) {
				return fmt.Errorf("giving up serial %s: %w", c.Serial, err)
			}
		}
		return nil
	})
}

// handBack ends this worker's leases, so that the next process need not wait for them.
func (w *Worker) handBack(ctx context.Context) error {
	return w.release(ctx, func(l rules.Lease) bool { return l.By == w.name })
}

// release ends the leases that match, in batches. The work stays due.
func (w *Worker) release(ctx context.Context, matches func(rules.Lease) bool) error {
	return w.DB.Update(ctx, func(tx *store.Tx) error {
		authzs, err := tx.LeasedAuthzs()
		if err != nil {
			return fmt.Errorf("finding leases: %w", err)
		}
		for _, a := range authzs {
			if freed := a; matches(a.Lease) {
				freed.Lease = rules.Lease{Due: tx.Now}
				if err := tx.UpdateAuthz(a, freed); err != nil && !errors.Is(err, store.ErrConflict) { // lapsed, and taken
					return fmt.Errorf("releasing the lease of authorization %s: %w", a.ID, err)
				}
			}
		}
		orders, err := tx.LeasedOrders()
		if err != nil {
			return fmt.Errorf("finding leases: %w", err)
		}
		for _, o := range orders {
			if freed := o; matches(o.Lease) {
				freed.Lease = rules.Lease{Due: tx.Now}
				if err := tx.UpdateOrder(o, freed); err != nil && !errors.Is(err, store.ErrConflict) {
					return fmt.Errorf("releasing the lease of order %s: %w", o.ID, err)
				}
			}
		}
		return nil
	})
}

// takeUp takes the lease of everything that has lapsed and starts it. A crash
// right after leaves leases that lapse again.
func (w *Worker) takeUp(ctx context.Context) error {
	var authzs []rules.Authz
	var orders []rules.Order
	if err := w.DB.View(ctx, func(tx *store.Tx) (err error) {
		if authzs, err = tx.LapsedAuthzs(batch); err != nil {
			return err
		}
		orders, err = tx.LapsedOrders(batch)
		return err
	}); err != nil {
		return err
	}
	for _, a := range authzs {
		// A process that was stopped for longer than its lease may still be at it: a lease that nobody works under would only delay it.
		if runs(w, w.validating, a.ID) {
			continue
		}
		if taken, err := w.takeAuthz(ctx, a); err == nil {
			w.Validate(taken)
		}
	}
	for _, o := range orders {
		if runs(w, w.issuing, o.ID) {
			continue
		}
		if taken, err := w.takeOrder(ctx, o); err == nil {
			w.Issue(taken, rules.CSR{})
		}
	}
	return nil
}

// takeAuthz takes the lease of a; it fails with store.ErrConflict if somebody was faster.
func (w *Worker) takeAuthz(ctx context.Context, a rules.Authz) (taken rules.Authz, err error) {
	err = w.DB.Update(ctx, func(tx *store.Tx) error {
		taken = a
		taken.Lease = a.Lease.Taken(w.name, tx.Now, w.Config.Lease)
		return tx.UpdateAuthz(a, taken)
	})
	return taken, err
}

// takeOrder takes the lease of o; it fails with store.ErrConflict if somebody was faster.
func (w *Worker) takeOrder(ctx context.Context, o rules.Order) (taken rules.Order, err error) {
	err = w.DB.Update(ctx, func(tx *store.Tx) error {
		taken = o
		taken.Lease = o.Lease.Taken(w.name, tx.Now, w.Config.Lease)
		return tx.UpdateOrder(o, taken)
	})
	return taken, err
}
