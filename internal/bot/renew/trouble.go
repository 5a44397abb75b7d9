package renew

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Class says what kind of trouble an attempt has met: when trying again makes sense depends on it.
type Class string

// The classes.
const (
	ClassNetwork       Class = "network"       // somebody could not be reached
	ClassServer        Class = "server"        // the CA has trouble of its own, or talks nonsense
	ClassRateLimit     Class = "rateLimit"     // the CA has been asked too often
	ClassValidation    Class = "validation"    // the CA found no proof of control
	ClassInput         Class = "input"         // the CA does not want what was asked for
	ClassAccount       Class = "account"       // the CA does not want it from this account
	ClassConfiguration Class = "configuration" // something is wrong here; the CA was not asked
)

// classes of what a CA answers (RFC 8555 §6.7), where the HTTP status does not say it.
var classes = map[acme.ProblemType]Class{
	acme.TypeRateLimited: ClassRateLimit, acme.TypeServerInternal: ClassServer,
	acme.TypeCAA: ClassValidation, acme.TypeConnection: ClassValidation, acme.TypeDNS: ClassValidation,
	acme.TypeIncorrectResponse: ClassValidation, acme.TypeTLS: ClassValidation, acme.TypeCompound: ClassValidation,
	acme.TypeRejectedIdentifier: ClassInput, acme.TypeUnsupportedIdentifier: ClassInput, acme.TypeBadCSR: ClassInput,
	acme.TypeBadPublicKey: ClassInput, acme.TypeInvalidProfile: ClassInput, acme.TypeMalformed: ClassInput,
	acme.TypeInvalidContact: ClassInput, acme.TypeUnsupportedContact: ClassInput, acme.TypeOnionCAARequired: ClassInput,
	acme.TypeAccountDoesNotExist: ClassAccount, acme.TypeExternalAccountRequired: ClassAccount,
	acme.TypeUserActionRequired: ClassAccount, acme.TypeUnauthorized: ClassAccount,
}

// Classify says what kind of failure err is, and for how long the CA asks to be left alone. An
// interrupt, which is "", is nobody's failure.
func Classify(err error) (Class, time.Duration) {
	var authorization *AuthorizationError
	var problem *acme.Problem
	switch {
	case errors.As(err, &authorization):
		return ClassValidation, 0
	case errors.As(err, &problem):
		return classOf(problem), problem.RetryAfter
	case errors.Is(err, context.Canceled):
		return "", 0
	case errors.Is(err, acme.ErrNoDirectory), errors.Is(err, acme.ErrUnreadable), errors.Is(err, acme.ErrOrderChanged),
		errors.Is(err, acme.ErrNotRequested), errors.Is(err, errInvalid), errors.Is(err, errToken):
		return ClassServer, 0
	case isNetwork(err):
		return ClassNetwork, 0
	default:
		return ClassConfiguration, 0
	}
}

func classOf(p *acme.Problem) Class {
	switch class, known := classes[p.Type]; {
	case p.Status == http.StatusTooManyRequests:
		return ClassRateLimit
	case p.Status >= 500 || !known:
		return ClassServer
	default:
		return class
	}
}

// isNetwork reports whether err is of the way to somebody, be it the CA or the servers of a zone.
func isNetwork(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded)
}

// Trouble is what is remembered of attempts that have failed, the last after the others.
type Trouble struct {
	Class  Class     `json:"class"`
	Count  int       `json:"count"` // in a row
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Error  string    `json:"error"`            // of the last
	Server string    `json:"server,omitempty"` // whom it was about
	// Next is when to try again, drawn once; NotBefore is when the CA allows it, if it has said so.
	Next      time.Time `json:"next"`
	NotBefore time.Time `json:"notBefore,omitzero"`
	// Asked is a Fingerprint of what was asked for: another request is another matter.
	Asked string `json:"asked,omitempty"`
}

const (
	maxError      = 4 << 10            // bytes of a message that are remembered
	maxRetryAfter = 7 * 24 * time.Hour // the longest limit of the large CAs; a CA must not keep one waiting for ever
	daily         = 24 * time.Hour
)

