package rules

import (
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Profile says what can be ordered as one kind of certificate (draft-ietf-acme-profiles), and
// on which proof. What the certificate looks like is the signer's part: sign.Profile.
type Profile struct {
	Name        string
	Description string // for people, in the directory's meta

	MaxNames    int
	Names       acme.Subtrees         // of those that the policy allows; empty for all
	Identifiers []acme.IdentifierType // which types a name can have; nil for all
	Keys        []acme.KeyType        // which kinds of keys are certified; nil for all but Ed25519, which browsers do not accept
	Challenges  []acme.ChallengeType  // which ways to prove control count; nil for all that are offered
	Possession  Possession            // what the key of an older certificate is good for

	OrderLifetime   time.Duration
	PendingLifetime time.Duration                     // of a pending authorization
	AuthzLifetime   time.Duration                     // of a valid one
	Reuse           time.Duration                     // how long after its validation an authorization may serve another order; 0 for never
	ReuseOrders     bool                              // a request like one whose order is open is given that order
	ReuseLimit      func(now time.Time) time.Duration // the most that Reuse may be, by date; nil for no limit
	Validity        time.Duration                     // of a certificate, from notBefore to the end of its last second
	ValidityLimit   func(now time.Time) time.Duration // the most that Validity may be, by date; nil for no limit
	Backdate        time.Duration                     // how far notBefore lies back unless a client asks for another
	External        bool                              // whether the account must have an external account binding (RFC 8555 §7.3.4)
	Retries         int                               // how often a validation that failed for a passing reason is tried again
}

// Classic is the default profile, with the lifetimes of Let's Encrypt's profile of that
// name. Unlike there, addresses are allowed: where names are private, they are common.
func Classic() Profile {
	return Profile{
		Name:            "classic",
		Description:     "90 days, for servers (TLS server authentication)",
		MaxNames:        100,
		OrderLifetime:   7 * 24 * time.Hour,
		PendingLifetime: 7 * 24 * time.Hour,
		AuthzLifetime:   30 * 24 * time.Hour,
		Reuse:           30 * 24 * time.Hour,
		Validity:        90 * 24 * time.Hour,
		Backdate:        time.Hour,
		Retries:         2,
	}
}

// takes reports whether names of a type can be in a certificate of the profile.
func (p Profile) takes(kind acme.IdentifierType) bool {
	return p.Identifiers == nil || slices.Contains(p.Identifiers, kind)
}

// permits reports whether the profile allows id, which the policy does.
func (p Profile) permits(id acme.Identifier) bool {
	free := len(p.Names.Domains)+len(p.Names.Ranges) == 0
	return p.takes(id.Type) && (free || p.Names.Contains(id))
}

// counts reports whether a way to prove control counts.
func (p Profile) counts(kind acme.ChallengeType) bool {
	// What rests on an older certificate is for one order alone (Possession.Within).
	return kind != acme.ProofOfPossession01 && (p.Challenges == nil || slices.Contains(p.Challenges, kind))
}

// certifies reports whether the profile allows the key of a CSR.
func (p Profile) certifies(kind acme.KeyType) bool {
	if p.Keys == nil {
		return kind != acme.KeyEd25519
	}
	return kind.In(p.Keys)
}

// misfit says why id, which the policy allows, does not go with a profile; nil if it does. If the
// client named the profile, the choice was wrong (draft-ietf-acme-profiles §4), else the name is.
func (p Policy) misfit(id acme.Identifier, profile Profile, named bool) *acme.Problem {
	kind := acme.TypeInvalidProfile
	switch {
	case !profile.takes(id.Type):
		if !named {
			kind = acme.TypeUnsupportedIdentifier
		}
		return acme.Problemf(kind, "profile %s is not for identifiers of type %q%s", profile.Name, string(id.Type), p.instead(id))
	case !profile.permits(id):
		if !named {
			kind = acme.TypeRejectedIdentifier
		}
		return acme.Problemf(kind, "profile %s is limited to %s%s", profile.Name, some(profile.Names.Strings()), p.instead(id))
	}
	return p.unprovable(id, profile)
}

// instead names the profiles that would do for id, for the end of a sentence.
func (p Policy) instead(id acme.Identifier) string {
	var others []string
	for _, profile := range p.Profiles {
		if profile.permits(id) && len(p.challengesFor(id, profile)) > 0 {
			others = append(others, profile.Name)
		}
	}
	if len(others) == 0 {
		return ": no profile of this CA is for it"
	}
	return ": ask for profile " + strings.Join(others, " or ")
}

// Offers decides whether an order can be finalized with a CSR, for all that the profile has to say: the
// profile may have gone since the order was placed (draft-ietf-acme-profiles §4).
func (p Policy) Offers(o Order, csr CSR) *acme.Problem {
	i := slices.IndexFunc(p.Profiles, func(profile Profile) bool { return profile.Name == o.Profile })
	if i < 0 {
		return acme.Problemf(acme.TypeInvalidProfile, "profile %s is not offered any more: place a new order", o.Profile)
	}
	kind := acme.KeyTypeOf(csr.PublicKey)
	switch profile := p.Profiles[i]; {
	case profile.certifies(kind):
		return nil
	case profile.Keys == nil:
		return acme.Problemf(acme.TypeBadCSR, "the key of the CSR is %s, which browsers do not accept: use P-256, P-384 or RSA", kind)
	default:
		names := make([]string, len(profile.Keys))
		for i, allowed := range profile.Keys {
			names[i] = string(allowed)
		}
		return acme.Problemf(acme.TypeBadCSR, "the key of the CSR is %s, but profile %s takes %s alone", kind, profile.Name, strings.Join(names, ", "))
	}
}
