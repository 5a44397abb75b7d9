package store

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// What is old is found by its key, which begins with the time when it was made: no index is
// needed to delete it, and what was stored together goes together.

// OldOrders lists at most limit orders with IDs between two others, in order. Only ID, Expires, CSR and
// Lease are set: what decides whether they go.
func (tx *Tx) OldOrders(after, before string, limit int) (orders []rules.Order, err error) {
	err = tx.each(func(r *row) error {
		orders = append(orders, rules.Order{ID: r.text(), Expires: r.moment(), CSR: r.blob(), Lease: readLease(r)})
		return nil
	}, `SELECT id, expires, csr, due, lease_until, lease_by FROM orders WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3`,
		after, before, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("old orders: %w", err)
	}
	return orders, nil
}

// DeleteOrder forgets an order. It stays if there is work on it by now.
func (tx *Tx) DeleteOrder(o rules.Order) error {
	if _, err := tx.exec(`DELETE FROM orders WHERE id = $1 AND due = $2 AND lease_until = $3 AND lease_by = $4`,
		o.ID, millis(o.Lease.Due), millis(o.Lease.Until), o.Lease.By); err != nil {
		return fmt.Errorf("deleting order %s: %w", o.ID, err)
	}
	return nil
}

// OldAuthzs lists at most limit authorizations with IDs between two others, in order. Only ID, Status, Expires
// and Lease are set.
func (tx *Tx) OldAuthzs(after, before string, limit int) (authzs []rules.Authz, err error) {
	err = tx.each(func(r *row) error {
		authzs = append(authzs, rules.Authz{ID: r.text(), Status: acme.Status(r.text()), Expires: r.moment(), Lease: readLease(r)})
		return nil
	}, `SELECT id, status, expires, due, lease_until, lease_by FROM authzs WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3`,
		after, before, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("old authorizations: %w", err)
	}
	return authzs, nil
}

// DeleteAuthz forgets an authorization. It stays if it has changed meanwhile.
func (tx *Tx) DeleteAuthz(a rules.Authz) error {
	if _, err := tx.exec(`DELETE FROM authzs WHERE id = $1 AND status = $2 AND due = $3 AND lease_until = $4 AND lease_by = $5`,
		a.ID, string(a.Status), millis(a.Lease.Due), millis(a.Lease.Until), a.Lease.By); err != nil {
		return fmt.Errorf("deleting authorization %s: %w", a.ID, err)
	}
	return nil
}

// Issuance is which certificate an order led to.
type Issuance struct{ Order, Serial string }

// OldIssuances lists at most limit certificates that are not abandoned, by the IDs of their orders between two others,
// in order.
func (tx *Tx) OldIssuances(after, before string, limit int) (list []Issuance, err error) {
	err = tx.each(func(r *row) error { list = append(list, Issuance{r.text(), r.text()}); return nil },
		`SELECT order_id, serial FROM issuances WHERE order_id > $1 AND order_id < $2 ORDER BY order_id LIMIT $3`,
		after, before, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("old certificates: %w", err)
	}
	return list, nil
}

// RevokedBefore lists at most limit certificates of an issuer that are revoked, as abandoned ones are, and
// ended before a moment, in the order of their ends.
func (tx *Tx) RevokedBefore(issuer string, end time.Time, limit int) ([]rules.Certificate, error) {
	list, err := tx.certificates(`SELECT `+certificateColumns+` FROM certificates
		WHERE issuer = $1 AND revoked > 0 AND not_after < $2 ORDER BY not_after LIMIT $3`, issuer, millis(end), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("old revoked certificates of issuer %s: %w", issuer, err)
	}
	return list, nil
}

// Listed is when the newest list of an issuer was made; zero if there is none.
func (tx *Tx) Listed(issuer string) (at time.Time, err error) {
	err = tx.first(func(r *row) error { at = r.moment(); return nil }, `SELECT this_update FROM crls WHERE issuer = $1`, issuer)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return at, fmt.Errorf("finding the newest CRL of issuer %s: %w", issuer, err)
	}
	return at, nil
}

// Revokers lists the issuers that have revoked something.
func (tx *Tx) Revokers() (issuers []string, err error) {
	err = tx.each(func(r *row) error { issuers = append(issuers, r.text()); return nil },
		`SELECT issuer FROM revisions WHERE issuer > '' ORDER BY issuer`)
	if err != nil {
		return nil, fmt.Errorf("issuers with revocations: %w", err)
	}
	return slices.Compact(issuers), nil
}

// Named reports whether there is any certificate that CertificatesFor finds.
func (tx *Tx) Named() (named bool, err error) {
	err = tx.each(func(*row) error { named = true; return nil },
		`SELECT serial FROM certificate_names WHERE value > '' ORDER BY value LIMIT 1`)
	if err != nil {
		return false, fmt.Errorf("names of certificates: %w", err)
	}
	return named, nil
}

// DeleteCertificate forgets a certificate and what belongs to it: which order it was for, what replaces it, when it was to be
// renewed, and names, those under which NameCertificate may have noted it. It stays if it has changed meanwhile.
func (tx *Tx) DeleteCertificate(c rules.Certificate, names []acme.Identifier) error {
	gone, err := tx.exec(`DELETE FROM certificates WHERE serial = $1 AND state = $2 AND revoked = $3 AND reason = $4`,
		c.Serial, string(c.State), millis(c.Revoked), int64(c.Reason))
	if err == nil && gone > 0 && c.State != rules.Abandoned {
		_, err = tx.exec(`DELETE FROM issuances WHERE order_id = $1 AND serial = $2`, c.Order, c.Serial)
	}
	if err == nil && gone > 0 {
		_, err = tx.exec(`DELETE FROM replacements WHERE serial = $1`, c.Serial)
	}
	if err == nil && gone > 0 {
		_, err = tx.exec(`DELETE FROM renewal_windows WHERE serial = $1`, c.Serial)
	}
	for _, name := range names {
		if err == nil && gone > 0 {
			_, err = tx.exec(`DELETE FROM certificate_names WHERE serial = $1 AND value = $2 AND until = $3`,
				c.Serial, name.Value, millis(c.NotAfter))
		}
	}
	if err != nil {
		return fmt.Errorf("deleting certificate %s: %w", c.Serial, err)
	}
	return nil
}

// Set is a set of identifiers for which there was a certificate, and when that was asked for.
type Set struct {
	ID string
	At time.Time
}

// Sets lists at most limit sets of NoteCertified, in order, after the one with an ID.
func (tx *Tx) Sets(after string, limit int) (sets []Set, err error) {
	err = tx.each(func(r *row) error { sets = append(sets, Set{r.text(), r.moment()}); return nil },
		`SELECT id, at FROM certified_sets WHERE id > $1 ORDER BY id LIMIT $2`, after, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("sets of identifiers: %w", err)
	}
	return sets, nil
}

// DropSet forgets a set, unless it was noted again meanwhile.
func (tx *Tx) DropSet(s Set) error {
	if _, err := tx.exec(`DELETE FROM certified_sets WHERE id = $1 AND at = $2`, s.ID, millis(s.At)); err != nil {
		return fmt.Errorf("set %s: %w", s.ID, err)
	}
	return nil
}
