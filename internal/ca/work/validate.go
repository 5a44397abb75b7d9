package work

import (
	"context"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// validate asks the validator about the attempted challenge of a and records the
// outcome. A crash before the record leaves a lease that lapses; the question is
// then asked again, which does no harm.
func (w *Worker) validate(ctx context.Context, a rules.Authz) error {
	challenge := a.Attempted()
	if challenge == nil || challenge.Status != acme.StatusProcessing {
		return w.settle(ctx, a, nil, attempt{}) // not to be due again
	}
	request, err := w.question(ctx, a, *challenge)
	if err != nil {
		return w.putOffAuthz(a, err)
	}
	result, err := w.Validator.Prove(ctx, request)
	if err != nil {
		if w.life.Err() != nil {
			return err // handed back by Stop
		}
		return w.putOffAuthz(a, fmt.Errorf("validating %s for %s: %w", challenge.Type, a.Identifier.Value, err))
	}
	evidence, err := result.Evidence.Encode(maxEvidence)
	if err != nil {
		return fmt.Errorf("encoding the evidence of %s: %w", a.Identifier.Value, err)
	}
	w.Log.Info("validation finished", "authorization", a.ID, "account", a.Account, "identifier", a.Identifier.Value,
		"method", challenge.Type, "valid", result.Problem == nil, "problem", problemText(result.Problem))
	return w.settle(ctx, a, result.Problem, attempt{method: challenge.Type, evidence: evidence, until: result.Until})
}

// maxEvidence bounds what is kept of one validation. Whoever runs the DNS of a name could fill the disk otherwise.
const maxEvidence = 32 << 10

// attempt is what a validation leaves for the operator.
type attempt struct {
	method   acme.ChallengeType
	evidence []byte    // JSON
	until    time.Time // when the proof ends by its own terms; zero if it does not
}

// settle saves the outcome for a, unless its lease was lost.
func (w *Worker) settle(ctx context.Context, a rules.Authz, problem *acme.Problem, seen attempt) error {
	// The outcome is known: it is saved even if the deadline of the asking has come.
	ctx = context.WithoutCancel(ctx)
	return w.DB.Update(ctx, func(tx *store.Tx) error {
		problem, err := problem, error(nil) // this may run twice
		if problem == nil {
			problem, err = confirm(tx, a)
		}
		if err != nil {
			return err
		}
		if err := tx.UpdateAuthz(a, a.Settle(problem, tx.Now).Until(seen.until)); err != nil {
			return fmt.Errorf("settling authorization %s: %w", a.ID, err)
		}
		if seen.method == "" {
			return nil
		}
		return tx.InsertAttempt(store.Attempt{
			Authz: a.ID, At: tx.Now, Method: seen.method, OK: problem == nil, Evidence: seen.evidence,
		})
	})
}

// putOffAuthz makes a due again after a pause, since cause is no fault of the client's.
func (w *Worker) putOffAuthz(a rules.Authz, cause error) error {
	err := w.DB.Update(context.Background(), func(tx *store.Tx) error {
		later := a
		later.Lease = rules.Lease{Due: tx.Now.Add(w.Pause)}
		if a.StatusAt(tx.Now) != acme.StatusPending {
			later.Lease = rules.Lease{} // expired: nothing can come of it
		}
		return tx.UpdateAuthz(a, later)
	})
	if err != nil {
		return fmt.Errorf("%w; putting it off: %w", cause, err)
	}
	return cause
}

func problemText(p *acme.Problem) string {
	if p == nil {
		return ""
	}
	return p.Error()
}
