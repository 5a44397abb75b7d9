package store

import (
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// Attempt is what one validation of an authorization saw. It is for the operator.
type Attempt struct {
	Authz    string
	At       time.Time
	Method   acme.ChallengeType
	OK       bool          // control was proven
	Problem  *acme.Problem // what the client was told; nil where OK
	Evidence Packed        // JSON
}

const attemptColumns = `authz, at, method, ok, problem, evidence`

func readAttempt(r *row) (a Attempt) {
	a.Authz, a.At, a.Method, a.OK = r.text(), r.moment(), acme.ChallengeType(r.text()), r.flag()
	r.json(&a.Problem)
	a.Evidence = r.blob()
	return a
}

// InsertAttempt stores an attempt.
func (tx *Tx) InsertAttempt(a Attempt) error {
	if err := tx.insert(`INSERT INTO attempts (id, `+attemptColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		rules.NewID(a.At), a.Authz, millis(a.At), string(a.Method), flag(a.OK), problemText(a.Problem), []byte(a.Evidence)); err != nil {
		return fmt.Errorf("attempt to validate authorization %s: %w", a.Authz, err)
	}
	return nil
}

// Attempts lists the attempts to validate an authorization, oldest first.
func (tx *Tx) Attempts(authz string) ([]Attempt, error) {
	return tx.attempts(`SELECT `+attemptColumns+` FROM attempts WHERE authz = $1 ORDER BY id`, authz)
}

// AttemptsFor lists the newest attempts to validate a name, without a wildcard label, for whatever account, the newest first.
func (tx *Tx) AttemptsFor(name string, limit int) ([]Attempt, error) {
	return tx.attempts(`SELECT a.authz, a.at, a.method, a.ok, a.problem, a.evidence FROM attempts a
		JOIN authzs ON authzs.id = a.authz WHERE authzs.value = $1 ORDER BY a.at DESC LIMIT $2`, name, int64(limit))
}

func (tx *Tx) attempts(query string, args ...any) (attempts []Attempt, err error) {
	if err := tx.each(func(r *row) error { attempts = append(attempts, readAttempt(r)); return nil }, query, args...); err != nil {
		return nil, fmt.Errorf("attempts to validate: %w", err)
	}
	return attempts, nil
}

// DeleteAttempts deletes at most limit attempts from before a moment, the oldest ones, and says how many it were.
func (tx *Tx) DeleteAttempts(before time.Time, limit int) (int64, error) {
	n, err := tx.exec(`DELETE FROM attempts WHERE (authz, id) IN
		(SELECT authz, id FROM attempts WHERE at < $1 ORDER BY at LIMIT $2)`, millis(before), int64(limit))
	if err != nil {
		return 0, fmt.Errorf("deleting old attempts to validate: %w", err)
	}
	return n, nil
}
