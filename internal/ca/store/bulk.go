package store

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// How much of a Bulk goes together. SQLite looks for each placeholder's name among all of a statement's, so
// more rows in one cost more than they save; a server gets many statements in one way.
const (
	bulkRows       = 10 // of one statement
	bulkStatements = 50 // of one way to the server and back
)

// Bulk is many new rows, ready to be stored: for filling a database, where a statement for
// each row would cost more than the row. Each list is best in the order of its keys.
type Bulk struct {
	list []write // INSERTs of one row or more; as many rows as args say
	rows []int64 // of each
}

// NewBulk makes a Bulk of what is new. The certificates are neither abandoned nor revoked. It does the work for
// which no transaction is needed, so that the writer has the less to do.
func NewBulk(accounts []rules.Account, authzs []rules.Authz, orders []rules.Order, certificates []rules.Certificate) *Bulk {
	b := new(Bulk)
	add(b, accounts, newAccountKey)
	add(b, accounts, newAccount)
	add(b, authzs, newAuthz)
	add(b, orders, newOrder)
	add(b, certificates, newIssuance)
	add(b, certificates, newCertificate)
	return b
}

// InsertBulk stores a Bulk. If one of its rows is there it fails with ErrExists, and the transaction is not to be committed.
func (tx *Tx) InsertBulk(b *Bulk) error {
	for from := 0; from < len(b.list); from += bulkStatements {
		if tx.failed != nil {
			return tx.failed
		}
		list := b.list[from:min(from+bulkStatements, len(b.list))]
		changed, err := tx.s.execAll(list)
		if err != nil {
			return fmt.Errorf("rows from %s on: %w", list[min(len(changed), len(list)-1)].what, tx.check(err))
		}
		for i, n := range changed {
			if n != b.rows[from+i] {
				tx.failed = fmt.Errorf("%d rows from %s on: %w", b.rows[from+i], list[i].what, tx.lost(ErrExists))
				return tx.failed
			}
		}
	}
	return nil
}

// add adds rows of one table, of which insert makes the statement for one.
func add[T any](b *Bulk, rows []T, insert func(T) write) {
	for chunk := range slices.Chunk(rows, bulkRows) {
		list := make([]write, 0, len(chunk))
		for _, row := range chunk {
			list = append(list, insert(row))
		}
		b.list = append(b.list, together(list))
		b.rows = append(b.rows, int64(len(list)))
	}
}

// together makes one INSERT of several into the same columns. What all rows have in common is bound once.
func together(list []write) write {
	into, rest, _ := strings.Cut(list[0].query, "VALUES (")
	_, end, _ := strings.Cut(rest, ")")
	same := make([]int, len(list[0].args)) // the number of the placeholder of what is the same in all rows; 0 if it is not
	args := make([]any, 0, len(list)*len(same))
	for column, value := range list[0].args {
		if slices.ContainsFunc(list[1:], func(w write) bool { return !equal(w.args[column], value) }) {
			continue
		}
		args = append(args, value)
		same[column] = len(args)
	}
	query := append(make([]byte, 0, 2*len(list[0].query)+len(list)*len(same)*len(", $100")), into+"VALUES "...)
	for i, w := range list {
		if i > 0 {
			query = append(query, ", "...)
		}
		for column, value := range w.args {
			query = append(query, separator(column)...)
			number := same[column]
			if number == 0 {
				args = append(args, value)
				number = len(args)
			}
			query = strconv.AppendInt(query, int64(number), 10)
		}
		query = append(query, ')')
	}
	return write{list[0].what, string(query) + end, args}
}

// separator is what stands before the number of a column's placeholder.
func separator(column int) string {
	if column == 0 {
		return "($"
	}
	return ", $"
}

// equal compares two arguments of a statement.
func equal(x, y any) bool {
	if x, ok := x.([]byte); ok {
		y, ok := y.([]byte)
		return ok && bytes.Equal(x, y)
	}
	if _, ok := y.([]byte); ok {
		return false
	}
	return x == y
}
