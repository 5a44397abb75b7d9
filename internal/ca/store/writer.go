package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// How much one commit is shared at most. The first caller waits for all that
// comes after it, so both are small beside a wait for the disk under load.
const (
	maxMembers = 256
	maxShare   = 10 * time.Millisecond
)

// request is an update that waits for the writer, and then its outcome.
type request struct {
	ctx  context.Context // fn does not start once it has ended
	fn   func(*Tx) error
	done chan struct{} // closed when the outcome is there

	running sync.Mutex // held while fn runs

	// The outcome; the writer's until done is closed.
	err   error
	panic *panicked
}

// panicked is a panic of an update's function.
type panicked struct {
	value any
	stack []byte
}

var errDead = errors.New("an update ended the transaction")

// update is Update: fn is a member of a transaction of the writer's goroutine.
func (db *sqliteDB) update(ctx context.Context, fn func(*Tx) error) error {
	r := &request{ctx: ctx, fn: fn, done: make(chan struct{})}
	if err := db.enqueue(r); err != nil {
		return err
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		r.running.Lock() // fn has run or never will: what it writes to is the caller's again
		defer r.running.Unlock()
		return ctx.Err()
	case <-db.ended:
		select {
		case <-r.done:
		default: // a function of somebody's ended the writer by runtime.Goexit
			return ErrClosed
		}
	}
	if r.panic != nil {
		panic(fmt.Sprintf("%v\n\nin an update of the store:\n%s", r.panic.value, r.panic.stack))
	}
	return r.err
}

func (db *sqliteDB) enqueue(r *request) error {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if db.closed {
		return ErrClosed
	}
	select {
	case db.queue <- r:
		return nil
	default:
		return ErrBusy
	}
}

// run runs fn on tx, unless the caller's context has ended. A panic becomes the outcome.
func (r *request) run(tx *Tx) (err error) {
	r.running.Lock()
	defer r.running.Unlock()
	if err := r.ctx.Err(); err != nil {
		return err
	}
	r.panic = nil
	defer func() {
		if value := recover(); value != nil {
			r.panic = &panicked{value, debug.Stack()}
			err = fmt.Errorf("panic: %v", value) // reaches nobody: the caller panics
		}
		tx.failed = errTxEnded
	}()
	if err := r.fn(tx); err != nil {
		return err
	}
	return tx.failed // whatever fn made of it
}

// write is the writer's goroutine: it takes updates from the queue until that is closed and empty.
func (db *sqliteDB) write() {
	defer close(db.ended)
	for r := range db.queue {
		if len(db.queue) == 0 {
			db.alone(r)
		} else {
			db.together(r)
		}
	}
}

// answer tells the caller of r. A panic is not to get lost where nobody waits for it.
func (db *sqliteDB) answer(r *request) {
	if r.panic != nil && r.ctx.Err() != nil {
		db.log.Error("update panicked after its caller had left", "panic", r.panic.value, "stack", string(r.panic.stack))
	}
	close(r.done)
}

// alone runs r in a transaction of its own.
func (db *sqliteDB) alone(r *request) {
	defer db.answer(r)
	if _, r.err = db.writer.exec("BEGIN IMMEDIATE"); r.err != nil {
		r.err = fmt.Errorf("beginning a transaction: %w", r.err)
		return
	}
	if r.err = r.run(db.begin(db.writer)); r.err == nil {
		r.err = db.commit()
	}
	if r.err != nil {
		db.rollback()
	}
}

// together runs first and what waits behind it in one transaction. If that comes
// to an end other than a commit, every member runs again alone: nobody is
// answered for what somebody else broke.
func (db *sqliteDB) together(first *request) {
	members := append(make([]*request, 0, min(len(db.queue)+1, maxMembers)), first)
	if _, err := db.writer.exec("BEGIN IMMEDIATE"); err != nil {
		first.err = fmt.Errorf("beginning a transaction: %w", err)
		db.answer(first)
		return
	}
	lives := db.member(first)
	for begun := time.Now(); lives && len(members) < maxMembers && time.Since(begun) < maxShare; {
		next, ok := db.waiting()
		if !ok {
			break
		}
		members = append(members, next)
		lives = db.member(next)
	}
	err := errDead
	if lives {
		err = db.commit()
	}
	if err != nil {
		db.log.Warn("shared transaction failed, its updates run one by one", "updates", len(members), "error", err)
		db.rollback()
		for _, r := range members {
			db.alone(r)
		}
		return
	}
	for _, r := range members {
		db.answer(r)
	}
}

// waiting takes an update from the queue if there is one.
func (db *sqliteDB) waiting() (*request, bool) {
	select {
	case r, ok := <-db.queue:
		return r, ok
	default:
		return nil, false
	}
}

// member runs r inside the open transaction, and undoes it alone if it fails. It
// reports whether the transaction still lives: SQLite ends it by itself after
// some errors (a full disk, say), and then the savepoint is gone as well.
func (db *sqliteDB) member(r *request) (lives bool) {
	if _, err := db.writer.exec("SAVEPOINT member"); err != nil {
		return false
	}
	if r.err = r.run(db.begin(db.writer)); r.err != nil {
		if _, err := db.writer.exec("ROLLBACK TO member"); err != nil {
			return false
		}
	}
	_, err := db.writer.exec("RELEASE member")
	return err == nil
}

func (db *sqliteDB) commit() error {
	if _, err := db.writer.exec("COMMIT"); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	db.commits.Add(1)
	return nil
}

// rollback ends the transaction, if SQLite has not done so itself.
func (db *sqliteDB) rollback() { _, _ = db.writer.exec("ROLLBACK") }
