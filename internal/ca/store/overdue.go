package store

import (
	"fmt"
	"time"
)

// OverdueAuthz is for how long an authorization has been waiting that somebody works on it: the one
// that has been due the longest without a lease that holds. It is 0 if there is none.
func (tx *Tx) OverdueAuthz() (time.Duration, error) {
	return tx.overdue(`SELECT due, lease_until FROM authzs WHERE due > 0 AND due <= $1 AND lease_until <= $1 ORDER BY due LIMIT 1`)
}

// OverdueOrder is OverdueAuthz for orders.
func (tx *Tx) OverdueOrder() (time.Duration, error) {
	return tx.overdue(`SELECT due, lease_until FROM orders WHERE due > 0 AND due <= $1 AND lease_until <= $1 ORDER BY due LIMIT 1`)
}

func (tx *Tx) overdue(query string) (age time.Duration, err error) {
	err = tx.each(func(r *row) error {
		due, until := r.number(), r.number()
		age = tx.Now.Sub(moment(max(due, until)))
		return nil
	}, query, millis(tx.Now))
	if err != nil {
		return 0, fmt.Errorf("finding the oldest work: %w", err)
	}
	return age, nil
}
