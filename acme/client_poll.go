package acme

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	pollFirst   = 250 * time.Millisecond // before the second look; a local CA is done by then
	pollLongest = 10 * time.Second       // the backoff's ceiling where the server names no time
	pollLimit   = 30 * time.Minute       // after that nobody is waiting any more
)

// WaitAuthorization looks at the authorization at url until its status is final
// and returns it then, valid or not (RFC 8555 §7.5.1). It also returns one that is pending, where the server
// has found fault with a challenge and will not look again before it is asked to (§8.2). The context bounds the wait.
func (c *Client) WaitAuthorization(ctx context.Context, url string) (*Authorization, error) {
	authorization := new(Authorization)
	err := c.poll(ctx, url, 0, func(a *answer) (bool, error) {
		*authorization = Authorization{}
		err := a.decode(authorization)
		authorization.clean()
		waits := authorization.Status == StatusPending && authorization.Unproven() == nil || authorization.Status == StatusProcessing
		return !waits, err
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for an authorization: %w", err)
	}
	return authorization, nil
}

// WaitOrder looks at an order until its status is want, valid or invalid, and returns
// it then (RFC 8555 §7.1.6, §7.4). The context bounds the wait.
func (c *Client) WaitOrder(ctx context.Context, order *Order, want Status) (*Order, error) {
	var first time.Duration
	if order.Status == StatusProcessing {
		// RFC 8555 §7.4: the answer to finalize may have said when to look.
		first = max(order.retryAfter, pollFirst)
	}
	updated := new(Order)
	err := c.poll(ctx, order.URL, first, func(a *answer) (bool, error) {
		*updated = Order{URL: order.URL}
		if err := a.decode(updated); err != nil {
			return false, err
		}
		done := updated.Status == want || updated.Status == StatusValid || updated.Status == StatusInvalid
		return done, order.unchanged(updated)
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for the order to become %s: %w", want, err)
	}
	return updated, nil
}

// poll fetches url, first after wait, until look is content with it. It waits as long as
// the server asks, and otherwise twice as long each time. Passing errors are looked past.
func (c *Client) poll(ctx context.Context, url string, wait time.Duration, look func(*answer) (done bool, err error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, pollLimit, fmt.Errorf("the server was not done after %s", pollLimit))
	defer cancel()
	var failure error
	for backoff := pollFirst; ; backoff = min(2*backoff, pollLongest) {
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			return errors.Join(fmt.Errorf("the next look is in %s, and there is less time left", wait.Round(time.Second)), failure)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		answer, err := c.post(ctx, signed{url: url})
		switch {
		case err == nil:
			if done, err := look(answer); done || err != nil {
				return err
			}
		case ctx.Err() != nil:
			return waitError(ctx, err)
		case !passing(err):
			return err
		}
		wait, failure = backoff, err
		if answer != nil && answer.retryAfter() > 0 { // "Retry-After: 0" is no invitation to ask without end
			wait = answer.retryAfter()
		}
	}
}

// waitError prefers the reason for which a wait was ended to the symptom.
func waitError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w (%v)", cause, err)
	}
	return err
}
