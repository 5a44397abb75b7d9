// Package rules decides. Orders, authorizations, accounts, certificates and
// their revocation live and change here and nowhere else: values in, values
// out, with the time as an argument. It knows no context, no network, no file,
// no database and no log.
//
// An event is a function that returns the new value, or the *acme.Problem that
// the client is to see. Whoever calls it loads the old value and saves the new.
package rules

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// idEncoding is base64url with its alphabet in ASCII order, so that identifiers sort by age.
var idEncoding = base64.NewEncoding("-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz").WithPadding(base64.NoPadding)

// NewID makes an identifier of 24 URL-safe characters: six octets of time in
// milliseconds, so that what is made together is stored together, and twelve
// octets of randomness, so that nobody guesses it (RFC 8555 §10.5).
func NewID(now time.Time) string {
	var id [18]byte
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(now.UnixMilli()))
	copy(id[:6], stamp[2:])
	id[0] |= 0x80            // a bit that time will not need for 4,000 years: no identifier begins with "-"
	_, _ = rand.Read(id[6:]) // never fails
	return idEncoding.EncodeToString(id[:])
}

// newToken makes a challenge's token: 256 random bits, where RFC 8555 §8.3 asks for 128.
func newToken() string {
	var token [32]byte
	_, _ = rand.Read(token[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(token[:])
}

// Lease is the right to work on something for a while. Work whose lease has
// lapsed is taken up by whoever comes first; the one who lost it can no longer save.
type Lease struct {
	Due   time.Time // when there is work to do; zero if there is none
	Until time.Time // until when it is By's
	By    string    // the process that works on it
}

// Taken is a lease on work that is due now.
func (l Lease) Taken(by string, now time.Time, length time.Duration) Lease {
	due := l.Due
	if due.IsZero() {
		due = now
	}
	return Lease{Due: due, Until: now.Add(length), By: by}
}

// Lapsed reports whether there is work and nobody's lease on it holds.
func (l Lease) Lapsed(now time.Time) bool {
	return !l.Due.IsZero() && !now.Before(l.Due) && !now.Before(l.Until)
}
