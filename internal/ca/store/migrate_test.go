package store_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

var keep = flag.Bool("keep", false, "keep a database of this version's schema in testdata, for later versions to migrate")

// mapFS are files of SQL.
type mapFS map[string]string

func (m mapFS) Open(name string) (fs.File, error) {
	files := fstest.MapFS{}
	for file, text := range m {
		files[file] = &fstest.MapFile{Data: []byte(text)}
	}
	return files.Open(name)
}

// schema is the present schema, and more steps.
func schema(t *testing.T, more ...string) mapFS {
	t.Helper()
	steps := mapFS{}
	files, err := filepath.Glob("schema/sqlite/*.sql")
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

// keptAccount is in the databases of testdata, with the order and the certificate that follow from it.
const (
	keptAccount = "-Bn5qSF----kept-account-"
	keptOrder   = "-Bn5qSF----kept-order---"
	keptSerial  = "00c0ffee"
)

// TestOlderVersions migrates a copy of a database of every version there has been. That of the
// present version is kept (-keep) once the version is finished, before the next one is begun.
func TestOlderVersions(t *testing.T) {
	versions := store.SchemaVersions(t)
	if *keep {
		keepDatabase(t, versions)
	}
	for version := 1; version < versions; version++ {
		path := databaseIn(t)
		if err := os.WriteFile(path, unpack(t, fmt.Sprintf("testdata/%04d.db.gz", version)), 0o600); err != nil {
			t.Fatal(err)
		}
		db := openAt(t, path)
		if a := getAccount(t, db, keptAccount); a.Status != acme.StatusValid || len(a.Contact) != 1 {
			t.Errorf("version %d: the account is %+v", version, a)
		}
		if o := getOrder(t, db, keptOrder); o.Serial != keptSerial || len(o.Authzs) != 1 || getAuthz(t, db, o.Authzs[0]).Status != acme.StatusValid {
			t.Errorf("version %d: the order is %+v", version, o)
		}
		c := get(t, db, func(tx *store.Tx) (rules.Certificate, error) { return tx.CertificateOf(keptOrder) })
		if c.Serial != keptSerial || !bytes.Equal(c.DER, []byte("der")) || c.Revoked.IsZero() || revision(t, db, c.Issuer) != 1 {
			t.Errorf("version %d: the certificate is %+v", version, c)
		}
		update(t, db, block(1))
	}
}

// keepDatabase makes the file of testdata for this version.
func keepDatabase(t *testing.T, version int) {
	t.Helper()
	path := databaseIn(t)
	db := openAt(t, path)
	a := newAccount(t)
	a.ID = keptAccount
	o, authzs := newOrder(t, a, start, "a.test")
	o.ID = keptOrder
	c := reservation(o, start)
	c.Serial = keptSerial
	done := c
	done.State, done.DER = rules.Issued, []byte("der")
	update(t, db, func(tx *store.Tx) error {
		settled := attempted(t, authzs[0], "worker").Settle(rules.Outcome{}, start)
		return errors.Join(tx.InsertAccount(a), tx.InsertOrder(o, authzs), tx.UpdateAuthz(authzs[0], settled),
			tx.InsertCertificate(c), tx.UpdateCertificate(c, done), tx.UpdateOrder(o, o.Issued(c.Serial)),
			tx.InsertAttempt(store.Attempt{Authz: authzs[0].ID, At: start, OK: true}), tx.BlockKey([]byte{7}),
			tx.SaveCRL(store.CRL{Issuer: c.Issuer, Number: 1, ThisUpdate: start}))
	})
	revoke(t, db, done, start)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(zip.Close(), os.MkdirAll("testdata", 0o755), os.WriteFile(fmt.Sprintf("testdata/%04d.db.gz", version), packed.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, path string) []byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatalf("%v: make it with: go test -run TestOlderVersions -keep", err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestNewerVersionIsRefused(t *testing.T) {
	path := databaseIn(t)
	if err := store.MigrateFile(t.Context(), path, schema(t, "CREATE TABLE future (x TEXT)")); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), store.Config{Path: path})
	versions := store.SchemaVersions(t)
	if want := fmt.Sprintf("schema %d, this program knows %d", versions+1, versions); !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

// version is the schema of the database at path, and whether it has a table.
func version(t *testing.T, path, table string) (version int64, has bool) {
	t.Helper()
	// A program that knows every version opens it as it is.
	db := openAt(t, path)
	return get(t, db, func(tx *store.Tx) (int64, error) { return tx.Number("PRAGMA user_version") }),
		get(t, db, func(tx *store.Tx) (int64, error) {
			return tx.Number("SELECT count(*) FROM sqlite_schema WHERE name = '" + table + "'")
		}) != 0
}

func TestStepThatFails(t *testing.T) {
	for name, step := range map[string]string{
		"at once":    "NONSENSE",
		"in the end": "CREATE TABLE half (x TEXT); INSERT INTO half VALUES ('a'); DROP TABLE crls; INSERT INTO missing VALUES (1)",
	} {
		t.Run(name, func(t *testing.T) {
			path := databaseIn(t)
			if err := store.MigrateFile(t.Context(), path, schema(t)); err != nil {
				t.Fatal(err)
			}
			if err := store.MigrateFile(t.Context(), path, schema(t, step)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("to version %d", store.SchemaVersions(t)+1)) {
				t.Fatalf("got %v", err)
			}
			if v, half := version(t, path, "half"); v != int64(store.SchemaVersions(t)) || half {
				t.Errorf("it left version %d, half done: %t", v, half)
			}
			if _, crls := version(t, path, "crls"); !crls {
				t.Error("it left a table dropped")
			}
			if err := store.MigrateFile(t.Context(), path, schema(t, "CREATE TABLE half (x TEXT)")); err != nil {
				t.Errorf("the right step afterwards: %v", err)
			}
		})
	}
	gap := mapFS{"0001.sql": "CREATE TABLE a (x TEXT)", "0003.sql": "CREATE TABLE b (x TEXT)"}
	if err := store.MigrateFile(t.Context(), databaseIn(t), gap); err == nil || !strings.Contains(err.Error(), "0003.sql where 0002.sql") {
		t.Errorf("a missing step: %v", err)
	}
}

// TestCrashInAMigration takes what is on disk right before a migration's commit, as a
// crash would leave it: the database has the version before, whole.
func TestCrashInAMigration(t *testing.T) {
	path, crashed := databaseIn(t), databaseIn(t)
	if err := store.MigrateFile(t.Context(), path, schema(t)); err != nil {
		t.Fatal(err)
	}
	step := `CREATE TABLE half (x TEXT); DROP TABLE crls;
		INSERT INTO half WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT 'row ' || i FROM n;`
	if err := store.Interrupt(path, step, func() {
		for _, suffix := range []string{"", "-wal"} {
			content, err := os.ReadFile(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if suffix == "-wal" && len(content) < 100_000 {
				t.Fatalf("the log has %d octets: the crash comes too early", len(content))
			}
			if err := os.WriteFile(crashed+suffix, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if v, half := version(t, crashed, "half"); v != int64(store.SchemaVersions(t)) || half {
		t.Errorf("the crash left version %d, half done: %t", v, half)
	}
	db := openAt(t, crashed)
	integrity(t, db)
	update(t, db, func(tx *store.Tx) error {
		return tx.SaveCRL(store.CRL{Issuer: "01", Number: 1, ThisUpdate: start, NextUpdate: start.Add(time.Hour)})
	})
	if files, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(files) == 0 {
		t.Error("nothing was there to crash")
	}
}

// integrity has SQLite check the whole file.
func integrity(t testing.TB, db *store.DB) {
	t.Helper()
	if verdict := get(t, db, func(tx *store.Tx) (string, error) { return tx.Text("PRAGMA integrity_check") }); verdict != "ok\n" {
		t.Errorf("the database is not whole: %s", verdict)
	}
}
