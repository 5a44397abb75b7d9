package store

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

const authzColumns = `id, account, type, value, wildcard, status, expires, valid_for, challenges, due, lease_until, lease_by,
	subdomains, preauthorized, tries, retries, caa_checked`

func readAuthz(r *row) (a rules.Authz) {
	a.ID, a.Account = r.text(), r.text()
	a.Identifier = acme.Identifier{Type: acme.IdentifierType(r.text()), Value: r.text()}
	a.Wildcard, a.Status, a.Expires = r.flag(), acme.Status(r.text()), r.moment()
	a.ValidFor = time.Duration(r.number()) * time.Millisecond
	r.json(&a.Challenges)
	a.Lease = readLease(r)
	a.Subdomains, a.Preauthorized = r.flag(), r.flag()
	a.Tries, a.Retries = int(r.number()), int(r.number())
	a.CAAChecked = r.moment()
	return a
}

// InsertAuthz stores a new authorization that belongs to no order.
func (tx *Tx) InsertAuthz(a rules.Authz) error { return tx.insertAll([]write{newAuthz(a)}) }

func newAuthz(a rules.Authz) write {
	return write{"authorization " + a.ID, `INSERT INTO authzs (` + authzColumns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT DO NOTHING`, []any{
		a.ID, a.Account, string(a.Identifier.Type), a.Identifier.Value, flag(a.Wildcard), string(a.Status),
		millis(a.Expires), a.ValidFor.Milliseconds(), compactList(a.Challenges),
		millis(a.Lease.Due), millis(a.Lease.Until), a.Lease.By,
		flag(a.Subdomains), flag(a.Preauthorized), int64(a.Tries), int64(a.Retries), millis(a.CAAChecked),
	}}
}

// Authz finds an authorization by its ID.
func (tx *Tx) Authz(id string) (a rules.Authz, err error) {
	if err := tx.first(func(r *row) error { a = readAuthz(r); return nil },
		`SELECT `+authzColumns+` FROM authzs WHERE id = $1`, id); err != nil {
		return rules.Authz{}, fmt.Errorf("authorization %s: %w", id, err)
	}
	return a, nil
}

// Authzs finds the authorizations of an order by their IDs and returns them in the same order. In the
// place of one that is not kept any more there is a rules.GoneAuthz.
func (tx *Tx) Authzs(ids []string) ([]rules.Authz, error) {
	if len(ids) == 1 {
		a, err := tx.Authz(ids[0])
		if errors.Is(err, ErrNotFound) {
			a, err = rules.GoneAuthz(ids[0]), nil
		}
		return []rules.Authz{a}, err
	}
	found := make(map[string]rules.Authz, len(ids))
	for chunk := range slices.Chunk(ids, maxNames) { // one statement for all: each costs a way to the server and back
		list, args := inList(nil, chunk)
		authzs, err := tx.authzs(`SELECT `+authzColumns+` FROM authzs WHERE id IN (`+list+`)`, args...)
		if err != nil {
			return nil, fmt.Errorf("authorizations %s: %w", chunk, err)
		}
		for _, a := range authzs {
			found[a.ID] = a
		}
	}
	authzs := make([]rules.Authz, len(ids))
	for i, id := range ids {
		var ok bool
		if authzs[i], ok = found[id]; !ok {
			authzs[i] = rules.GoneAuthz(id)
		}
	}
	return authzs, nil
}

// inList adds values to args and returns their placeholders. The list is filled up to a power of two with its last
// value, so that there are few different statements.
func inList(args []any, values []string) (string, []any) {
	slots := 1
	for slots < len(values) {
		slots *= 2
	}
	list := make([]string, slots)
	for i := range slots {
		args = append(args, values[min(i, len(values)-1)])
		list[i] = "$" + strconv.Itoa(len(args))
	}
	return strings.Join(list, ", "), args
}

// UpdateAuthz saves what can change of an authorization that was before. ErrConflict: its
// status has changed since, or somebody has taken up, put off or ended the work on it.
func (tx *Tx) UpdateAuthz(before, after rules.Authz) error {
	if err := tx.swap(`UPDATE authzs SET status = $1, expires = $2, challenges = $3, due = $4, lease_until = $5, lease_by = $6,
		tries = $7, caa_checked = $8
		WHERE id = $9 AND status = $10 AND due = $11 AND lease_until = $12 AND lease_by = $13`,
		string(after.Status), millis(after.Expires), compactList(after.Challenges),
		millis(after.Lease.Due), millis(after.Lease.Until), after.Lease.By,
		int64(after.Tries), millis(after.CAAChecked),
		before.ID, string(before.Status), millis(before.Lease.Due), millis(before.Lease.Until), before.Lease.By); err != nil {
		return fmt.Errorf("authorization %s: %w", before.ID, err)
	}
	return nil
}

// LapsedAuthzs lists at most limit authorizations with work that is due and that
// nobody has a lease on at tx.Now, those that have waited longest first.
func (tx *Tx) LapsedAuthzs(limit int) ([]rules.Authz, error) {
	authzs, err := tx.authzs(`SELECT `+authzColumns+` FROM authzs
		WHERE due > 0 AND due <= $1 AND lease_until <= $1 ORDER BY due LIMIT $2`, millis(tx.Now), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("authorizations with lapsed leases: %w", err)
	}
	return authzs, nil
}

// LeasedAuthzs lists the authorizations that somebody has or had a lease on, lapsed ones included.
func (tx *Tx) LeasedAuthzs() ([]rules.Authz, error) {
	authzs, err := tx.authzs(`SELECT ` + authzColumns + ` FROM authzs WHERE due > 0 AND lease_until > 0 ORDER BY due`)
	if err != nil {
		return nil, fmt.Errorf("leased authorizations: %w", err)
	}
	return authzs, nil
}

func (tx *Tx) authzs(query string, args ...any) (authzs []rules.Authz, err error) {
	err = tx.each(func(r *row) error { authzs = append(authzs, readAuthz(r)); return nil }, query, args...)
	return authzs, err
}

// Standing lists at most limit authorizations of an account that are valid at tx.Now and were
// asked for in order to serve several orders: beforehand (RFC 8555 §7.4.1), or for all
// subdomains (RFC 9444). Those that last longest come first.
func (tx *Tx) Standing(account string, limit int) ([]rules.Authz, error) {
	authzs, err := tx.authzs(`SELECT `+authzColumns+` FROM authzs
		WHERE account = $1 AND status = 'valid' AND subdomains + preauthorized > 0 AND expires > $2 ORDER BY expires DESC LIMIT $3`,
		account, millis(tx.Now), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("standing authorizations of account %s: %w", account, err)
	}
	return authzs, nil
}

// Holds reports whether an account has an authorization for id, with or without its
// wildcard label as id has it, that is valid at tx.Now.
func (tx *Tx) Holds(account string, id acme.Identifier) (bool, error) {
	base, wildcard := id.Base()
	authzs, err := tx.authzs(`SELECT `+authzColumns+` FROM authzs
		WHERE account = $1 AND value = $2 AND type = $3 AND wildcard = $4 AND status = 'valid' AND expires > $5 LIMIT 16`,
		account, base.Value, string(base.Type), flag(wildcard), millis(tx.Now))
	if err != nil {
		return false, fmt.Errorf("authorizations of account %s for %s: %w", account, id.Value, err)
	}
	return slices.ContainsFunc(authzs, func(a rules.Authz) bool {
		// The key of an older certificate does not show that the name is still its holder's.
		return a.Proof() == nil || a.Proof().Type != acme.ProofOfPossession01
	}), nil
}

// maxNames is how many names an order has at most, whatever its profile.
const maxNames = 100

// maxHeld bounds how many authorizations ValidAuthzs lists: a few for each name.
const maxHeld = 4 * maxNames

// ValidAuthzs lists authorizations of an account for the names of ids that are valid at tx.Now,
// with and without a wildcard label. Of very many it leaves some out.
func (tx *Tx) ValidAuthzs(account string, ids []acme.Identifier) ([]rules.Authz, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	values := make([]string, len(ids))
	for i, id := range ids {
		base, _ := id.Base()
		values[i] = base.Value
	}
	list, args := inList([]any{account, millis(tx.Now), int64(maxHeld)}, values)
	authzs, err := tx.authzs(`SELECT `+authzColumns+` FROM authzs
		WHERE account = $1 AND status = 'valid' AND expires > $2 AND value IN (`+list+`) LIMIT $3`, args...)
	if err != nil {
		return nil, fmt.Errorf("valid authorizations of account %s: %w", account, err)
	}
	return authzs, nil
}
