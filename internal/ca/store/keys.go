package store

import (
	"errors"
	"fmt"
)

// BlockKey refuses a public key from now on (BR §4.9.1.1 (3), §6.1.1.3 (4)). It is
// known by the SHA-256 of its SubjectPublicKeyInfo; to block it again does nothing.
func (tx *Tx) BlockKey(spkiSHA256 []byte) error {
	if _, err := tx.exec(`INSERT INTO blocked_keys (spki, blocked) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
		spkiSHA256, millis(tx.Now)); err != nil {
		return fmt.Errorf("blocking key %x: %w", spkiSHA256, err)
	}
	return nil
}

// KeyBlocked reports whether a public key has been blocked.
func (tx *Tx) KeyBlocked(spkiSHA256 []byte) (bool, error) {
	err := tx.first(func(*row) error { return nil }, `SELECT blocked FROM blocked_keys WHERE spki = $1`, spkiSHA256)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, fmt.Errorf("looking for key %x among the blocked: %w", spkiSHA256, err)
	}
	return err == nil, nil
}
