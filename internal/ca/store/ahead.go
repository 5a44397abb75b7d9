package store

import (
	"context"
	"errors"
	"fmt"
)

// What costs most on a server is the way there and back. This file has what spares some: reads that are known
// beforehand go in one, and so do writes that do not depend on each other. Nothing else changes by it, and
// an engine without a way to a server does everything at its place.

// far is a runner on a server.
type far interface {
	// readAhead runs SELECTs in one way to the server and back, and keeps the answers for query.
	readAhead(list []write) error
}

// Ahead says what the transaction is going to read next, most likely: each of reads makes those reads, of which
// only the first counts that depends on another one's answer. What comes of them is not looked at. It is a hint, for speed.
func (tx *Tx) Ahead(reads ...func(*Tx) error) {
	server, ok := tx.s.(far)
	if !ok || tx.failed != nil {
		return
	}
	var asked recorder
	for _, read := range reads {
		_ = read(&Tx{Now: tx.Now, s: &asked, keys: tx.keys}) // it comes to nothing: there are no answers yet
	}
	tx.read = true
	if err := server.readAhead(asked.list); err != nil {
		tx.failed = err
	}
}

// recorder is a runner that notes what is read, and runs nothing.
type recorder struct{ list []write }

var errNotYet = errors.New("there is no answer yet")

func (r *recorder) exec(string, ...any) (int64, error) { return 0, errNotYet }

func (r *recorder) execAll([]write) ([]int64, error) { return nil, errNotYet }

func (r *recorder) query(query string, args []any, _ func(*row) error) error {
	r.list = append(r.list, write{query: query, args: args})
	return errNotYet
}

func (r *recorder) survives(error) bool { return false }

// AtOnce runs fn, which only writes, and has its writes done in one way to the server and back after it. So fn
// does not learn whether one of them did nothing; AtOnce does. Then the others may be done: the
// transaction is not to be committed, and will not be.
func (tx *Tx) AtOnce(fn func(*Tx) error) error {
	if _, ok := tx.s.(far); !ok || tx.failed != nil {
		return fn(tx)
	}
	var later collector
	if err := fn(&Tx{Now: tx.Now, s: &later, keys: tx.keys}); err != nil {
		return err
	}
	changed, err := tx.s.execAll(later.list)
	if err != nil {
		return tx.check(err)
	}
	for i, n := range changed {
		if n == 0 {
			tx.failed = fmt.Errorf("%.40s…: %w", later.list[i].query, tx.lost(ErrConflict))
			return tx.failed
		}
	}
	return nil
}

// collector is a runner that keeps writes for later, and says that each changed its row.
type collector struct{ list []write }

func (c *collector) exec(query string, args ...any) (int64, error) {
	c.list = append(c.list, write{query: query, args: args})
	return 1, nil
}

func (c *collector) execAll(list []write) ([]int64, error) {
	changed := make([]int64, len(list))
	for i, w := range list {
		c.list = append(c.list, w)
		changed[i] = 1
	}
	return changed, nil
}

var errReads = errors.New("writes that are done at once were to be written, and something was read")

func (c *collector) query(string, []any, func(*row) error) error { return errReads }

func (c *collector) survives(error) bool { return false }

// Look is View for what is usually one read: on a server that one needs no transaction around it. Where fn
// reads more, it runs again, in a View.
func (db *DB) Look(ctx context.Context, fn func(*Tx) error) error {
	if db.twice {
		return db.View(ctx, fn) // to undo what the first run did takes a transaction
	}
	return db.watch(ctx, false, fn, db.engine.look)
}
