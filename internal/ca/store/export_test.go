package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

func (db *DB) file() *sqliteDB   { return db.engine.(*sqliteDB) }
func (db *DB) server() *serverDB { return db.engine.(*serverDB) }

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

// FillAccount stores an account as the one that a thumbprint belongs to, whatever its key is.
func (tx *Tx) FillAccount(a rules.Account, thumbprint string) error {
	_, err := tx.exec(`INSERT INTO account_keys (thumbprint, account) VALUES ($1, $2)`, thumbprint, a.ID)
	if err == nil {
		_, err = tx.exec(`INSERT INTO accounts (id, key, status, contact, terms, created) VALUES ($1, $2, $3, '', '', 0)`,
			a.ID, compact(a.Key), string(a.Status))
	}
	return err
}

// Sizes lists how many octets each table and index takes, the largest first. No update may run.
func (db *DB) Sizes(t testing.TB) (list string) {
	t.Helper()
	err := db.file().writer.query("SELECT name, sum(pgsize), sum(unused) FROM dbstat GROUP BY name ORDER BY 2 DESC", nil, func(r *row) error {
		list += fmt.Sprintf("%s %d (unused %d)\n", r.text(), r.number(), r.number())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
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

// ForgetKey deletes a key that an account had, as happens to the oldest of a thousand.
func (tx *Tx) ForgetKey(account, thumbprint string) error {
	return tx.forgetKey(pastKey{account: account, thumbprint: thumbprint})
}
