package rules

import (
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// OrderRequest is a newOrder request that the policy allows. What it takes to decide on it, the
// caller loads, and gives to NewOrder as Held.
type OrderRequest struct {
	Identifiers []acme.Identifier // in normal form, each once
	Profile     Profile
	Replaces    *acme.CertID // the certificate that is to be replaced (RFC 9773 §5), or nil
	Validity    Validity     // as the client wants it
	Ancestors   Ancestors    // domains that can be authorized in the place of identifiers below them (RFC 9444 §4.3)

	policy Policy
}

// ReadNewOrder checks a newOrder request (RFC 8555 §7.4) for all that can be said of it alone.
func ReadNewOrder(p Policy, req acme.NewOrder) (OrderRequest, *acme.Problem) {
	r := OrderRequest{policy: p}
	var problem *acme.Problem
	if r.Profile, problem = p.profile(req.Profile); problem != nil {
		return OrderRequest{}, problem
	}
	if r.Validity, problem = readValidity(req); problem != nil {
		return OrderRequest{}, problem
	}
	if r.Identifiers, problem = p.acceptAll(req, r.Profile); problem != nil {
		return OrderRequest{}, problem
	}
	if r.Ancestors, problem = p.acceptAncestors(req.Ancestors, r.Profile); problem != nil {
		return OrderRequest{}, problem
	}
	if req.Replaces != "" {
		id, problem := acme.ParseCertID(req.Replaces)
		if problem != nil {
			problem.Detail = `"replaces": ` + problem.Detail
			return OrderRequest{}, problem
		}
		r.Replaces = &id
	}
	return r, nil
}

// Held is what the caller of NewOrder has loaded.
type Held struct {
	Account  Account
	Authzs   []Authz      // the account's valid authorizations for names of the request; none unless the profile reuses them
	Standing []Authz      // the account's valid authorizations that were asked for in order to serve several orders
	Open     []OpenOrder  // the account's orders that may be the same, newest first; none unless the profile reuses them
	Replaced *Predecessor // the certificate that the request replaces; nil if there is no such certificate
}

// OpenOrder is an order with its authorizations, from which its status follows.
type OpenOrder struct {
	Order  Order
	Authzs []Authz
}

// Placed is what has become of a newOrder request.
type Placed struct {
	Order  Order
	Authzs []Authz // of the order, in the order of the identifiers; several can share one
	New    []Authz // those of them that are to be stored with it
	Again  bool    // the order was there before: there is nothing to store
}

// NewOrder decides on a newOrder request (RFC 8555 §7.4). It takes the valid authorizations
// that the profile reuses, and makes pending ones for the other names. Pending ones
// are never shared between orders: what one client does to them would fail the other.
func NewOrder(r OrderRequest, held Held, now time.Time) (Placed, *acme.Problem) {
	if problem := held.Account.confine(r.Identifiers); problem != nil {
		return Placed{}, problem
	}
	if r.Profile.External && held.Account.ExternalKey == "" {
		return Placed{}, acme.Problemf(acme.TypeUnauthorized,
			"profile %s is for accounts with an external account binding: ask the CA's operator for a key and register an account with it", r.Profile.Name)
	}
	if again, ok := held.again(r, now); ok {
		return again, nil
	}
	order := Order{
		ID: NewID(now), Account: held.Account.ID, Identifiers: r.Identifiers, Profile: r.Profile.Name,
		Created: now, Expires: now.Add(r.Profile.OrderLifetime), Validity: r.Validity,
	}
	until, problem := r.policy.bound(r.Validity, r.Profile, now)
	if problem != nil {
		return Placed{}, problem
	}
	order.Expires = earlier(order.Expires, until)
	if r.Replaces != nil {
		if problem := held.Replaced.replaceable(r, held.Account, now); problem != nil {
			return Placed{}, problem
		}
		order.Replaces = r.Replaces.String()
	}
	var placed Placed
	for _, id := range r.Identifiers {
		authz, found := held.reusable(id, r.Profile, now)
		if !found {
			authz, found = held.standing(id, r, now)
		}
		if !found {
			authz, found = placed.begin(r, held.Account, id, now)
		}
		if found && authz.Status == acme.StatusValid && authz.Expires.Before(order.Expires) {
			order.Expires = authz.Expires // the order cannot be finalized later than that
		}
		if !slices.Contains(order.Authzs, authz.ID) {
			placed.Authzs, order.Authzs = append(placed.Authzs, authz), append(order.Authzs, authz.ID)
		}
	}
	placed.Order = order
	placed.offerPossession(r, held.Account, now)
	return placed, nil
}

// begin makes a pending authorization for id, or for the domain above it that the client wants to
// prove control of. That one may be there already: then it is found.
func (p *Placed) begin(r OrderRequest, account Account, id acme.Identifier, now time.Time) (authz Authz, found bool) {
	ancestor, ok := r.Ancestors[id]
	if !ok || account.outOfScope(ancestor) != nil {
		authz = r.policy.newAuthz(account.ID, id, r.Profile, now)
		p.New = append(p.New, authz)
		return authz, false
	}
	for _, a := range p.New {
		if a.Subdomains && a.Identifier == ancestor {
			return a, true
		}
	}
	authz = r.policy.newSubdomainAuthz(account.ID, ancestor, r.Profile, now)
	p.New = append(p.New, authz)
	return authz, false
}

// again finds the open order that a request would only repeat.
func (h Held) again(r OrderRequest, now time.Time) (Placed, bool) {
	replaces := ""
	if r.Replaces != nil {
		replaces = r.Replaces.String()
	}
	for _, open := range h.Open {
		o := open.Order
		if !r.Profile.ReuseOrders || len(r.Ancestors) > 0 || o.Account != h.Account.ID || o.Profile != r.Profile.Name || o.Replaces != replaces || !o.Validity.equal(r.Validity) ||
			!slices.Equal(sorted(o.Identifiers), sorted(r.Identifiers)) {
			continue
		}
		switch OrderStatus(o, open.Authzs, now) {
		case acme.StatusPending, acme.StatusReady:
			return Placed{Order: o, Authzs: open.Authzs, Again: true}, true
		}
	}
	return Placed{}, false
}

// reusable finds the authorization for id that serves the longest, among those whose
// proof is recent enough and of a kind that counts for the profile.
func (h Held) reusable(id acme.Identifier, profile Profile, now time.Time) (best Authz, found bool) {
	for _, a := range h.Authzs {
		if a.Asked() == id && a.Account == h.Account.ID && a.serves(profile, now) && (!found || a.Expires.After(best.Expires)) {
			best, found = a, true
		}
	}
	return best, found
}

// limited is how long a proof may be relied on, by the profile and by date (BR §4.2.1).
func (p Profile) limited(reuse time.Duration, now time.Time) time.Duration {
	if p.ReuseLimit != nil {
		return min(reuse, p.ReuseLimit(now))
	}
	return reuse
}

// maxMargin bounds for how long an authorization must still be good to serve another order.
const maxMargin = 24 * time.Hour

// serves reports whether a, made for whatever profile, may serve a new order of this one: it
// was proven in a way that counts, and long enough before the end of the period of reuse
// that a client has time for the rest of the order.
func (a Authz) serves(profile Profile, now time.Time) bool {
	proof, reuse := a.Proof(), profile.limited(profile.Reuse, now)
	if reuse <= 0 || a.StatusAt(now) != acme.StatusValid || proof == nil || proof.Validated == nil || !profile.counts(proof.Type) {
		return false
	}
	margin := min(profile.OrderLifetime, reuse) / 8
	end := proof.Validated.Add(reuse) // BR §4.2.1: since the validation, whatever was reused meanwhile
	if a.Expires.Before(end) {
		end = a.Expires
	}
	return now.Add(min(margin, maxMargin)).Before(end)
}
