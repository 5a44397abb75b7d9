package work

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// maxCAARetries is how often, at most, a look for CAA that failed for now is repeated before an order fails for it. It is
// no more often than the authorization has its validations repeated; and where slow servers
// use up the time of the work it is less often, since the order must come to an end.
const maxCAARetries = 2

// caaParallel bounds how many names of one order are asked for at once.
const caaParallel = 8

// recheckCAA asks again for the names of o whose answer about CAA is too old (BR §4.2.2.1). The
// problem is the client's; an error means that it could not be asked.
func (w *Worker) recheckCAA(ctx context.Context, o rules.Order, outdated []rules.Recheck) (*acme.Problem, error) {
	outdated = w.permits.without(o.ID, outdated)
	if len(outdated) == 0 {
		return nil, nil
	}
	var mu sync.Mutex // guards what follows
	var refused []*acme.Problem
	var faults []error
	var all sync.WaitGroup
	tokens := make(chan struct{}, caaParallel)
	for _, r := range outdated {
		tokens <- struct{}{}
		all.Go(func() {
			defer func() { <-tokens }()
			began := time.Now()
			problem, err := w.recheckOne(ctx, r)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				faults = append(faults, err)
			case problem != nil:
				refused = append(refused, problem.About(r.Identifier))
			default:
				w.permits.note(o.ID, r.Identifier, began)
			}
		})
	}
	all.Wait()
	// One refusal is the end of the order, whatever the other names would have come to.
	if err := errors.Join(faults...); err != nil && len(refused) == 0 {
		return nil, fmt.Errorf("asking for CAA again: %w", err)
	}
	return rules.RefusedByCAA(refused), nil
}

// recheckOne asks for one name, and notes when it was permitted, so that the next order need not ask.
func (w *Worker) recheckOne(ctx context.Context, r rules.Recheck) (*acme.Problem, error) {
	a := r.Authz
	if a.Gone() {
		return acme.Problemf(acme.TypeUnauthorized, "it took so long that the authorization is not kept any more: place a new order"), nil
	}
	proof := a.Proof()
	if proof == nil {
		return nil, fmt.Errorf("authorization %s of a finalized order was never proven", a.ID)
	}
	retries := min(a.Retries, maxCAARetries)
	var last *acme.Problem // that may go away
	for try := 0; ; try++ {
		found, err := w.askCAA(ctx, r.Identifier, *proof)
		switch {
		case err != nil && last != nil && w.life.Err() == nil && ctx.Err() != nil:
			return last, nil // the time was over before there was another answer
		case err != nil:
			return nil, err
		}
		if err := w.noteCAA(r, found); err != nil {
			return nil, err
		}
		pause := w.Again << try
		if last = found.Problem; last == nil || !found.Temporary || try == retries || remaining(ctx) <= pause {
			return last, nil
		}
		select {
		case <-ctx.Done(): // by Stop: there was time enough
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// remaining is how much of the time for a piece of work is left. All work has a deadline.
func remaining(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	return time.Until(deadline)
}

// noteCAA saves what a look for CAA found, also if the deadline of the asking has come: the next look need not
// be about what is known.
func (w *Worker) noteCAA(r rules.Recheck, found answer) error {
	a := r.Authz
	evidence, err := found.Evidence.Encode(maxEvidence)
	if err != nil {
		return fmt.Errorf("encoding the evidence of CAA: %w", err)
	}
	seen := store.Attempt{Method: caaMethod, OK: found.Problem == nil, Problem: found.Problem, Evidence: store.Pack(evidence)}
	return w.DB.Update(context.Background(), func(tx *store.Tx) error {
		if err := insertAttempts(tx, a, []store.Attempt{seen}); err != nil || found.Problem != nil || a.Asked() != r.Identifier {
			return err
		}
		now, err := tx.Authz(a.ID)
		if err != nil {
			return err
		}
		checked := now
		checked.CAAChecked = found.asked
		return tx.UpdateAuthz(now, checked)
	})
}
