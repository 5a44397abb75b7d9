package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Tx is a transaction. It belongs to the function that it is given to, for as
// long as that runs. An error of the database itself ends it: whatever is tried
// on it afterwards fails, and so does the transaction.
type Tx struct {
	Now time.Time // when the transaction began, in milliseconds, UTC

	s      *session
	failed error // what ended the transaction, or nil
}

var errTxEnded = errors.New("the transaction has ended")

// begin makes the Tx of a transaction that s has begun.
func (db *DB) begin(s *session) *Tx {
	return &Tx{Now: db.now().UTC().Truncate(time.Millisecond), s: s}
}

// exec runs a statement and returns how many rows it changed.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	if tx.failed != nil {
		return 0, tx.failed
	}
	n, err := tx.s.exec(query, args...)
	return n, tx.check(err)
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
		return otherwise
	}
	return err
}

// each calls read for every row of the answer.
func (tx *Tx) each(read func(*row) error, query string, args ...any) error {
	if tx.failed != nil {
		return tx.failed
	}
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
	if err != nil && !isConstraint(err) {
		tx.failed = err
	}
	return err
}

// view is View, on one of the readers.
func (db *DB) view(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var s *session
	select {
	case <-db.ended:
		return ErrClosed
	case s = <-db.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { db.readers <- s }()
	tx := db.begin(s)
	if _, err := s.exec("BEGIN"); err != nil {
		return fmt.Errorf("beginning to read: %w", err)
	}
	defer func() {
		tx.failed = errTxEnded
		// There is nothing to keep; an error here means that SQLite has ended it already.
		_, _ = s.exec("ROLLBACK")
	}()
	return fn(tx)
}
