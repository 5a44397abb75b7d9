package store

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

func (db *DB) file() *sqliteDB   { return db.engine.(*sqliteDB) }
func (db *DB) server() *serverDB { return db.engine.(*serverDB) }

// Commits is how many transactions have been committed.
func (db *DB) Commits() int64 {
	if db.Shared() {
		return db.server().commits.Load()
	}
	return db.file().commits.Load()
}

// Waiting is how many updates are in the queue of a file's writer.
func (db *DB) Waiting() int { return len(db.file().queue) }

// SetClock has a database on a server take its transactions' times from now.
func (db *DB) SetClock(now func() time.Time) { db.server().clock.fixed.Store(&now) }

// FailCommits has fail decide before each commit of an update on a server whether the engine
// refuses it, with the code of an SQL state, or "".
func (db *DB) FailCommits(fail func() (code string)) {
	db.server().beforeCommit = func() error {
		if code := fail(); code != "" {
			return &pgconn.PgError{Severity: "ERROR", Code: code, Message: "a test's failure"}
		}
		return nil
	}
}

// FileSize is the size of the used part of the database's file, in octets. No update may run.
func (db *DB) FileSize(t testing.TB) int64 {
	t.Helper()
	number := func(query string) int64 {
		n, err := db.file().writer.number(query)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return (number("PRAGMA page_count") - number("PRAGMA freelist_count")) * number("PRAGMA page_size")
}

// Exec runs any statement.
func (tx *Tx) Exec(query string, args ...any) (int64, error) { return tx.exec(query, args...) }

// Text runs a query and joins the last column of its rows.
func (tx *Tx) Text(query string) (text string, err error) {
	err = tx.each(func(r *row) error {
		r.next = max(len(r.values), len(r.raw)) - 1
		text += r.text() + "\n"
		return nil
	}, query)
	return text, err
}

// Text1 runs a query whose answer is one text.
func (tx *Tx) Text1(query string, args ...any) (text string, err error) {
	err = tx.first(func(r *row) error { text = r.text(); return nil }, query, args...)
	return text, err
}

// Number runs a query whose answer is one number.
func (tx *Tx) Number(query string) (n int64, err error) {
	err = tx.first(func(r *row) error { n = r.number(); return nil }, query)
	return n, err
}

// Statements are those that tx's connection has run so far.
func (tx *Tx) Statements() []string {
	switch s := tx.s.(type) {
	case *session:
		return slices.Sorted(maps.Keys(s.statements))
	case *serverSession:
		return slices.Sorted(maps.Keys(s.statements))
	default:
		panic("an engine that the tests do not know")
	}
}

// MigrateFile brings the schema of the database at path up to that of steps.
func MigrateFile(ctx context.Context, path string, steps fs.FS) (err error) {
	s, err := openSQLite(path, "rwc")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if _, err := s.text("PRAGMA journal_mode = wal"); err != nil {
		return err
	}
	return migrate(ctx, s, steps)
}

// Interrupt does the steps of a migration but for the commit, then calls crash,
// with all that is to be written in the log.
func Interrupt(path, script string, crash func()) (err error) {
	s, err := openSQLite(path, "rw")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, sql := range []string{"PRAGMA cache_spill = 1", "PRAGMA cache_size = 1", "BEGIN EXCLUSIVE", script, "PRAGMA user_version = 2"} {
		if _, err := s.exec(sql); err != nil {
			return err
		}
	}
	crash()
	_, err = s.exec("ROLLBACK")
	return err
}

// SchemaVersions is how many steps the schema has.
func SchemaVersions(t testing.TB) int {
	t.Helper()
	names, err := fs.Glob(schemas, "schema/sqlite/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// SQLState is the code of an error of a server's, or "".
func SQLState(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// GrantsTable is the table of grants.go.
const GrantsTable = grants

// MigrateServer brings the schema of the database at url up to that of steps.
func MigrateServer(ctx context.Context, url string, files fs.FS) error {
	steps, err := readSteps(files)
	if err != nil {
		return err
	}
	return migrateServer(ctx, MigrateConfig{URL: url}, steps)
}
