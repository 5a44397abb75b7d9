package front

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// maxTries is how often a decision is made anew because what it was based on changed meanwhile.
const maxTries = 3

// changeTimeout bounds how long a request waits for its commit, which takes milliseconds. After it the
// client is told to come again, and most clients wait for an answer much longer.
const changeTimeout = 5 * time.Second

// change decides and saves in one transaction, for which fn may run several times. A
// client that goes away does not stop it: what was saved must be taken up afterwards.
func (f *Front) change(ctx context.Context, fn func(*store.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTimeout)
	defer cancel()
	var err error
	for range maxTries {
		err = f.DB.Update(ctx, fn)
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrExists) {
			return err
		}
	}
	return fmt.Errorf("tried %d times: %w", maxTries, err)
}

// takeUp has what a request made due started, and gives it a moment: known reports whether it came to an
// end meanwhile. In a server that answers first and works then, the start is returned for later.
func takeUp[T any](ctx context.Context, f *Front, start func() <-chan T, limit time.Duration) (ended T, known bool, later func()) {
	if f.Manners.Asynchronous {
		return ended, false, func() { start() }
	}
	ended, known = wait(ctx, f, start(), limit)
	return ended, known, func() {}
}

// wait gives what was started a moment to finish, so that simple clients need not
// poll. No transaction is open meanwhile. Where too many wait already, it does not.
func wait[T any](ctx context.Context, f *Front, done <-chan T, limit time.Duration) (ended T, known bool) {
	select {
	case f.waiting <- struct{}{}:
	default:
		return ended, false
	}
	defer func() { <-f.waiting }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case ended, known = <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
	return ended, known
}

// refuseBlocked refuses a key that is known to be compromised (BR §6.1.1.3 (4)), with a problem of type kind.
func refuseBlocked(tx *store.Tx, public crypto.PublicKey, kind acme.ProblemType) error {
	digest, err := rules.KeyDigest(public)
	if err != nil {
		return err
	}
	return refuseIfBlocked(tx, digest, kind)
}

// refuseIfBlocked is refuseBlocked for a key by its digest (rules.KeyDigest).
func refuseIfBlocked(tx *store.Tx, digest []byte, kind acme.ProblemType) error {
	blocked, err := tx.KeyBlocked(digest)
	if err != nil {
		return fmt.Errorf("looking a key up among the blocked: %w", err)
	}
	if blocked {
		return acme.Problemf(kind, "the key has been reported as compromised: make a new one")
	}
	return nil
}
