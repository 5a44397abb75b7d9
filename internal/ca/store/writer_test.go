package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cairn-ca/cairn/internal/ca/store"
)

// block makes the update that blocks key n.
func block(n byte) func(*store.Tx) error {
	return func(tx *store.Tx) error { return tx.BlockKey([]byte{n}) }
}

func blocked(t testing.TB, db *store.DB, n byte) bool {
	t.Helper()
	return get(t, db, func(tx *store.Tx) (bool, error) { return tx.KeyBlocked([]byte{n}) })
}

// gathered runs updates that share a commit: they wait until all are in the queue.
// It returns their errors, and how many transactions were committed for them.
func gathered(t *testing.T, db *store.DB, updates ...func(*store.Tx) error) (errs []error, commits int64) {
	t.Helper()
	errs = make([]error, len(updates))
	release := hold(t, db)
	before := db.Commits()
	var group sync.WaitGroup
	for i, fn := range updates {
		group.Go(func() {
			defer func() {
				if value := recover(); value != nil {
					errs[i] = fmt.Errorf("panic: %v", value)
				}
			}()
			errs[i] = db.Update(t.Context(), fn)
		})
		synctest.Wait() // they queue up in order
	}
	release()
	group.Wait()
	return errs, db.Commits() - before - 1 // one is of the update that held the writer
}

