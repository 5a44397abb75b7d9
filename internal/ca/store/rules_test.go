package store_test

import (
	"errors"
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
			_, errO := tx.OverdueOrder()
			_, errP := tx.OverdueAuthz()
			return errors.Join(errM, errN, errO, errP, errL, errA, errB, errC, errD, errE, errF, errG, errH, errI, errJ, errK)
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
	update(t, db, func(tx *store.Tx) error { return forOperators(tx, i.a.ID) })
	update(t, db, func(tx *store.Tx) error { return oldOnes(t, tx, i.a) })
	update(t, db, func(tx *store.Tx) error { return rarely(tx, i.a.ID, c) })
	update(t, db, func(tx *store.Tx) error { return ofClusters(tx, i.a.ID) })
	update(t, db, func(tx *store.Tx) error {
		_, err := tx.CRL("01")
		statements = tx.Statements()
		return err
	})
	return statements
}

// oldOnes runs the statements by which what is old is found, and goes.
func oldOnes(t *testing.T, tx *store.Tx, a rules.Account) error {
	_, errA := tx.OldOrders("", "~", 1)
	_, errB := tx.OldAuthzs("", "~", 1)
	_, errC := tx.OldIssuances("", "~", 1)
	_, errD := tx.RevokedBefore("01", start, 1)
	_, errE := tx.Listed("01")
	_, errF := tx.Revokers()
	_, errG := tx.Named()
	_, errH := tx.Sets("", 1)
	o, authzs := newOrder(t, a, start, "a.test")
	c := reservation(o, start)
	return errors.Join(errA, errB, errC, errD, errE, errF, errG, errH, tx.InsertOrder(o, authzs), tx.InsertCertificate(c),
		tx.DeleteOrder(o), tx.DeleteAuthz(authzs[0]), tx.DeleteCertificate(c, o.Identifiers), tx.DropSet(store.Set{ID: "x"}))
}

// forOperators runs the statements with which operators look at what happened.
func forOperators(tx *store.Tx, account string) error {
	errA := errors.Join(tx.InsertAttempt(store.Attempt{Authz: "x", At: start}), tx.InsertEvent(store.Event{}))
	_, errB := tx.AttemptsFor("a.test", 1)
	_, errC := tx.OldAttempts(start.Add(time.Hour), 1)
	errG := tx.DeleteAttempt(store.AttemptKey{Authz: "x", ID: "y"})
	_, errD := tx.Events(1)
	_, errE := tx.Standing(account, 1)
	_, errF := tx.Reserved()
	return errors.Join(errA, errB, errC, errD, errE, errF, errG)
}

// rarely runs the statements that few requests need.
func rarely(tx *store.Tx, account string, c rules.Certificate) error {
	name := acme.IdentifierFor("a.test")
	_, errA := tx.Thumbprints(account)
	_, errB := tx.IsPaused(account, name.Value)
	_, errC := tx.AllPaused(1)
	errD := tx.NameCertificate(c, []acme.Identifier{name})
	_, errE := tx.CertificatesFor(name, 1)
	v := store.Validator{Node: "x", KeyHash: []byte{1}}
	errF := errors.Join(tx.InsertValidator(v), tx.NoteValidator(v))
	_, errG := tx.Validators(1)
	errH := errors.Join(tx.DeleteValidator("x"), tx.InsertRoleToken(store.RoleToken{ID: "old", Expires: tx.Now.Add(-time.Hour)}),
		tx.InsertRoleToken(store.RoleToken{ID: "new", Expires: tx.Now.Add(time.Hour)}), tx.UseRoleToken("new", []byte{1}))
	_, errI := tx.RoleToken("new")
	return errors.Join(errA, errB, errC, errD, errE, errF, errG, errH, errI)
}

// ofClusters runs the statements by which machines know each other, and a key goes that is one of too many.
func ofClusters(tx *store.Tx, account string) error {
	_, errA := tx.Authorities()
	_, errH := tx.HasAccounts()
	_, errB := tx.Address("acme")
	errC := errors.Join(tx.SaveAuthority(store.Authority{ID: "1", DER: []byte{1}}), tx.SaveAddress("acme", "https://ca.test"))
	member, node := store.Member{Node: "a", Role: "work", KeyHash: []byte{1}}, store.Node{Node: "a", Role: "work", Instance: "i"}
	errD := errors.Join(tx.InsertMember(member), tx.NoteNode(node))
	_, errE := tx.Member("a", "work")
	_, errF := tx.Members(1)
	_, errG := tx.Nodes("work", start, 1)
	return errors.Join(errA, errB, errC, errD, errE, errF, errG, errH, tx.DeleteMember("a", "work"), tx.DropNode("a", "work", "i"), tx.ForgetKey(account, "x"))
}

// engines are those that take every statement.
var engines = map[string]opener{"SQLite": open, "PostgreSQL": openShared}

