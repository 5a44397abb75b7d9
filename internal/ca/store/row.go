package store

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"
)

// row is one row of an answer. Its columns are read one after the other; the
// first that is not what its reader expects is the row's error.
type row struct {
	values []driver.Value
	next   int
	err    error
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
	value := r.value()
	text, ok := value.(string)
	if !ok {
		r.mismatch("text", value)
	}
	return text
}

func (r *row) number() int64 {
	value := r.value()
	number, ok := value.(int64)
	if !ok {
		r.mismatch("a number", value)
	}
	return number
}

// blob is nil for one without octets: the rules tell "none" by nil.
func (r *row) blob() []byte {
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
