package pebble

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// prover is the prober with the manners of a server for tests: it takes its time, and it can be told not to look at all.
type prover struct {
	*validate.Prober
	sleep       time.Duration // at most, before each look
	alwaysValid bool
}

// Prove looks whether the client controls the identifier, or pretends to.
func (p prover) Prove(ctx context.Context, r validate.Request) (validate.Result, error) {
	if err := p.pause(ctx); err != nil {
		return validate.Result{}, err
	}
	if p.alwaysValid {
		return validate.Result{Evidence: validate.Evidence{Started: time.Now()}}, nil
	}
	return p.Prober.Prove(ctx, r)
}

// CAA looks whether the CAA records of a domain let this CA issue, or pretends to.
func (p prover) CAA(ctx context.Context, r validate.CAARequest) (validate.Result, error) {
	if p.alwaysValid {
		return validate.Result{Evidence: validate.Evidence{Started: time.Now()}}, nil
	}
	return p.Prober.CAA(ctx, r)
}

// pause waits for a random time, so that clients must poll.
func (p prover) pause(ctx context.Context) error {
	if p.sleep <= 0 {
		return nil
	}
	timer := time.NewTimer(rand.N(p.sleep))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
