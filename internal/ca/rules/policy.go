package rules

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/cairn-ca/cairn/acme"
)

// Policy is what the operator decided: for which names, on which terms, in which shapes.
type Policy struct {
	Names          acme.Subtrees    // for which certificates are issued
	AnyName        bool             // certificates are issued for all names, whatever Names says: for tests
	Blocked        acme.Subtrees    // but never for these
	TermsOfService string           // a URL, or "" for none
	TermsProblem   acme.ProblemType // of a new account that does not agree to them; "" means malformed
	AskAgain       bool             // accounts that agreed to other terms must agree to these before they go on
	IssuerEnd      time.Time        // the last second of every certificate; zero for no limit
	Profiles       []Profile        // the first one is the default
	External       ExternalAccounts // whether new accounts need an external one
	NoSubdomains   bool             // no authorization is for what lies below its domain (RFC 9444)
	Proving        Proving          // how control of a name can be proven
	LeastRSA       int              // bits of an account's RSA key, at least; 0 means 2048
	CSR            CSRRules         // how CSRs are read
	CAA            CAA              // for which names CAA is asked for
}

// profile finds the profile that a client names, or the default for "".
func (p Policy) profile(name string) (Profile, *acme.Problem) {
	for _, profile := range p.Profiles {
		if name == "" || name == profile.Name {
			return profile, nil
		}
	}
	return Profile{}, acme.Problemf(acme.TypeInvalidProfile, "profile %.64q is not offered: choose one of those in the directory's meta", name)
}

// acceptAll normalizes the identifiers of an order, drops duplicates and refuses those
// that the policy or the profile does not allow, each with a subproblem of its own.
func (p Policy) acceptAll(req acme.NewOrder, profile Profile) ([]acme.Identifier, *acme.Problem) {
	asked := req.Identifiers
	if len(asked) == 0 {
		return nil, acme.Problemf(acme.TypeMalformed, `"identifiers" is empty: name at least one`)
	}
	if len(asked) > profile.MaxNames {
		return nil, acme.Problemf(acme.TypeMalformed, `"identifiers" has %d entries: profile %s allows %d`, len(asked), profile.Name, profile.MaxNames)
	}
	var accepted []acme.Identifier
	var refused []*acme.Problem
	for _, id := range asked {
		normal, problem := p.accept(id, profile, req.Profile != "")
		switch {
		case problem != nil:
			refused = append(refused, problem.About(id))
		case !slices.Contains(accepted, normal):
			accepted = append(accepted, normal)
		}
	}
	if len(refused) > 0 {
		return nil, together(refused, "some identifiers cannot be in a certificate: leave them out")
	}
	return accepted, nil
}

// accept normalizes one identifier and refuses it if the policy, or the profile, does not allow it. named
// says that the client chose the profile.
func (p Policy) accept(id acme.Identifier, profile Profile, named bool) (acme.Identifier, *acme.Problem) {
	normal, problem := id.Normalize()
	if problem == nil {
		problem = p.refusal(normal)
	}
	if problem == nil {
		problem = p.misfit(normal, profile, named)
	}
	return normal, problem
}

// refusal says why the policy does not allow id, which is in normal form; nil if it does.
func (p Policy) refusal(id acme.Identifier) *acme.Problem {
	if id.Type == acme.DNS {
		base, _ := id.Base()
		if problem := p.refuseOnion(base); problem != nil {
			return problem
		}
		if strings.Contains(base.Value, "xn--") {
			// RFC 5890 §2.3.2.1: an A-label is one that decodes, and encodes to itself again.
			unicode, err := idna.Lookup.ToUnicode(base.Value)
			ascii, err2 := idna.Lookup.ToASCII(unicode)
			if err != nil || err2 != nil || ascii != base.Value {
				return acme.Problemf(acme.TypeMalformed, "a label that begins with xn-- is not a valid A-label (RFC 5890 §2.3.2.1)")
			}
		}
	}
	if p.Blocked.Contains(id) {
		return acme.Problemf(acme.TypeRejectedIdentifier, "this CA does not issue for %s: its operator has blocked the name", id.Value)
	}
	if !p.AnyName && !p.Names.Contains(id) {
		return acme.Problemf(acme.TypeRejectedIdentifier,
			"this CA does not issue for %s: it is limited to %s (its operator can add to that with --names)", id.Value, some(p.Names.Strings()))
	}
	return nil
}
