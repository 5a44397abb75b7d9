package renew

import (
	"context"

	"github.com/cairn-ca/cairn/acme"
)

// Challenge is one proof of control that has to be given.
type Challenge struct {
	Type             acme.ChallengeType
	Identifier       acme.Identifier // without a wildcard label
	Wildcard         bool            // the authorization is for "*." in front of Identifier
	Token            string          // checked with CheckToken (RFC 8555 §8.1); "" for dns-persist-01, which has none
	KeyAuthorization string          // what the CA expects to find (RFC 8555 §8.1)
	Account          string          // the account's URL: dns-account-01 and dns-persist-01 name it
	IssuerDomains    []string        // the names of the CA that a dns-persist-01 record can have
	// AccountHashPrefix is what the hash of the account begins with in a dns-persist-01 record, and Thumbprint that
	// of its key, from which the hash is made. "" where records name the account by its URL.
	AccountHashPrefix string
	Thumbprint        string

	// All are the identifiers of all proofs that the order needs, in the order in which they are presented,
	// and Index is the place of this one among them. People and hooks that do this by hand want to know.
	All   []acme.Identifier
	Index int
	// AllWildcard says of each of All whether its authorization is for "*." in front of it.
	AllWildcard []bool
}

// Solver makes proofs visible to the CA. Calls are not concurrent for one Solver.
type Solver interface {
	// Types lists the kinds of challenge that the solver can answer for a name, the
	// preferred one first. The first that the CA offers is used.
	Types(id acme.Identifier, wildcard bool) []acme.ChallengeType
	// Present makes the proof visible. When it fails it leaves nothing behind.
	// It is called again with the same challenge after a crash.
	Present(ctx context.Context, challenge Challenge) error
	// CleanUp takes back what Present did; it is called once for each Present that succeeded.
	CleanUp(ctx context.Context, challenge Challenge) error
}

// Waiter is implemented by a Solver whose proofs take a while to be seen everywhere.
type Waiter interface {
	// Wait returns when the CA can see the proofs, or when waiting longer makes no sense. It is
	// called once, after every proof has been presented, with those of this solver.
	Wait(ctx context.Context, challenges []Challenge) error
}
