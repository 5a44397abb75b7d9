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
func (db *DB) Commits() int64 { return db.commits.Load() }

// Update runs fn in a transaction and returns once what it did is on disk, or
// its error. Others may share the commit; fn's error undoes only what fn did.
//
// fn runs in another goroutine, while the caller waits. It does no I/O, is
// short, calls neither Update nor View, and may run twice, of which only the
// last run counts: what it hands out counts after Update returned nil.
//
// If ctx ends before fn starts, fn does not run. If it ends later, Update returns
// ctx.Err() without waiting for the disk: fn no longer runs, and what it did is
// committed like that of others. A panic of fn goes on in the caller's goroutine.
// When too many updates wait, Update fails at once with ErrBusy.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	entry := db.updates.Begin()
	defer db.updates.End(entry)
	return db.watch(ctx, true, fn, db.update)
}

// View runs fn on one moment of the database, in the caller's goroutine. fn reads
// only, does not wait for anything, and calls neither View nor Update.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	return db.watch(ctx, false, fn, db.view)
}

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
