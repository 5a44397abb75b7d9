package renew

import (
	"context"

	"github.com/cairn-ca/cairn/acme"
)

// Challenge is one proof of control that has to be given.
type Challenge struct {
	Identifier       acme.Identifier // without a wildcard label
	Token            string          // checked with CheckToken (RFC 8555 §8.1)
	KeyAuthorization string          // what the CA expects to find (RFC 8555 §8.1)
}

// Solver makes proofs of one kind visible to the CA. Calls are not concurrent.
type Solver interface {
	// Type is the kind of challenge that the solver answers.
	Type() acme.ChallengeType
	// Present makes the proof visible. When it fails it leaves nothing behind.
	// It is called again with the same challenge after a crash.
	Present(ctx context.Context, challenge Challenge) error
	// CleanUp takes back what Present did; it is called once for each Present that succeeded.
	CleanUp(ctx context.Context, challenge Challenge) error
}

// Waiter is implemented by a Solver whose proofs take a while to be seen everywhere.
type Waiter interface {
	// Wait returns when the CA can see the proof. It is called after every proof has been presented.
	Wait(ctx context.Context, challenge Challenge) error
}
