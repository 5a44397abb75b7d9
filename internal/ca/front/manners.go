package front

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// Manners is what a server for tests does otherwise than a CA, all of it within RFC 8555: what a client
// wrongly takes for granted shall fail in its own tests. The zero value is how a CA behaves.
type Manners struct {
	RejectNonces int // of a hundred good nonces, how many are refused
	ForgetProofs int // of a hundred valid authorizations that could serve a new order, how many do not

	AnyProfile     bool // an order that names no profile gets any one
	Asynchronous   bool // no response waits for the outcome of what it started
	Shuffle        bool // lists without an order come in another order each time
	NeedsUserAgent bool // requests must say which program sends them (RFC 8555 §6.1)
	PlainResponses bool // a response to a challenge is {} and nothing else (RFC 8555 §7.5.1), and no payload has ACME v1's "resource"

	// Wordy answers have JSON over many lines, a charset with the media type, the "key" of an account and
	// "externalAccountRequired" even if it is false.
	Wordy bool
	// AnyCase takes the members of payloads whatever their case, as encoding/json does.
	AnyCase bool
	// Once refuses a second response to a challenge, and a second request to finalize an order.
	Once bool

	// BySerial puts the serial of a certificate into its URL, in the place of its order.
	BySerial bool

	PageSize int // orders on a page of the list; 0 means what a CA shows
	// AuthzPause and OrderPause are the Retry-After of what is processing, and RenewalPause that of renewal
	// information. 0 means what a CA says; less than that means none.
	AuthzPause, OrderPause, RenewalPause time.Duration
	// DateOrSeconds writes Retry-After now as a date and now as a number (RFC 9110 §10.2.3).
	DateOrSeconds bool

	// Before may delay a request, or refuse it by returning a problem. resource is the path as Paths has it.
	Before func(r *http.Request, resource string) *acme.Problem
	// Retell turns a problem into the one that clients see.
	Retell func(*acme.Problem) *acme.Problem
	// Renewal gives the renewal information of a certificate as it is to be sent, if somebody set it.
	Renewal func(serial string) (body []byte, ok bool)
	// Now is the clock for dates in headers; nil means time.Now.
	Now func() time.Time
}

// chance is true percent times of a hundred.
func chance(percent int) bool { return percent > 0 && rand.IntN(100) < percent }

// redeem spends a nonce and reports whether the request that has it goes on.
func (f *Front) redeem(ctx context.Context, nonce string) bool {
	good := f.spend(ctx, nonce) && !chance(f.Manners.RejectNonces)
	f.Metrics.Redeemed(good)
	return good
}

// before is what Manners has to say about a request that nobody has looked at yet.
func (f *Front) before(v *visit) *acme.Problem {
	if f.Manners.NeedsUserAgent && v.UserAgent() == "" {
		return acme.Problemf(acme.TypeMalformed, "the request has no header User-Agent (RFC 8555 §6.1)")
	}
	if f.Manners.Before == nil {
		return nil
	}
	return f.Manners.Before(v.Request, v.resource.path)
}

// checkResponse refuses a response to a challenge that is more than an empty object, where that matters.
func (f *Front) checkResponse(payload []byte) *acme.Problem {
	if f.Manners.PlainResponses && string(payload) != "{}" {
		return acme.Problemf(acme.TypeMalformed, `a response to this challenge is the payload "{}", and this one is not (RFC 8555 §7.5.1)`)
	}
	return nil
}

// checkPayload refuses what ACME v1 had in payloads, where that matters.
func (f *Front) checkPayload(payload []byte) *acme.Problem {
	if !f.Manners.PlainResponses || len(payload) == 0 {
		return nil
	}
	old, problem := decode[struct {
		Resource string `json:"resource"`
	}](payload)
	if problem == nil && old.Resource != "" {
		return acme.Problemf(acme.TypeMalformed, `the payload has "resource", which was in drafts of ACME only: leave it out`)
	}
	return nil
}

// chooseProfile draws a profile for an order that names none, where that is the manner.
func (f *Front) chooseProfile(asked string) string {
	if asked != "" || !f.Manners.AnyProfile {
		return asked
	}
	return f.Policy.Profiles[rand.IntN(len(f.Policy.Profiles))].Name
}

// forget drops some of the authorizations that could serve an order.
func (f *Front) forget(authzs []rules.Authz) (kept []rules.Authz) {
	for _, a := range authzs {
		if !chance(f.Manners.ForgetProofs) {
			kept = append(kept, a)
		}
	}
	return kept
}

// pause is the Retry-After of a response: what Manners says, or else what a CA does.
func pause(manner, standard time.Duration) time.Duration {
	if manner == 0 {
		return standard
	}
	return max(manner, 0)
}

// shuffled puts the lists of an order into any order, as RFC 8555 §7.4 allows.
func (f *Front) shuffled(o acme.Order) acme.Order {
	if f.Manners.Shuffle {
		o.Identifiers = append([]acme.Identifier(nil), o.Identifiers...)
		rand.Shuffle(len(o.Identifiers), func(i, j int) { o.Identifiers[i], o.Identifiers[j] = o.Identifiers[j], o.Identifiers[i] })
		rand.Shuffle(len(o.Authorizations), func(i, j int) { o.Authorizations[i], o.Authorizations[j] = o.Authorizations[j], o.Authorizations[i] })
	}
	return o
}

// shuffle puts the challenges of an authorization into any order.
func (f *Front) shuffle(challenges []acme.Challenge) {
	if f.Manners.Shuffle {
		rand.Shuffle(len(challenges), func(i, j int) { challenges[i], challenges[j] = challenges[j], challenges[i] })
	}
}

// retryAfter is the value of the header.
func (f *Front) retryAfter(d time.Duration) string {
	if !f.Manners.DateOrSeconds || chance(50) {
		return seconds(d)
	}
	now := time.Now
	if f.Manners.Now != nil {
		now = f.Manners.Now
	}
	return now().UTC().Add(d).Format(http.TimeFormat)
}
