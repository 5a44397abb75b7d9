package store

import (
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// Replacement finds the order that a certificate was last to be replaced by, with its authorizations. Of one that
// is not kept any more it is known which certificate it led to, if it did.
func (tx *Tx) Replacement(serial string) (o rules.OpenOrder, err error) {
	var id string
	if err := tx.first(func(r *row) error { id = r.text(); return nil },
		`SELECT order_id FROM replacements WHERE serial = $1`, serial); err != nil {
		return o, fmt.Errorf("replacement of certificate %s: %w", serial, err)
	}
	if o.Order, err = tx.Order(id); errors.Is(err, ErrNotFound) {
		o.Order.ID = id
		switch c, err := tx.CertificateOf(id); {
		case err == nil && c.State == rules.Issued:
			o.Order.Serial = c.Serial
		case err != nil && !errors.Is(err, ErrNotFound):
			return o, fmt.Errorf("replacement of certificate %s: %w", serial, err)
		}
		return o, nil
	} else if err != nil {
		return o, fmt.Errorf("replacement of certificate %s: %w", serial, err)
	}
	o.Authzs, err = tx.Authzs(o.Order.Authzs)
	return o, err
}

// Replace notes that a certificate is to be replaced by another order than before, whose ID
// is "" if there was none. ErrExists, ErrConflict: somebody else has noted another meanwhile.
func (tx *Tx) Replace(serial, before, order string) error {
	var err error
	if before == "" {
		err = tx.insert(`INSERT INTO replacements (serial, order_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, serial, order)
	} else {
		err = tx.swap(`UPDATE replacements SET order_id = $1 WHERE serial = $2 AND order_id = $3`, order, serial, before)
	}
	if err != nil {
		return fmt.Errorf("replacing certificate %s: %w", serial, err)
	}
	return nil
}

// Renewal finds when an operator wants a certificate renewed; nil if that was not said.
func (tx *Tx) Renewal(serial string) (*rules.Renewal, error) {
	var found rules.Renewal
	err := tx.first(func(r *row) error {
		found = rules.Renewal{Start: r.moment(), End: r.moment(), Explanation: r.text()}
		return nil
	}, `SELECT begins, ends, explanation FROM renewal_windows WHERE serial = $1`, serial)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("renewal of certificate %s: %w", serial, err)
	}
	return &found, nil
}

// SetRenewal notes when a certificate is to be renewed; nil leaves it to its age again.
func (tx *Tx) SetRenewal(serial string, renewal *rules.Renewal) error {
	var err error
	if renewal == nil {
		_, err = tx.exec(`DELETE FROM renewal_windows WHERE serial = $1`, serial)
	} else {
		_, err = tx.exec(`INSERT INTO renewal_windows (serial, begins, ends, explanation) VALUES ($1, $2, $3, $4)
			ON CONFLICT (serial) DO UPDATE SET begins = $2, ends = $3, explanation = $4`,
			serial, millis(renewal.Start), millis(renewal.End), renewal.Explanation)
	}
	if err != nil {
		return fmt.Errorf("noting the renewal of certificate %s: %w", serial, err)
	}
	return nil
}
