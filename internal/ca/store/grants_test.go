package store_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/pgtest"
)

// roles are those that use the database.
var roles = []string{"front", "work", "signer", "crl", "ops"}

// withRoles makes a database in which each role has a user of its own, and opens it as each of them.
func withRoles(t *testing.T) (url string, as map[string]*store.DB) {
	t.Helper()
	server := pgtest.Shared(t)
	name := server.Database(t)
	users := map[string]string{}
	for _, role := range roles {
		users[role] = name + " " + role // a name that has to be quoted
		server.Exec(t, "postgres", fmt.Sprintf(`CREATE ROLE "%s" LOGIN`, users[role]))
	}
	if err := store.Migrate(t.Context(), store.MigrateConfig{URL: server.URL(name, ""), Roles: users}); err != nil {
		t.Fatal(err)
	}
	as = map[string]*store.DB{}
	for role, user := range users {
		as[role] = openURL(t, server.URL(name, strings.ReplaceAll(user, " ", "%20")))
	}
	return server.URL(name, ""), as
}

// tables are those of the schema with their columns.
func tables(t *testing.T, db *store.DB) map[string][]string {
	t.Helper()
	list := map[string][]string{}
	for _, line := range strings.Fields(get(t, db, func(tx *store.Tx) (string, error) {
		return tx.Text(`SELECT CAST(table_name || '.' || column_name AS TEXT) FROM information_schema.columns
			WHERE table_schema = 'public' ORDER BY table_name, ordinal_position`)
	})) {
		table, column, _ := strings.Cut(line, ".")
		list[table] = append(list[table], column)
	}
	return list
}

// TestRolesMayNot has each role's user try everything on every table: what is not granted is refused.
func TestRolesMayNot(t *testing.T) {
	url, as := withRoles(t)
	all := tables(t, openURL(t, url))
	if len(all) < 20 {
		t.Fatalf("only %d tables", len(all))
	}
	tried := 0
	for role, db := range as {
		granted := store.Grants(role)
		for table, columns := range all {
			for verb, sql := range map[string]string{
				"SELECT":   "SELECT count(*) FROM " + table,
				"INSERT":   "INSERT INTO " + table + " DEFAULT VALUES",
				"UPDATE":   fmt.Sprintf("UPDATE %s SET %s = %[2]s WHERE false", table, columns[len(columns)-1]),
				"DELETE":   "DELETE FROM " + table + " WHERE false",
				"TRUNCATE": "TRUNCATE " + table,
				"DROP":     "DROP TABLE " + table,
				"ALTER":    "ALTER TABLE " + table + " ADD COLUMN mine TEXT",
			} {
				err := db.Update(t.Context(), func(tx *store.Tx) error {
					_, err := tx.Exec(sql)
					return errors.Join(err, errOwnFault) // undone in any case
				})
				refused := store.SQLState(err) == "42501" // insufficient_privilege
				if want := !slices.Contains(granted[table], verb); refused != want {
					t.Errorf("%s as %s: refused: %t, want %t: %v", sql, role, refused, want, err)
				}
				tried++
			}
		}
		if err := db.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec("CREATE TABLE mine (x TEXT)"); return err }); store.SQLState(err) != "42501" {
			t.Errorf("%s makes a table: %v", role, err)
		}
	}
	if tried < 800 {
		t.Errorf("only %d were tried", tried)
	}
	for table := range all {
		if !slices.ContainsFunc(roles, func(role string) bool { return len(store.Grants(role)[table]) > 0 }) {
			t.Errorf("no role has the table %s: give it a line in grants.go", table)
		}
	}
}

