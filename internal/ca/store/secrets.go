package store

import (
	"crypto/rand"
	"errors"
	"fmt"
)

// Secret returns the 32 random octets that go by a name. They are made when they are first asked
// for, and never change: what was signed with them holds across restarts.
func (tx *Tx) Secret(name string) (value []byte, err error) {
	err = tx.first(func(r *row) error { value = r.blob(); return nil }, `SELECT value FROM secrets WHERE name = $1`, name)
	if err == nil {
		return value, nil
	}
	if !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	value = make([]byte, 32)
	_, _ = rand.Read(value) // never fails
	if err := tx.insert(`INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`, name, value); err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	return value, nil
}
