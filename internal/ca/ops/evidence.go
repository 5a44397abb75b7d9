package ops

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// EvidenceQuery asks what validations saw: of the authorization or the order with an ID, or the newest ones of a name.
type EvidenceQuery struct {
	Of    string `json:"of"` // an ID, or a domain name or address
	Limit int    `json:"limit"`
}

// Seen is what one validation saw.
type Seen struct {
	Authz    string             `json:"authorization"`
	At       time.Time          `json:"at"`
	Method   acme.ChallengeType `json:"method"` // or "caa"
	Valid    bool               `json:"valid"`
	Problem  *acme.Problem      `json:"problem,omitempty"` // what the client was told
	Evidence json.RawMessage    `json:"evidence,omitempty"`
}

// maxSeen bounds how many validations are shown at once: each has up to 32 KiB.
const maxSeen = 100

// Evidence lists what validations saw, the newest first.
var Evidence = Action[EvidenceQuery, []Seen]{Name: "evidence", Do: evidence}

func evidence(ctx context.Context, env Env, q EvidenceQuery) ([]Seen, error) {
	if q.Limit < 1 || q.Limit > maxSeen {
		return nil, rpc.Refuse("the limit is from 1 to %d", maxSeen)
	}
	var attempts []store.Attempt
	err := env.DB.View(ctx, func(tx *store.Tx) (err error) {
		attempts, err = attemptsOf(tx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	list := []Seen{}
	for _, a := range attempts {
		text, err := a.Evidence.Unpack()
		if err != nil {
			return nil, err
		}
		list = append(list, Seen{Authz: a.Authz, At: a.At, Method: a.Method, Valid: a.OK, Problem: a.Problem, Evidence: text})
	}
	return list, nil
}

// attemptsOf finds the attempts that q is about, the newest first. Evidence is found by its authorization, also when the
// order or the authorization itself is not kept any more.
func attemptsOf(tx *store.Tx, q EvidenceQuery) ([]store.Attempt, error) {
	ids := []string{q.Of}
	known := false
	switch order, err := tx.Order(q.Of); {
	case err == nil:
		ids, known = order.Authzs, true
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	var list []store.Attempt
	for _, id := range ids {
		attempts, err := tx.Attempts(id, q.Limit)
		if err != nil {
			return nil, err
		}
		list = append(list, attempts...)
		slices.SortStableFunc(list, func(a, b store.Attempt) int { return b.At.Compare(a.At) })
		list = list[:min(len(list), q.Limit)]
	}
	if len(list) > 0 || known {
		return list, nil
	}
	switch _, err := tx.Authz(q.Of); {
	case err == nil:
		return nil, nil // nothing has been validated
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	return attemptsFor(tx, q)
}

func attemptsFor(tx *store.Tx, q EvidenceQuery) ([]store.Attempt, error) {
	id, problem := acme.IdentifierFor(q.Of).Normalize()
	if problem != nil {
		return nil, rpc.Refuse("%q is not the ID of an order or an authorization that is kept, nor a name: the log has the IDs; of older ones, ask for the name", q.Of)
	}
	base, _ := id.Base()
	return tx.AttemptsFor(base.Value, q.Limit)
}
