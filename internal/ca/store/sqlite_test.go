package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/store"
)

// TestDeadTransaction: what ends the whole transaction is answered to the one who
// did it. The others run again and lose nothing.
func TestDeadTransaction(t *testing.T) {
	full := func(tx *store.Tx) error {
		pages, err := tx.Number("PRAGMA page_count")
		if err != nil {
			return err
		}
		// There is no room for this, but for a few small rows.
		if _, err := tx.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages+20)); err != nil {
			return err
		}
		_, err = tx.Exec("INSERT INTO blocked_keys (spki, blocked) VALUES ($1, 0)", make([]byte, 1<<20))
		return err
	}
	for name, bad := range map[string]func(*store.Tx) error{
		"full disk": full,
		"full disk, and the function goes on": func(tx *store.Tx) error {
			if full(tx) == nil {
				return errors.New("the disk is not full")
			}
			if block(9)(tx) == nil {
				t.Error("a dead transaction takes statements")
			}
			return nil
		},
		"rolled back": func(tx *store.Tx) error {
			_, err := tx.Exec("ROLLBACK")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, open, func(t *testing.T, db *store.DB) {
				errs, commits := gathered(t, db, block(1), bad, block(2), block(3))
				if errs[0] != nil || errs[1] == nil || errs[2] != nil || errs[3] != nil {
					t.Errorf("errors %v", errs)
				}
				if commits < 2 {
					t.Errorf("they were committed in %d transactions", commits)
				}
				for n, want := range map[byte]bool{1: true, 2: true, 3: true, 9: false} {
					if blocked(t, db, n) != want {
						t.Errorf("update %d lasts: %t", n, !want)
					}
				}
			})
		})
	}
}

func TestFilesAreTheOwners(t *testing.T) {
	path := databaseIn(t)
	db := openAt(t, path)
	update(t, db, block(1))
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v (%v)", entry.Name(), info.Mode(), err)
		}
	}
	if want := []string{"ca.db", "ca.db-shm", "ca.db-wal"}; !slices.Equal(names, want) {
		t.Errorf("the files are %v, want %v", names, want)
	}
}

func TestPathsWithOddNames(t *testing.T) {
	for _, name := range []string{"a b", "50%.db", "what?mode=memory", "a#b", "ü"} {
		path := filepath.Join(t.TempDir(), name)
		db := openAt(t, path)
		update(t, db, block(1))
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestSettings(t *testing.T) {
	db := open(t)
	update(t, db, func(tx *store.Tx) error {
		for pragma, want := range map[string]int64{
			"synchronous": 2, "foreign_keys": 0, "trusted_schema": 0, "busy_timeout": 5000, "user_version": int64(store.SchemaVersions(t)), "application_id": 0x4361726e,
		} {
			if got, err := tx.Number("PRAGMA " + pragma); err != nil || got != want {
				t.Errorf("%s is %d, want %d (%v)", pragma, got, want, err)
			}
		}
		return nil
	})
}

func TestNotADatabase(t *testing.T) {
	foreign := databaseIn(t)
	if err := store.MigrateFile(t.Context(), foreign, mapFS{"0001.sql": "CREATE TABLE theirs (x INTEGER)"}); err != nil {
		t.Fatal(err)
	}
	forget(t, foreign)
	text := databaseIn(t)
	if err := os.WriteFile(text, bytes.Repeat([]byte("dear diary "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		foreign: store.ErrForeign,
		text:    nil, // SQLite's own words
		filepath.Join(t.TempDir(), "missing", "ca.db"): fs.ErrNotExist,
		t.TempDir(): nil,
	} {
		before, _ := os.ReadFile(path)
		db, err := store.Open(t.Context(), store.Config{Path: path})
		if err == nil {
			t.Errorf("%s was opened: %v", path, db.Close())
		}
		if want != nil && !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s was changed", path)
		}
	}
}

// forget makes the file at path one that no program has marked as its own.
func forget(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// In the file's header: no write-ahead log, and neither user version nor application ID.
	for at, octets := range map[int64][]byte{18: {1, 1}, 60: make([]byte, 4), 68: make([]byte, 4)} {
		if _, err := file.WriteAt(octets, at); err != nil {
			t.Fatal(err)
		}
	}
}
