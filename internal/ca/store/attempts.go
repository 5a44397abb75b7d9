package store

import (
	"errors"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Attempt is one validation, for the operator: its evidence may hold what a page
// inside the operator's network said.
type Attempt struct {
	Authz    string
	At       time.Time
	Method   acme.ChallengeType
	OK       bool
	Evidence []byte // JSON
}

// InsertAttempt adds an attempt.
func (tx *Tx) InsertAttempt(a Attempt) error {
	return tx.insert("INSERT INTO attempts (authz, at, method, ok, evidence) VALUES ($1, $2, $3, $4, $5)",
		a.Authz, millis(a.At), string(a.Method), truth(a.OK), a.Evidence)
}

// Attempts lists the attempts at an authorization, the oldest first.
func (tx *Tx) Attempts(authz string) (list []Attempt, err error) {
	err = tx.rows(func(row scanner) error {
		a := Attempt{Authz: authz}
		var at, ok int64
		if err := row.Scan(&at, &a.Method, &ok, &a.Evidence); err != nil {
			return err
		}
		a.At, a.OK = fromMillis(at), ok != 0
		list = append(list, a)
		return nil
	}, "SELECT at, method, ok, evidence FROM attempts WHERE authz = $1 ORDER BY at", authz)
	return list, err
}

// BlockKey refuses a key from now on, given as the SHA-256 of its SubjectPublicKeyInfo (BR §6.1.1.3 (4)).
func (tx *Tx) BlockKey(spki []byte) error {
	err := tx.insert("INSERT INTO blocked_keys (spki, blocked) VALUES ($1, $2)", spki, millis(tx.Now))
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// KeyBlocked reports whether BlockKey was called for a key.
func (tx *Tx) KeyBlocked(spki []byte) (bool, error) {
	var n int64
	err := tx.row(func(row scanner) error { return row.Scan(&n) }, "SELECT blocked FROM blocked_keys WHERE spki = $1", spki)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
