package store

import (
	"errors"
	"fmt"
	"time"
)

// CRL is the newest list of an issuer's revoked certificates.
type CRL struct {
	Issuer     string
	Number     int64 // rises from list to list (RFC 5280 §5.2.3)
	Revision   int64 // how many changes to the issuer's revocations it has taken in
	ThisUpdate time.Time
	NextUpdate time.Time
	DER        []byte
}

// CRL finds the newest list of an issuer.
func (tx *Tx) CRL(issuer string) (c CRL, err error) {
	err = tx.row(func(row scanner) error {
		var this, next int64
		if err := row.Scan(&c.Issuer, &c.Number, &c.Revision, &this, &next, &c.DER); err != nil {
			return err
		}
		c.ThisUpdate, c.NextUpdate = fromMillis(this), fromMillis(next)
		return nil
	}, "SELECT issuer, number, revision, this_update, next_update, der FROM crls WHERE issuer = $1", issuer)
	return c, err
}

// SaveCRL stores a list in place of the one before; ErrConflict unless its number is the next.
func (tx *Tx) SaveCRL(c CRL) error {
	if c.Number == 1 {
		if err := tx.insert("INSERT INTO crls (issuer, number, revision, this_update, next_update, der) VALUES ($1, $2, $3, $4, $5, $6)",
			c.Issuer, c.Number, c.Revision, millis(c.ThisUpdate), millis(c.NextUpdate), c.DER); errors.Is(err, ErrExists) {
			return fmt.Errorf("there is a first CRL of issuer %s already: %w", c.Issuer, ErrConflict)
		} else {
			return err
		}
	}
	return tx.swap("UPDATE crls SET number = $1, revision = $2, this_update = $3, next_update = $4, der = $5 WHERE issuer = $6 AND number = $7",
		c.Number, c.Revision, millis(c.ThisUpdate), millis(c.NextUpdate), c.DER, c.Issuer, c.Number-1)
}

// Revision counts the changes that an issuer's revocations have seen. A CRL made
// at another count is stale. Unlike a comparison of times, it misses none that
// was committed while a CRL was being made.
func (tx *Tx) Revision(issuer string) (n int64, err error) {
	err = tx.row(func(row scanner) error { return row.Scan(&n) }, "SELECT revision FROM revisions WHERE issuer = $1", issuer)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	return n, err
}
