package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// applicationID marks a SQLite file as Cairn's: "Carn".
const applicationID = 0x4361726e

// schemas has a directory for each engine.
//
//go:embed schema
var schemas embed.FS

// migrate brings the schema of s up to that of steps: numbered files of SQL, each
// applied in one transaction with the version it leads to. A crash leaves the
// version before or after.
func migrate(ctx context.Context, s *session, steps fs.FS) error {
	names, err := fs.Glob(steps, "*.sql")
	if err != nil {
		return err
	}
	version, err := ownVersion(s)
	if err != nil {
		return err
	}
	if version > int64(len(names)) {
		return fmt.Errorf("%w: it has schema %d, this program knows %d: use a newer program", ErrNewer, version, len(names))
	}
	for i, name := range names {
		number := int64(i + 1)
		if want := fmt.Sprintf("%04d.sql", number); path.Base(name) != want {
			return fmt.Errorf("the schema has the file %s where %s should be", name, want)
		}
		if number <= version {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		script, err := fs.ReadFile(steps, name)
		if err != nil {
			return err
		}
		if err := apply(s, number, string(script)); err != nil {
			return fmt.Errorf("changing the schema to version %d: %w", number, err)
		}
	}
	return nil
}

// ownVersion is the version of the schema, 0 for an empty file. It refuses a file of another program's.
func ownVersion(s *session) (int64, error) {
	version, err := s.number("PRAGMA user_version")
	if err != nil {
		return 0, err
	}
	id, err := s.number("PRAGMA application_id")
	if err != nil {
		return 0, err
	}
	tables, err := s.number("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return 0, err
	}
	if id != applicationID && (id != 0 || version != 0 || tables != 0) {
		return 0, ErrForeign
	}
	return version, nil
}

// apply runs one step.
func apply(s *session, version int64, script string) error {
	if _, err := s.exec("BEGIN EXCLUSIVE"); err != nil {
		return err
	}
	for _, sql := range []string{
		script,
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		fmt.Sprintf("PRAGMA user_version = %d", version),
		"COMMIT",
	} {
		if _, err := s.exec(sql); err != nil {
			_, rollback := s.exec("ROLLBACK")
			return errors.Join(err, rollback)
		}
	}
	return nil
}
