package rules

import (
	"crypto/rand"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Answer is a client's response to a challenge, once it is known who sent it (RFC 8555 §7.5.1).
type Answer struct {
	Type       acme.ChallengeType
	Key        *acme.Key // of the account, now
	AccountURL string    // as the client knows it
	URL        string    // of the challenge, as the client knows it
	Payload    []byte    // a JSON object
}

// takeResponse notes what the client said in its response.
func (c *Challenge) takeResponse(answer Answer) *acme.Problem {
	c.AccountURL = answer.AccountURL
	if !hasResponse(c.Type) {
		return nil
	}
	if c.Type == acme.OnionCSR01 {
		if _, problem := acme.ReadOnionCSRResponse(answer.Payload); problem != nil {
			return problem
		}
	}
	if c.Type == acme.ProofOfPossession01 {
		if _, _, problem := acme.ReadPossessionResponse(answer.Payload); problem != nil {
			return problem
		}
	}
	if len(answer.Payload) > maxResponse {
		return acme.Problemf(acme.TypeMalformed, "the response has %d octets, and at most %d are read: send fewer certificates", len(answer.Payload), maxResponse)
	}
	c.URL, c.Response = answer.URL, answer.Payload
	return nil
}

// maxResponse bounds what is kept of a response. A CSR, or a JWS with a few certificates, fits easily.
const maxResponse = 24 << 10

// Proving says how control of a name can be proven. The zero value offers StandardChallenges.
type Proving struct {
	// Offer lists the types that are offered, in the order in which clients see them; nil means StandardChallenges.
	Offer []acme.ChallengeType
	// Issuers are the names by which dns-persist-01 records know this CA: 1 to
	// acme.MaxIssuerDomains where that type is offered, in lower case, without a final dot.
	Issuers []string
	// Persist is the draft of dns-persist-01 that is spoken; "" means that of the Baseline Requirements' day, -01.
	Persist acme.PersistDraft
	// HashPrefix is what hashed account URIs begin with, from draft -02 on: a URL of this CA.
	HashPrefix string
	// Authorities are other CAs, in DER, whose certificates count for proof-of-possession-01 where
	// that is asked for beside another proof.
	Authorities [][]byte
}

// Draft is the draft of dns-persist-01 that is spoken.
func (p Proving) Draft() acme.PersistDraft {
	if p.Persist == "" {
		return acme.PersistDraft01
	}
	return p.Persist
}

// offer is Offer, or what stands for it.
func (p Proving) offer() []acme.ChallengeType {
	if p.Offer == nil {
		return StandardChallenges()
	}
	return p.Offer
}

// Offers reports whether a type is offered at all.
func (p Proving) Offers(kind acme.ChallengeType) bool { return slices.Contains(p.offer(), kind) }

// StandardChallenges are the types that need nothing to be set up. The first one is for
// clients that take what comes first; those that fewer clients know come last.
func StandardChallenges() []acme.ChallengeType {
	return []acme.ChallengeType{acme.HTTP01, acme.DNS01, acme.TLSALPN01, acme.DNSAccount01}
}

// newAuthz makes a pending authorization for id, which the policy accepts.
func (p Policy) newAuthz(account string, id acme.Identifier, profile Profile, now time.Time) Authz {
	base, wildcard := id.Base()
	a := Authz{
		ID: NewID(now), Account: account, Identifier: base, Wildcard: wildcard,
		Status: acme.StatusPending, Expires: now.Add(min(profile.PendingLifetime, maxPending)), ValidFor: profile.AuthzLifetime,
		Retries: profile.Retries,
	}
	for _, kind := range p.challengesFor(id, profile) {
		a.Challenges = append(a.Challenges, newChallenge(kind))
	}
	return a
}

// maxPending is how long a token or a nonce may be answered (BR §3.2.2.4.7, §3.2.2.4.20, RFC 9799 §3.2).
const maxPending = 30 * 24 * time.Hour

func newChallenge(kind acme.ChallengeType) Challenge {
	c := Challenge{Type: kind, Status: acme.StatusPending}
	switch kind {
	case acme.DNSPersist01:
	case acme.OnionCSR01:
		c.Nonce = make([]byte, 16) // RFC 9799 §3.2 asks for 64 bits
		_, _ = rand.Read(c.Nonce)  // never fails
	default:
		c.Token = newToken()
	}
	return c
}

// challengesFor lists the ways to prove control of id under a profile, as clients see them.
func (p Policy) challengesFor(id acme.Identifier, profile Profile) []acme.ChallengeType {
	var fit []acme.ChallengeType
	for _, kind := range p.Proving.offer() {
		if (profile.Challenges == nil || slices.Contains(profile.Challenges, kind)) && fits(kind, id) {
			fit = append(fit, kind)
		}
	}
	return fit
}

// fits reports whether a challenge of a type can prove control of id. A wildcard needs a DNS
// challenge (RFC 8555 §7.1.3, BR §3.2.2.4.19, §3.2.2.4.20), and an address must not have one (RFC 8738 §7).
func fits(kind acme.ChallengeType, id acme.Identifier) bool {
	base, wildcard := id.Base()
	if acme.IsOnion(base.Value) {
		return kind == acme.OnionCSR01 // not in the DNS (RFC 9799 §3.1.1), and there is no way into Tor from here
	}
	switch kind {
	case acme.HTTP01, acme.TLSALPN01:
		return !wildcard
	case acme.DNS01, acme.DNSAccount01, acme.DNSPersist01:
		return id.Type == acme.DNS
	default:
		return false
	}
}

// unprovable says that no way of proving control is offered for id; nil if there is one.
func (p Policy) unprovable(id acme.Identifier, profile Profile) *acme.Problem {
	if len(p.challengesFor(id, profile)) > 0 {
		return nil
	}
	return acme.Problemf(acme.TypeRejectedIdentifier, "profile %s offers no way to prove control of %s", profile.Name, id.Value)
}

// hasResponse reports whether responses to challenges of a type have members. Whatever is
// in those of the other types is ignored (RFC 8555 §7.5.1).
func hasResponse(kind acme.ChallengeType) bool {
	return kind == acme.OnionCSR01 || kind == acme.ProofOfPossession01
}

// until bounds how long a valid authorization lasts: to the end that the proof itself names, if
// it does, and to what the Baseline Requirements allow for its type of proof.
func (a Authz) until(end time.Time) Authz {
	proven := a.Attempted()
	if a.Status != acme.StatusValid || proven == nil || proven.Validated == nil {
		return a
	}
	if longest := proven.Validated.Add(maxPersistReuse); proven.Type == acme.DNSPersist01 && a.Expires.After(longest) {
		a.Expires = longest
	}
	if !end.IsZero() && a.Expires.After(end) {
		a.Expires = end
	}
	return a
}

// maxPersistReuse is how long a proof by dns-persist-01 may be relied on (BR §3.2.2.4.22).
const maxPersistReuse = 10 * 24 * time.Hour
