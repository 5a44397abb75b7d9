package work

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// validate asks the validator about the attempted challenge of a and records the
// outcome. A crash before the record leaves a lease that lapses; the question is
// then asked again, which does no harm.
func (w *Worker) validate(ctx context.Context, a rules.Authz) (rules.Authz, error) {
	challenge := a.Attempted()
	if challenge == nil || challenge.Status != acme.StatusProcessing {
		return w.settle(ctx, a, finding{}) // not to be due again
	}
	proof, caa, err := w.look(ctx, a, *challenge)
	if err != nil {
		if w.life.Err() != nil {
			return a, err // handed back by Stop
		}
		return a, w.putOffAuthz(a, fmt.Errorf("validating %s for %s: %w", challenge.Type, a.Identifier.Value, err))
	}
	outcome := outcomeOf(proof, caa)
	outcome.Again = w.Again << min(a.Tries, 8)
	seen, err := attempts(*challenge, proof, caa)
	if err != nil {
		return a, fmt.Errorf("encoding the evidence of %s: %w", a.Identifier.Value, err)
	}
	w.Log.Info("validation finished", "authorization", a.ID, "account", a.Account, "identifier", a.Identifier.Value,
		"method", challenge.Type, "valid", outcome.Problem == nil, "temporary", outcome.Temporary, "problem", problemText(outcome.Problem))
	return w.settle(ctx, a, finding{outcome, proof.Possessed, seen})
}

// caaMethod is what the evidence of a look for CAA is filed under.
const caaMethod = "caa"

// answer is what a validator said, and when it was asked.
type answer struct {
	validate.Result
	asked time.Time
}

// look proves control and asks for CAA, side by side. caa is nil where it is not asked for.
func (w *Worker) look(ctx context.Context, a rules.Authz, challenge rules.Challenge) (proof answer, caa *answer, err error) {
	type said struct {
		answer
		err error
	}
	request, err := w.question(ctx, a, challenge)
	if err != nil {
		return proof, nil, err
	}
	asked := make(chan said, 1)
	beside := challenge.Type == acme.ProofOfPossession01 && challenge.Within == 0 // another proof, which has CAA asked for
	applies := w.Config.CAA.AppliesTo(a.Identifier) && !beside
	if applies {
		go func() {
			found, err := w.askCAA(ctx, a.Asked(), challenge)
			asked <- said{found, err}
		}()
	}
	proof.asked = time.Now()
	proof.Result, err = w.Validator.Prove(ctx, request)
	if !applies {
		return proof, nil, err
	}
	found := <-asked
	return proof, &found.answer, errors.Join(err, found.err)
}

// askCAA asks whether CAA permits a certificate for id, control of which is proven by a challenge (RFC 8659).
func (w *Worker) askCAA(ctx context.Context, id acme.Identifier, proof rules.Challenge) (answer, error) {
	found := answer{asked: time.Now()}
	base, wildcard := id.Base()
	var err error
	found.Result, err = w.Validator.CAA(ctx, validate.CAARequest{
		Identifier: base, Wildcard: wildcard, Method: proof.Type,
		AccountURL: proof.AccountURL, Issuers: w.Config.CAA.Identities,
	})
	if err != nil {
		err = fmt.Errorf("asking for CAA: %w", err)
	}
	return found, err
}

// outcomeOf joins what was found. What is final goes before what may go away.
func outcomeOf(proof answer, caa *answer) rules.Outcome {
	if caa == nil {
		return rules.Outcome{Problem: proof.Problem, Temporary: proof.Temporary, Until: proof.Until}
	}
	switch {
	case proof.Problem == nil && caa.Problem == nil:
		return rules.Outcome{CAAChecked: caa.asked, Until: proof.Until}
	case proof.Problem == nil, proof.Temporary && caa.Problem != nil && !caa.Temporary:
		return rules.Outcome{Problem: caa.Problem, Temporary: caa.Temporary}
	default:
		return rules.Outcome{Problem: proof.Problem, Temporary: proof.Temporary}
	}
}

// maxEvidence bounds what is kept of one validation, in octets before compression. Whoever
// runs the DNS of a name could fill the disk otherwise.
const maxEvidence = 32 << 10

// attempts is what a validation leaves for the operator.
func attempts(challenge rules.Challenge, proof answer, caa *answer) ([]store.Attempt, error) {
	answers := map[acme.ChallengeType]answer{challenge.Type: proof}
	if caa != nil {
		answers[caaMethod] = *caa
	}
	var list []store.Attempt
	for method, found := range answers {
		evidence, err := found.Evidence.Encode(maxEvidence)
		if err != nil {
			return nil, err
		}
		list = append(list, store.Attempt{
			Method: method, OK: found.Problem == nil, Problem: found.Problem, Evidence: store.Pack(evidence),
		})
	}
	return list, nil
}

// finding is all that a validation leads to.
type finding struct {
	rules.Outcome
	possessed *validate.Possessed // of a proof of possession
	seen      []store.Attempt
}

// settle saves what was found about a, unless its lease was lost, and returns what became of it.
func (w *Worker) settle(ctx context.Context, a rules.Authz, found finding) (after rules.Authz, err error) {
	// The outcome is known: it is saved even if the deadline of the asking has come.
	ctx = context.WithoutCancel(ctx)
	err = w.DB.Update(ctx, func(tx *store.Tx) error {
		outcome, err := found.Outcome, error(nil) // this may run twice
		if outcome.Problem == nil {
			outcome.Problem, err = confirm(tx, a, found.possessed)
		}
		if err != nil {
			return err
		}
		after = a.Settle(outcome, tx.Now)
		if err := tx.UpdateAuthz(a, after); err != nil {
			return fmt.Errorf("settling authorization %s: %w", a.ID, err)
		}
		if err := w.count(tx, a, after); err != nil {
			return fmt.Errorf("counting authorization %s: %w", a.ID, err)
		}
		return insertAttempts(tx, a, found.seen)
	})
	return after, err
}

func insertAttempts(tx *store.Tx, a rules.Authz, seen []store.Attempt) error {
	for _, attempt := range seen {
		attempt.Authz, attempt.At = a.ID, tx.Now
		if err := tx.InsertAttempt(attempt); err != nil {
			return err
		}
	}
	return nil
}

// putOffAuthz makes a due again after a pause, since cause is no fault of the client's.
func (w *Worker) putOffAuthz(a rules.Authz, cause error) error {
	err := w.DB.Update(context.Background(), func(tx *store.Tx) error {
		return tx.UpdateAuthz(a, a.PutOff(w.Pause, tx.Now))
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
