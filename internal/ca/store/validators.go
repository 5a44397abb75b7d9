package store

import (
	"fmt"
	"time"
)

// Validator is a remote perspective that the authority knows.
type Validator struct {
	Node    string    // its name, unique
	RIR     string    // in whose service region it is; "" is unknown
	Address string    // HOST:PORT at which it is called
	KeyHash []byte    // SHA-256 of its SubjectPublicKeyInfo
	Added   time.Time // when it joined
	Seen    time.Time // when it last answered; zero if it never did
	Version string    // of its program, as it says itself
	Trouble string    // why it does not answer now; "" if it does
}

// InsertValidator adds a perspective. ErrExists: there is one of that name.
func (tx *Tx) InsertValidator(v Validator) error {
	if err := tx.insert(`INSERT INTO validators (node, rir, address, key_hash, added, seen, version, trouble)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
		v.Node, v.RIR, v.Address, v.KeyHash, millis(v.Added), millis(v.Seen), v.Version, v.Trouble); err != nil {
		return fmt.Errorf("validator %s: %w", v.Node, err)
	}
	return nil
}

// Validators lists the perspectives by name, at most limit.
func (tx *Tx) Validators(limit int) (list []Validator, err error) {
	err = tx.each(func(r *row) error {
		list = append(list, Validator{
			Node: r.text(), RIR: r.text(), Address: r.text(), KeyHash: r.blob(),
			Added: r.moment(), Seen: r.moment(), Version: r.text(), Trouble: r.text(),
		})
		return nil
	}, `SELECT node, rir, address, key_hash, added, seen, version, trouble FROM validators ORDER BY node LIMIT $1`, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("listing validators: %w", err)
	}
	return list, nil
}

// NoteValidator saves when v, with the key it was read with, last answered, and what is wrong with it
// now. ErrConflict: it is not there any more, or is another one.
func (tx *Tx) NoteValidator(v Validator) error {
	if err := tx.swap(`UPDATE validators SET seen = $3, version = $4, trouble = $5 WHERE node = $1 AND key_hash = $2`,
		v.Node, v.KeyHash, millis(v.Seen), v.Version, v.Trouble); err != nil {
		return fmt.Errorf("validator %s: %w", v.Node, err)
	}
	return nil
}

// DeleteValidator forgets a perspective. ErrNotFound: there is none of that name.
func (tx *Tx) DeleteValidator(node string) error {
	if err := tx.one(ErrNotFound, `DELETE FROM validators WHERE node = $1`, node); err != nil {
		return fmt.Errorf("validator %s: %w", node, err)
	}
	return nil
}

// RoleToken lets one host become one role. The authority keeps a hash of its secret.
type RoleToken struct {
	ID      string
	Hash    []byte // SHA-256 of the secret
	Role    string
	Node    string // what the host is to be called
	RIR     string // "" leaves it to the host
	Expires time.Time
	UsedBy  []byte // the SHA-256 of the SubjectPublicKeyInfo that it was used for; none if it was not
}

// InsertRoleToken adds a token and forgets those that have expired.
func (tx *Tx) InsertRoleToken(t RoleToken) error {
	var old []string
	err := tx.each(func(r *row) error { old = append(old, r.text()); return nil },
		`SELECT id FROM role_tokens WHERE expires < $1 ORDER BY id LIMIT 1000`, millis(tx.Now))
	for _, id := range old {
		if err == nil {
			_, err = tx.exec(`DELETE FROM role_tokens WHERE id = $1`, id)
		}
	}
	if err == nil {
		err = tx.insert(`INSERT INTO role_tokens (id, hash, role, node, rir, expires, used_by)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
			t.ID, t.Hash, t.Role, t.Node, t.RIR, millis(t.Expires), t.UsedBy)
	}
	if err != nil {
		return fmt.Errorf("token %s: %w", t.ID, err)
	}
	return nil
}

// RoleToken finds a token.
func (tx *Tx) RoleToken(id string) (t RoleToken, err error) {
	err = tx.first(func(r *row) error {
		t = RoleToken{
			ID: r.text(), Hash: r.blob(), Role: r.text(), Node: r.text(), RIR: r.text(), Expires: r.moment(), UsedBy: r.blob(),
		}
		return nil
	}, `SELECT id, hash, role, node, rir, expires, used_by FROM role_tokens WHERE id = $1`, id)
	if err != nil {
		return RoleToken{}, fmt.Errorf("token %s: %w", id, err)
	}
	return t, nil
}

// UseRoleToken saves for whom a token was used. ErrConflict: it was used for another.
func (tx *Tx) UseRoleToken(id string, keyHash []byte) error {
	if err := tx.swap(`UPDATE role_tokens SET used_by = $2 WHERE id = $1 AND used_by = $3`, id, keyHash, []byte{}); err != nil {
		return fmt.Errorf("token %s: %w", id, err)
	}
	return nil
}
