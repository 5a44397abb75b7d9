package store

import (
	"fmt"
	"slices"
	"strings"
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

// Attempts lists at most limit attempts to validate an authorization, the newest first.
func (tx *Tx) Attempts(authz string, limit int) ([]Attempt, error) {
	return tx.attempts(`SELECT `+attemptColumns+` FROM attempts WHERE authz = $1 ORDER BY id DESC LIMIT $2`, authz, int64(limit))
}

// How many authorizations for a name AttemptsFor finds, and looks at. Most have an attempt.
const (
	maxFound  = 100_000
	maxLooked = 1000
)

// AttemptsFor lists at most limit attempts to validate a name, without a wildcard label, for whatever account: those of
// the newest authorizations for it, the newest first. Of very many authorizations it leaves some out.
func (tx *Tx) AttemptsFor(name string, limit int) (attempts []Attempt, err error) {
	var authzs []string
	if err := tx.each(func(r *row) error { authzs = append(authzs, r.text()); return nil },
		`SELECT id FROM authzs WHERE value = $1 LIMIT $2`, name, int64(maxFound)); err != nil {
		return nil, fmt.Errorf("authorizations for %s: %w", name, err)
	}
	slices.SortFunc(authzs, func(a, b string) int { return strings.Compare(b, a) }) // the newest first
	authzs = authzs[:min(len(authzs), maxLooked)]
	for _, authz := range authzs {
		if len(attempts) >= limit {
			break
		}
		more, err := tx.Attempts(authz, limit)
		if err != nil {
			return nil, err
		}
		attempts = append(attempts, more...)
	}
	slices.SortStableFunc(attempts, func(a, b Attempt) int { return b.At.Compare(a.At) })
	return attempts[:min(len(attempts), limit)], nil
}

func (tx *Tx) attempts(query string, args ...any) (attempts []Attempt, err error) {
	if err := tx.each(func(r *row) error { attempts = append(attempts, readAttempt(r)); return nil }, query, args...); err != nil {
		return nil, fmt.Errorf("attempts to validate: %w", err)
	}
	return attempts, nil
}

// AttemptKey names an attempt.
type AttemptKey struct{ Authz, ID string }

// OldAttempts lists at most limit attempts from before a moment, the oldest ones.
func (tx *Tx) OldAttempts(before time.Time, limit int) (old []AttemptKey, err error) {
	err = tx.each(func(r *row) error { old = append(old, AttemptKey{r.text(), r.text()}); return nil },
		`SELECT authz, id FROM attempts WHERE at < $1 ORDER BY at LIMIT $2`, millis(before), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("old attempts to validate: %w", err)
	}
	return old, nil
}

// DeleteAttempt forgets an attempt.
func (tx *Tx) DeleteAttempt(k AttemptKey) error {
	if _, err := tx.exec(`DELETE FROM attempts WHERE id = $1 AND authz = $2`, k.ID, k.Authz); err != nil {
		return fmt.Errorf("deleting an attempt to validate authorization %s: %w", k.Authz, err)
	}
	return nil
}
