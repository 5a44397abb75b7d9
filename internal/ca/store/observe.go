package store

import (
	"context"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/load"
)

// Transaction is an Update or a View that has come to its end, for those who watch.
type Transaction struct {
	Update bool
	Began  time.Time // when it was asked for
	Took   time.Duration
	Runs   int   // how often its function ran
	Err    error // what the caller is told
	// Decided says that Err is what the function decided, and no fault of the database.
	Decided bool
}

// Load is how many updates have been asked for and not been answered, and since when. One
// that hangs shows in it, whatever it hangs on.
func (db *DB) Load() load.Level { return db.updates.Level() }

// Commits is how many transactions were committed; several updates may share one.
func (db *DB) Commits() int64 { return db.engine.committed() }

// watch has run carry out a transaction, and tells whoever observes.
func (db *DB) watch(ctx context.Context, update bool, fn func(*Tx) error, run func(context.Context, func(*Tx) error) error) error {
	if db.observe == nil {
		return run(ctx, fn)
	}
	t := Transaction{Update: update, Began: time.Now()}
	t.Err = run(ctx, func(tx *Tx) error {
		t.Runs++
		err := fn(tx)
		t.Decided = err != nil && tx.failed == nil
		return err
	})
	t.Took = time.Since(t.Began)
	db.observe(ctx, t)
	return t.Err
}
