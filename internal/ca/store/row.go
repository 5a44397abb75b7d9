package store

import (
	"bytes"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// row is one row of an answer. Its columns are read one after the other; the
// first that is not what its reader expects is the row's error.
type row struct {
	values []driver.Value // of SQLite's driver, or
	raw    [][]byte       // of PostgreSQL, in the binary format, valid while the row is read; kinds has
	kinds  []uint32       // the types of the columns
	next   int
	err    error
}

// octets is the next column in PostgreSQL's binary format, if it is of a kind and not NULL.
func (r *row) octets(kind uint32) (value []byte, ok bool) {
	r.next++
	if r.next > len(r.raw) || r.kinds[r.next-1] != kind {
		return nil, false
	}
	value = r.raw[r.next-1]
	return value, value != nil
}

func (r *row) value() driver.Value {
	r.next++
	if r.next > len(r.values) {
		return nil
	}
	return r.values[r.next-1]
}

func (r *row) mismatch(want string, got any) {
	if r.err == nil {
		r.err = fmt.Errorf("column %d is %T and not %s", r.next, got, want)
	}
}

func (r *row) text() string {
	if r.raw != nil {
		text, ok := r.octets(pgtype.TextOID)
		if !ok {
			r.mismatch("text", text)
		}
		return string(text)
	}
	value := r.value()
	text, ok := value.(string)
	if !ok {
		r.mismatch("text", value)
	}
	return text
}

func (r *row) number() int64 {
	if r.raw != nil {
		number, ok := r.octets(pgtype.Int8OID)
		if !ok || len(number) != 8 {
			r.mismatch("a number", number)
			return 0
		}
		return int64(binary.BigEndian.Uint64(number))
	}
	value := r.value()
	number, ok := value.(int64)
	if !ok {
		r.mismatch("a number", value)
	}
	return number
}

// blob is nil for one without octets: the rules tell "none" by nil.
func (r *row) blob() []byte {
	if r.raw != nil {
		blob, ok := r.octets(pgtype.ByteaOID)
		if !ok {
			r.mismatch("a blob", blob)
		}
		if len(blob) == 0 {
			return nil
		}
		return bytes.Clone(blob)
	}
	value := r.value()
	blob, ok := value.([]byte)
	if !ok {
		r.mismatch("a blob", value)
	}
	if len(blob) == 0 {
		return nil
	}
	return blob
}

func (r *row) moment() time.Time { return moment(r.number()) }

func (r *row) flag() bool { return r.number() != 0 }

// json reads a text that holds JSON into v; an empty text leaves v as it is.
func (r *row) json(v any) {
	text := r.text()
	if text == "" || r.err != nil {
		return
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		r.err = fmt.Errorf("column %d: %w", r.next, err)
	}
}

// millis is how a time is stored: Unix time in milliseconds, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func moment(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}

// compactList is a list as JSON, or "" for one that is empty.
func compactList[T any](list []T) string {
	if len(list) == 0 {
		return ""
	}
	return compact(list)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// compact is v as JSON. What it is used for cannot fail: plain structs, strings and lists of them.
func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encoding %T: %v", v, err))
	}
	return string(text)
}
