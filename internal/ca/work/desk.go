package work

import (
	"context"
	"errors"

	"github.com/cairn-ca/cairn/internal/ca/load"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// desk is where one kind of work is done: on records of type T, so many at a time.
type desk[T any] struct {
	tokens  chan struct{}       // one for each piece of work under way
	waiting map[string][]chan T // who waits for what has been started, by the record's ID; guarded by Worker.mu
	queue   load.Gauge          // what waits for a token
}

func newDesk[T any](size int) *desk[T] {
	return &desk[T]{tokens: make(chan struct{}, size), waiting: make(map[string][]chan T)}
}

// start runs do once there is a token for it, and hands its outcome to whoever waits. Work that
// runs already is not started twice. Without an outcome do returns an error.
func start[T any](w *Worker, d *desk[T], about about, do func(context.Context) (T, error)) <-chan T {
	id := about.id
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
		if !d.enter(ctx) {
			return
		}
		defer d.leave()
		ctx, span := w.Trace.Start(ctx, about.what)
		about.tell(span)
		record, err := do(ctx)
		span.End(err)
		switch {
		case err == nil:
			ended = []T{record}
		case !errors.Is(err, store.ErrConflict) && w.life.Err() == nil: // a lost lease is not a fault: somebody else does the work
			w.Log.Error("work failed", about.what, id, "account", about.account, "error", err)
		}
	})
	return outcome
}

// enter waits for a token. It reports false if ctx ends before that.
func (d *desk[T]) enter(ctx context.Context) bool {
	turn := d.queue.Begin()
	defer d.queue.End(turn)
	select {
	case d.tokens <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (d *desk[T]) leave() { <-d.tokens }

// level is how much there is at the desk; Oldest is how long it has been waiting for a token.
func (d *desk[T]) level() load.Level {
	level := d.queue.Level()
	level.Count += len(d.tokens)
	return level
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
