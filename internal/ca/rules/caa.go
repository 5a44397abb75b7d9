package rules

import (
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// caaAge is how old the answer about CAA may be when a certificate is signed. BR
// §4.2.2.1 allows eight hours; an hour is left for the signing.
const caaAge = 7 * time.Hour

// CAA says for which names the records of RFC 8659 are asked for, and as whom.
type CAA struct {
	// Identities are the domains by which records name this authority, in lower case; none
	// means that records are not asked for at all.
	Identities []string
	// Private are names that nobody outside can have records for.
	Private acme.Subtrees
}

// AppliesTo reports whether records about id, without a wildcard label, are asked for. They are about domains
// alone (RFC 8659 §3), an onion has none in the DNS (RFC 9799 §6.2), and a single label is a host of the local network.
func (c CAA) AppliesTo(id acme.Identifier) bool {
	return len(c.Identities) > 0 && id.Type == acme.DNS && strings.Contains(id.Value, ".") &&
		!strings.HasSuffix(id.Value, ".onion") && !c.Private.Contains(id)
}

// AppliesToAny reports whether CAA is asked for any of ids, with or without their wildcard labels.
func (c CAA) AppliesToAny(ids []acme.Identifier) bool {
	return slices.ContainsFunc(ids, func(id acme.Identifier) bool {
		base, _ := id.Base()
		return c.AppliesTo(base)
	})
}

// Recheck is an identifier of an order that CAA must be asked about, again or for the first time, and the
// authorization that it rests on; a GoneAuthz if that is not kept any more.
type Recheck struct {
	Identifier acme.Identifier // as the order has it
	Authz      Authz
}

// Outdated lists what must be asked before an order is signed for at now: what was answered too long ago, and names
// whose authorization is for a domain above them (RFC 9444), since their records may be others.
func (c CAA) Outdated(o Order, authzs []Authz, now time.Time) []Recheck {
	var list []Recheck
	for _, id := range o.Identifiers {
		base, _ := id.Base()
		if !c.AppliesTo(base) {
			continue
		}
		covered := false
		for _, a := range authzs {
			exact := a.Asked() == id
			if exact && now.Sub(a.CAAChecked) > caaAge || !exact && a.CoversSubdomain(id) {
				list = append(list, Recheck{Identifier: id, Authz: a})
			}
			if covered = exact || a.CoversSubdomain(id); covered {
				break
			}
		}
		if !covered {
			list = append(list, Recheck{Identifier: id, Authz: GoneAuthz("")})
		}
	}
	return list
}

// RefusedByCAA is the problem of an order some of whose names CAA does not permit any more, each with a subproblem; nil
// if there are none.
func RefusedByCAA(refused []*acme.Problem) *acme.Problem {
	if len(refused) == 0 {
		return nil
	}
	return together(refused, "the CAA records of some identifiers do not permit the certificate: change them, or leave those identifiers out")
}
