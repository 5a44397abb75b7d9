package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// oldestSchema is the oldest schema on a server that this program can work with. A program that
// needs what a step brings raises it one release after the step: so that there
// is always an order in which schema and programs can be replaced one by one.
const oldestSchema = 1

// MigrateConfig is what Migrate needs.
type MigrateConfig struct {
	URL string       // of the PostgreSQL database, as a user who may change its schema
	Log *slog.Logger // nil means none

	// Roles are the database's users by the roles that they are for: "front", "work", "signer", "crl",
	// "ops". They get the privileges of Grants, and lose all others on the tables.
	Roles map[string]string
}

// step is one file of a schema.
type step struct {
	number     int64
	compatible int64 // the oldest program, by the number of its newest step, that can work with it
	together   bool  // in one transaction, with its number
	statements []string
}

// The first lines of a step say what can work with it, and whether its statements (CREATE INDEX CONCURRENTLY) refuse
// to be part of a transaction.
var (
	compatibleLine = regexp.MustCompile(`^-- compatible: (\d+)\n`)
	onlineLine     = regexp.MustCompile(`(?m)^-- online: each statement by itself\n`)
	commentLine    = regexp.MustCompile(`(?m)--.*$`)
)

// readSteps reads the numbered files of a schema for a server.
func readSteps(files fs.FS) (steps []step, err error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		script, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		if want := fmt.Sprintf("%04d.sql", i+1); name != want {
			return nil, fmt.Errorf("the schema has the file %s where %s should be", name, want)
		}
		compatible := compatibleLine.FindSubmatch(script)
		if compatible == nil {
			return nil, fmt.Errorf("the schema's file %s does not begin with '-- compatible: N'", name)
		}
		s := step{number: int64(i + 1), together: !onlineLine.Match(script)}
		if s.compatible, err = strconv.ParseInt(string(compatible[1]), 10, 64); err != nil || s.compatible < 1 || s.compatible > s.number {
			return nil, fmt.Errorf("the schema's file %s is compatible to %s, of %d", name, compatible[1], s.number)
		}
		for statement := range strings.SplitSeq(commentLine.ReplaceAllString(string(script), ""), ";") {
			if statement = strings.TrimSpace(statement); statement != "" {
				s.statements = append(s.statements, statement)
			}
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// ownSteps are those of this program.
func ownSteps() ([]step, error) {
	files, err := fs.Sub(schemas, "schema/postgres")
	if err != nil {
		return nil, err
	}
	return readSteps(files)
}

// Migrate brings the schema of a PostgreSQL database up to that of this program, while others work
// with it. Several can do that at once. What was interrupted is taken up by the next one.
func Migrate(ctx context.Context, c MigrateConfig) error {
	steps, err := ownSteps()
	if err != nil {
		return err
	}
	return migrateServer(ctx, c, steps)
}

func migrateServer(ctx context.Context, c MigrateConfig, steps []step) (err error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	config, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	connecting(config)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("migrating: %w: %w", ErrUnavailable, err)
	}
	defer func() { err = errors.Join(err, closeServer(conn)) }()
	m := migrator{conn.PgConn(), c.Log}
	if err := m.run(ctx, steps); err != nil {
		return fmt.Errorf("migrating database %s: %w", serverName(config), err)
	}
	if err := m.grant(ctx, c.Roles); err != nil {
		return fmt.Errorf("granting privileges in database %s: %w", serverName(config), err)
	}
	return nil
}

func closeServer(conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return conn.Close(ctx)
}

// migrator changes the schema over one connection.
type migrator struct {
	conn *pgconn.PgConn
	log  *slog.Logger
}

// migrationSettings: what waits for a lock holds up all that come after it, so it soon lets
// them pass and tries again. A statement itself takes as long as it takes.
const migrationSettings = `SET client_encoding = 'UTF8'; SET statement_timeout = 0; SET lock_timeout = '1s'`

const createVersions = `CREATE TABLE IF NOT EXISTS schema_versions (
	version    BIGINT NOT NULL PRIMARY KEY,
	compatible BIGINT NOT NULL,
	applied    BIGINT NOT NULL
)`

func (m migrator) run(ctx context.Context, steps []step) error {
	if err := m.exec(ctx, migrationSettings); err != nil {
		return err
	}
	at, err := m.version(ctx)
	if err != nil {
		return err
	}
	if err := at.check(int64(len(steps)), 0); err != nil {
		return err
	}
	err = m.patiently(ctx, func() error { return m.exec(ctx, createVersions) })
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42501" { // insufficient_privilege
		return fmt.Errorf("its user may not make tables there: run 'cairn migrate' as one who may, its owner say: %w", err)
	}
	if err != nil {
		return fmt.Errorf("making the table of versions: %w", err)
	}
	for _, s := range steps {
		if s.number <= at.version {
			continue
		}
		if err := m.patiently(ctx, func() error { return m.apply(ctx, s) }); err != nil {
			return fmt.Errorf("changing the schema to version %d: %w", s.number, err)
		}
		m.log.Info("schema changed", "version", s.number)
	}
	return nil
}

