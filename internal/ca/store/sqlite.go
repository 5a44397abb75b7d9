package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
)

// The codes of SQLite that are told apart; the lower octet of an extended code is its kind.
const (
	kindMask       = 0xff
	kindConstraint = 19 // SQLITE_CONSTRAINT: the statement did nothing and the transaction lives
)

// The cache of the writer holds the upper pages of every index of a big database,
// those of the readers what one view needs. In KiB.
const (
	writerCache = 16 << 10
	readerCache = 2 << 10
)

// sqliteDB is a SQLite file. One goroutine writes to it, see writer.go.
type sqliteDB struct {
	log *slog.Logger
	now func() time.Time

	writer  *session      // used by the writer's goroutine alone
	readers chan *session // those that are idle
	ended   chan struct{} // closed once the writer's goroutine has ended

	mu     sync.RWMutex // held for reading to put something in the queue, for writing to close it
	queue  chan *request
	closed bool

	keys keyMemo

	commits atomic.Int64 // transactions that were committed
}

// openFile opens the SQLite file of c, and makes it if there is none.
func openFile(ctx context.Context, c Config) (*sqliteDB, error) {
	writer, err := openWriter(ctx, c.Path)
	if err != nil {
		return nil, fmt.Errorf("opening database %s: %w", c.Path, err)
	}
	if c.Volatile {
		if _, err := writer.exec("PRAGMA synchronous = off"); err != nil {
			return nil, errors.Join(fmt.Errorf("opening database %s: %w", c.Path, err), writer.close())
		}
	}
	db := &sqliteDB{
		log: c.Log, now: c.Now, writer: writer,
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

func (db *sqliteDB) committed() int64 { return db.commits.Load() }

func (db *sqliteDB) close() error {
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
func (db *sqliteDB) closeSessions(readers int) error {
	for range readers {
		_ = (<-db.readers).close() // a reader has nothing to lose
	}
	if err := db.writer.close(); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}

// begin makes the Tx of a transaction that s has begun.
func (db *sqliteDB) begin(s *session) *Tx {
	return &Tx{Now: db.now().UTC().Truncate(time.Millisecond), s: s, keys: &db.keys}
}

// look is a view: there is no way to a server to be spared.
func (db *sqliteDB) look(ctx context.Context, fn func(*Tx) error) error { return db.view(ctx, fn) }

// view is View, on one of the connections that only read.
func (db *sqliteDB) view(ctx context.Context, fn func(*Tx) error) error {
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

// openWriter opens the connection that writes, with the schema of today.
func openWriter(ctx context.Context, path string) (*session, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	// A commit that syncs the data and the file's size, but not its timestamps, is as
	// durable. Where there is no such call the setting stays as it is.
	_, _ = sqlite.Fdatasync(true)
	s, err := openSQLite(path, "rw")
	if err != nil {
		return nil, err
	}
	if err := prepareWriter(ctx, s); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func prepareWriter(ctx context.Context, s *session) error {
	if _, err := ownVersion(s); err != nil {
		return err // before anything is written to it
	}
	// Only a write-ahead log lets views run beside the writer.
	if mode, err := s.text("PRAGMA journal_mode = wal"); err != nil || mode != "wal" {
		return fmt.Errorf("the file system does not take a write-ahead log (%q): %w", mode, err)
	}
	for _, pragma := range []string{
		"PRAGMA synchronous = full", // what is committed survives a loss of power
		"PRAGMA wal_autocheckpoint = 4000",
		"PRAGMA journal_size_limit = 67108864",
		fmt.Sprintf("PRAGMA cache_size = -%d", writerCache),
	} {
		if _, err := s.exec(pragma); err != nil {
			return fmt.Errorf("%s: %w", pragma, err)
		}
	}
	steps, err := fs.Sub(schemas, "schema/sqlite")
	if err != nil {
		return err
	}
	return migrate(ctx, s, steps)
}

// openReader opens a connection that cannot write.
func openReader(path string) (*session, error) {
	s, err := openSQLite(path, "ro")
	if err != nil {
		return nil, err
	}
	for _, pragma := range []string{"PRAGMA query_only = on", fmt.Sprintf("PRAGMA cache_size = -%d", readerCache)} {
		if _, err := s.exec(pragma); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", pragma, err), s.close())
		}
	}
	return s, nil
}

// create makes an empty file that only its owner can read; SQLite gives the log and the
// index beside it the same mode. An existing file is left as it is.
func create(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// openSQLite opens a connection in a mode of SQLite's URIs, ro or rw.
func openSQLite(path, mode string) (*session, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	name := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: "mode=" + mode + "&_busy_timeout=5000&_dqs=0&_defensive=1"}
	conn, err := new(sqlite.Driver).Open(name.String())
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, statements: make(map[string]statement)}
	// The schema is a file's content: it may not call functions with effects.
	for _, pragma := range []string{"PRAGMA trusted_schema = off", "PRAGMA foreign_keys = off", "PRAGMA temp_store = memory"} {
		if _, err := s.exec(pragma); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", pragma, err), s.close())
		}
	}
	return s, nil
}

// session is one connection with its prepared statements. It is not safe for concurrent use.
type session struct {
	conn       driver.Conn
	statements map[string]statement
	args       []driver.NamedValue // for reuse
}

// statement is what the driver's statements can do.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// prepare finds or makes the statement of a query; to parse one costs more than to run it.
func (s *session) prepare(query string) (statement, error) {
	if st, ok := s.statements[query]; ok {
		return st, nil
	}
	prepared, err := s.conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	st, ok := prepared.(statement)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver has statements of type %T", prepared), prepared.Close())
	}
	s.statements[query] = st
	return st, nil
}

// bind numbers args, which are int64, string or []byte, from $1 on.
func (s *session) bind(args []any) []driver.NamedValue {
	s.args = s.args[:0]
	for i, value := range args {
		if blob, ok := value.([]byte); ok && blob == nil {
			value = []byte{} // there is no NULL in the schema
		}
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	return s.args
}

// exec runs a statement and returns how many rows it changed. No context reaches the
// driver: to interrupt one member would roll back all that share its transaction.
func (s *session) exec(query string, args ...any) (int64, error) {
	st, err := s.prepare(query)
	if err != nil {
		return 0, err
	}
	result, err := st.ExecContext(context.Background(), s.bind(args))
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// execAll runs statements one after the other. Where one fails, those before it are counted.
func (s *session) execAll(list []write) (changed []int64, err error) {
	for _, w := range list {
		n, err := s.exec(w.query, w.args...)
		if err != nil {
			return changed, err
		}
		changed = append(changed, n)
	}
	return changed, nil
}

// query runs a statement and calls each for every row, in order. each runs no other statement.
func (s *session) query(query string, args []any, each func(*row) error) (err error) {
	st, err := s.prepare(query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(context.Background(), s.bind(args))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	r := row{values: make([]driver.Value, len(rows.Columns()))}
	for {
		if err := rows.Next(r.values); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		r.next = 0
		if err := each(&r); err != nil {
			return err
		}
		if r.err != nil {
			return r.err
		}
	}
}

// text runs a query whose answer is one text.
func (s *session) text(query string) (answer string, err error) {
	err = s.query(query, nil, func(r *row) error { answer = r.text(); return nil })
	return answer, err
}

// number runs a query whose answer is one number.
func (s *session) number(query string) (answer int64, err error) {
	err = s.query(query, nil, func(r *row) error { answer = r.number(); return nil })
	return answer, err
}

func (s *session) close() error {
	var failed error
	for _, st := range s.statements {
		failed = errors.Join(failed, st.Close())
	}
	return errors.Join(failed, s.conn.Close())
}

// survives reports whether the transaction goes on after err: after that of a constraint it does,
// since nothing but that statement failed.
func (s *session) survives(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&kindMask == kindConstraint
}
