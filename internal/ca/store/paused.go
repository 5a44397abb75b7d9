package store

import (
	"fmt"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// Paused is a name that an account may not order for now.
type Paused struct {
	Account    string
	Identifier string // without the wildcard label
	Since      time.Time
	Reason     string // the problem of the last failure
}

// Pause stores that an account may not order a name for now. One that is paused stays as it is.
func (tx *Tx) Pause(p Paused) error {
	if _, err := tx.exec(`INSERT INTO paused (id, since, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		p.Account+"/"+p.Identifier, millis(p.Since), p.Reason); err != nil {
		return fmt.Errorf("pausing %s of account %s: %w", p.Identifier, p.Account, err)
	}
	return nil
}

// PausedOf lists at most limit names that are paused for an account, in order, after the name after.
func (tx *Tx) PausedOf(account, after string, limit int) ([]Paused, error) {
	return tx.paused(account+"/"+after, account+"0", limit) // "0" comes after "/"
}

// AllPaused lists at most limit names that are paused, by account.
func (tx *Tx) AllPaused(limit int) ([]Paused, error) { return tx.paused("", "~", limit) }

func (tx *Tx) paused(after, before string, limit int) (list []Paused, err error) {
	err = tx.each(func(r *row) error {
		account, name, _ := strings.Cut(r.text(), "/")
		list = append(list, Paused{Account: account, Identifier: name, Since: r.moment(), Reason: r.text()})
		return nil
	}, `SELECT id, since, reason FROM paused WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3`, after, before, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("paused names: %w", err)
	}
	return list, nil
}

// IsPaused reports whether a name is paused for an account.
func (tx *Tx) IsPaused(account, name string) (paused bool, err error) {
	err = tx.each(func(*row) error { paused = true; return nil }, `SELECT id FROM paused WHERE id = $1`, account+"/"+name)
	if err != nil {
		return false, fmt.Errorf("whether %s of account %s is paused: %w", name, account, err)
	}
	return paused, nil
}

// Unpause lets an account order a name again; ErrConflict if it was not paused.
func (tx *Tx) Unpause(account, name string) error {
	if err := tx.swap(`DELETE FROM paused WHERE id = $1`, account+"/"+name); err != nil {
		return fmt.Errorf("unpausing %s of account %s: %w", name, account, err)
	}
	return nil
}

// UnpauseSome unpauses at most limit names of an account and empties what led to it, so that
// it has all its tries again. It returns how many names those were.
func (tx *Tx) UnpauseSome(account string, limit int) (int, error) {
	list, err := tx.PausedOf(account, "", limit)
	if err != nil {
		return 0, err
	}
	for _, p := range list {
		if err := tx.UnpauseOne(p); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

// UnpauseOne unpauses one name and empties what led to it.
func (tx *Tx) UnpauseOne(p Paused) error {
	if err := tx.Unpause(p.Account, p.Identifier); err != nil {
		return err
	}
	for _, limit := range []rules.LimitName{rules.ConsecutiveFailures, rules.FailedAuthorizations} {
		if err := tx.ResetBucket(rules.Bucket{Limit: limit, Subject: p.Account + "/" + p.Identifier}); err != nil {
			return err
		}
	}
	return nil
}
