package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
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

// everything runs every statement that the package has, on both kinds of connection, and returns them.
func everything(t *testing.T, db *store.DB) (statements []string) {
	t.Helper()
	i := newIssuance(t, db)
	c := i.run()
	revoke(t, db, c, start)
	for _, run := range []func(context func(*store.Tx) error){
		func(fn func(*store.Tx) error) { update(t, db, fn) },
		func(fn func(*store.Tx) error) { _ = db.View(t.Context(), fn) },
	} {
		run(func(tx *store.Tx) error {
			a, errA := tx.AccountByKey(i.a.Key.Thumbprint())
			_, errB := tx.OrdersOf(a.ID, "", 1)
			_, errC := tx.LapsedOrders(1)
			_, errD := tx.LeasedOrders()
			_, errE := tx.LapsedAuthzs(1)
			_, errF := tx.LeasedAuthzs()
			_, errG := tx.CertificateOf(c.Order)
			_, errH := tx.Revision(c.Issuer)
			_, errI := tx.Revoked(c.Issuer, tx.Now)
			_, errJ := tx.Attempts("x", 100)
			_, errK := tx.KeyBlocked([]byte{1})
			_, errL := tx.Holds(a.ID, acme.IdentifierFor("a.test"))
			_, errM := tx.ValidAuthzs(a.ID, []acme.Identifier{acme.IdentifierFor("a.test"), acme.IdentifierFor("b.test"), acme.IdentifierFor("c.test")})
			_, errN := tx.Renewal(c.Serial)
			_, _ = tx.Replacement(c.Serial) // there is none
			return errors.Join(errM, errN, errL, errA, errB, errC, errD, errE, errF, errG, errH, errI, errJ, errK)
		})
	}
	externalAccounts(t, db, i.a)
	update(t, db, func(tx *store.Tx) error {
		moved := i.a
		moved.Key = newAccount(t).Key
		o, _ := newOrder(t, moved, start, "a.test")
		c := reservation(o, start)
		return errors.Join(tx.UpdateAccount(i.a, moved), tx.BlockKey([]byte{1}), tx.SaveCRL(store.CRL{Issuer: "01", Number: 1}),
			tx.InsertCertificate(c), tx.UpdateCertificate(c, c.Abandon(tx.Now)),
			tx.Replace("0a", "", o.ID), tx.Replace("0a", o.ID, "another"), tx.SetRenewal("0a", &rules.Renewal{Start: start, End: start}), tx.SetRenewal("0a", nil))
	})
	update(t, db, func(tx *store.Tx) error {
		override := rules.Override{Limit: rules.OrdersPerAccount, Subject: "x"}
		errA := spend(tx, someLimits, someBucket)
		_, errB := tx.Overrides(1)
		_, errC := tx.Buckets("", "", 1)
		_, errD := tx.Certified("x")
		return errors.Join(errA, errB, errC, errD, tx.SetOverride(override), tx.RemoveOverride(override.Limit, override.Subject),
			tx.NoteCertified("x"), tx.Pause(store.Paused{Account: "x", Identifier: "y"}), tx.UnpauseOne(store.Paused{Account: "x", Identifier: "y"}),
			tx.DropBucket(store.StoredBucket{Bucket: someBucket}))
	})
	update(t, db, func(tx *store.Tx) error {
		errA := errors.Join(tx.InsertAttempt(store.Attempt{Authz: "x", At: start}), tx.InsertEvent(store.Event{}))
		_, errB := tx.AttemptsFor("a.test", 1)
		_, errC := tx.OldAttempts(start.Add(time.Hour), 1)
		errG := tx.DeleteAttempt(store.AttemptKey{Authz: "x", ID: "y"})
		_, errD := tx.Events(1)
		_, errE := tx.Standing(i.a.ID, 1)
		_, errF := tx.Reserved()
		return errors.Join(errA, errB, errC, errD, errE, errF, errG)
	})
	update(t, db, func(tx *store.Tx) error {
		_, errA := tx.OldOrders("", "~", 1)
		_, errB := tx.OldAuthzs("", "~", 1)
		_, errC := tx.OldIssuances("", "~", 1)
		_, errD := tx.RevokedBefore("01", start, 1)
		_, errE := tx.Listed("01")
		_, errF := tx.Revokers()
		_, errG := tx.Named()
		_, errH := tx.Sets("", 1)
		o, authzs := newOrder(t, i.a, start, "a.test")
		c := reservation(o, start)
		return errors.Join(errA, errB, errC, errD, errE, errF, errG, errH, tx.InsertOrder(o, authzs), tx.InsertCertificate(c),
			tx.DeleteOrder(o), tx.DeleteAuthz(authzs[0]), tx.DeleteCertificate(c, o.Identifiers), tx.DropSet(store.Set{ID: "x"}))
	})
	update(t, db, func(tx *store.Tx) error {
		_, err := tx.CRL("01")
		statements = tx.Statements()
		return err
	})
	return statements
}

