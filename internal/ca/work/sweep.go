package work

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// sweep goes through the records of a kind in the order of their IDs, which is that of their making, and deletes
// those that have ended. It keeps a distance from the present at which most have, and remembers how far it came:
// a record is read once by each sweep.
//
// What lasts for different times has a sweep for each. What one leaves behind, since it was not over yet, the last
// one finds; and what that leaves, such as an order that is processing, it finds when it starts over.
type sweep struct {
	what     string
	prefix   string        // of the IDs
	distance time.Duration // from the making of a record until it is read
	last     bool          // it begins at the oldest record, and starts over now and then
	batch    func(ctx context.Context, after, before string) (last string, err error)

	position string    // the ID that was read last
	begun    time.Time // when it started at the oldest record
}

// startOver is how often what was left behind is looked at again.
const startOver = 24 * time.Hour

// sinceStart is how far back sweeps that are not the last of their kind begin when a process starts.
const sinceStart = 48 * time.Hour

// sweeps lists the sweeps that the retention asks for.
func (w *Worker) sweeps(now time.Time) []*sweep {
	r := w.Retention
	var orders, authzs, certificates []time.Duration
	for _, p := range w.Profiles {
		orders = append(orders, p.OrderLifetime)
		authzs = append(authzs, p.PendingLifetime, p.PendingLifetime+p.AuthzLifetime)
		certificates = append(certificates, p.OrderLifetime+p.Validity)
	}
	var list []*sweep
	for _, kind := range []struct {
		what, prefix string
		keep         time.Duration
		lives        []time.Duration
		batch        func(ctx context.Context, after, before string) (string, error)
	}{
		{"orders", "", r.Orders, orders, w.sweepOrders},
		{"authorizations", "", r.Authorizations, authzs, w.sweepAuthzs},
		{"certificates", "", r.Certificates, certificates, w.sweepCertificates},
		{"own certificates", rules.OwnPurpose, r.Certificates, []time.Duration{0}, w.sweepCertificates},
	} {
		if kind.keep == rules.Forever {
			continue
		}
		for i, distance := range distances(kind.keep, kind.lives) {
			s := &sweep{what: kind.what, prefix: kind.prefix, distance: distance, last: i == 0, batch: kind.batch}
			if !s.last {
				s.position = s.prefix + rules.IDsFrom(now.Add(-distance-sinceStart))
			}
			list = append(list, s)
		}
	}
	return list
}

// distances lists after how long records with these lives have been kept for long enough, the longest first. One that is
// not much shorter than the one before is left out: what it is about stays a little longer.
func distances(keep time.Duration, lives []time.Duration) (list []time.Duration) {
	slices.Sort(lives)
	for _, life := range slices.Backward(lives) {
		if distance := keep + life; len(list) == 0 || distance < list[len(list)-1]/5*4 {
			list = append(list, distance)
		}
	}
	return list
}

// sweep reads on from where s is, and deletes, until it comes to its distance from now.
func (c *cleaner) sweep(ctx context.Context, s *sweep) error {
	now := time.Now()
	if s.last && now.Sub(s.begun) >= startOver {
		s.position, s.begun = s.prefix, now
	}
	before := s.prefix + rules.IDsFrom(now.Add(-s.distance))
	for s.position < before {
		last, err := s.batch(ctx, s.position, before)
		if err != nil {
			return fmt.Errorf("deleting old %s: %w", s.what, err)
		}
		if last == "" {
			return nil
		}
		s.position = last
	}
	return nil
}

// sweepOrders deletes the orders that go of the first ones between two IDs, and returns the last ID that it read.
func (w *Worker) sweepOrders(ctx context.Context, after, before string) (last string, err error) {
	var going []rules.Order
	if err := w.DB.View(ctx, func(tx *store.Tx) error {
		going, last = nil, ""
		orders, err := tx.OldOrders(after, before, cleanUpBatch)
		for _, o := range orders {
			last = o.ID
			if w.Retention.OrderGoes(o, tx.Now) {
				going = append(going, o)
			}
		}
		return err
	}); err != nil {
		return "", err
	}
	return last, w.deleteAll(ctx, len(going), func(tx *store.Tx, i int) error { return tx.DeleteOrder(going[i]) })
}

