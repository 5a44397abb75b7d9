package rules

import (
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/cairn-ca/cairn/acme"
)

// Ancestors has, for identifiers in normal form, a domain above each that may be authorized in its place (RFC 9444 §4.3).
type Ancestors map[acme.Identifier]acme.Identifier

// acceptAncestors checks what a client names as ancestors, by the values of its identifiers. Where
// the policy does not allow one, it is left out: the identifier itself is
// authorized then, as RFC 9444 §4.3 has it.
func (p Policy) acceptAncestors(asked map[string]string, profile Profile) (Ancestors, *acme.Problem) {
	accepted := make(Ancestors, len(asked))
	for value, name := range asked {
		id, problem := acme.Identifier{Type: acme.DNS, Value: value}.Normalize()
		if problem != nil {
			return nil, acme.Problemf(acme.TypeMalformed, `%.64q has an "ancestorDomain", but is not a domain name`, value)
		}
		ancestor, problem := acme.Identifier{Type: acme.DNS, Value: name}.Normalize()
		if problem != nil {
			return nil, acme.Problemf(acme.TypeMalformed, `the "ancestorDomain" of %s cannot be one: %s`, id.Value, problem.Detail)
		}
		_, wildcard := id.Base()
		_, star := ancestor.Base()
		switch {
		case wildcard || star:
			return nil, acme.Problemf(acme.TypeMalformed, `%s has an "ancestorDomain": leave it out, since a wildcard has an authorization of its own`, id.Value)
		case !strings.HasSuffix(id.Value, "."+ancestor.Value):
			return nil, acme.Problemf(acme.TypeMalformed, `the "ancestorDomain" %s is not above %s`, ancestor.Value, id.Value)
		case p.allowsSubdomains(ancestor, profile):
			accepted[id] = ancestor
		}
	}
	return accepted, nil
}

// allowsSubdomains reports whether one authorization may be for domain, which is in normal form, and all
// below it: never for what many people register names under, whatever the operator permits.
func (p Policy) allowsSubdomains(domain acme.Identifier, profile Profile) bool {
	if p.NoSubdomains || domain.Type != acme.DNS {
		return false
	}
	suffix, _ := publicsuffix.PublicSuffix(domain.Value)
	return suffix != domain.Value && p.refusal(domain) == nil && profile.permits(domain) && len(p.challengesFor(below(domain), profile)) > 0
}

// newSubdomainAuthz makes a pending authorization for domain and all below it. Control of those is
// proven as for a wildcard: a web server speaks for one name alone (BR §3.2.2.4.19, §3.2.2.4.20).
func (p Policy) newSubdomainAuthz(account string, domain acme.Identifier, profile Profile, now time.Time) Authz {
	authz := p.newAuthz(account, below(domain), profile, now)
	authz.Wildcard, authz.Subdomains = false, true
	return authz
}

// below is the wildcard under domain.
func below(domain acme.Identifier) acme.Identifier {
	return acme.Identifier{Type: domain.Type, Value: "*." + domain.Value}
}

// CoversSubdomain reports whether a is for id as a domain below its own (RFC 9444 §4.1). A wildcard is
// not one: RFC 8555 §7.4.1 does not let it be authorized so.
func (a Authz) CoversSubdomain(id acme.Identifier) bool {
	_, wildcard := id.Base()
	return a.Subdomains && !wildcard && id.Type == acme.DNS && strings.HasSuffix(id.Value, "."+a.Identifier.Value)
}

// standing finds the authorization for id that lasts longest among those that were asked for in
// order to serve several orders (RFC 8555 §7.4.1, RFC 9444 §4.2). They do so under every profile
// for which their proof counts, even if it reuses nothing else: that is their point.
func (h Held) standing(id acme.Identifier, r OrderRequest, now time.Time) (best Authz, found bool) {
	lifetime := r.Profile.limited(r.Profile.AuthzLifetime, now)
	for _, a := range h.Standing {
		exact := (a.Preauthorized || a.Subdomains) && a.Asked() == id
		below := !r.policy.NoSubdomains && a.CoversSubdomain(id) // the operator may have ended that since
		proof := a.Proof()
		if a.Account != h.Account.ID || !exact && !below || a.StatusAt(now) != acme.StatusValid ||
			proof == nil || proof.Validated == nil || !r.Profile.counts(proof.Type) || !now.Before(proof.Validated.Add(lifetime)) {
			continue
		}
		if !found || a.Expires.After(best.Expires) {
			best, found = a, true
		}
	}
	return best, found
}
