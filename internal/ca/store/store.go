// Package store is the memory: accounts, orders, authorizations, certificates and
// CRLs in one SQL database, which is SQLite here. A record is saved as the
// rules made it, column for field; the store decides nothing.
//
// Update is durable: it returns after the data is on the disk. Many updates
// share one commit (see writer.go). View reads a snapshot and waits for nobody.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("already taken")             // a key that must be unique is another's
	ErrConflict = errors.New("changed by somebody else")  // a compare-and-swap lost
	ErrBusy     = errors.New("too many updates waiting")  // try again soon
	ErrNewer    = errors.New("made by a newer program")   // the database's schema
	errClosed   = errors.New("the store has been closed") // by Close
)

// Config says where the database is. Path is required.
type Config struct {
	Path string           // of the SQLite file; made if it does not exist
	Log  *slog.Logger     // nil logs nothing
	Now  func() time.Time // nil is time.Now
}

// readers is how many snapshots can be read at a time. Reads are short; more
// would only contend for the processor.
const readers = 8

// DB is a database. It is safe for concurrent use.
type DB struct {
	now     func() time.Time
	sql     *sql.DB
	pool    chan *session // idle readers
	updates chan *update
	ended   chan struct{} // closed when the writer has ended
	closing chan struct{} // closed by Close
}

// Open opens the database, makes it if it does not exist, and brings its schema up to date.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	// The file has its mode from the beginning; SQLite gives the journal's files the same.
	file, err := os.OpenFile(c.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	pool, err := sql.Open("sqlite", dsn(c.Path))
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	pool.SetMaxOpenConns(readers + 1)
	pool.SetMaxIdleConns(readers + 1)
	db := &DB{
		now: c.Now, sql: pool, pool: make(chan *session, readers),
		updates: make(chan *update, maxQueue), ended: make(chan struct{}), closing: make(chan struct{}),
	}
	if err := db.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the database %s: %w", c.Path, err), pool.Close())
	}
	return db, nil
}

// dsn opens a file with every setting that durability and speed need.
func dsn(path string) string {
	pragmas := url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)",
		"trusted_schema(OFF)", "cache_size(-16000)", "temp_store(MEMORY)",
	}}
	return (&url.URL{Scheme: "file", Opaque: path, RawQuery: pragmas.Encode()}).String()
}

// start migrates and opens the sessions.
func (db *DB) start(ctx context.Context) error {
	writer, err := db.session(ctx)
	if err != nil {
		return err
	}
	if err := migrate(ctx, writer.conn); err != nil {
		return err
	}
	for range readers {
		reader, err := db.session(ctx)
		if err != nil {
			return err
		}
		db.pool <- reader
	}
	go db.write(writer)
	return nil
}

func (db *DB) session(ctx context.Context) (*session, error) {
	conn, err := db.sql.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, prepared: make(map[string]*sql.Stmt)}, nil
}

// Close waits for updates under way and closes the database. Later calls fail.
func (db *DB) Close() error {
	select {
	case <-db.closing:
		return nil
	default:
	}
	close(db.closing)
	<-db.ended
	return db.sql.Close()
}

// View runs read on a snapshot of the database.
func (db *DB) View(ctx context.Context, read func(*Tx) error) error {
	var s *session
	select {
	case s = <-db.pool:
	case <-ctx.Done():
		return ctx.Err()
	case <-db.closing:
		return errClosed
	}
	defer func() { db.pool <- s }()
	if err := s.run("BEGIN"); err != nil {
		return err
	}
	err := read(&Tx{Now: db.clock(), session: s})
	return errors.Join(err, s.run("ROLLBACK"))
}

// clock is the time of a transaction, as exact as the database keeps it.
func (db *DB) clock() time.Time { return db.now().UTC().Truncate(time.Millisecond) }

// session is one connection with its prepared statements. One goroutine uses it at a time.
type session struct {
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
}

// prepare parses a query once for the session's life. Statements never carry a
// request's context: a cancelled one would undo what others did in the same transaction.
func (s *session) prepare(query string) (*sql.Stmt, error) {
	if stmt, ok := s.prepared[query]; ok {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("preparing %q: %w", query, err)
	}
	s.prepared[query] = stmt
	return stmt, nil
}

func (s *session) run(query string) error {
	stmt, err := s.prepare(query)
	if err != nil {
		return err
	}
	_, err = stmt.Exec()
	return err
}

// Tx is a transaction. It is valid until the function that got it returns.
type Tx struct {
	Now     time.Time // the one time of the whole transaction
	session *session
}

// exec runs a statement that changes rows, and returns how many.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	stmt, err := tx.session.prepare(query)
	if err != nil {
		return 0, err
	}
	result, err := stmt.Exec(args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// insert runs a statement that adds a row; ErrExists if its key is taken.
func (tx *Tx) insert(query string, args ...any) error {
	_, err := tx.exec(query, args...)
	if isConstraint(err) {
		return ErrExists
	}
	return err
}

// swap runs a statement that changes one row if it is still as expected; ErrConflict if it is not.
func (tx *Tx) swap(query string, args ...any) error {
	n, err := tx.exec(query, args...)
	if err == nil && n != 1 {
		return ErrConflict
	}
	return err
}

// row finds one row; ErrNotFound if there is none.
func (tx *Tx) row(scan func(scanner) error, query string, args ...any) error {
	stmt, err := tx.session.prepare(query)
	if err != nil {
		return err
	}
	if err := scan(stmt.QueryRow(args...)); errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	} else {
		return err
	}
}

// rows calls scan for each row found.
func (tx *Tx) rows(scan func(scanner) error, query string, args ...any) error {
	stmt, err := tx.session.prepare(query)
	if err != nil {
		return err
	}
	rows, err := stmt.Query(args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// scanner is a row that can be read.
type scanner interface{ Scan(...any) error }

// millis is how the database keeps a time; 0 is the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
