package sign

import (
	"context"
	"errors"
	"time"
)

// ErrConflict means that the journal's entry was not, or no longer, what the
// caller took it for: another signer was at the same order. Nothing was
// changed and no certificate has left; calling Signer.Certificate again is safe
// and finds what the other one did.
var ErrConflict = errors.New("the journal has another entry for this order or serial")

// Entry is the journal's record of one serial number. All of it but DER is
// fixed when it is reserved.
type Entry struct {
	Order     string // the idempotency key
	Serial    string // lower-case hex, two digits an octet
	Issuer    string // Issuer.ID
	Profile   string
	NotBefore time.Time // whole seconds, UTC, as in the certificate
	NotAfter  time.Time // the last second of validity, as in the certificate
	Digest    [32]byte  // SHA-256 of the TBSCertificate that was linted
	DER       []byte    // the certificate; nil until settled, never changed afterwards
}

// Journal records what the signer is about to sign and what it has signed. It
// is what makes "never two certificates for one order or one serial, never one
// that is not recorded" true across crashes and machines.
//
// A serial is reserved, and then settled or abandoned, once and for ever; an
// order has at most one entry that is not abandoned, its current entry.
//
// Every method is atomic and linearizable, for all signers that share the
// journal: of two writes that contradict each other, one gets ErrConflict. A
// write that returned nil survives any crash. A write that returned another
// error than ErrConflict may have happened or not. All methods may be called
// concurrently. They must be bounded in time by themselves: a context that has
// no deadline must not make them wait for ever.
type Journal interface {
	// Lookup returns the current entry of the order, and false if it has none.
	// It sees every write that returned before it was called.
	Lookup(ctx context.Context, order string) (Entry, bool, error)

	// Reserve makes e, which has no DER, the current entry of its order.
	// replaces is the serial of the order's current entry, or "" if it must have
	// none. That one must not be settled; it becomes abandoned in the same
	// instant: it can never be settled and belongs on its issuer's CRL until it
	// expires, since a signature over it may exist. Otherwise, and if e.Serial
	// was ever reserved, Reserve changes nothing and returns ErrConflict.
	Reserve(ctx context.Context, e Entry, replaces string) error

	// Settle stores e.DER with the entry that Reserve was given, which must be
	// current, not settled, and equal to e in all else. Otherwise it changes
	// nothing and returns ErrConflict.
	Settle(ctx context.Context, e Entry) error
}
