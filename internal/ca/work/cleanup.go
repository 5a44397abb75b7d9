package work

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/store"
)

const (
	cleanUpEvery = time.Hour
	cleanUpBatch = 500 // rows that one transaction deletes, so that requests wait for milliseconds at most
)

// CleanUp deletes what has been kept for long enough, until ctx ends.
func (w *Worker) CleanUp(ctx context.Context) {
	tick := time.NewTicker(cleanUpEvery)
	defer tick.Stop()
	for {
		if err := errors.Join(w.cleanUp(ctx), w.Recover(ctx)); err != nil && ctx.Err() == nil {
			w.Log.Error("cleaning up failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// cleanUp deletes what is too old now, and what says nothing any more, batch by batch.
func (w *Worker) cleanUp(ctx context.Context) error {
	for {
		var deleted int64
		err := w.DB.Update(ctx, func(tx *store.Tx) (err error) {
			deleted, err = tx.DeleteAttempts(tx.Now.Add(-w.EvidenceKept), cleanUpBatch)
			return err
		})
		if err != nil {
			return fmt.Errorf("deleting old evidence: %w", err)
		}
		if deleted < cleanUpBatch {
			return w.dropBuckets(ctx)
		}
	}
}
