package rules

import (
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// NewAuthorization decides on a newAuthz request (RFC 8555 §7.4.1): a pending authorization that
// belongs to no order yet, with the lifetimes of the first profile that is for the
// identifier. It is a new one even if there is a valid one, so that a client can
// prove control again before that expires. What the CA would not issue for is refused with 403.
func NewAuthorization(p Policy, account Account, req acme.NewAuthorization, now time.Time) (Authz, *acme.Problem) {
	id, profile, problem := p.acceptForAny(req.Identifier)
	if problem == nil {
		problem = account.outOfScope(id)
	}
	if problem != nil {
		return Authz{}, problem.WithStatus(403)
	}
	if _, wildcard := id.Base(); wildcard {
		return Authz{}, acme.Problemf(acme.TypeRejectedIdentifier,
			"a wildcard cannot be authorized beforehand (RFC 8555 §7.4.1): place an order for %s", id.Value)
	}
	authz := p.newAuthz(account.ID, id, profile, now)
	if req.Subdomains && p.allowsSubdomains(id, profile) { // otherwise for the identifier alone (RFC 9444 §4.2)
		authz = p.newSubdomainAuthz(account.ID, id, profile, now)
	}
	authz.Preauthorized = true
	return authz, nil
}

// acceptForAny is accept for the first profile that is for id; the problem is that of the default profile.
func (p Policy) acceptForAny(id acme.Identifier) (normal acme.Identifier, fit Profile, problem *acme.Problem) {
	for _, profile := range p.Profiles {
		accepted, why := p.accept(id, profile, false)
		if why == nil {
			return accepted, profile, nil
		}
		if problem == nil {
			problem = why
		}
	}
	return normal, fit, problem
}
