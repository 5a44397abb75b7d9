package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"modernc.org/sqlite"
)

// One goroutine writes. It takes all updates that wait, runs each inside a
// savepoint of one transaction, commits them together and then answers them all:
// one sync of the disk for many requests, and no answer before it.

const (
	maxQueue = 4096 // updates that may wait; beyond it, Update says ErrBusy
	maxBatch = 256  // updates in one commit: a bound on how long a commit takes
)

// update is a function that waits for its turn.
type update struct {
	ctx  context.Context
	do   func(*Tx) error
	done chan error
}

// panicked is a panic of an update's function, on its way back to the caller.
type panicked struct {
	value any
	stack []byte
}

func (p panicked) Error() string { return fmt.Sprintf("panic in an update: %v\n%s", p.value, p.stack) }

// Update runs do in a transaction and returns after it is on the disk. do must be
// quick, wait for nothing but the database, and hand out results only through
// variables that it assigns, since it may run twice. Its error rolls it back, and
// it alone. When ctx ends first, Update returns early; what do did then may or may not last.
func (db *DB) Update(ctx context.Context, do func(*Tx) error) error {
	u := &update{ctx: ctx, do: do, done: make(chan error, 1)}
	select {
	case <-db.closing:
		return errClosed
	default:
	}
	select {
	case db.updates <- u:
	default:
		return ErrBusy
	}
	select {
	case err := <-u.done:
		if p, ok := errors.AsType[panicked](err); ok {
			panic(p)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-db.ended:
		return errClosed
	}
}

// write is the writer's goroutine.
func (db *DB) write(s *session) {
	defer close(db.ended)
	for {
		select {
		case first := <-db.updates:
			db.commit(s, db.gather(first))
		case <-db.closing:
			for { // those that were let in before Close
				select {
				case first := <-db.updates:
					db.commit(s, db.gather(first))
				default:
					return
				}
			}
		}
	}
}

// gather adds to first what waits, without waiting itself.
func (db *DB) gather(first *update) []*update {
	batch := []*update{first}
	for len(batch) < maxBatch {
		select {
		case u := <-db.updates:
			batch = append(batch, u)
		default:
			return batch
		}
	}
	return batch
}

// commit runs a batch in one transaction and answers its members. If the
// transaction dies, they run again one by one, so that one's fault is not another's.
func (db *DB) commit(s *session, batch []*update) {
	errs, err := db.try(s, batch)
	if err != nil && len(batch) > 1 {
		for _, u := range batch {
			db.commit(s, []*update{u})
		}
		return
	}
	for i, u := range batch {
		u.done <- errors.Join(errs[i], err)
	}
}

// try runs a batch in one transaction. The error is the transaction's own: nothing of the batch lasts.
func (db *DB) try(s *session, batch []*update) (errs []error, err error) {
	errs = make([]error, len(batch))
	if err := s.run("BEGIN IMMEDIATE"); err != nil {
		return errs, fmt.Errorf("beginning a transaction: %w", err)
	}
	defer func() {
		if err != nil {
			_ = s.run("ROLLBACK") // fails where the engine has done so already
		}
	}()
	tx := &Tx{Now: db.clock(), session: s}
	for i, u := range batch {
		if errs[i] = u.ctx.Err(); errs[i] != nil {
			continue // nobody waits for it, and it has not started
		}
		if err := s.run("SAVEPOINT member"); err != nil {
			return errs, fmt.Errorf("beginning a savepoint: %w", err)
		}
		if errs[i] = call(u.do, tx); errs[i] != nil {
			// Fails when the engine has ended the whole transaction, as it does when the disk is full.
			if err := s.run("ROLLBACK TO member"); err != nil {
				return errs, fmt.Errorf("the transaction ended: %w", errors.Join(errs[i], err))
			}
		}
		if err := s.run("RELEASE member"); err != nil {
			return errs, fmt.Errorf("ending a savepoint: %w", err)
		}
	}
	if err := s.run("COMMIT"); err != nil {
		return errs, fmt.Errorf("committing: %w", err)
	}
	return errs, nil
}

// call runs an update's function; a panic becomes its error.
func call(do func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = panicked{value, debug.Stack()}
		}
	}()
	return do(tx)
}

// isConstraint reports whether the engine refused a row because its key is taken.
func isConstraint(err error) bool {
	engine, ok := errors.AsType[*sqlite.Error](err)
	const constraint = 19 // SQLITE_CONSTRAINT; the low octet of its extended codes
	return ok && engine.Code()&0xff == constraint
}
