package store

import (
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// RevokeSiblings revokes at most limit of the certificates for a key, which is compromised, that are neither revoked
// nor expired at tx.Now. It returns how many it revoked: if that is limit, there may be more.
func (tx *Tx) RevokeSiblings(key []byte, limit int) (revoked int, err error) {
	list, err := tx.certificates(`SELECT `+certificateColumns+` FROM certificates
		WHERE spki = $1 AND state = 'issued' AND revoked = 0 AND not_after > $2 LIMIT $3`, key, millis(tx.Now), int64(limit))
	if err != nil {
		return 0, fmt.Errorf("certificates of key %x: %w", key, err)
	}
	for _, before := range list {
		after, ok := before.RevokeSibling(tx.Now)
		if !ok {
			continue
		}
		if err := tx.UpdateCertificate(before, after); err != nil {
			return revoked, err
		}
		revoked++
	}
	return revoked, nil
}

// WithoutKey lists at most limit issued certificates from before their keys were noted.
func (tx *Tx) WithoutKey(limit int) ([]rules.Certificate, error) {
	list, err := tx.certificates(`SELECT `+certificateColumns+` FROM certificates
		WHERE spki = $1 AND state = 'issued' LIMIT $2`, []byte{}, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("certificates without their key: %w", err)
	}
	return list, nil
}

// BlockedKeys lists at most limit keys that were blocked at since or later, by their digests, rising, from the one after a
// given digest.
func (tx *Tx) BlockedKeys(since time.Time, after []byte, limit int) (keys [][]byte, err error) {
	err = tx.each(func(r *row) error { keys = append(keys, r.blob()); return nil },
		`SELECT spki FROM blocked_keys WHERE blocked >= $1 AND spki > $2 ORDER BY spki LIMIT $3`, millis(since), after, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("blocked keys: %w", err)
	}
	return keys, nil
}

func (tx *Tx) certificates(query string, args ...any) (list []rules.Certificate, err error) {
	err = tx.each(func(r *row) error { list = append(list, readCertificate(r)); return nil }, query, args...)
	return list, err
}
