package front_test

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"sort"
	"strings"
)

// dump is a digest of all that the database holds: what is refused must not change it.
func (a *authority) dump() string {
	a.t.Helper()
	db, err := sql.Open("sqlite", "file:"+a.file+"?mode=ro")
	if err != nil {
		a.t.Fatal(err)
	}
	defer db.Close()
	var tables []string
	a.query(db, `SELECT name FROM sqlite_master WHERE type = 'table'`, func(row []any) { tables = append(tables, fmt.Sprint(row[0])) })
	if len(tables) < 4 {
		a.t.Fatalf("the database has the tables %q: that cannot be all", tables)
	}
	var lines []string
	for _, table := range tables {
		a.query(db, `SELECT * FROM "`+table+`"`, func(row []any) { lines = append(lines, fmt.Sprintf("%s %q", table, row)) })
	}
	sort.Strings(lines)
	return fmt.Sprintf("%d rows, %x", len(lines), sha256.Sum256([]byte(strings.Join(lines, "\n"))))
}

func (a *authority) query(db *sql.DB, query string, each func([]any)) {
	a.t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		a.t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		a.t.Fatal(err)
	}
	for rows.Next() {
		row := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			a.t.Fatal(err)
		}
		each(row)
	}
	if err := rows.Err(); err != nil {
		a.t.Fatal(err)
	}
}
