package rules

import (
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Possession says what proof-of-possession-01 is good for under a profile. The zero value: for nothing. That somebody
// has the key of a certificate does not show that the name is still theirs.
type Possession struct {
	// Within makes it enough alone, if the certificate was issued on another kind of proof that is not
	// older than this. A name that has been lost cannot be renewed for ever so. Only for names that are private.
	Within time.Duration
	// Also asks for it beside another proof: each identifier has a second authorization that
	// takes nothing else. Clients that do not know the type cannot complete such an order.
	Also bool
}

// possession is a challenge for id under a profile: enough alone if within is not 0.
func possession(within time.Duration) Challenge {
	c := newChallenge(acme.ProofOfPossession01)
	c.Within = within
	return c
}

// offerPossession adds to the new authorizations of an order what the profile says about possession.
func (p *Placed) offerPossession(r OrderRequest, account Account, now time.Time) {
	if !r.policy.Proving.Offers(acme.ProofOfPossession01) {
		return
	}
	terms := r.Profile.Possession
	if terms.Within > 0 {
		for i := range p.New {
			if a := &p.New[i]; !a.Subdomains && !acme.IsOnion(a.Identifier.Value) {
				a.Challenges = append(a.Challenges, possession(terms.Within))
			}
		}
		p.refresh()
	}
	if !terms.Also {
		return
	}
	for _, id := range r.Identifiers {
		base, wildcard := id.Base()
		gate := Authz{
			ID: NewID(now), Account: account.ID, Identifier: base, Wildcard: wildcard, Status: acme.StatusPending,
			Expires: now.Add(min(r.Profile.PendingLifetime, maxPending)), ValidFor: r.Profile.AuthzLifetime,
			Challenges: []Challenge{possession(0)},
		}
		p.New, p.Authzs = append(p.New, gate), append(p.Authzs, gate)
		p.Order.Authzs = append(p.Order.Authzs, gate.ID)
	}
}

// refresh takes over changes to New into Authzs.
func (p *Placed) refresh() {
	for i, a := range p.Authzs {
		if j := slices.IndexFunc(p.New, func(n Authz) bool { return n.ID == a.ID }); j >= 0 {
			p.Authzs[i] = p.New[j]
		}
	}
}

// Covering lists the names in a certificate that cover id: itself, and the wildcard that stands for it.
func Covering(id acme.Identifier) []acme.Identifier {
	names := []acme.Identifier{id}
	if _, wildcard := id.Base(); id.Type == acme.DNS && !wildcard {
		if _, parent, ok := strings.Cut(id.Value, "."); ok {
			names = append(names, below(acme.Identifier{Type: id.Type, Value: parent}))
		}
	}
	return names
}

// PossessionSuffices decides whether the key of a certificate is proof enough alone for a: the certificate was issued
// to an order with authorizations issuedOn, one of which must rest on another kind of proof that is recent enough, and
// not have been given up since.
func (a Authz) PossessionSuffices(within time.Duration, issuedOn []Authz, now time.Time) *acme.Problem {
	for _, name := range Covering(a.Asked()) {
		for _, old := range issuedOn {
			proof := old.Proof()
			if old.Status == acme.StatusDeactivated || old.Status == acme.StatusRevoked {
				continue // its account gave the name up, or lost it
			}
			if (old.Asked() == name || old.CoversSubdomain(name)) && proof != nil && proof.Validated != nil &&
				proof.Type != acme.ProofOfPossession01 && !now.After(proof.Validated.Add(within)) {
				return nil
			}
		}
	}
	return acme.Problemf(acme.TypeUnauthorized,
		"that certificate was not issued on another proof of control in the last %.0f hours: prove control of %s in another way this time", within.Hours(), a.Asked().Value)
}
