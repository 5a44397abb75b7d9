package store

import (
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

const orderColumns = "id, account, identifiers, authzs, profile, created, expires, csr, csr_digest, serial, error, due, lease_until, lease_by"

// InsertOrder adds an order with the authorizations that were made for it.
func (tx *Tx) InsertOrder(o rules.Order, authzs []rules.Authz) error {
	for _, a := range authzs {
		if err := tx.insertAuthz(a); err != nil {
			return fmt.Errorf("storing an authorization: %w", err)
		}
	}
	identifiers, err := encode(o.Identifiers, false)
	if err != nil {
		return err
	}
	ids, err := encode(o.Authzs, false)
	if err != nil {
		return err
	}
	problem, err := encode(o.Error, o.Error == nil)
	if err != nil {
		return err
	}
	return tx.insert("INSERT INTO orders ("+orderColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
		o.ID, o.Account, identifiers, ids, o.Profile, millis(o.Created), millis(o.Expires), o.CSR, o.CSRDigest, o.Serial, problem,
		millis(o.Lease.Due), millis(o.Lease.Until), o.Lease.By)
}

// Order finds an order by its ID.
func (tx *Tx) Order(id string) (o rules.Order, err error) {
	err = tx.row(scanOrder(&o), "SELECT "+orderColumns+" FROM orders WHERE id = $1", id)
	return o, err
}

// UpdateOrder changes before to after; ErrConflict if somebody else has taken or
// ended the work on it since. What an order is for never changes.
func (tx *Tx) UpdateOrder(before, after rules.Order) error {
	problem, err := encode(after.Error, after.Error == nil)
	if err != nil {
		return err
	}
	return tx.swap("UPDATE orders SET csr = $1, csr_digest = $2, serial = $3, error = $4, due = $5, lease_until = $6, lease_by = $7"+
		" WHERE id = $8 AND lease_until = $9 AND lease_by = $10",
		after.CSR, after.CSRDigest, after.Serial, problem, millis(after.Lease.Due), millis(after.Lease.Until), after.Lease.By,
		before.ID, millis(before.Lease.Until), before.Lease.By)
}

// OrdersOf lists at most limit orders of an account that are older than the order
// before ("" for the newest), the newest first.
func (tx *Tx) OrdersOf(account, before string, limit int) (list []rules.Order, err error) {
	if before == "" {
		before = "~" // above every ID
	}
	err = tx.rows(func(row scanner) error {
		list = append(list, rules.Order{})
		return scanOrder(&list[len(list)-1])(row)
	}, "SELECT "+orderColumns+" FROM orders WHERE account = $1 AND id < $2 ORDER BY id DESC LIMIT $3", account, before, limit)
	return list, err
}

// LapsedOrders lists at most limit orders with work that is due and nobody's, the oldest first.
func (tx *Tx) LapsedOrders(limit int) ([]rules.Order, error) {
	return tx.dueOrders("SELECT "+orderColumns+" FROM orders WHERE due > 0 AND due <= $1 AND lease_until <= $1 ORDER BY due LIMIT $2", millis(tx.Now), limit)
}

// LeasedOrders lists all orders with work that somebody has a lease on.
func (tx *Tx) LeasedOrders() ([]rules.Order, error) {
	return tx.dueOrders("SELECT " + orderColumns + " FROM orders WHERE due > 0 AND lease_until > 0 ORDER BY due")
}

func (tx *Tx) dueOrders(query string, args ...any) (list []rules.Order, err error) {
	err = tx.rows(func(row scanner) error {
		list = append(list, rules.Order{})
		return scanOrder(&list[len(list)-1])(row)
	}, query, args...)
	return list, err
}

// scanOrder reads a row of orderColumns into o.
func scanOrder(o *rules.Order) func(scanner) error {
	return func(row scanner) error {
		var identifiers, authzs, problem string
		var created, expires, due, until int64
		if err := row.Scan(&o.ID, &o.Account, &identifiers, &authzs, &o.Profile, &created, &expires,
			&o.CSR, &o.CSRDigest, &o.Serial, &problem, &due, &until, &o.Lease.By); err != nil {
			return err
		}
		o.Created, o.Expires = fromMillis(created), fromMillis(expires)
		o.Lease.Due, o.Lease.Until = fromMillis(due), fromMillis(until)
		if err := errors.Join(decode(identifiers, &o.Identifiers), decode(authzs, &o.Authzs), decode(problem, &o.Error)); err != nil {
			return fmt.Errorf("order %s: %w", o.ID, err)
		}
		return nil
	}
}
