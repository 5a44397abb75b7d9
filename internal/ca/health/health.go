// Package health tells whether a process does its work: loops that must go
// round say so by a Pulse, and checks that take a moment are asked at most so often.
//
// Healthy means that the process is alive and that nothing in it is stuck: whoever starts it may
// start it again if not. Ready means that it can serve now: whoever sends it requests should send them elsewhere if not.
package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Pulse is the sign of life of a loop. A nil one is of no use and does no harm.
type Pulse struct {
	name  string
	limit time.Duration
	last  atomic.Int64 // nanoseconds since began; before the first beat 0
	began time.Time
}

// NewPulse makes the pulse of a loop that goes round within limit, however bad the day. It
// counts from now.
func NewPulse(name string, limit time.Duration) *Pulse {
	return &Pulse{name: name, limit: limit, began: time.Now()}
}

// Beat says that the loop goes round.
func (p *Pulse) Beat() {
	if p != nil {
		p.last.Store(int64(time.Since(p.began)))
	}
}

// Check fails if the loop is stuck.
func (p *Pulse) Check() Check { return Check{Name: p.name, Ask: p.ask} }

func (p *Pulse) ask(context.Context) error {
	if silent := time.Since(p.began) - time.Duration(p.last.Load()); silent > p.limit {
		return fmt.Errorf("it has not gone round for %s", silent.Round(time.Second))
	}
	return nil
}

// State is what came of a check.
type State struct {
	Name  string
	Error string        // "" if all is well
	Age   time.Duration // of this answer
}

// Check is something that must be in order.
type Check struct {
	Name string
	Ask  func(context.Context) error
	Keep time.Duration // for how long an answer is good
}

// Checks is a list of checks that are asked together, by whoever asks for them, and not more often
// than their answers are worth.
type Checks struct {
	list    []*check
	timeout time.Duration
}

// check is one check with its last answer.
type check struct {
	Check
	mu    sync.Mutex // held while the question is put, so that it is put once
	asked time.Time
	err   error
}

// NewChecks makes a list. An answer that takes longer than timeout is a bad one.
func NewChecks(timeout time.Duration, list ...Check) *Checks {
	c := &Checks{timeout: timeout}
	for _, one := range list {
		c.list = append(c.list, &check{Check: one})
	}
	return c
}

// Ask returns the state of every check, side by side, and whether all is well. It
// returns in time even where a check does not.
func (c *Checks) Ask(ctx context.Context) (states []State, ok bool) {
	states = make([]State, len(c.list))
	var all sync.WaitGroup
	for i, one := range c.list {
		all.Go(func() { states[i] = one.state(ctx, c.timeout) })
	}
	all.Wait()
	ok = true
	for _, state := range states {
		ok = ok && state.Error == ""
	}
	return states, ok
}

func (c *check) state(ctx context.Context, timeout time.Duration) State {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked.IsZero() || time.Since(c.asked) >= c.Keep {
		// Who asks may leave; the answer is for the others, too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		c.err = c.Ask(ctx)
		if errors.Is(c.err, context.DeadlineExceeded) {
			c.err = fmt.Errorf("no answer within %s", timeout)
		}
		c.asked = time.Now()
		cancel()
	}
	state := State{Name: c.Name, Age: time.Since(c.asked)}
	if c.err != nil {
		state.Error = c.err.Error()
	}
	return state
}
