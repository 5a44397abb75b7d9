package store

import (
	"fmt"
	"time"
)

// CRL is a certificate revocation list as it was published.
type CRL struct {
	Issuer     string // the ID of the issuer
	Number     int64  // RFC 5280 §5.2.3
	ThisUpdate time.Time
	NextUpdate time.Time
	DER        []byte

	// Revision is what Tx.Revision said where the entries of the list were
	// read. Times cannot tell whether a list is stale: a revocation may be saved
	// after a list whose ThisUpdate is later.
	Revision int64
}

// CRL finds the newest list of an issuer.
func (tx *Tx) CRL(issuer string) (c CRL, err error) {
	err = tx.first(func(r *row) error {
		c = CRL{
			Issuer: issuer, Number: r.number(), ThisUpdate: r.moment(), NextUpdate: r.moment(),
			Revision: r.number(), DER: r.blob(),
		}
		return nil
	}, `SELECT number, this_update, next_update, revision, der FROM crls WHERE issuer = $1`, issuer)
	if err != nil {
		return CRL{}, fmt.Errorf("CRL of issuer %s: %w", issuer, err)
	}
	return c, nil
}

// SaveCRL stores the newest list of an issuer in place of the one before.
// ErrConflict: there is one with that number or a higher one.
func (tx *Tx) SaveCRL(c CRL) error {
	if err := tx.swap(`INSERT INTO crls (issuer, number, this_update, next_update, revision, der) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (issuer) DO UPDATE SET number = excluded.number, this_update = excluded.this_update,
		next_update = excluded.next_update, revision = excluded.revision, der = excluded.der WHERE crls.number < excluded.number`,
		c.Issuer, c.Number, millis(c.ThisUpdate), millis(c.NextUpdate), c.Revision, c.DER); err != nil {
		return fmt.Errorf("CRL %d of issuer %s: %w", c.Number, c.Issuer, err)
	}
	return nil
}
