package store

import (
	"errors"
	"fmt"
	"time"
)

// Tx is a transaction. It belongs to the function that it is given to, for as
// long as that runs. An error of the database itself ends it: whatever is tried
// on it afterwards fails, and so does the transaction.
type Tx struct {
	Now time.Time // when the transaction began, in milliseconds, UTC

	s      runner
	keys   *keyMemo
	failed error // what ended the transaction, or nil

	// Where others write at the same time, what the transaction read may be old when it writes. It has
	// then lost a race that it wins, or loses for good, when it runs again.
	read  bool // it has read something
	worth int  // how many runs it is worth in all because of that; 0 is one
}

// runner runs the statements of a transaction that has begun: the border to an engine.
type runner interface {
	// exec runs a statement and returns how many rows it changed. An argument is an int64, a string or a []byte.
	exec(query string, args ...any) (int64, error)
	// query runs a statement and calls each for every row, in order. each runs no other statement.
	query(query string, args []any, each func(*row) error) error
	// execAll runs statements that do not depend on each other's outcome, and returns how many rows each changed.
	execAll(list []write) ([]int64, error)
	// survives reports whether the transaction goes on after an error of exec's or query's.
	survives(err error) bool
}

// How often a function runs at most that has lost a race for a row: one that seldom has
// company, or one that is known to be contended, for which everybody queues.
const (
	racedRuns     = 3
	contendedRuns = 1000
)

var errTxEnded = errors.New("the transaction has ended")

// exec runs a statement and returns how many rows it changed.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	if tx.failed != nil {
		return 0, tx.failed
	}
	n, err := tx.s.exec(query, args...)
	return n, tx.check(err)
}

// write is a statement that changes rows.
type write struct {
	what  string // it is for, in errors
	query string
	args  []any
}

// insertAll runs INSERTs … ON CONFLICT DO NOTHING, all in one way to the server and back; it fails with ErrExists if
// one did nothing. Then the others may be done: the transaction is not to be committed.
func (tx *Tx) insertAll(list []write) error {
	if tx.failed != nil {
		return tx.failed
	}
	changed, err := tx.s.execAll(list)
	if err != nil {
		return fmt.Errorf("%s: %w", list[min(len(changed), len(list)-1)].what, tx.check(err))
	}
	for i, n := range changed {
		if n == 0 {
			tx.failed = fmt.Errorf("%s: %w", list[i].what, tx.lost(ErrExists))
			return tx.failed
		}
	}
	return nil
}

// insert runs an INSERT … ON CONFLICT DO NOTHING; it fails with ErrExists if that did nothing.
func (tx *Tx) insert(query string, args ...any) error {
	return tx.one(ErrExists, query, args...)
}

// swap runs an UPDATE of one row; it fails with ErrConflict if the row is not as expected.
func (tx *Tx) swap(query string, args ...any) error {
	return tx.one(ErrConflict, query, args...)
}

func (tx *Tx) one(otherwise error, query string, args ...any) error {
	n, err := tx.exec(query, args...)
	if err == nil && n == 0 {
		return tx.lost(otherwise)
	}
	return err
}

// lost notes that a write did nothing, for the reason err.
func (tx *Tx) lost(err error) error {
	if tx.read {
		tx.worth = max(tx.worth, racedRuns)
	}
	return err
}

// each calls read for every row of the answer.
func (tx *Tx) each(read func(*row) error, query string, args ...any) error {
	if tx.failed != nil {
		return tx.failed
	}
	tx.read = true
	return tx.check(tx.s.query(query, args, read))
}

// first calls read for the one row of the answer; it fails with ErrNotFound if there is none.
func (tx *Tx) first(read func(*row) error, query string, args ...any) error {
	found := false
	err := tx.each(func(r *row) error { found = true; return read(r) }, query, args...)
	if err == nil && !found {
		return ErrNotFound
	}
	return err
}

func (tx *Tx) check(err error) error {
	if err != nil && !tx.s.survives(err) {
		tx.failed = err
	}
	return err
}

// rehearse runs fn and undoes what it did; see Config.Twice.
func (tx *Tx) rehearse(fn func(*Tx) error) error {
	if _, err := tx.exec("SAVEPOINT rehearsal"); err != nil {
		return err
	}
	before := *tx
	_ = fn(tx) // whatever it says, it is asked again
	*tx = before
	_, err := tx.exec("ROLLBACK TO rehearsal")
	return err
}