// TestRolesMay has each role's user do what the packages of the role do.
func TestRolesMay(t *testing.T) {
	_, as := withRoles(t)
	do := func(role string, fn func(*store.Tx) error) {
		t.Helper()
		if err := as[role].Update(t.Context(), fn); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
	a, moved := newAccount(t), newAccount(t)
	moved.ID, moved.Created = a.ID, a.Created
	o, authzs := newOrder(t, a, start, "www.a.test")
	extra, extraAuthzs := newOrder(t, a, start, "www.a.test")
	key := rules.ExternalKey{ID: "key", MAC: []byte("mac"), Created: start}
	used := key
	used.Used++
	paused := store.Paused{Account: a.ID, Identifier: "www.a.test", Since: start}
	var c rules.Certificate
	do("ops", func(tx *store.Tx) error {
		return errors.Join(tx.InsertExternalKey(key), tx.InsertEvent(store.Event{Action: "x"}),
			tx.SetOverride(rules.Override{Limit: someBucket.Limit, Subject: "x"}), tx.InsertRoleToken(store.RoleToken{ID: "x"}),
			tx.UseRoleToken("x", []byte{1}), tx.InsertValidator(store.Validator{Node: "x"}))
	})
	do("front", func(tx *store.Tx) error { return frontDoes(tx, a, moved, key, used, o, authzs, extra, extraAuthzs) })
	do("work", func(tx *store.Tx) error {
		return errors.Join(workDoes(tx, a.ID, authzs[0].ID), tx.Pause(paused), tx.UpdateOrder(o, o.Issued("")))
	})
	do("signer", func(tx *store.Tx) error {
		c = reservation(o, tx.Now)
		abandoned := reservation(extra, tx.Now)
		before, errA := tx.Order(o.ID)
		_, errB := tx.KeyBlocked([]byte{1})
		return errors.Join(errA, errB, tx.UpdateOrder(before, before.Issued(c.Serial)), tx.NameCertificate(c, o.Identifiers), tx.InsertCertificate(c), tx.UpdateCertificate(c, issued(c, 10)),
			tx.InsertCertificate(abandoned), tx.UpdateCertificate(abandoned, abandoned.Abandon(tx.Now)))
	})
	do("work", func(tx *store.Tx) error {
		found, err := tx.CertificateOf(o.ID)
		c = found
		_, errA := tx.RevokeSiblings([]byte{1}, 1)
		return errors.Join(err, errA, tx.NameCertificate(c, o.Identifiers))
	})
	do("front", func(tx *store.Tx) error {
		revoked, problem := c.Revoke(nil, false, tx.Now)
		if problem != nil {
			return problem
		}
		_, errA := tx.CertificatesFor(acme.IdentifierFor("www.a.test"), 1)
		_, errB := tx.UnpauseSome(a.ID, 1)
		_, errC := tx.RevokeSiblings([]byte{1}, 1)
		_, errD := tx.Renewal(c.Serial)
		return errors.Join(errA, errB, errC, errD, tx.UpdateCertificate(c, revoked), tx.BlockKey([]byte{1}), tx.Replace(c.Serial, "", o.ID))
	})
	do("crl", func(tx *store.Tx) error {
		_, errA := tx.Revision(c.Issuer)
		_, errB := tx.Revoked(c.Issuer, tx.Now)
		return errors.Join(errA, errB, tx.SaveCRL(store.CRL{Issuer: c.Issuer, Number: 1}), tx.SaveCRL(store.CRL{Issuer: c.Issuer, Number: 2}))
	})
	do("ops", func(tx *store.Tx) error { return opsDoes(tx, c.Serial, used) })
}

// opsDoes is what commands of the operator's look at and take back.
func opsDoes(tx *store.Tx, serial string, key rules.ExternalKey) error {
	_, errA := tx.AttemptsFor("www.a.test", 10)
	_, errB := tx.Certificate(serial)
	_, errC := tx.Buckets("", "", 10)
	_, errD := tx.AllPaused(10)
	_, errE := tx.Events(1)
	revoked := key
	revoked.Revoked = start
	return errors.Join(errA, errB, errC, errD, errE, tx.SetRenewal(serial, &rules.Renewal{Start: start, End: start}), tx.SetRenewal(serial, nil),
		tx.RemoveOverride(someBucket.Limit, "x"), tx.ResetBucket(someBucket), tx.DeleteValidator("x"), tx.UpdateExternalKey(key, revoked))
}

// frontDoes is what the front does from an account to an order that is to be finalized.
func frontDoes(tx *store.Tx, a, moved rules.Account, key, used rules.ExternalKey, o rules.Order, authzs []rules.Authz, extra rules.Order, extraAuthzs []rules.Authz) error {
	_, errA := tx.Standing(a.ID, 1)
	_, errB := tx.ValidAuthzs(a.ID, o.Identifiers)
	_, errC := tx.Certified("x")
	_, errD := tx.IsPaused(a.ID, "x")
	_, errE := tx.Secret("links")
	_, errF := tx.CRL("01")
	_, errG := tx.OrdersOf(a.ID, "", 1)
	if errors.Is(errF, store.ErrNotFound) {
		errF = nil
	}
	return errors.Join(errA, errB, errC, errD, errE, errF, errG,
		tx.InsertAccount(a), tx.UpdateAccount(a, moved), tx.UpdateExternalKey(key, used), tx.InsertOrder(o, authzs), tx.InsertOrder(extra, extraAuthzs),
		tx.UpdateAuthz(authzs[0], authzs[0]), tx.UpdateOrder(extra, extra), spend(tx, someLimits, someBucket), tx.NoteCertified("x"))
}

// workDoes is what a worker does about an authorization, and what it does now and then.
func workDoes(tx *store.Tx, account, authz string) error {
	_, errA := tx.Thumbprints(account)
	before, errB := tx.Authz(authz)
	_, errC := tx.OldAttempts(start.Add(-time.Hour), 1)
	_, errD := tx.LapsedOrders(1)
	_, errE := tx.Reserved()
	_, errF := tx.BlockedKeys(time.Time{}, nil, 1)
	return errors.Join(errA, errB, errC, errD, errE, errF, tx.UpdateAuthz(before, before.Settle(rules.Outcome{}, tx.Now)),
		tx.InsertAttempt(store.Attempt{Authz: before.ID, At: start}), spend(tx, someLimits, someBucket), tx.NoteValidator(store.Validator{Node: "x"}))
}

// TestGrantsChange: a user who is named for another role loses what the role before had.
func TestGrantsChange(t *testing.T) {
	url, as := withRoles(t)
	name := regexp.MustCompile(`/(test\d+)\?`).FindStringSubmatch(url)[1]
	config := store.MigrateConfig{URL: url, Roles: map[string]string{"crl": name + " front", "ops": name + " front"}}
	if err := store.Migrate(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if err := as["front"].Update(t.Context(), block(1)); !errors.Is(err, store.ErrDenied) {
		t.Errorf("the user does what its old role did: %v", err)
	}
	update(t, as["front"], func(tx *store.Tx) error {
		return errors.Join(tx.SaveCRL(store.CRL{Issuer: "01", Number: 1}), tx.InsertEvent(store.Event{}))
	})
	config.Roles = map[string]string{"validator": "x"}
	if err := store.Migrate(t.Context(), config); err == nil || !strings.Contains(err.Error(), `no role "validator"`) {
		t.Errorf("a role without a database: %v", err)
	}
}

// TestGrantsAreDocumented compares the table of docs/store.md.
func TestGrantsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/store.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(store.GrantsTable), "\n") {
		cells := "| " + strings.Join(strings.Fields(line), " | ") + " |"
		if !strings.Contains(string(text), cells) {
			t.Errorf("docs/store.md lacks %s", cells)
		}
	}
}