// maxMigrationTries bounds how often a step is tried that cannot get its locks, or
// that another migration is in the way of.
const maxMigrationTries = 60

// patiently tries do again while others are in its way.
func (m migrator) patiently(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		var refused *pgconn.PgError
		// Besides the conflicts of transactions: two who make the same table at the same time can
		// meet in the catalogue (unique_violation, duplicate_table, duplicate_object, "tuple concurrently updated").
		if err == nil || try == maxMigrationTries || !errors.As(err, &refused) ||
			!slices.Contains([]string{"55P03", "40001", "40P01", "23505", "42P07", "42710", "XX000"}, refused.Code) {
			return err
		}
		m.log.Info("schema change waits for others", "error", err)
		pause(ctx, try+10)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// apply does one step. The row with its number comes first: of two at once, the second waits for the first
// there, and then has nothing to do. Where an engine has no transactions of such
// statements, a crash leaves some of them done; they are done again, which changes nothing.
func (m migrator) apply(ctx context.Context, s step) (err error) {
	if !s.together {
		for _, statement := range s.statements {
			if err := m.exec(ctx, statement); err != nil {
				return fmt.Errorf("%.60s: %w", statement, err)
			}
		}
		_, err := m.note(ctx, s)
		return err
	}
	if err := m.exec(ctx, "BEGIN"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.exec(context.WithoutCancel(ctx), "ROLLBACK"))
		}
	}()
	mine, err := m.note(ctx, s)
	if err != nil {
		return err
	}
	for _, statement := range s.statements {
		if !mine {
			break // somebody else has done it meanwhile
		}
		if err := m.exec(ctx, statement); err != nil {
			return fmt.Errorf("%.60s: %w", statement, err)
		}
	}
	return m.exec(ctx, "COMMIT")
}

// note records that the step is done; it reports whether it was not recorded yet.
func (m migrator) note(ctx context.Context, s step) (mine bool, err error) {
	results, err := m.conn.Exec(ctx, fmt.Sprintf(
		`INSERT INTO schema_versions (version, compatible, applied) VALUES (%d, %d, %d) ON CONFLICT DO NOTHING`,
		s.number, s.compatible, time.Now().UnixMilli())).ReadAll()
	if err != nil {
		return false, fmt.Errorf("recording the version: %w", err)
	}
	return results[0].CommandTag.RowsAffected() == 1, nil
}

// exec runs statements of ours.
func (m migrator) exec(ctx context.Context, sql string) error { return m.conn.Exec(ctx, sql).Close() }

// schemaVersion is how far the schema of a database is.
type schemaVersion struct {
	version    int64 // the last step; 0 if there is none
	compatible int64 // the oldest program that can work with it
}

// check refuses a schema that a program with newest as its last step cannot work with, where
// it needs at least the step oldest.
func (v schemaVersion) check(newest, oldest int64) error {
	switch {
	case v.compatible > newest:
		return fmt.Errorf("%w: it has schema %d, for programs that know %d, and this one knows %d: use a newer program",
			ErrNewer, v.version, v.compatible, newest)
	case v.version < oldest:
		return fmt.Errorf("%w: it has schema %d, this program needs %d", ErrOutdated, v.version, oldest)
	}
	return nil
}

// version looks how far the schema is.
func (m migrator) version(ctx context.Context) (v schemaVersion, err error) {
	tables, err := m.numbers(ctx, `SELECT count(*), count(CASE WHEN table_name = 'schema_versions' THEN 1 END)
		FROM information_schema.tables WHERE table_schema = current_schema()`)
	if err != nil {
		return v, fmt.Errorf("looking for tables: %w", err)
	}
	switch {
	case tables[0] == 0:
		return v, nil // an empty database
	case tables[1] == 0:
		return v, ErrForeign
	}
	versions, err := m.numbers(ctx, `SELECT coalesce(max(version), 0), coalesce(max(compatible), 0) FROM schema_versions`)
	if err != nil {
		return v, fmt.Errorf("reading the schema's version: %w", err)
	}
	return schemaVersion{version: versions[0], compatible: versions[1]}, nil
}

// numbers runs a query whose answer is one row of numbers.
func (m migrator) numbers(ctx context.Context, sql string) (list []int64, err error) {
	results, err := m.conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return nil, errors.New("the answer is not one row")
	}
	for _, text := range results[0].Rows[0] {
		number, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return nil, err
		}
		list = append(list, number)
	}
	return list, nil
}

// checkSchema refuses a database that this program cannot work with. If it is to create the
// schema, and there is nothing at all, it does.
func checkSchema(ctx context.Context, config *pgx.ConnConfig, create bool) (err error) {
	steps, err := ownSteps()
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer func() { err = errors.Join(err, closeServer(conn)) }()
	m := migrator{conn.PgConn(), slog.New(slog.DiscardHandler)}
	at, err := m.version(ctx)
	if err != nil {
		return err
	}
	// Another process may be about to create it, too, or have been interrupted at it.
	if create && at.version == 0 {
		return m.run(ctx, steps)
	}
	return at.check(int64(len(steps)), oldestSchema)
}
