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
	OK       bool // control was proven
	Evidence []byte
}

// InsertAttempt stores an attempt.
func (tx *Tx) InsertAttempt(a Attempt) error {
	if err := tx.insert(`INSERT INTO attempts (authz, id, at, method, ok, evidence) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		a.Authz, rules.NewID(a.At), millis(a.At), string(a.Method), flag(a.OK), a.Evidence); err != nil {
		return fmt.Errorf("attempt to validate authorization %s: %w", a.Authz, err)
	}
	return nil
}

// Attempts lists the attempts to validate an authorization, oldest first.
func (tx *Tx) Attempts(authz string) (attempts []Attempt, err error) {
	err = tx.each(func(r *row) error {
		attempts = append(attempts, Attempt{
			Authz: authz, At: r.moment(), Method: acme.ChallengeType(r.text()), OK: r.flag(), Evidence: r.blob(),
		})
		return nil
	}, `SELECT at, method, ok, evidence FROM attempts WHERE authz = $1 ORDER BY id`, authz)
	if err != nil {
		return nil, fmt.Errorf("attempts to validate authorization %s: %w", authz, err)
	}
	return attempts, nil
}
