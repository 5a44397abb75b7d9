// Package store remembers what the rules made: accounts, orders, authorizations,
// certificates, revocation lists and the evidence of validations. It decides nothing.
//
// A DB is one SQLite file. Changes go through Update, which shares one commit,
// and so one wait for the disk, among all that are asked for at the same time;
// what Update has answered without an error survives a crash. Reads go through
// View and see one moment of the database. docs/store.md has the rules that the
// statements follow, so that other engines can take them as they are.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/load"
)

// What a caller may want to tell apart. They come wrapped: use errors.Is.
var (
	ErrNotFound = errors.New("not in the database")
	ErrExists   = errors.New("already in the database")            // a key or something else that is unique is taken
	ErrConflict = errors.New("changed by somebody else meanwhile") // a compare-and-swap was lost
	ErrBusy     = errors.New("the database has more to do than it can take on")
	// ErrUnavailable: the database cannot be reached, or does not answer in time.
	ErrUnavailable = errors.New("the database does not answer")
	ErrClosed      = errors.New("the database is closed")
	ErrForeign     = errors.New("the file is not a database of Cairn's")
	ErrNewer       = errors.New("the database was made by a newer version of the program")
)

// Config says where the database is. Path is required.
type Config struct {
	Path string       // of the SQLite file; made with mode 0600 where there is none
	Log  *slog.Logger // nil means none

	// Queue is how many updates may wait; one more is refused with ErrBusy. 0 means 1024.
	Queue int
	// Readers is how many views can run at the same time; 0 means one for each processor, at least 2.
	Readers int
	// Volatile does not wait for the disk: what Update has answered survives the process, and not a loss of power.
	Volatile bool
	// Now is the clock that Tx.Now is read from; nil means time.Now.
	Now func() time.Time
	// Observe is told of each transaction once it has come to its end, in the caller's goroutine; nil for nobody.
	Observe func(context.Context, Transaction)
}

// DB is an open database. It is safe for concurrent use. The directory is to be
// used by one process at a time; the caller sees to that.
type DB struct {
	log *slog.Logger
	now func() time.Time

	writer  *session      // used by the writer's goroutine alone
	readers chan *session // those that are idle
	ended   chan struct{} // closed once the writer's goroutine has ended

	mu     sync.RWMutex // held for reading to put something in the queue, for writing to close it
	queue  chan *request
	closed bool

	commits atomic.Int64 // transactions that were committed

	observe func(context.Context, Transaction)
	updates load.Gauge // that have not been answered
}

// Open opens the database of c, makes it if there is none, and brings its schema up to date.
func Open(ctx context.Context, c Config) (*DB, error) {
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
	writer, err := openWriter(ctx, c.Path)
	if err != nil {
		return nil, fmt.Errorf("opening database %s: %w", c.Path, err)
	}
	if c.Volatile {
		if _, err := writer.exec("PRAGMA synchronous = off"); err != nil {
			return nil, errors.Join(fmt.Errorf("opening database %s: %w", c.Path, err), writer.close())
		}
	}
	db := &DB{
		log: c.Log, now: c.Now, writer: writer, observe: c.Observe,
		readers: make(chan *session, c.Readers), ended: make(chan struct{}), queue: make(chan *request, c.Queue),
	}
	for range c.Readers {
		reader, err := openReader(c.Path)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening database %s for reading: %w", c.Path, err), db.closeSessions(len(db.readers)))
		}
		db.readers <- reader
	}
	go db.write()
	return db, nil
}

// Close finishes the updates that wait, waits for the views that run and closes
// the database. Later calls of View and Update return ErrClosed.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	close(db.queue)
	db.mu.Unlock()
	<-db.ended
	return db.closeSessions(cap(db.readers))
}

// closeSessions closes readers as they become idle, and then the writer, which
// moves the log into the file.
func (db *DB) closeSessions(readers int) error {
	for range readers {
		_ = (<-db.readers).close() // a reader has nothing to lose
	}
	if err := db.writer.close(); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}
