package store

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"testing"
)

// Waiting is how many updates are in the queue.
func (db *DB) Waiting() int { return len(db.queue) }

// FileSize is the size of the used part of the database's file, in octets. No update may run.
func (db *DB) FileSize(t testing.TB) int64 {
	t.Helper()
	number := func(query string) int64 {
		n, err := db.writer.number(query)
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
		r.next = len(r.values) - 1
		text += r.text() + "\n"
		return nil
	}, query)
	return text, err
}

// Number runs a query whose answer is one number.
func (tx *Tx) Number(query string) (n int64, err error) {
	err = tx.first(func(r *row) error { n = r.number(); return nil }, query)
	return n, err
}

// Statements are those that tx's connection has run so far.
func (tx *Tx) Statements() []string { return slices.Sorted(maps.Keys(tx.s.statements)) }

// Migrate brings the schema of the database at path up to that of steps.
func Migrate(ctx context.Context, path string, steps fs.FS) (err error) {
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
