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
	Expand      bool              // --expand
	Force       bool              // --force-renewal
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

// Plan is what is to be done, and to which lineage.
type Plan struct {
	Action      Action
	Lineage     string // for Create the name to begin with
	Identifiers []acme.Identifier
}

// NeedsExpand says that a certificate has only some of the names asked for, and
// that nobody has said whether it is to be replaced.
type NeedsExpand struct{ Lineage string }

func (e *NeedsExpand) Error() string {
	return fmt.Sprintf("you have an existing certificate, %s, that contains a portion of the names you requested", e.Lineage)
}

// Decide says what a request means, given the certificates that exist. It answers
// certbot's questions as certbot answers them when nobody is there to ask: a
// certificate with the same names is kept while it is not due; the names of one
// that is named are updated; one with fewer names is expanded only by Expand or Force.
func Decide(ask Ask, have []Have) (Plan, error) {
	if ask.Lineage != "" {
		return decideNamed(ask, have)
	}
	for _, h := range have {
		if sameNames(h.Identifiers, ask.Identifiers) {
			return renewOrKeep(h, ask), nil
		}
	}
	if h := largestPart(ask, have); h != nil {
		if !ask.Expand && !ask.Force {
			return Plan{}, &NeedsExpand{Lineage: h.Lineage}
		}
		return Plan{Action: Replace, Lineage: h.Lineage, Identifiers: ask.Identifiers}, nil
	}
	base, _ := ask.Identifiers[0].Base()
	return Plan{Action: Create, Lineage: base.Value, Identifiers: ask.Identifiers}, nil
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
		return Plan{}, fmt.Errorf("no certificate with name %s found", ask.Lineage)
	case i < 0:
		return Plan{Action: Create, Lineage: ask.Lineage, Identifiers: ask.Identifiers}, nil
	case len(ask.Identifiers) == 0 || sameNames(have[i].Identifiers, ask.Identifiers):
		return renewOrKeep(have[i], ask), nil
	default:
		return Plan{Action: Replace, Lineage: ask.Lineage, Identifiers: ask.Identifiers}, nil
	}
}

func renewOrKeep(h Have, ask Ask) Plan {
	plan := Plan{Action: Keep, Lineage: h.Lineage, Identifiers: h.Identifiers}
	if h.Due || ask.Force {
		plan.Action = Renew
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