// sweepAuthzs is sweepOrders for authorizations.
func (w *Worker) sweepAuthzs(ctx context.Context, after, before string) (last string, err error) {
	var going []rules.Authz
	if err := w.DB.View(ctx, func(tx *store.Tx) error {
		going, last = nil, ""
		authzs, err := tx.OldAuthzs(after, before, cleanUpBatch)
		for _, a := range authzs {
			last = a.ID
			if w.Retention.AuthzGoes(a, tx.Now) {
				going = append(going, a)
			}
		}
		return err
	}); err != nil {
		return "", err
	}
	return last, w.deleteAll(ctx, len(going), func(tx *store.Tx, i int) error { return tx.DeleteAuthz(going[i]) })
}

// ended is a certificate that goes, with its names if it may be found by them.
type ended struct {
	rules.Certificate
	names []acme.Identifier
}

// sweepCertificates is sweepOrders for certificates, by the IDs of their orders. Those that are revoked are left to dropRevoked.
func (w *Worker) sweepCertificates(ctx context.Context, after, before string) (last string, err error) {
	var list []ended
	if err := w.DB.View(ctx, func(tx *store.Tx) error {
		last = ""
		issuances, err := tx.OldIssuances(after, before, cleanUpBatch)
		if err != nil {
			return err
		}
		var certificates []rules.Certificate
		for _, i := range issuances {
			last = i.Order
			c, err := tx.Certificate(i.Serial)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			if err == nil && c.Revoked.IsZero() && w.Retention.CertificateGoes(c, time.Time{}, tx.Now) {
				certificates = append(certificates, c)
			}
		}
		list, err = withNames(tx, certificates)
		return err
	}); err != nil {
		return "", err
	}
	return last, w.deleteCertificates(ctx, list)
}

// endedRevoked lists the first revoked certificates of an issuer that go.
func (w *Worker) endedRevoked(tx *store.Tx, issuer string) ([]ended, error) {
	listed, err := tx.Listed(issuer)
	if err != nil {
		return nil, err
	}
	end := tx.Now.Add(-w.Retention.Certificates)
	if listed.Before(end) {
		end = listed
	}
	revoked, err := tx.RevokedBefore(issuer, end, cleanUpBatch)
	if err != nil {
		return nil, err
	}
	going := slices.DeleteFunc(revoked, func(c rules.Certificate) bool { return !w.Retention.CertificateGoes(c, listed, tx.Now) })
	return withNames(tx, going)
}

// withNames finds under which names certificates may have been noted.
func withNames(tx *store.Tx, certificates []rules.Certificate) ([]ended, error) {
	named, err := tx.Named()
	if err != nil {
		return nil, err
	}
	list := make([]ended, len(certificates))
	for i, c := range certificates {
		list[i].Certificate = c
		if named {
			list[i].names = c.Names()
		}
	}
	return list, nil
}

func (w *Worker) deleteCertificates(ctx context.Context, list []ended) error {
	return w.deleteAll(ctx, len(list), func(tx *store.Tx, i int) error { return tx.DeleteCertificate(list[i].Certificate, list[i].names) })
}

// deleteAll calls remove for each number below n, in as many transactions as it takes.
func (w *Worker) deleteAll(ctx context.Context, n int, remove func(tx *store.Tx, i int) error) error {
	for from := 0; from < n; {
		done, err := w.delete(ctx, n-from, func(tx *store.Tx, i int) error { return remove(tx, from+i) })
		if err != nil {
			return err
		}
		from += done
	}
	return nil
}
