package work

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// When and how much is deleted.
const (
	cleanUpEvery = 10 * time.Minute
	bucketsEvery = time.Hour // tables whose keys do not tell the age are read whole, so more seldom
	setsEvery    = 24 * time.Hour
	cleanUpBatch = 200 // records that one transaction deletes at most
	cleanUpShare = 5 * time.Millisecond
	shortestRest = 10 * time.Millisecond
)

// CleanUp deletes what has been kept for long enough, until ctx ends.
func (w *Worker) CleanUp(ctx context.Context) {
	c := newCleaner(w)
	tick := time.NewTicker(cleanUpEvery)
	defer tick.Stop()
	for {
		if err := errors.Join(c.pass(ctx), w.Recover(ctx)); err != nil && ctx.Err() == nil {
			w.Log.Error("cleaning up failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// cleaner deletes what is old. One goroutine uses it.
type cleaner struct {
	*Worker
	sweeps        []*sweep
	buckets, sets time.Time // when those were last read
}

func newCleaner(w *Worker) *cleaner {
	return &cleaner{Worker: w, sweeps: w.sweeps(time.Now())}
}

// pass deletes all that is to go by now.
func (c *cleaner) pass(ctx context.Context) error {
	if err := c.dropEvidence(ctx); err != nil {
		return err
	}
	for _, s := range c.sweeps {
		if err := c.sweep(ctx, s); err != nil {
			return err
		}
	}
	if err := c.dropRevoked(ctx); err != nil {
		return err
	}
	if now := time.Now(); now.Sub(c.buckets) >= bucketsEvery {
		c.buckets = now
		if err := c.dropBuckets(ctx); err != nil {
			return err
		}
	}
	if now := time.Now(); now.Sub(c.sets) >= setsEvery {
		c.sets = now
		return c.dropSets(ctx)
	}
	return nil
}

// delete runs a batch of deletions in one transaction, and rests for twice as long as that took: requests have
// two thirds of the writer at least, and the more it has to do the slower this goes. remove is
// called for each number below n, until the time for one transaction is used up; delete returns how many times.
func (w *Worker) delete(ctx context.Context, n int, remove func(tx *store.Tx, i int) error) (done int, err error) {
	if n == 0 {
		return 0, nil
	}
	began := time.Now()
	err = w.DB.Update(ctx, func(tx *store.Tx) error {
		begun := time.Now()
		for done = 0; done < n && (done == 0 || time.Since(begun) < cleanUpShare); done++ {
			if err := remove(tx, done); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, store.ErrBusy) {
		done, err = 0, nil // requests go first: later
	}
	if err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return done, ctx.Err()
	case <-time.After(max(2*time.Since(began), shortestRest)):
		return done, nil
	}
}

// dropEvidence deletes the evidence of validations that is old.
func (w *Worker) dropEvidence(ctx context.Context) error {
	if w.Retention.Evidence == rules.Forever {
		return nil
	}
	for more := true; more; {
		var old []store.AttemptKey
		err := w.DB.View(ctx, func(tx *store.Tx) (err error) {
			old, err = tx.OldAttempts(tx.Now.Add(-w.Retention.Evidence), cleanUpBatch)
			return err
		})
		if err == nil {
			err = w.deleteAll(ctx, len(old), func(tx *store.Tx, i int) error { return tx.DeleteAttempt(old[i]) })
		}
		if err != nil {
			return fmt.Errorf("deleting old evidence: %w", err)
		}
		more = len(old) == cleanUpBatch
	}
	return nil
}

// dropRevoked deletes what is revoked and old. It is found by its end, and abandoned serials in no other way.
func (w *Worker) dropRevoked(ctx context.Context) error {
	if w.Retention.Certificates == rules.Forever {
		return nil
	}
	var issuers []string
	if err := w.DB.View(ctx, func(tx *store.Tx) (err error) { issuers, err = tx.Revokers(); return err }); err != nil {
		return err
	}
	for _, issuer := range issuers {
		for more := true; more; {
			var list []ended
			if err := w.DB.View(ctx, func(tx *store.Tx) (err error) {
				list, err = w.endedRevoked(tx, issuer)
				return err
			}); err != nil {
				return err
			}
			more = len(list) == cleanUpBatch
			if err := w.deleteCertificates(ctx, list); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropSets deletes the sets of identifiers that make nothing a renewal any more.
func (w *Worker) dropSets(ctx context.Context) error {
	return w.readWhole(ctx, func(tx *store.Tx, after string) (last string, drop []func(*store.Tx) error, err error) {
		sets, err := tx.Sets(after, cleanUpBatch)
		for _, s := range sets {
			last = s.ID
			if !rules.Renews(s.At, tx.Now) {
				drop = append(drop, func(tx *store.Tx) error { return tx.DropSet(s) })
			}
		}
		return last, drop, err
	})
}

// dropBuckets deletes the buckets of rate limits that are as good as new: they say nothing.
func (w *Worker) dropBuckets(ctx context.Context) error {
	return w.readWhole(ctx, func(tx *store.Tx, after string) (last string, drop []func(*store.Tx) error, err error) {
		buckets, err := tx.Buckets("", after, cleanUpBatch)
		for _, b := range buckets {
			last = b.ID()
			if !b.Good.After(tx.Now) {
				drop = append(drop, func(tx *store.Tx) error { return tx.DropBucket(b) })
			}
		}
		return last, drop, err
	})
}

// readWhole reads a table from its beginning to its end. read returns the key of the last row that follows after, "" if
// there is none, and what to do about the rows that go.
func (w *Worker) readWhole(ctx context.Context, read func(tx *store.Tx, after string) (string, []func(*store.Tx) error, error)) error {
	for after := ""; ; {
		var last string
		var drop []func(*store.Tx) error
		err := w.DB.View(ctx, func(tx *store.Tx) (err error) { last, drop, err = read(tx, after); return err })
		if err != nil || last == "" {
			return err
		}
		if err := w.deleteAll(ctx, len(drop), func(tx *store.Tx, i int) error { return drop[i](tx) }); err != nil {
			return fmt.Errorf("deleting what says nothing any more: %w", err)
		}
		after = last
	}
}
