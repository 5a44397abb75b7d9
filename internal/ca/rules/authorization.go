package rules

import (
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Authz is an authorization: an account's right to an identifier, or the way to it (RFC 8555 §7.1.4).
type Authz struct {
	ID         string
	Account    string
	Identifier acme.Identifier // without the wildcard label
	Wildcard   bool
	Status     acme.Status // pending, valid, invalid, deactivated or revoked; expiry is derived
	Expires    time.Time
	ValidFor   time.Duration // how long the authorization lasts once control is proven
	Challenges []Challenge
	Tries      int       // validations that failed for now
	Retries    int       // how many of those there may be
	CAAChecked time.Time // when CAA last permitted a certificate; zero if it was not asked for
	Lease      Lease

	Subdomains    bool // it is for all domains below Identifier, too (RFC 9444 §4.1)
	Preauthorized bool // it was asked for before there was an order (RFC 8555 §7.4.1)
}

// Challenge is one way to prove control of an Authz's identifier (RFC 8555 §8).
type Challenge struct {
	Type   acme.ChallengeType `json:"type"`
	Token  string             `json:"token,omitempty"` // "" where the type has none
	Status acme.Status        `json:"status"`          // pending, processing, valid or invalid
	// KeyAuthorization is made when the client responds, with the key that the account has then (RFC 8555 §8.3).
	KeyAuthorization string        `json:"keyAuthorization,omitempty"`
	Validated        *time.Time    `json:"validated,omitempty"`
	Error            *acme.Problem `json:"error,omitempty"`

	// Nonce is what the response to an onion-csr-01 challenge must hold, in the place of a token (RFC 9799 §3.2).
	Nonce []byte `json:"nonce,omitempty"`
	// Certs are certificates whose key can answer a proof-of-possession-01 challenge, in DER. Within says for
	// how long after another proof it is enough alone; 0: it never is, and is asked for beside another one.
	Certs  [][]byte      `json:"certs,omitempty"`
	Within time.Duration `json:"within,omitempty"`
	// AccountURL is the account's URL as the client wrote it in its response.
	AccountURL string `json:"accountURL,omitempty"`
	// URL and Response are the challenge's URL as the client wrote it and what it sent there. They are kept
	// only of types whose responses have members (RFC 8555 §7.5.1).
	URL      string `json:"url,omitempty"`
	Response []byte `json:"response,omitempty"`
}

// Asked is the identifier as the order has it: with the wildcard label, if it had one.
func (a Authz) Asked() acme.Identifier {
	if a.Wildcard {
		return acme.Identifier{Type: a.Identifier.Type, Value: "*." + a.Identifier.Value}
	}
	return a.Identifier
}

// StatusAt is the status that a client sees at a moment: expiry needs nobody to note it.
func (a Authz) StatusAt(now time.Time) acme.Status {
	if (a.Status == acme.StatusPending || a.Status == acme.StatusValid) && !now.Before(a.Expires) {
		return acme.StatusExpired
	}
	return a.Status
}

// Challenge finds the challenge of a type, or nil.
func (a Authz) Challenge(kind acme.ChallengeType) *Challenge {
	for i := range a.Challenges {
		if a.Challenges[i].Type == kind {
			return &a.Challenges[i]
		}
	}
	return nil
}

// Attempted is the challenge that the client has responded to, or nil.
func (a Authz) Attempted() *Challenge {
	for i := range a.Challenges {
		if a.Challenges[i].Status != acme.StatusPending {
			return &a.Challenges[i]
		}
	}
	return nil
}

// Proof is the challenge by which control was proven, or nil.
func (a Authz) Proof() *Challenge {
	for i := range a.Challenges {
		if a.Challenges[i].Status == acme.StatusValid {
			return &a.Challenges[i]
		}
	}
	return nil
}

// Attempt decides on a response to a challenge (RFC 8555 §7.5.1). The first one starts the validation
// under lease. One that comes while a failed validation waits for its next try starts that
// now (RFC 8555 §8.2); it is still one of the tries that there are. Any other changes nothing.
func (a Authz) Attempt(answer Answer, lease Lease, now time.Time) (Authz, *acme.Problem) {
	switch status := a.StatusAt(now); {
	case status == acme.StatusExpired || status == acme.StatusDeactivated || status == acme.StatusRevoked:
		return a, acme.Problemf(acme.TypeMalformed, "the authorization is %s: place a new order", status)
	case status == acme.StatusPending && a.waits(answer.Type, now):
		a.Lease = lease
		return a, nil
	case status != acme.StatusPending || a.Attempted() != nil:
		return a, nil // under way or final
	}
	a.Challenges = append([]Challenge(nil), a.Challenges...)
	challenge := a.Challenge(answer.Type)
	if problem := challenge.takeResponse(answer); problem != nil {
		return a, problem
	}
	challenge.Status = acme.StatusProcessing
	if challenge.Token != "" {
		challenge.KeyAuthorization = acme.KeyAuthorization(challenge.Token, answer.Key.Thumbprint())
	}
	a.Lease = lease
	return a, nil
}

// waits reports whether the validation of a challenge failed for now and is to be tried again later.
func (a Authz) waits(kind acme.ChallengeType, now time.Time) bool {
	attempted := a.Attempted()
	return attempted != nil && attempted.Type == kind && attempted.Error != nil && now.Before(a.Lease.Due)
}

// Outcome is what one validation came to.
type Outcome struct {
	Problem *acme.Problem // nil where control is proven
	// Temporary says that the problem may go away by itself, such as a server that did not answer.
	Temporary bool
	Again     time.Duration // when to look again, if there is another try
	// CAAChecked is when CAA was found to permit the certificate; zero where it was not asked for.
	CAAChecked time.Time
	// Until is when the proof ends by its own terms; zero if it does not.
	Until time.Time
}

// Settle records the outcome of a validation: control is proven, or a problem says why
// not. One failed challenge fails the authorization (RFC 8555 §7.1.6), but not before what
// may go away has been given time to (§8.2): meanwhile the challenge is processing and shows its error.
func (a Authz) Settle(o Outcome, now time.Time) Authz {
	attempted := a.Attempted()
	if a.Status != acme.StatusPending || attempted == nil || attempted.Status != acme.StatusProcessing {
		a.Lease = Lease{}
		return a // deactivated meanwhile, or settled
	}
	settled := *attempted
	a.Lease = Lease{}
	switch {
	case o.Problem == nil && !now.Before(a.Expires): // expired is final (RFC 8555 §7.1.6): clients have seen it
		settled.Status, settled.Error = acme.StatusInvalid,
			acme.Problemf(acme.TypeUnauthorized, "the authorization had expired before control was proven: place a new order")
	case o.Problem == nil:
		settled.Status, settled.Validated, settled.Error = acme.StatusValid, &now, nil
		a.Status, a.Expires, a.CAAChecked = acme.StatusValid, now.Add(a.ValidFor), o.CAAChecked
	case o.Temporary && a.Tries < a.Retries && now.Add(o.Again).Before(a.Expires):
		settled.Error = o.Problem
		a.Tries++
		a.Lease = Lease{Due: now.Add(o.Again)}
	default:
		settled.Status, settled.Error = acme.StatusInvalid, o.Problem
		a.Status = acme.StatusInvalid
	}
	a.Challenges = append([]Challenge(nil), a.Challenges...)
	*a.Attempted() = settled
	return a.until(o.Until)
}

// PutOff has a validation that could not be made looked at again after a pause. That is no fault of the client's: no error
// is shown, and no response can start it before (waits). Else a client for whom something of ours
// fails could have its target looked at as often as it likes, since none of it would count as a try.
func (a Authz) PutOff(pause time.Duration, now time.Time) Authz {
	a.Lease = Lease{Due: now.Add(pause)}
	if a.StatusAt(now) != acme.StatusPending {
		a.Lease = Lease{} // expired: nothing can come of it
	}
	if attempted := a.Attempted(); attempted != nil && attempted.Status == acme.StatusProcessing {
		a.Challenges = append([]Challenge(nil), a.Challenges...)
		a.Attempted().Error = nil
	}
	return a
}

// Update decides on a request to the authorization's URL: a client can give it up
// while it is pending or valid (RFC 8555 §7.5.2).
func (a Authz) Update(req acme.Deactivation, now time.Time) (Authz, *acme.Problem) {
	if req.Status != acme.StatusDeactivated {
		return a, acme.Problemf(acme.TypeMalformed, `"status" can only be set to "deactivated" (RFC 8555 §7.5.2)`)
	}
	switch status := a.StatusAt(now); status {
	case acme.StatusPending, acme.StatusValid, acme.StatusDeactivated:
		a.Status, a.Lease = acme.StatusDeactivated, Lease{}
		return a, nil
	default:
		return a, acme.Problemf(acme.TypeMalformed, "the authorization is %s and cannot be deactivated", status)
	}
}