// steps are how long to wait after the first failure, the second, and so on: what Let's Encrypt asks of
// clients in its integration guide. Each is spread by half of itself, so that many machines do not come back together.
var steps = []time.Duration{time.Minute, 10 * time.Minute, 100 * time.Minute, daily}

// spread draws a time between half of d and one and a half of it.
func spread(d time.Duration) time.Duration { return d/2 + draw(d) }

// draw draws a time from 0 to d, evenly.
func draw(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // it does not fail
	return time.Duration(binary.BigEndian.Uint64(random[:]) % uint64(d))
}

// Failed adds one more failure to before, which may be nil. asked is the Fingerprint of what was asked of server.
// The result is nil for what is no failure.
func Failed(before *Trouble, err error, server, asked string, now time.Time) *Trouble {
	class, after := Classify(err)
	if class == "" {
		return before
	}
	now = now.UTC().Truncate(time.Second)
	f := &Trouble{Class: class, Count: 1, First: now, Last: now, Error: shorten(err.Error()), Server: server, Asked: asked}
	if before != nil && before.Asked == asked && before.Server == server {
		f.Count, f.First = before.Count+1, before.First
	}
	f.Next = now.Add(spread(steps[min(max(f.Count, 1), len(steps))-1])).Truncate(time.Second)
	if after > 0 {
		f.NotBefore = now.Add(min(after, maxRetryAfter))
	}
	return f
}

func shorten(text string) string {
	if len(text) > maxError {
		return text[:maxError] + "…"
	}
	return text
}

// Life is from when to when a certificate is good.
type Life struct{ NotBefore, NotAfter time.Time }

// Length is how long that is.
func (l Life) Length() time.Duration { return l.NotAfter.Sub(l.NotBefore) }

// left is what is left of it.
func (l Life) left(now time.Time) time.Duration { return l.NotAfter.Sub(now) }

// Hurry reports whether less than a sixth is left: from then on more is risked by waiting than by asking.
func (l Life) Hurry(now time.Time) bool { return l.left(now) < l.Length()/6 }

// maxClock is by how much a clock may have been put back before what it wrote is not believed.
const maxClock = time.Hour

// Waits says until when a certificate is left alone because of f, and why. The zero time means that it is not.
//
//	as the CA said             no rule makes it earlier
//	network, server, limits,   1 minute, 10, 100, and then a day, ±50 %; when in a hurry
//	validation                 100 minutes at most
//	input                      until something else is asked for; when in a hurry, a day
//	account                    a day
//	configuration              no time: nobody else is troubled
//
// Whatever it was, it does not count for a request that asks for something else.
func (f *Trouble) Waits(asked string, life Life, now time.Time) (until time.Time, why string) {
	if f == nil || f.Asked != asked && asked != "" || f.Last.After(now.Add(maxClock)) {
		return time.Time{}, ""
	}
	hurry := life.Hurry(now)
	switch f.Class {
	case ClassConfiguration:
		return time.Time{}, ""
	case ClassInput:
		until, why = never, "the CA refuses what is asked for, which has not changed since"
		if hurry {
			until = f.Last.Add(daily)
		}
	case ClassAccount:
		until, why = f.Last.Add(daily), "the CA refuses the account"
	default:
		until, why = f.Next, fmt.Sprintf("%d attempt(s) have failed", f.Count)
		if latest := f.Last.Add(steps[2]); hurry && until.After(latest) {
			until = latest
		}
	}
	if f.NotBefore.After(until) {
		until, why = f.NotBefore, "the CA asks to wait"
	}
	if !until.After(now) {
		return time.Time{}, ""
	}
	return until, why
}

// Fingerprint stands for what would be asked for. It tells nothing of it.
func Fingerprint(parts ...any) string {
	text, err := json.Marshal(parts)
	if err != nil {
		return "" // which waits for nothing
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Cooling is until when a CA that f is about is left alone; zero for no trouble. It is never long: all of
// its certificates wait for it.
func (f *Trouble) Cooling() time.Time {
	if f == nil {
		return time.Time{}
	}
	until := f.Next
	if latest := f.Last.Add(steps[2]); until.After(latest) {
		until = latest
	}
	if f.NotBefore.After(until) {
		return f.NotBefore
	}
	return until
}
