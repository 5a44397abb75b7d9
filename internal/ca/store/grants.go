package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// grants is what each role may do to each table of a database on a server: S is SELECT, I INSERT,
// U UPDATE, D DELETE. A role has what its statements need, and nothing else. A table
// that is not here is nobody's. A change here reaches databases by 'cairn migrate'.
const grants = `
table             front  work   signer crl    ops
accounts          SIU    S      -      -      -
account_keys      SID    -      -      -      -
past_keys         SID    S      -      -      -
orders            SIU    SUD    SU     -      S
authzs            SIU    SUD    -      -      S
certificates      SU     SUD    SIU    S      S
issuances         S      SD     SID    -      -
revisions         SIU    SIU    SIU    S      -
crls              S      S      -      SIU    -
replacements      SIU    SD     -      -      -
renewal_windows   S      SD     -      -      SIUD
certificate_names S      SID    I      -      -
blocked_keys      SI     S      S      -      -
external_keys     SU     -      -      -      SIU
attempts          -      SID    -      -      S
events            -      -      I      -      SI
buckets           SIUD   SIUD   -      -      SIUD
overrides         S      S      -      -      SIUD
paused            SD     I      -      -      SD
certified_sets    SIU    SD     -      -      -
secrets           SI     -      -      -      -
validators        -      SU     SIU    -      SID
role_tokens       -      -      SU     -      SIUD
authorities       S      S      SIU    S      -
addresses         S      S      SIU    S      -
members           S      S      SID    S      SD
nodes             SIUD   SIUD   SIUD   SIUD   S
schema_versions   S      S      S      S      S
`

var privileges = []struct {
	letter rune
	word   string
}{{'S', "SELECT"}, {'I', "INSERT"}, {'U', "UPDATE"}, {'D', "DELETE"}}

// Grants is what a role may do to the tables of a database on a server: SELECT, INSERT, UPDATE, DELETE by
// table. It is nil for a role that needs no database.
func Grants(role string) map[string][]string {
	lines := strings.Split(strings.TrimSpace(grants), "\n")
	column := slices.Index(strings.Fields(lines[0]), role)
	if column < 1 {
		return nil
	}
	tables := make(map[string][]string)
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		for _, p := range privileges {
			if strings.ContainsRune(fields[column], p.letter) {
				tables[fields[0]] = append(tables[fields[0]], p.word)
			}
		}
	}
	return tables
}

// grant gives the database's users what their roles may do, and takes away what they may not. users are by role;
// who is named for several roles may do what any of them may.
func (m migrator) grant(ctx context.Context, users map[string]string) error {
	byUser := make(map[string]map[string][]string)
	for role, user := range users {
		tables := Grants(role)
		if tables == nil {
			return fmt.Errorf("there is no role %q that uses a database", role)
		}
		if byUser[user] == nil {
			byUser[user] = make(map[string][]string)
		}
		for table, words := range tables {
			byUser[user][table] = append(byUser[user][table], words...)
		}
	}
	for _, user := range slices.Sorted(maps.Keys(byUser)) {
		if err := m.patiently(ctx, func() error { return m.grantTo(ctx, user, byUser[user]) }); err != nil {
			return fmt.Errorf("user %s: %w", user, err)
		}
	}
	return nil
}

// grantTo replaces all of a user's privileges in one transaction: programs that run notice nothing of it.
func (m migrator) grantTo(ctx context.Context, user string, tables map[string][]string) error {
	results, err := m.conn.Exec(ctx, `SELECT current_schema()`).ReadAll()
	if err != nil {
		return err
	}
	schema := pgx.Identifier{string(results[0].Rows[0][0])}.Sanitize()
	name := pgx.Identifier{user}.Sanitize()
	sql := []string{
		"BEGIN",
		"GRANT USAGE ON SCHEMA " + schema + " TO " + name,
		"REVOKE ALL ON ALL TABLES IN SCHEMA " + schema + " FROM " + name,
	}
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		words := slices.Compact(slices.Sorted(slices.Values(tables[table])))
		sql = append(sql, "GRANT "+strings.Join(words, ", ")+" ON "+table+" TO "+name)
	}
	for _, statement := range append(sql, "COMMIT") {
		if err := m.exec(ctx, statement); err != nil {
			_ = m.exec(context.WithoutCancel(ctx), "ROLLBACK") // the connection's end does it otherwise
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
