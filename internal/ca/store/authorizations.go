package store

import (
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

const authzColumns = "id, account, type, value, wildcard, status, expires, valid_for, challenges, due, lease_until, lease_by"

func (tx *Tx) insertAuthz(a rules.Authz) error {
	challenges, err := encode(a.Challenges, false)
	if err != nil {
		return err
	}
	return tx.insert("INSERT INTO authzs ("+authzColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
		a.ID, a.Account, string(a.Identifier.Type), a.Identifier.Value, truth(a.Wildcard), string(a.Status), millis(a.Expires),
		a.ValidFor.Milliseconds(), challenges, millis(a.Lease.Due), millis(a.Lease.Until), a.Lease.By)
}

// Authz finds an authorization by its ID.
func (tx *Tx) Authz(id string) (a rules.Authz, err error) {
	err = tx.row(scanAuthz(&a), "SELECT "+authzColumns+" FROM authzs WHERE id = $1", id)
	return a, err
}

// Authzs finds several authorizations, in the order of ids.
func (tx *Tx) Authzs(ids []string) ([]rules.Authz, error) {
	list := make([]rules.Authz, 0, len(ids))
	for _, id := range ids {
		a, err := tx.Authz(id)
		if err != nil {
			return nil, fmt.Errorf("finding authorization %s: %w", id, err)
		}
		list = append(list, a)
	}
	return list, nil
}

// UpdateAuthz changes before to after; ErrConflict if its status or the work on it
// has changed since. Whom it is for never changes.
func (tx *Tx) UpdateAuthz(before, after rules.Authz) error {
	challenges, err := encode(after.Challenges, false)
	if err != nil {
		return err
	}
	return tx.swap("UPDATE authzs SET status = $1, expires = $2, challenges = $3, due = $4, lease_until = $5, lease_by = $6"+
		" WHERE id = $7 AND status = $8 AND lease_until = $9 AND lease_by = $10",
		string(after.Status), millis(after.Expires), challenges, millis(after.Lease.Due), millis(after.Lease.Until), after.Lease.By,
		before.ID, string(before.Status), millis(before.Lease.Until), before.Lease.By)
}

// LapsedAuthzs lists at most limit authorizations with work that is due and nobody's, the oldest first.
func (tx *Tx) LapsedAuthzs(limit int) ([]rules.Authz, error) {
	return tx.dueAuthzs("SELECT "+authzColumns+" FROM authzs WHERE due > 0 AND due <= $1 AND lease_until <= $1 ORDER BY due LIMIT $2", millis(tx.Now), limit)
}

// LeasedAuthzs lists all authorizations with work that somebody has a lease on.
func (tx *Tx) LeasedAuthzs() ([]rules.Authz, error) {
	return tx.dueAuthzs("SELECT " + authzColumns + " FROM authzs WHERE due > 0 AND lease_until > 0 ORDER BY due")
}

func (tx *Tx) dueAuthzs(query string, args ...any) (list []rules.Authz, err error) {
	err = tx.rows(func(row scanner) error {
		list = append(list, rules.Authz{})
		return scanAuthz(&list[len(list)-1])(row)
	}, query, args...)
	return list, err
}

// scanAuthz reads a row of authzColumns into a.
func scanAuthz(a *rules.Authz) func(scanner) error {
	return func(row scanner) error {
		var challenges string
		var wildcard, expires, validFor, due, until int64
		if err := row.Scan(&a.ID, &a.Account, &a.Identifier.Type, &a.Identifier.Value, &wildcard, &a.Status, &expires,
			&validFor, &challenges, &due, &until, &a.Lease.By); err != nil {
			return err
		}
		a.Wildcard, a.Expires, a.ValidFor = wildcard != 0, fromMillis(expires), time.Duration(validFor)*time.Millisecond
		a.Lease.Due, a.Lease.Until = fromMillis(due), fromMillis(until)
		if err := decode(challenges, &a.Challenges); err != nil {
			return fmt.Errorf("authorization %s: %w", a.ID, err)
		}
		return nil
	}
}

// truth is how the database keeps a boolean.
func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