// hold keeps the writer busy until release is called.
func hold(t *testing.T, db *store.DB) (release func()) {
	t.Helper()
	held, done, end := make(chan struct{}), make(chan error), make(chan struct{})
	go func() {
		done <- db.Update(context.Background(), func(*store.Tx) error {
			close(held)
			<-end
			return nil
		})
	}()
	<-held
	return func() {
		close(end)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// bubble runs a test in a synctest bubble with a database of its own.
func bubble(t *testing.T, open opener, test func(*testing.T, *store.DB), change ...func(*store.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db := open(t, change...)
		test(t, db)
	})
}

func testSharedCommit(t *testing.T, open opener) {
	bubble(t, open, func(t *testing.T, db *store.DB) {
		var updates []func(*store.Tx) error
		for n := range byte(100) {
			updates = append(updates, block(n))
		}
		errs, commits := gathered(t, db, updates...)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		// The batch ends early on a slow machine, so that the first need not wait for all.
		if commits > 20 {
			t.Errorf("100 updates took %d commits", commits)
		}
		for n := range byte(100) {
			if !blocked(t, db, n) {
				t.Errorf("update %d is lost", n)
			}
		}
	})
}

var errOwn = errors.New("thought better of it")

func testFailureUndoesOnlyItself(t *testing.T, open opener) {
	bubble(t, open, func(t *testing.T, db *store.DB) {
		fails := func(tx *store.Tx) error { return errors.Join(block(2)(tx), errOwn) }
		errs, commits := gathered(t, db, block(1), fails, block(3))
		if errs[0] != nil || !errors.Is(errs[1], errOwn) || errs[2] != nil || commits != 1 {
			t.Errorf("errors %v after %d commits", errs, commits)
		}
		if !blocked(t, db, 1) || blocked(t, db, 2) || !blocked(t, db, 3) {
			t.Error("a failure undid other than itself")
		}
		// The same without company.
		if err := db.Update(t.Context(), fails); !errors.Is(err, errOwn) || blocked(t, db, 2) {
			t.Errorf("alone: %v", err)
		}
	})
}

// testConstraintUndoesOnlyItself: a constraint's error leaves the transaction alive, also for the member itself.
func testConstraintUndoesOnlyItself(t *testing.T, open opener) {
	bubble(t, open, func(t *testing.T, db *store.DB) {
		collides := func(tx *store.Tx) error {
			_, err := tx.Exec("INSERT INTO blocked_keys (spki, blocked) VALUES ($1, 0)", []byte{1})
			return err
		}
		recovers := func(tx *store.Tx) error {
			if collides(tx) == nil {
				return errors.New("there is no constraint")
			}
			return block(2)(tx)
		}
		errs, commits := gathered(t, db, block(1), collides, recovers, block(3))
		if errs[0] != nil || errs[1] == nil || errs[2] != nil || errs[3] != nil || commits != 1 {
			t.Errorf("errors %v after %d commits", errs, commits)
		}
		for n := range byte(3) {
			if !blocked(t, db, n+1) {
				t.Errorf("update %d is lost", n+1)
			}
		}
	})
}

// testErrorIsNotSwallowed: a function whose statement fails has failed, even where
// the transaction lives and the function says nothing.
func testErrorIsNotSwallowed(t *testing.T, open opener) {
	bubble(t, open, func(t *testing.T, db *store.DB) {
		silent := func(tx *store.Tx) error {
			_ = block(2)(tx)
			_, _ = tx.Exec("INSERT INTO missing VALUES (1)")
			return nil
		}
		errs, commits := gathered(t, db, block(1), silent, block(3))
		if errs[0] != nil || errs[1] == nil || errs[2] != nil || commits != 1 {
			t.Errorf("errors %v after %d commits", errs, commits)
		}
		if !blocked(t, db, 1) || blocked(t, db, 2) || !blocked(t, db, 3) {
			t.Error("a failed statement undid other than its function")
		}
	})
}

func testPanicIsTheCallers(t *testing.T, open opener) {
	bubble(t, open, func(t *testing.T, db *store.DB) {
		panics := func(tx *store.Tx) error {
			_ = block(2)(tx)
			panic("own fault")
		}
		errs, _ := gathered(t, db, block(1), panics, block(3))
		if errs[0] != nil || errs[2] != nil || errs[1] == nil || !strings.Contains(errs[1].Error(), "own fault") ||
			!strings.Contains(errs[1].Error(), "testPanicIsTheCallers") {
			t.Errorf("errors %v", errs)
		}
		if !blocked(t, db, 1) || blocked(t, db, 2) || !blocked(t, db, 3) {
			t.Error("a panic undid other than itself")
		}
		func() {
			defer func() { _ = recover() }()
			_ = db.View(t.Context(), panics)
			t.Error("a panic of a view is lost")
		}()
		if !blocked(t, db, 1) {
			t.Error("after a panic, views fail")
		}
	})
}

func testCancelledBeforeStart(t *testing.T, open opener) {
	bubble(t, open, func(t *testing.T, db *store.DB) {
		release := hold(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		outcome := make(chan error)
		go func() { outcome <- db.Update(ctx, block(1)) }()
		synctest.Wait()
		cancel()
		if err := <-outcome; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		release()
		if err := db.Update(ctx, block(2)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		update(t, db, block(3)) // what was before it in the queue is done with
		if blocked(t, db, 1) || blocked(t, db, 2) {
			t.Error("an update ran though nobody waited for it")
		}
		if err := db.View(ctx, func(*store.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("a view for nobody: %v", err)
		}
	})
}

// testCancelledWhileRunning: the caller learns that it was cancelled, gets its
// variables back, and loses nothing.
func testCancelledWhileRunning(t *testing.T, open opener) {
	db := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0 // the race detector looks on
	err := db.Update(ctx, func(tx *store.Tx) error {
		cancel()
		runs++
		return block(1)(tx)
	})
	runs++
	if err != nil && !errors.Is(err, context.Canceled) || runs != 2 {
		t.Errorf("after %d runs: %v", runs-1, err)
	}
	update(t, db, block(2))
	if !blocked(t, db, 1) {
		t.Error("an update that had run is lost")
	}
}

func testFullQueue(t *testing.T, open opener) {
	bubble(t, open, func(t *testing.T, db *store.DB) {
		release := hold(t, db)
		var group sync.WaitGroup
		for n := range byte(5) {
			group.Go(func() {
				if err := db.Update(t.Context(), block(n)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if db.Waiting() != 5 {
			t.Fatalf("%d updates wait", db.Waiting())
		}
		refused(t, db, store.ErrBusy, block(9))
		if blocked(t, db, 0) { // a view waits for nobody
			t.Error("the writer was not held")
		}
		release()
		group.Wait()
		update(t, db, block(10))
		if blocked(t, db, 9) || !blocked(t, db, 4) {
			t.Error("other than the last update was refused")
		}
	}, func(c *store.Config) { c.Queue = 5 })
}

func testClosed(t *testing.T, open opener) {
	synctest.Test(t, func(t *testing.T) {
		db := open(t)
		release := hold(t, db)
		outcome, closed := make(chan error), make(chan error)
		go func() { outcome <- db.Update(context.Background(), block(1)) }()
		synctest.Wait()
		go func() { closed <- db.Close() }()
		synctest.Wait()
		refused(t, db, store.ErrClosed, block(2))
		release()
		if err := errors.Join(<-outcome, <-closed); err != nil {
			t.Errorf("what waited when the database was closed: %v", err)
		}
		if err := db.View(t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
			t.Errorf("a view afterwards: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
}

// testGoexit: a function that ends its goroutine, as a test's FailNow does, leaves nobody waiting.
func testGoexit(t *testing.T, open opener) {
	bubble(t, open, func(t *testing.T, db *store.DB) {
		exits := func(tx *store.Tx) error {
			_ = block(1)(tx)
			runtime.Goexit()
			return nil
		}
		errs, _ := gathered(t, db, exits, block(2))
		if !errors.Is(errs[0], store.ErrClosed) || !errors.Is(errs[1], store.ErrClosed) {
			t.Errorf("errors %v", errs)
		}
		refused(t, db, store.ErrClosed, block(3))
	})
}

// testViewsSeeOneMoment: a view sees nothing of what is committed while it runs, all that was before, and cannot write.
func testViewsSeeOneMoment(t *testing.T, open opener) {
	db := open(t)
	update(t, db, block(1))
	if err := db.View(t.Context(), func(tx *store.Tx) error {
		if ok, err := tx.KeyBlocked([]byte{1}); !ok || err != nil {
			t.Errorf("what was committed before is not seen: %v", err)
		}
		update(t, db, block(2)) // a test may do that
		if ok, err := tx.KeyBlocked([]byte{2}); ok || err != nil {
			t.Errorf("what is committed meanwhile is seen: %v", err)
		}
		if tx.BlockKey([]byte{3}) == nil {
			t.Error("a view can write")
		}
		if _, err := tx.KeyBlocked([]byte{1}); err == nil {
			t.Error("a transaction goes on after an error of the database's")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !blocked(t, db, 2) || blocked(t, db, 3) {
		t.Error("the next view does not see what was committed")
	}
	var kept *store.Tx
	update(t, db, func(tx *store.Tx) error { kept = tx; return nil })
	if kept.BlockKey([]byte{4}) == nil {
		t.Error("a transaction can be used after its end")
	}
}