// TestStatementsKeepTheRules reads every statement that was run: what other engines do
// not take is not in it, and a write names one row by its key (docs/store.md).
func TestStatementsKeepTheRules(t *testing.T) {
	db := open(t)
	forbidden := regexp.MustCompile(`(?i)\b(returning|for update|skip locked|now\(\)|current_timestamp|random\(\)|replace|rowid|join|datetime|nextval)\b|\?|"`)
	byKey := regexp.MustCompile(`(?s)^(UPDATE \w+ SET .*|DELETE FROM \w+)\s+WHERE (id|serial|order_id|thumbprint|node) = \$\d+( AND \w+ = \$\d+)*$`)
	insert := regexp.MustCompile(`(?s)^INSERT INTO (\w+) \([a-z_, \n\t]+\)\s+VALUES \([$0-9, ]+\)\s+ON CONFLICT (DO NOTHING|\((issuer|issuer, slot|serial|id)\) DO UPDATE SET .*)$`)
	seen := map[string]int{}
	for _, statement := range everything(t, db) {
		verb, _, _ := strings.Cut(statement, " ")
		if strings.HasPrefix(verb, "PRAGMA") || statement == "SELECT count(*) FROM sqlite_schema" || strings.Contains(statement, "CREATE TABLE") {
			continue // of opening, which is each engine's own
		}
		seen[verb]++
		if forbidden.MatchString(statement) {
			t.Errorf("not every engine takes %s", statement)
		}
		if (verb == "UPDATE" || verb == "DELETE") && !byKey.MatchString(statement) {
			t.Errorf("a write without a key: %s", statement)
		}
		if verb == "INSERT" && !insert.MatchString(statement) {
			t.Errorf("an insertion that can fail: %s", statement)
		}
		if verb == "SELECT" || verb == "UPDATE" || verb == "DELETE" {
			plan := get(t, db, func(tx *store.Tx) (string, error) {
				return tx.Text("EXPLAIN QUERY PLAN " + placeholders.ReplaceAllString(statement, "1"))
			})
			if strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "SCAN") && !strings.Contains(plan, "_due") && !strings.Contains(plan, "_reserved") {
				t.Errorf("%s\nis slow:\n%s", statement, plan)
			}
		}
	}
	if seen["SELECT"] < 15 || seen["UPDATE"] < 4 || seen["INSERT"] < 9 || seen["DELETE"] < 2 {
		t.Errorf("only %v statements were run", seen)
	}
}

var placeholders = regexp.MustCompile(`\$\d+`)

// TestSchemaKeepsTheRules: nothing but tables and indexes, and no column that can be NULL.
func TestSchemaKeepsTheRules(t *testing.T) {
	db := open(t)
	schema := get(t, db, func(tx *store.Tx) (string, error) { return tx.Text("SELECT sql FROM sqlite_schema WHERE sql <> ''") })
	// A column that is added later needs a value for the rows that are there: a constant.
	schema = regexp.MustCompile(`(NOT NULL) DEFAULT (?:0|x?'')`).ReplaceAllString(schema, "$1")
	for _, word := range []string{"REFERENCES", "TRIGGER", "AUTOINCREMENT", "DEFAULT", "SEQUENCE", "UNIQUE", "CHECK", "VIEW"} {
		if strings.Contains(schema, word) {
			t.Errorf("the schema has %s", word)
		}
	}
	column := regexp.MustCompile(`(?m)^\t[a-z_]+ +(\w+)(.*)$`)
	for _, line := range column.FindAllStringSubmatch(schema, -1) {
		if !slices.Contains([]string{"TEXT", "BIGINT", "BLOB"}, line[1]) || !strings.Contains(line[2], "NOT NULL") {
			t.Errorf("the column %s", line[0])
		}
	}
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

func TestIDsSortAsTheRulesSay(t *testing.T) {
	db := open(t)
	// OrdersOf relies on the database's order of texts being that of octets.
	got := get(t, db, func(tx *store.Tx) (int64, error) {
		return tx.Number("SELECT '-' < '0' AND '9' < 'A' AND 'Z' < '_' AND '_' < 'a' AND 'z' < '~'")
	})
	if got != 1 || rules.NewID(start) >= "~" {
		t.Error("the database sorts texts by another alphabet")
	}
}
