package store

import (
	"fmt"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

const orderColumns = `id, account, identifiers, authzs, profile, created, expires,
	csr, csr_digest, serial, error, due, lease_until, lease_by, replaces, not_before, not_after`

func readOrder(r *row) (o rules.Order) {
	o.ID, o.Account = r.text(), r.text()
	r.json(&o.Identifiers)
	r.json(&o.Authzs)
	o.Profile, o.Created, o.Expires = r.text(), r.moment(), r.moment()
	o.CSR, o.CSRDigest, o.Serial = r.blob(), r.blob(), r.text()
	r.json(&o.Error)
	o.Lease = readLease(r)
	o.Replaces = r.text()
	o.Validity = rules.Validity{NotBefore: r.moment(), NotAfter: r.moment()}
	return o
}

func readLease(r *row) rules.Lease {
	return rules.Lease{Due: r.moment(), Until: r.moment(), By: r.text()}
}

func problemText(p *acme.Problem) string {
	if p == nil {
		return ""
	}
	return compact(p)
}

// InsertOrder stores a new order with the authorizations that are new with it.
func (tx *Tx) InsertOrder(o rules.Order, authzs []rules.Authz) error {
	list := make([]write, 0, len(authzs)+1)
	for _, a := range authzs {
		list = append(list, newAuthz(a))
	}
	return tx.insertAll(append(list, newOrder(o)))
}

func newOrder(o rules.Order) write {
	return write{"order " + o.ID, `INSERT INTO orders (` + orderColumns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT DO NOTHING`, []any{
		o.ID, o.Account, compactList(o.Identifiers), compactList(o.Authzs), o.Profile, millis(o.Created), millis(o.Expires),
		o.CSR, o.CSRDigest, o.Serial, problemText(o.Error),
		millis(o.Lease.Due), millis(o.Lease.Until), o.Lease.By, o.Replaces,
		millis(o.Validity.NotBefore), millis(o.Validity.NotAfter),
	}}
}

// Order finds an order by its ID.
func (tx *Tx) Order(id string) (o rules.Order, err error) {
	if err := tx.first(func(r *row) error { o = readOrder(r); return nil },
		`SELECT `+orderColumns+` FROM orders WHERE id = $1`, id); err != nil {
		return rules.Order{}, fmt.Errorf("order %s: %w", id, err)
	}
	return o, nil
}

// UpdateOrder saves what has come to an order since it was before: its facts and
// its lease. ErrConflict: somebody has taken up, put off or ended the work on it since. The CSR and the serial are compared
// as well, since an order that has ended has no lease, as had the one that was placed.
func (tx *Tx) UpdateOrder(before, after rules.Order) error {
	if err := tx.swap(`UPDATE orders SET csr = $1, csr_digest = $2, serial = $3, error = $4, due = $5, lease_until = $6, lease_by = $7
		WHERE id = $8 AND due = $9 AND lease_until = $10 AND lease_by = $11 AND csr_digest = $12 AND serial = $13`,
		after.CSR, after.CSRDigest, after.Serial, problemText(after.Error),
		millis(after.Lease.Due), millis(after.Lease.Until), after.Lease.By,
		before.ID, millis(before.Lease.Due), millis(before.Lease.Until), before.Lease.By, before.CSRDigest, before.Serial); err != nil {
		return fmt.Errorf("order %s: %w", before.ID, err)
	}
	return nil
}

// OrdersOf lists at most limit orders of an account, newest first, that are older
// than the order after; "" begins with the newest. Orders that are made while
// somebody pages come before the first page, so that no page repeats or leaves out one.
func (tx *Tx) OrdersOf(account, after string, limit int) ([]rules.Order, error) {
	if after == "" {
		after = "~" // after every ID in ASCII
	}
	orders, err := tx.orders(`SELECT `+orderColumns+` FROM orders WHERE account = $1 AND id < $2 ORDER BY id DESC LIMIT $3`,
		account, after, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("orders of account %s: %w", account, err)
	}
	return orders, nil
}

// LapsedOrders lists at most limit orders with work that is due and that nobody
// has a lease on at tx.Now, those that have waited longest first.
func (tx *Tx) LapsedOrders(limit int) ([]rules.Order, error) {
	orders, err := tx.orders(`SELECT `+orderColumns+` FROM orders
		WHERE due > 0 AND due <= $1 AND lease_until <= $1 ORDER BY due LIMIT $2`, millis(tx.Now), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("orders with lapsed leases: %w", err)
	}
	return orders, nil
}

// LeasedOrders lists the orders that somebody has or had a lease on, lapsed ones included.
func (tx *Tx) LeasedOrders() ([]rules.Order, error) {
	orders, err := tx.orders(`SELECT ` + orderColumns + ` FROM orders WHERE due > 0 AND lease_until > 0 ORDER BY due`)
	if err != nil {
		return nil, fmt.Errorf("leased orders: %w", err)
	}
	return orders, nil
}

func (tx *Tx) orders(query string, args ...any) (orders []rules.Order, err error) {
	err = tx.each(func(r *row) error { orders = append(orders, readOrder(r)); return nil }, query, args...)
	return orders, err
}