// What a statement is made of. A write names one row by its key, and an insertion cannot fail.
var (
	forbidden = regexp.MustCompile(`(?i)\b(returning|for (no key )?update|for (key )?share|skip locked|nowait|now\(\)|current_(timestamp|date|time)|random\(\)|` +
		`replace|rowid|ctid|join|datetime|nextval|currval|listen|notify|pg_\w+|advisory\w*|lock|truncate|cast|any|array|with|limit all|ilike|interval|savepoint|default)\b|\?|"|::|--|/\*`)
	byKey  = regexp.MustCompile(`(?s)^(UPDATE \w+ SET .*|DELETE FROM \w+)\s+WHERE (id|serial|order_id|thumbprint|node) = \$\d+( AND \w+ = \$\d+)*$`)
	insert = regexp.MustCompile(`(?s)^INSERT INTO (\w+) \([a-z_, \n\t]+\)\s+VALUES \([$0-9, ]+\)\s+` +
		`ON CONFLICT (DO NOTHING|\((issuer|issuer, slot|serial|id|name|node, role)\) DO UPDATE SET [a-z_]+ = .*)$`)
	selection = regexp.MustCompile(`(?s)^SELECT [a-z_, \n\t]+\s+FROM \w+\s+WHERE .*$|^SELECT [a-z_, ]+ FROM \w+ ORDER BY \w+(, \w+)* LIMIT \$\d+$`)
	// A placeholder is compared with a column or becomes one's value, so that its type is plain.
	typed = regexp.MustCompile(`(?s)[a-z_.]+ (=|<|<=|>|>=) \$\d+|IN \(\$\d+(, \$\d+)*\)|LIMIT \$\d+|VALUES \([$0-9, ]+\)`)
)

// TestStatementsKeepTheRules reads every statement that was run: what other engines do
// not take is not in it, and a write names one row by its key (docs/store.md).
func TestStatementsKeepTheRules(t *testing.T) {
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			seen := map[string]int{}
			for _, statement := range everything(t, open(t)) {
				verb, _, _ := strings.Cut(statement, " ")
				if slices.Contains([]string{"PRAGMA", "BEGIN", "COMMIT", "ROLLBACK"}, verb) || statement == "SELECT count(*) FROM sqlite_schema" ||
					statement == "SELECT clock_timestamp()" || strings.Contains(statement, "CREATE TABLE") {
					continue // of opening and of transactions, which are each engine's own
				}
				seen[verb]++
				keepsTheRules(t, verb, statement)
			}
			if seen["SELECT"] < 15 || seen["UPDATE"] < 4 || seen["INSERT"] < 9 || seen["DELETE"] < 2 {
				t.Errorf("only %v statements were run", seen)
			}
		})
	}
}

func keepsTheRules(t *testing.T, verb, statement string) {
	t.Helper()
	if word := forbidden.FindString(statement); word != "" {
		t.Errorf("not every engine takes %q: %s", word, statement)
	}
	if (verb == "UPDATE" || verb == "DELETE") && !byKey.MatchString(statement) {
		t.Errorf("a write without a key: %s", statement)
	}
	if verb == "INSERT" && !insert.MatchString(statement) {
		t.Errorf("an insertion that can fail: %s", statement)
	}
	if verb == "SELECT" && !selection.MatchString(statement) {
		t.Errorf("more than a plain selection: %s", statement)
	}
	if rest := typed.ReplaceAllString(statement, ""); strings.Contains(rest, "$") {
		t.Errorf("a placeholder whose type an engine has to guess: %s", rest)
	}
}

// TestNothingIsWrittenUnseen: every statement of the package's source is among those that the tests of the rules read.
func TestNothingIsWrittenUnseen(t *testing.T) {
	seen := strings.Join(everything(t, open(t)), "\n")
	squeeze := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	seen = squeeze(seen)
	literal := regexp.MustCompile("(?s)`((?:INSERT INTO|UPDATE|DELETE FROM|SELECT) [^`]*)`")
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "postgres_migrate.go" || file == "grants.go" {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range literal.FindAllStringSubmatch(string(source), -1) {
			found++
			if !strings.Contains(seen, squeeze(match[1])) {
				t.Errorf("%s: no test runs %s", file, match[1])
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d statements were found in the source", found)
	}
}

// TestStatementsUseIndexes asks SQLite how it answers each statement.
func TestStatementsUseIndexes(t *testing.T) {
	db := open(t)
	for _, statement := range everything(t, db) {
		verb, _, _ := strings.Cut(statement, " ")
		if !slices.Contains([]string{"SELECT", "UPDATE", "DELETE"}, verb) || strings.Contains(statement, "sqlite_schema") {
			continue
		}
		plan := get(t, db, func(tx *store.Tx) (string, error) {
			return tx.Text("EXPLAIN QUERY PLAN " + placeholders.ReplaceAllString(statement, "1"))
		})
		if strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "SCAN") && !strings.Contains(plan, "_due") && !strings.Contains(plan, "_reserved") &&
			!strings.HasPrefix(statement, "SELECT node") && !strings.Contains(statement, "FROM role_tokens WHERE expires") { // a handful of rows
			t.Errorf("%s\nis slow:\n%s", statement, plan)
		}
	}
}

var placeholders = regexp.MustCompile(`\$\d+`)

// schemaText is the schema of SQLite as it is in a database, or of PostgreSQL as it is in its files.
func schemaText(t *testing.T, engine string) string {
	t.Helper()
	if engine == "SQLite" {
		return get(t, open(t), func(tx *store.Tx) (string, error) {
			return tx.Text("SELECT sql || ';' FROM sqlite_schema WHERE sql <> ''")
		})
	}
	files, err := filepath.Glob("schema/postgres/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schema: %v", err)
	}
	text := ""
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text += string(content)
	}
	return text
}

