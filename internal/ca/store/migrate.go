package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"slices"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks a file as Cairn's ("Cair" in ASCII), so that no other program's is taken for it.
const applicationID = 0x43616972

// migrate brings the schema up to date, one numbered file and one transaction at a
// time. A crash leaves the schema of the last file that was done.
func migrate(ctx context.Context, conn *sql.Conn) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	slices.Sort(files)
	var version, application int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("reading the schema's version: %w", err)
	}
	if err := conn.QueryRowContext(ctx, "PRAGMA application_id").Scan(&application); err != nil {
		return fmt.Errorf("reading the file's kind: %w", err)
	}
	if application != applicationID && (application != 0 || version != 0) {
		return fmt.Errorf("it is another program's database (application %#x)", application)
	}
	if version > len(files) {
		return fmt.Errorf("its schema is version %d, this program knows %d: %w: use the newer program", version, len(files), ErrNewer)
	}
	for i := version; i < len(files); i++ {
		if err := apply(ctx, conn, files[i], i+1); err != nil {
			return fmt.Errorf("changing the schema to version %d: %w", i+1, err)
		}
	}
	return nil
}

// apply runs one file and notes its version, in one transaction.
func apply(ctx context.Context, conn *sql.Conn, file string, version int) error {
	text, err := migrations.ReadFile(file)
	if err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	for _, statement := range []string{
		string(text),
		fmt.Sprintf("PRAGMA user_version = %d", version),
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}
