package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

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

// isConstraint reports whether err is of a constraint: nothing but that statement failed.
func isConstraint(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&kindMask == kindConstraint
}
