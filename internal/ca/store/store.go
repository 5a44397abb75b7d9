// Package store remembers what the rules made: accounts, orders, authorizations,
// certificates, revocation lists and the evidence of validations. It decides nothing.
//
// A DB is one SQLite file, for one process, or a database of PostgreSQL's or of an
// engine that speaks its protocol, for any number of them. What Update has answered
// without an error survives a crash. Reads go through View and see one moment of the
// database. docs/store.md has the rules that the statements follow, so that all of
// these engines take them as they are.
package store

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/load"
)

// What a caller may want to tell apart. They come wrapped: use errors.Is.
var (
	ErrNotFound = errors.New("not in the database")
	ErrExists   = errors.New("already in the database")            // a key or something else that is unique is taken
	ErrConflict = errors.New("changed by somebody else meanwhile") // a compare-and-swap was lost
	ErrBusy     = errors.New("the database has more to do than it can take on")
	ErrClosed   = errors.New("the database is closed")
	ErrForeign  = errors.New("the database is not one of Cairn's")
	ErrNewer    = errors.New("the database was made by a newer version of the program")

	// ErrUnavailable: the database cannot be reached, or does not answer in time. An Update that
	// fails with it may have happened nevertheless.
	ErrUnavailable = errors.New("the database does not answer")
	// ErrDenied: the database's user lacks a privilege.
	ErrDenied = errors.New("the user of the database may not do that: 'cairn migrate --grant ROLE=USER' lets one do what a role needs")
	// ErrOutdated: the schema of the database is older than this program can work with.
	ErrOutdated = errors.New("the database has an old schema: run 'cairn migrate'")
)

// Config says where the database is. Exactly one of Path and URL is required.
type Config struct {
	Path string       // of the SQLite file; made with mode 0600 where there is none
	URL  string       // of the PostgreSQL database, postgres://USER@HOST/NAME; several hosts are tried in turn
	Log  *slog.Logger // nil means none

	// Queue is how many updates may wait (on PostgreSQL: updates and views, for a
	// connection); one more is refused with ErrBusy. 0 means 1024.
	Queue int
	// Volatile does not wait for the disk: what Update has answered survives the process, and not a loss of power.
	Volatile bool

	// Readers is, on SQLite, how many views can run at the same time; 0 means one for each processor, at least 2.
	Readers int
	// Now is, on SQLite, the clock that Tx.Now is read from; nil means time.Now. PostgreSQL has its own.
	Now func() time.Time
	// Observe is told of each transaction once it has come to its end, in the caller's goroutine; nil for nobody.
	Observe func(context.Context, Transaction)

	// Connections is, on PostgreSQL, how many there are at most; 0 means four for each processor,
	// at least 16 and at most 64: beyond that, transactions only wait inside the server.
	Connections int
	// Create makes the schema in a PostgreSQL database that is entirely empty. Otherwise only Migrate changes a schema there.
	Create bool

	// Twice is for tests: each function of View and Update runs a second time, and what its first run wrote is undone. So
	// it comes to light where something is left of a run that does not count.
	Twice bool
}

// DB is an open database. It is safe for concurrent use. A SQLite file is to be
// used by one process at a time; the caller sees to that.
type DB struct {
	engine engine

	observe func(context.Context, Transaction) // nil for nobody
	updates load.Gauge                         // that have not been answered
	twice   bool
}

// engine runs transactions. There are two: a file with one writer (sqlite.go) and a pool of
// connections to a server (postgres.go).
type engine interface {
	update(ctx context.Context, fn func(*Tx) error) error
	view(ctx context.Context, fn func(*Tx) error) error
	look(ctx context.Context, fn func(*Tx) error) error
	committed() int64 // how many transactions were
	close() error
}

// Open opens the database of c. A SQLite file is made if there is none, and its schema is
// brought up to date. A PostgreSQL database is left as it is, see Config.Create and Migrate.
func Open(ctx context.Context, c Config) (*DB, error) {
	if (c.Path == "") == (c.URL == "") {
		return nil, errors.New("opening the database: give either the path of a SQLite file or the URL of a PostgreSQL database")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Queue == 0 {
		c.Queue = 1024
	}
	if c.Readers == 0 {
		c.Readers = max(2, runtime.GOMAXPROCS(0))
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Connections == 0 {
		c.Connections = min(max(16, 4*runtime.GOMAXPROCS(0)), 64)
	}
	if c.URL != "" {
		engine, err := openServer(ctx, c)
		if err != nil {
			return nil, err
		}
		return &DB{engine: engine, observe: c.Observe, twice: c.Twice}, nil
	}
	engine, err := openFile(ctx, c)
	if err != nil {
		return nil, err
	}
	return &DB{engine: engine, observe: c.Observe, twice: c.Twice}, nil
}

// Shared reports whether other processes may use the database at the same time.
func (db *DB) Shared() bool {
	_, file := db.engine.(*sqliteDB)
	return !file
}

// Update runs fn in a transaction and returns once what it did is on disk, or
// its error. fn's error undoes only what fn did. A panic of fn goes on in the
// caller's goroutine.
//
// fn does no I/O, is short, calls neither Update nor View, and may run several times,
// of which only the last run counts: what it hands out counts after Update returned
// nil. It may run in another goroutine, while the caller waits.
//
// If ctx ends before fn starts, fn does not run. If it ends later, Update returns
// ctx.Err(), and fn no longer runs. What it did is then committed all the same on SQLite, where
// others share the commit; on PostgreSQL it is undone, unless the commit was under way.
// When too many wait, Update fails at once with ErrBusy.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	entry := db.updates.Begin()
	defer db.updates.End(entry)
	return db.watch(ctx, true, db.ready(fn), db.engine.update)
}

// View runs fn on one moment of the database, in the caller's goroutine. fn reads
// only, does not wait for anything, calls neither View nor Update, and may run several times.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	return db.watch(ctx, false, db.ready(fn), db.engine.view)
}

// ready has fn run twice, if all are to.
func (db *DB) ready(fn func(*Tx) error) func(*Tx) error {
	if !db.twice {
		return fn
	}
	return func(tx *Tx) error {
		if err := tx.rehearse(fn); err != nil {
			return err
		}
		return fn(tx)
	}
}

// Close finishes the updates that wait, waits for the views that run and closes
// the database. Later calls of View and Update return ErrClosed.
func (db *DB) Close() error { return db.engine.close() }
