package renew

import (
	"fmt"
	"slices"

	"github.com/cairn-ca/cairn/acme"
)

// Have is a certificate that exists.
type Have struct {
	Lineage     string
	Identifiers []acme.Identifier
	Due         bool
}

// Ask is what an operator asks for.
type Ask struct {
	Lineage     string            // --cert-name, or ""
	Identifiers []acme.Identifier // empty only together with Lineage
	Expand      bool              // --expand: a certificate with fewer names may be replaced
	Force       bool              // --force-renewal: renew, due or not; expand, too
	Keep        bool              // --keep-until-expiring: keep what is not due
	Duplicate   bool              // --duplicate: leave what is there alone
	NewNames    bool              // --renew-with-new-domains: a certificate that is named may get other names
}

// Action is what follows from Have and Ask.
type Action int

// The actions.
const (
	Create  Action = iota // a new lineage
	Renew                 // the same names again
	Keep                  // nothing: it is not due
	Replace               // the lineage gets other names
)

// Doubt is a question that a request leaves open. Who asks nobody takes the answer that is given here.
type Doubt int

// The doubts.
const (
	Settled Doubt = iota
	// KeepOrRenew: the same names, and not due. The plan is to keep it.
	KeepOrRenew
	// Expand: a certificate has a part of the names. The plan is to replace it, which takes somebody who says so.
	Expand
	// OtherNames: the certificate that was named has other names. The plan is to change them.
	OtherNames
)

// Plan is what is to be done, and to which lineage.
type Plan struct {
	Action      Action
	Lineage     string // for Create the name to begin with
	Identifiers []acme.Identifier
	Doubt       Doubt
	// Added and Removed are how the names of a Replace differ from those that are there.
	Added, Removed []acme.Identifier
}

// Decide says what a request means, given the certificates that exist, and what of that a person is to be asked.
// A certificate with the same names is kept while it is not due; the names of one that is named are updated;
// one with fewer names is expanded. One with more names has nothing to do with the request.
func Decide(ask Ask, have []Have) (Plan, error) {
	if ask.Lineage != "" {
		return decideNamed(ask, have)
	}
	if !ask.Duplicate {
		for _, h := range have {
			if sameNames(h.Identifiers, ask.Identifiers) {
				return renewOrKeep(h, ask), nil
			}
		}
		if h := largestPart(ask, have); h != nil {
			doubt := Expand
			if ask.Expand || ask.Force {
				doubt = Settled
			}
			return replace(*h, ask, doubt), nil
		}
	}
	base, _ := ask.Identifiers[0].Base()
	return Plan{Action: Create, Lineage: base.Value, Identifiers: ask.Identifiers}, nil
}

// replace gives h the names that are asked for.
func replace(h Have, ask Ask, doubt Doubt) Plan {
	return Plan{
		Action: Replace, Lineage: h.Lineage, Identifiers: ask.Identifiers, Doubt: doubt,
		Added: without(ask.Identifiers, h.Identifiers), Removed: without(h.Identifiers, ask.Identifiers),
	}
}

// without gives what is in list and not in others.
func without(list, others []acme.Identifier) (rest []acme.Identifier) {
	for _, id := range list {
		if !slices.Contains(others, id) {
			rest = append(rest, id)
		}
	}
	return rest
}

// largestPart finds the certificate that has most of the names asked for, and no others; the
// first of several. It returns nil if there is none.
func largestPart(ask Ask, have []Have) *Have {
	var largest *Have
	for i, h := range have {
		if containsAll(ask.Identifiers, h.Identifiers) && (largest == nil || len(h.Identifiers) > len(largest.Identifiers)) {
			largest = &have[i]
		}
	}
	return largest
}

// decideNamed is for --cert-name.
func decideNamed(ask Ask, have []Have) (Plan, error) {
	i := slices.IndexFunc(have, func(h Have) bool { return h.Lineage == ask.Lineage })
	switch {
	case i < 0 && len(ask.Identifiers) == 0:
		return Plan{}, fmt.Errorf("no certificate with name %s found, and no names for a new one", ask.Lineage)
	case i < 0:
		return Plan{Action: Create, Lineage: ask.Lineage, Identifiers: ask.Identifiers}, nil
	case len(ask.Identifiers) == 0 || sameNames(have[i].Identifiers, ask.Identifiers):
		return renewOrKeep(have[i], ask), nil
	case ask.NewNames:
		return replace(have[i], ask, Settled), nil
	default:
		return replace(have[i], ask, OtherNames), nil
	}
}

func renewOrKeep(h Have, ask Ask) Plan {
	plan := Plan{Action: Keep, Lineage: h.Lineage, Identifiers: h.Identifiers}
	switch {
	case h.Due || ask.Force:
		plan.Action = Renew
	case !ask.Keep:
		plan.Doubt = KeepOrRenew
	}
	return plan
}

// containsAll reports whether each of part, which is not empty, is in all.
func containsAll(all, part []acme.Identifier) bool {
	for _, id := range part {
		if !slices.Contains(all, id) {
			return false
		}
	}
	return len(part) > 0
}

func sameNames(a, b []acme.Identifier) bool { return containsAll(a, b) && containsAll(b, a) }
