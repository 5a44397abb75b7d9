package renew

import (
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Advice is when a CA suggests to renew one certificate (RFC 9773), and what was made of that.
type Advice struct {
	Certificate string `json:"certificate"` // its acme.CertID: advice about another is none
	Server      string `json:"server"`      // who gave it
	// The suggested window, and the moment that was drawn from it, once: a moment that is drawn again
	// and again comes sooner than it should (RFC 9773 §4.2). They are zero where there is no window.
	Start       time.Time `json:"start,omitzero"`
	End         time.Time `json:"end,omitzero"`
	Moment      time.Time `json:"moment,omitzero"`
	Explanation string    `json:"explanation,omitempty"` // a URL for people
	Next        time.Time `json:"next"`                  // when to ask again
	Tries       int       `json:"tries,omitempty"`       // that failed for a passing reason, in a row
	Error       string    `json:"error,omitempty"`       // why there was no answer the last time
}

// Bounds for when the CA is asked again (RFC 9773 §4.3.1), and when it is where it does not say, or fails (§4.3.3).
const (
	soonestAdvice = time.Minute
	latestAdvice  = 24 * time.Hour
	usualAdvice   = 6 * time.Hour
)

// maxAdviceTries is how often a passing error is tried again soon, each time twice as late (RFC 9773 §4.3.2).
const maxAdviceTries = 5

// About reports whether a is about that certificate, from that CA.
func (a *Advice) About(certificate, server string) bool {
	return a != nil && a.Certificate == certificate && a.Server == server
}

// Asks reports whether the CA is to be asked again. A time that is too far off was written under a wrong clock.
func (a *Advice) Asks(now time.Time) bool {
	return a == nil || !a.Next.After(now) || a.Next.After(now.Add(latestAdvice+maxClock))
}

// Given reports whether there is a moment to go by.
func (a *Advice) Given() bool { return a != nil && !a.Moment.IsZero() }

// ErrNoWindow says that a suggested window is of no use.
var ErrNoWindow = errors.New("the CA suggests a window of time that cannot be used")

// Advise takes in an answer about the certificate that before may be about already. A window that begins when
// the certificate has expired is an error: to follow it would be to lose it.
func Advise(before *Advice, id acme.CertID, server string, life Life, info *acme.RenewalInfo, after time.Duration, now time.Time) (*Advice, error) {
	window := info.SuggestedWindow
	if !window.Start.Before(life.NotAfter) {
		return nil, fmt.Errorf("%w: it begins at %s, when the certificate has expired", ErrNoWindow, window.Start.Format(time.RFC3339))
	}
	end := window.End
	if end.After(life.NotAfter) {
		end = life.NotAfter
	}
	a := &Advice{
		Certificate: id.String(), Server: server, Start: window.Start.UTC(), End: window.End.UTC(),
		Explanation: info.ExplanationURL, Next: nextAdvice(after, now),
	}
	if before.About(a.Certificate, server) && before.Start.Equal(a.Start) && before.End.Equal(a.End) && before.Given() {
		a.Moment = before.Moment
	} else {
		a.Moment = a.Start.Add(draw(end.Sub(a.Start))).Truncate(time.Second)
	}
	return a, nil
}

// Unadvised remembers that there was no answer. A window that was known before is kept.
func Unadvised(before *Advice, id acme.CertID, server string, err error, after time.Duration, now time.Time) *Advice {
	a := &Advice{Certificate: id.String(), Server: server}
	if before.About(a.Certificate, server) {
		*a = *before
	}
	a.Error, a.Tries = shorten(err.Error()), max(a.Tries, 0)
	class, _ := Classify(err)
	switch passing := class == ClassNetwork || class == ClassServer && !errors.Is(err, acme.ErrUnreadable); {
	case after > 0:
		a.Next = nextAdvice(after, now)
	case passing && a.Tries < maxAdviceTries:
		a.Tries++
		a.Next = now.UTC().Add(time.Minute << (a.Tries - 1)).Truncate(time.Second)
	default:
		a.Tries, a.Next = 0, nextAdvice(0, now)
	}
	return a
}

// nextAdvice is when to ask again.
func nextAdvice(after time.Duration, now time.Time) time.Time {
	if after == 0 {
		after = usualAdvice
	}
	return now.UTC().Add(min(max(after, soonestAdvice), latestAdvice)).Truncate(time.Second)
}
