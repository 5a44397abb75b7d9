package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/pgtest"
)

// serverSchema is the present schema for servers, and more steps.
func serverSchema(t *testing.T, more ...string) mapFS {
	t.Helper()
	steps := mapFS{}
	files, err := filepath.Glob("schema/postgres/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schema: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		steps[filepath.Base(file)] = string(text)
	}
	for i, text := range more {
		steps[fmt.Sprintf("%04d.sql", len(files)+i+1)] = text
	}
	return steps
}

// present is the number of the present schema for servers.
func present(t *testing.T) int64 { return int64(len(serverSchema(t))) }

// emptyDatabase makes a database without a table and returns its URL.
func emptyDatabase(t *testing.T) string {
	t.Helper()
	server := pgtest.Shared(t)
	return server.URL(server.Database(t), "")
}

// versionAt is the schema's version, by its own record.
func versionAt(t *testing.T, db *store.DB) int64 {
	t.Helper()
	return get(t, db, func(tx *store.Tx) (int64, error) { return tx.Number("SELECT max(version) FROM schema_versions") })
}

func TestOpenChangesNoSchema(t *testing.T) {
	url := emptyDatabase(t)
	if _, err := store.Open(t.Context(), store.Config{URL: url}); !errors.Is(err, store.ErrOutdated) || !strings.Contains(err.Error(), "cairn migrate") {
		t.Errorf("an empty database: %v", err)
	}
	// Several that create it at once.
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			db, err := store.Open(t.Context(), store.Config{URL: url, Create: true})
			if err != nil {
				t.Error(err)
				return
			}
			update(t, db, block(1))
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if db := openURL(t, url); versionAt(t, db) != present(t) || !blocked(t, db, 1) || !db.Shared() {
		t.Errorf("it has version %d", versionAt(t, db))
	}

	foreign := emptyDatabase(t)
	name := foreign[strings.LastIndex(foreign[:strings.Index(foreign, "?")], "/")+1 : strings.Index(foreign, "?")]
	pgtest.Shared(t).Exec(t, name, "CREATE TABLE theirs (x TEXT)")
	_, err := store.Open(t.Context(), store.Config{URL: foreign, Create: true})
	if migrated := store.Migrate(t.Context(), store.MigrateConfig{URL: foreign}); !errors.Is(err, store.ErrForeign) || !errors.Is(migrated, store.ErrForeign) {
		t.Errorf("somebody else's database: %v, %v", err, migrated)
	}
}

// TestServerVersions opens databases of other programs: those that say that this one can work with them.
func TestServerVersions(t *testing.T) {
	n := present(t)
	for name, c := range map[string]struct {
		step string
		want error
	}{
		"newer, for all":       {"-- compatible: 1\nCREATE TABLE IF NOT EXISTS future (x TEXT)", nil},
		"newer, for this one":  {fmt.Sprintf("-- compatible: %d\nCREATE TABLE IF NOT EXISTS future (x TEXT)", n), nil},
		"newer, for newer one": {fmt.Sprintf("-- compatible: %d\nCREATE TABLE IF NOT EXISTS future (x TEXT)", n+1), store.ErrNewer},
	} {
		url := emptyDatabase(t)
		if err := store.MigrateServer(t.Context(), url, serverSchema(t, c.step)); err != nil {
			t.Fatal(err)
		}
		db, err := store.Open(t.Context(), store.Config{URL: url})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if again := store.Migrate(t.Context(), store.MigrateConfig{URL: url}); !errors.Is(again, c.want) {
			t.Errorf("%s: migrating got %v, want %v", name, again, c.want)
		}
		if db != nil {
			update(t, db, block(1))
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	for name, files := range map[string]mapFS{
		"begin with '-- compatible: N'": {"0001.sql": "CREATE TABLE IF NOT EXISTS a (x TEXT)"},
		"compatible to 2, of 1":         {"0001.sql": "-- compatible: 2\n"},
		"0003.sql where 0002.sql":       {"0001.sql": "-- compatible: 1\n", "0003.sql": "-- compatible: 1\n"},
	} {
		if err := store.MigrateServer(t.Context(), emptyDatabase(t), files); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want one about %s", err, name)
		}
	}
}

// TestMigrateUnderLoad changes the schema several times, by three migrations at once, while two programs write:
// nothing fails, and every step is done once.
func TestMigrateUnderLoad(t *testing.T) {
	url := emptyDatabase(t)
	if err := store.Migrate(t.Context(), store.MigrateConfig{URL: url}); err != nil {
		t.Fatal(err)
	}
	steps := serverSchema(t,
		"-- compatible: 1\nALTER TABLE orders ADD COLUMN IF NOT EXISTS colour TEXT NOT NULL DEFAULT ''",
		"-- compatible: 1\n-- online: each statement by itself\nCREATE INDEX CONCURRENTLY IF NOT EXISTS orders_coloured ON orders (colour) WHERE colour <> ''",
		"-- compatible: 1\nCREATE TABLE IF NOT EXISTS colours (id TEXT NOT NULL PRIMARY KEY); INSERT INTO colours VALUES ('blue')")
	ctx, stop := context.WithCancel(t.Context())
	var load, group sync.WaitGroup
	var issuances atomic.Int64
	for range 2 {
		i := newIssuance(t, openURL(t, url))
		load.Go(func() {
			for ctx.Err() == nil {
				i.run()
				issuances.Add(1)
			}
		})
	}
	for range 3 {
		group.Go(func() {
			if err := store.MigrateServer(t.Context(), url, steps); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	before := issuances.Load()
	eventually(t, "issuances go on", func() bool { return issuances.Load() > before+3 })
	stop()
	load.Wait()
	db := openURL(t, url)
	colours := get(t, db, func(tx *store.Tx) (int64, error) { return tx.Number("SELECT count(*) FROM colours") })
	if v := versionAt(t, db); v != present(t)+3 || colours != 1 {
		t.Errorf("it has version %d, and the last step was done %d times", v, colours)
	}
}

// TestInterruptedMigration: a step that fails leaves the version before, and one whose statements were done without
// its number, as an engine without transactions for them leaves it, is done again.
func TestInterruptedMigration(t *testing.T) {
	url := emptyDatabase(t)
	half := "-- compatible: 1\nCREATE TABLE IF NOT EXISTS half (x TEXT); INSERT INTO missing VALUES (1)"
	if err := store.MigrateServer(t.Context(), url, serverSchema(t, half)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("to version %d", present(t)+1)) {
		t.Fatalf("got %v", err)
	}
	db := openURL(t, url)
	if tables(t, db)["half"] != nil || versionAt(t, db) != present(t) {
		t.Errorf("it left version %d, half done: %t", versionAt(t, db), tables(t, db)["half"] != nil)
	}
	update(t, db, block(1))
	update(t, db, func(tx *store.Tx) error { _, err := tx.Exec("DELETE FROM schema_versions"); return err })
	if err := store.Migrate(t.Context(), store.MigrateConfig{URL: url}); err != nil {
		t.Errorf("taking up what was done without its number: %v", err)
	}
	if versionAt(t, db) != present(t) || !blocked(t, db, 1) {
		t.Errorf("it has version %d", versionAt(t, db))
	}
}
