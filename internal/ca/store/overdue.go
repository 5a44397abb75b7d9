package store

import (
	"fmt"
	"time"
)

// OverdueAuthz is for how long the authorization that has been due the longest has been due, whoever works on it. It
// is 0 if there is none.
func (tx *Tx) OverdueAuthz() (time.Duration, error) {
	return tx.overdue(`SELECT due FROM authzs WHERE due > 0 AND due <= $1 ORDER BY due LIMIT 1`)
}

// OverdueOrder is OverdueAuthz for orders.
func (tx *Tx) OverdueOrder() (time.Duration, error) {
	return tx.overdue(`SELECT due FROM orders WHERE due > 0 AND due <= $1 ORDER BY due LIMIT 1`)
}

func (tx *Tx) overdue(query string) (age time.Duration, err error) {
	err = tx.each(func(r *row) error { age = tx.Now.Sub(r.moment()); return nil }, query, millis(tx.Now))
	if err != nil {
		return 0, fmt.Errorf("finding the oldest work: %w", err)
	}
	return age, nil
}
