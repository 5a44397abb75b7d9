package work

import (
	"context"
	"errors"

	"github.com/cairn-ca/cairn/internal/ca/store"
)

// desk is where one kind of work is done: on records of type T, so many at a time.
type desk[T any] struct {
	tokens  chan struct{}       // one for each piece of work under way
	waiting map[string][]chan T // who waits for what has been started, by the record's ID; guarded by Worker.mu
}

func newDesk[T any](size int) *desk[T] {
	return &desk[T]{tokens: make(chan struct{}, size), waiting: make(map[string][]chan T)}
}

// start runs do once there is a token for it, and hands its outcome to whoever waits. Work that
// runs already is not started twice. Without an outcome do returns an error.
func start[T any](w *Worker, d *desk[T], id string, do func(context.Context) (T, error)) <-chan T {
	w.mu.Lock()
	defer w.mu.Unlock()
	outcome := make(chan T, 1)
	if others, ok := d.waiting[id]; ok {
		d.waiting[id] = append(others, outcome)
		return outcome
	}
	if w.stopped || len(w.validating.waiting)+len(w.issuing.waiting) >= backlog {
		close(outcome)
		return outcome
	}
	d.waiting[id] = []chan T{outcome}
	// The lease runs from now, also while waiting for a token: work never goes on after its lease.
	ctx, cancel := context.WithTimeout(w.life, w.Config.Lease*9/10)
	w.all.Go(func() {
		defer cancel()
		var ended []T // none or one
		defer func() { finish(w, d, id, ended) }()
		select {
		case d.tokens <- struct{}{}:
			defer func() { <-d.tokens }()
		case <-ctx.Done():
			return
		}
		record, err := do(ctx)
		switch {
		case err == nil:
			ended = []T{record}
		case !errors.Is(err, store.ErrConflict) && w.life.Err() == nil: // a lost lease is not a fault: somebody else does the work
			w.Log.Error("work failed", "id", id, "error", err)
		}
	})
	return outcome
}

// runs reports whether the work on a record is under way here.
func runs[T any](w *Worker, d *desk[T], id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return d.waiting[id] != nil
}

// join waits for what is under way on a record; nil if nothing is. full reports that nothing more is accepted.
func join[T any](w *Worker, d *desk[T], id string) (outcome chan T, full bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if others, ok := d.waiting[id]; ok {
		outcome = make(chan T, 1)
		d.waiting[id] = append(others, outcome)
		return outcome, false
	}
	return nil, w.stopped || len(w.validating.waiting)+len(w.issuing.waiting) >= backlog
}

// finish hands out what came of the work on a record.
func finish[T any](w *Worker, d *desk[T], id string, ended []T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, outcome := range d.waiting[id] {
		for _, record := range ended {
			outcome <- record // it has room for one
		}
		close(outcome)
	}
	delete(d.waiting, id)
}
