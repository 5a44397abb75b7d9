package store

import (
	"errors"
	"fmt"
)

// maxThumbprints is how many keys of one account are looked at: more than anybody has
// reason to have had, and few enough for what is computed with each.
const maxThumbprints = 1000

// rememberKey keeps the thumbprint of a key that an account had until now. Those that Thumbprints does not look at go.
func (tx *Tx) rememberKey(account, thumbprint string) error {
	if _, err := tx.exec(`INSERT INTO past_keys (account, until, thumbprint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		account, millis(tx.Now), thumbprint); err != nil {
		return fmt.Errorf("past key of account %s: %w", account, err)
	}
	var old []pastKey
	seen := 0
	err := tx.each(func(r *row) error {
		if key := (pastKey{account, r.number(), r.text()}); seen >= maxThumbprints-1 {
			old = append(old, key)
		}
		seen++
		return nil
	}, `SELECT until, thumbprint FROM past_keys WHERE account = $1 ORDER BY until DESC LIMIT $2`, account, int64(maxThumbprints+9))
	for _, key := range old {
		err = errors.Join(err, tx.forgetKey(key))
	}
	if err != nil {
		return fmt.Errorf("past keys of account %s: %w", account, err)
	}
	return nil
}

// pastKey is a key that an account had until a moment, in milliseconds.
type pastKey struct {
	account    string
	until      int64
	thumbprint string
}

func (tx *Tx) forgetKey(k pastKey) error {
	_, err := tx.exec(`DELETE FROM past_keys WHERE thumbprint = $1 AND account = $2 AND until = $3`, k.thumbprint, k.account, k.until)
	return err
}

// Thumbprints lists the RFC 7638 thumbprints of the keys that an account has and had, the
// present one first, then the newest.
func (tx *Tx) Thumbprints(account string) ([]string, error) {
	a, err := tx.Account(account)
	if err != nil {
		return nil, err
	}
	list := []string{a.Key.Thumbprint()}
	if err := tx.each(func(r *row) error { list = append(list, r.text()); return nil },
		`SELECT thumbprint FROM past_keys WHERE account = $1 ORDER BY until DESC LIMIT $2`, account, int64(maxThumbprints-1)); err != nil {
		return nil, fmt.Errorf("past keys of account %s: %w", account, err)
	}
	return list, nil
}
