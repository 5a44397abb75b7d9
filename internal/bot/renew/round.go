package renew

import (
	"context"
	"sync"
)

// Round looks at many certificates, and renews those that are to be renewed, several at once. A failure never stops
// the others; an interrupt keeps what has not been begun from being begun.
type Round struct {
	Parallel int // at once; less than 1 is one after the other
	// Judge looks at a certificate, by its place, and says whether it is to be renewed.
	Judge func(ctx context.Context, i int) bool
	// Ready is called once, before the first renewal, if there is one. An error ends the round.
	Ready func(ctx context.Context) error
	Renew func(ctx context.Context, i int)
	// Done is called for each certificate that was looked at, when nothing more will be done about it.
	Done func(i int)
}

// Run does it for the places from 0 to n-1. They are begun in their order. The error is Ready's.
func (r Round) Run(ctx context.Context, n int) error {
	chosen := make([]bool, n)
	seen := make([]bool, n)
	r.each(ctx, n, func(i int) {
		seen[i] = true
		if chosen[i] = r.Judge(ctx, i); !chosen[i] {
			r.Done(i)
		}
	})
	var todo []int
	for i := range n {
		if chosen[i] {
			todo = append(todo, i)
		} else if !seen[i] {
			r.Done(i)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	err := r.Ready(ctx)
	begun := make([]bool, len(todo))
	if err == nil {
		r.each(ctx, len(todo), func(k int) {
			begun[k] = true
			r.Renew(ctx, todo[k])
			r.Done(todo[k])
		})
	}
	for k, i := range todo {
		if !begun[k] {
			r.Done(i)
		}
	}
	return err
}

// each calls do for 0 to n-1, as many at once as there may be, until ctx is done.
func (r Round) each(ctx context.Context, n int, do func(i int)) {
	var mu sync.Mutex
	next := 0
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil || next == n {
			return -1
		}
		next++
		return next - 1
	}
	var running sync.WaitGroup
	for range max(min(r.Parallel, n), 1) {
		running.Go(func() {
			for i := take(); i >= 0; i = take() {
				do(i)
			}
		})
	}
	running.Wait()
}

// Locks keep apart what must not be done at once, by name. The zero value is ready.
type Locks struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

// Lock waits until nobody has any of the names, which are taken in their order, or until ctx is done. Who takes
// several names names them in the same order as everybody else.
func (l *Locks) Lock(ctx context.Context, names ...string) (unlock func(), err error) {
	var taken []chan struct{}
	unlock = func() {
		for _, one := range taken {
			<-one
		}
	}
	for _, name := range names {
		l.mu.Lock()
		if l.held == nil {
			l.held = make(map[string]chan struct{})
		}
		one := l.held[name]
		if one == nil {
			one = make(chan struct{}, 1)
			l.held[name] = one
		}
		l.mu.Unlock()
		select {
		case one <- struct{}{}:
			taken = append(taken, one)
		case <-ctx.Done():
			unlock()
			return nil, context.Cause(ctx)
		}
	}
	return unlock, nil
}
