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
	if r.Kind != kindAuthz && r.Kind != kindOrder {
		return takeUpResponse{}, rpc.Refuse("there is no work on a %.20q", r.Kind)
	}
	done, state, err := w.takeUpOne(ctx, r.Kind, r.ID)
	if err != nil || done == nil {
		return takeUpResponse{State: state}, err
	}
	timer := time.NewTimer(min(time.Duration(max(r.Wait, 0))*time.Millisecond, maxPatient))
	defer timer.Stop()
	select {
	case <-done:
		return takeUpResponse{State: stateDone}, nil
	case <-timer.C:
	case <-ctx.Done():
	case <-w.life.Done():
	}
	return takeUpResponse{State: stateRunning}, nil
}

// takeUpOne takes up one authorization or order, unless that is somebody's. Without a channel, state says why.
func (w *Worker) takeUpOne(ctx context.Context, kind, id string) (done <-chan struct{}, state string, err error) {
	if done, state := w.place(id); done != nil || state != "" {
		return done, state, nil
	}
	var start func() <-chan struct{}
	err = w.DB.Update(ctx, func(tx *store.Tx) (err error) {
		start, err = w.takeLapsed(tx, kind, id)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrConflict):
		return nil, stateElsewhere, nil
	case err != nil:
		return nil, "", err
	}
	return start(), "", nil
}

// place finds the work on id here, or says that there is no room for it.
func (w *Worker) place(id string) (done <-chan struct{}, state string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if running, ok := w.running[id]; ok {
		return running, ""
	}
	if w.stopped || len(w.running) >= backlog {
		return nil, stateFull
	}
	return nil, ""
}

// takeLapsed takes the lease of what is due and nobody's, and returns what starts the work on it.
func (w *Worker) takeLapsed(tx *store.Tx, kind, id string) (func() <-chan struct{}, error) {
	if kind == kindAuthz {
		before, err := tx.Authz(id)
		if err != nil {
			return nil, err
		}
		after := before
		if after.Lease, err = w.lapsed(before.Lease, tx.Now); err != nil {
			return nil, err
		}
		return func() <-chan struct{} { return w.Validate(after) }, tx.UpdateAuthz(before, after)
	}
	before, err := tx.Order(id)
	if err != nil {
		return nil, err
	}
	after := before
	if after.Lease, err = w.lapsed(before.Lease, tx.Now); err != nil {
		return nil, err
	}
	return func() <-chan struct{} { return w.Issue(after) }, tx.UpdateOrder(before, after)
}

// lapsed is this worker's lease in place of a lapsed one; store.ErrConflict if it has not lapsed.
func (w *Worker) lapsed(l rules.Lease, now time.Time) (rules.Lease, error) {
	if !l.Lapsed(now) {
		return l, store.ErrConflict
	}
	return l.Taken(w.name, now, w.Config.Lease), nil
}
