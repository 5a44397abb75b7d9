package work

import (
	"context"
	"errors"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// methodTakeUp asks a worker to take something up at once.
const methodTakeUp = "take-up"

// What is taken up.
const (
	kindAuthz = "authorization"
	kindOrder = "order"
)

// What came of it.
const (
	stateDone      = "done"      // it came to an end, or none can be had now
	stateRunning   = "running"   // it was taken up, and takes longer
	stateElsewhere = "elsewhere" // it is not due, or another worker has it
	stateFull      = "full"      // another worker is to be asked
)

type takeUpRequest struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Wait int64  `json:"wait"` // for the end of the work, in milliseconds
}

type takeUpResponse struct {
	State string `json:"state"`
}

const (
	maxTakeUp  = 1 << 10          // octets of a request
	maxPatient = 10 * time.Second // how long a call is held at most
)

// Serve has w take up what fronts ask it to. It is the other side of Remote.
func Serve(s *rpc.Server, w *Worker) {
	rpc.HandleMethod(s, rpc.Method{Name: methodTakeUp, Roles: []string{rpc.RoleFront}, Limit: maxTakeUp}, w.answerTakeUp)
}

// answerTakeUp takes something up and waits a while for its end. Whatever the caller says, only what is
// due and nobody's is worked on; a crash after the lease was taken leaves a lease that lapses.
func (w *Worker) answerTakeUp(ctx context.Context, r takeUpRequest) (takeUpResponse, error) {
	switch r.Kind {
	case kindAuthz:
		return takeUpOne(ctx, w, w.validating, r, taking[rules.Authz, rules.Authz]{w.takeLapsedAuthz, w.Validate})
	case kindOrder:
		return takeUpOne(ctx, w, w.issuing, r, taking[rules.Order, rules.Ended]{w.takeLapsedOrder, func(o rules.Order) <-chan rules.Ended { return w.Issue(o, rules.CSR{}) }})
	}
	return takeUpResponse{}, rpc.Refuse("there is no work on a %.20q", r.Kind)
}

// taking is how a record of type T is taken up, and comes to an outcome of type O.
type taking[T, O any] struct {
	take  func(tx *store.Tx, id string) (T, error) // its lease; store.ErrConflict if it is not due, or somebody's
	start func(T) <-chan O
}

func takeUpOne[T, O any](ctx context.Context, w *Worker, d *desk[O], r takeUpRequest, t taking[T, O]) (takeUpResponse, error) {
	running, full := join(w, d, r.ID)
	if full {
		return takeUpResponse{State: stateFull}, nil
	}
	if running != nil {
		return takeUpResponse{State: patient(ctx, w, running, r)}, nil
	}
	var taken T
	err := w.DB.Update(ctx, func(tx *store.Tx) (err error) { taken, err = t.take(tx, r.ID); return err })
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrConflict):
		return takeUpResponse{State: stateElsewhere}, nil
	case err != nil:
		return takeUpResponse{}, err
	}
	return takeUpResponse{State: patient(ctx, w, t.start(taken), r)}, nil
}

// patient waits for an outcome, for as long as the caller does.
func patient[T any](ctx context.Context, w *Worker, outcome <-chan T, r takeUpRequest) (state string) {
	timer := time.NewTimer(time.Duration(min(max(r.Wait, 0), maxPatient.Milliseconds())) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-outcome:
		return stateDone
	case <-timer.C:
	case <-ctx.Done():
	case <-w.life.Done():
	}
	return stateRunning
}

func (w *Worker) takeLapsedAuthz(tx *store.Tx, id string) (rules.Authz, error) {
	before, err := tx.Authz(id)
	if err != nil {
		return before, err
	}
	after := before
	if after.Lease, err = w.lapsed(before.Lease, tx.Now); err != nil {
		return before, err
	}
	return after, tx.UpdateAuthz(before, after)
}

func (w *Worker) takeLapsedOrder(tx *store.Tx, id string) (rules.Order, error) {
	before, err := tx.Order(id)
	if err != nil {
		return before, err
	}
	after := before
	if after.Lease, err = w.lapsed(before.Lease, tx.Now); err != nil {
		return before, err
	}
	return after, tx.UpdateOrder(before, after)
}

// lapsed is this worker's lease in place of a lapsed one; store.ErrConflict if it has not lapsed.
func (w *Worker) lapsed(l rules.Lease, now time.Time) (rules.Lease, error) {
	if !l.Lapsed(now) {
		return l, store.ErrConflict
	}
	return l.Taken(w.name, now, w.Config.Lease), nil
}