// TestSchemaKeepsTheRules: nothing but tables and indexes, and no column that can be NULL.
func TestSchemaKeepsTheRules(t *testing.T) {
	for engine, types := range map[string][]string{"SQLite": {"TEXT", "BIGINT", "BLOB"}, "PostgreSQL": {"TEXT", "BIGINT", "BYTEA"}} {
		// A column that is added later needs a value for the rows that are there: a constant.
		schema := regexp.MustCompile(`(NOT NULL) DEFAULT (?:0|x?''|'')`).ReplaceAllString(schemaText(t, engine), "$1")
		schema = regexp.MustCompile(`--.*`).ReplaceAllString(schema, "")
		for _, word := range []string{
			"REFERENCES", "TRIGGER", "AUTOINCREMENT", "DEFAULT", "SEQUENCE", "SERIAL ", "IDENTITY", "UNIQUE", "CHECK", "VIEW", "PARTITION",
			"INCLUDE", "USING", "EXTENSION", "FUNCTION", "TABLESPACE", "UNLOGGED", "GENERATED", "EXCLUDE", "now()",
		} {
			if strings.Contains(schema, word) {
				t.Errorf("the schema of %s has %s", engine, word)
			}
		}
		columns := regexp.MustCompile(`(?m)^\t([a-z_]+) +(\w+)(.*)$`).FindAllStringSubmatch(schema, -1)
		for _, column := range columns {
			if !slices.Contains(types, column[2]) || !strings.Contains(column[3], "NOT NULL") {
				t.Errorf("%s: the column %s", engine, column[0])
			}
		}
		if len(columns) < 100 {
			t.Errorf("%s: only %d columns", engine, len(columns))
		}
	}
	for statement := range strings.SplitSeq(regexp.MustCompile(`--.*`).ReplaceAllString(schemaText(t, "PostgreSQL"), ""), ";") {
		if s := strings.TrimSpace(statement); s != "" && !strings.Contains(s, " IF NOT EXISTS ") && !strings.Contains(s, " IF EXISTS ") {
			t.Errorf("cannot be done twice: %s", s)
		}
	}
}

// TestSchemasAreTheSame: all engines have the same tables with the same columns.
func TestSchemasAreTheSame(t *testing.T) {
	file, server := map[string][]string{}, tables(t, openShared(t))
	db := open(t)
	for _, line := range strings.Fields(get(t, db, func(tx *store.Tx) (string, error) {
		return tx.Text(`SELECT m.name || '.' || c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY 1`)
	})) {
		table, column, _ := strings.Cut(line, ".")
		file[table] = append(file[table], column)
	}
	delete(server, "schema_versions") // SQLite has a place for that in its file's header
	for table := range server {
		slices.Sort(server[table])
		if !slices.Equal(server[table], file[table]) {
			t.Errorf("%s has the columns %v on PostgreSQL and %v on SQLite", table, server[table], file[table])
		}
	}
	if len(server) != len(file) || len(server) < 20 {
		t.Errorf("there are %d tables on PostgreSQL and %d on SQLite", len(server), len(file))
	}
}

func TestIDsSortAsTheRulesSay(t *testing.T) {
	for name, open := range engines {
		db := open(t)
		// OrdersOf and others rely on the database's order of texts being that of octets.
		texts := []string{"-", "0", "9", "A", "Z", "_", "a", "z", "~", "\u00e4", "\U0010ffff"}
		update(t, db, func(tx *store.Tx) error {
			for _, text := range texts {
				if err := tx.Pause(store.Paused{Account: text}); err != nil {
					return err
				}
			}
			return nil
		})
		var got []string
		last := ""
		for range texts {
			last = get(t, db, func(tx *store.Tx) (string, error) {
				return tx.Text1("SELECT id FROM paused WHERE id > $1 ORDER BY id LIMIT 1", last)
			})
			got = append(got, strings.TrimSuffix(last, "/"))
		}
		if !slices.Equal(got, texts) || rules.NewID(start) >= "~" {
			t.Errorf("%s sorts texts by another alphabet: %v", name, got)
		}
	}
}
