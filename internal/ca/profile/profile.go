// Package profile defines the kinds of certificates that an authority offers
// (draft-ietf-acme-profiles). One Definition says everything about a kind; what may be
// ordered (rules.Profile) and what the certificate looks like (sign.Profile) follow
// from it, so that the two cannot disagree.
package profile

import (
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// Definition is one kind of certificate.
type Definition struct {
	Name        string // what clients ask for: lower-case letters, digits, "-"
	Description string // for people, in the directory
	Baseline    bool   // the limits of the Baseline Requirements apply, each from its date on

	// What may be ordered.
	MaxNames    int                   // in one certificate
	Names       acme.Subtrees         // of those that the authority issues for; empty for all
	Identifiers []acme.IdentifierType // nil for all
	Keys        []acme.KeyType        // nil for all but Ed25519
	Challenges  []acme.ChallengeType  // which proofs count; nil for all that are offered
	Possession  rules.Possession      // what the key of an older certificate is good for

	OrderLifetime   time.Duration
	PendingLifetime time.Duration // of a pending authorization
	AuthzLifetime   time.Duration // of a valid one
	Reuse           time.Duration // how long after its validation an authorization may serve another order; 0 for never
	ReuseOrders     bool          // whether a request like one whose order is open is given that order
	Retries         int           // of a validation that failed for a passing reason
	External        bool          // whether the account must have an external account binding

	// What the certificate looks like.
	Validity        time.Duration // from notBefore to the end of its last second
	Backdate        time.Duration
	CommonName      bool
	Subject         sign.Subject
	KeyID           bool // there is a subject key identifier
	KeyEncipherment bool // of RSA keys
	Usages          []sign.Usage
	NoCRL           bool
	NoRevAvail      bool // RFC 9608
	MustStaple      bool // RFC 7633
}

const day = 24 * time.Hour

// Standard are the profiles of an authority that was told nothing, the default first. They have the
// names and the figures of Let's Encrypt's, where clients know them from.
func Standard() []Definition { return []Definition{Classic(), TLSServer(), ShortLived()} }

// Classic is what about every client has met. Unlike at Let's Encrypt, addresses are
// allowed: where names are private, they are common.
func Classic() Definition {
	return Definition{
		Name: "classic", Description: "90 days, for servers (TLS server authentication)",
		MaxNames:      100,
		OrderLifetime: 7 * day, PendingLifetime: 7 * day, AuthzLifetime: 30 * day, Reuse: 30 * day,
		Retries:  2,
		Validity: 90 * day, Backdate: time.Hour, CommonName: true, KeyID: true, KeyEncipherment: true,
		Usages: []sign.Usage{sign.ServerAuth},
	}
}

// TLSServer is what the Baseline Requirements recommend: nothing in the certificate that a TLS client does not need.
func TLSServer() Definition {
	return Definition{
		Name: "tlsserver", Description: "45 days, for servers, as small as can be: no common name",
		MaxNames: 25, Identifiers: []acme.IdentifierType{acme.DNS},
		OrderLifetime: 8 * time.Hour, PendingLifetime: time.Hour, AuthzLifetime: 7 * time.Hour, Reuse: 7 * time.Hour,
		Retries:  2,
		Validity: 45 * day, Backdate: time.Hour,
		Usages: []sign.Usage{sign.ServerAuth},
	}
}

// ShortLived is TLSServer for less than a week, and for addresses too.
func ShortLived() Definition {
	d := TLSServer()
	d.Name, d.Description = "shortlived", "160 hours, for servers that renew every few days"
	d.Identifiers = []acme.IdentifierType{acme.DNS, acme.IP}
	d.Validity = 160 * time.Hour
	return d
}

// OwnName is the name of Own.
const OwnName = "_own"

// Own is the shape of the authority's own HTTPS certificate. Nobody can order it.
func Own() sign.Profile {
	own := Classic().Sign()
	own.Name = OwnName
	return own
}

// Rules is what may be ordered as d.
func (d Definition) Rules() rules.Profile {
	return rules.Profile{
		Name: d.Name, Description: d.Description,
		MaxNames: d.MaxNames, Names: d.Names, Identifiers: d.Identifiers, Keys: d.Keys, Challenges: d.Challenges, Possession: d.Possession,
		OrderLifetime: d.OrderLifetime, PendingLifetime: d.PendingLifetime, AuthzLifetime: d.AuthzLifetime,
		Reuse: d.Reuse, ReuseOrders: d.ReuseOrders, Retries: d.Retries,
		Validity: d.Validity, ValidityLimit: d.validityLimit(), Backdate: d.Backdate,
		ReuseLimit: d.reuseLimit(), External: d.External,
	}
}

// Sign is what d's certificates look like.
func (d Definition) Sign() sign.Profile {
	return sign.Profile{
		Name: d.Name, Validity: d.Validity, Backdate: d.Backdate, ValidityLimit: d.validityLimit(),
		MaxNames: d.MaxNames, Names: d.Names, Identifiers: d.Identifiers, Keys: d.Keys,
		CommonName: d.CommonName, Subject: d.Subject, KeyID: d.KeyID, KeyEncipherment: d.KeyEncipherment,
		Usages: d.Usages, NoCRL: d.NoCRL, NoRevAvail: d.NoRevAvail, MustStaple: d.MustStaple,
	}
}

// List is the profiles of an authority, the default first.
type List []Definition

// Rules is what may be ordered.
func (l List) Rules() (all []rules.Profile) {
	for _, d := range l {
		all = append(all, d.Rules())
	}
	return all
}

// Sign is what certificates look like, the authority's own included.
func (l List) Sign() []sign.Profile {
	all := []sign.Profile{Own()}
	for _, d := range l {
		all = append(all, d.Sign())
	}
	return all
}

// Usages are the extended key usages that an issuer must allow, those of the authority's own certificate included.
func (l List) Usages() []sign.Usage {
	all := []sign.Usage{sign.ServerAuth}
	for _, d := range l {
		for _, usage := range d.Usages {
			if !slices.Contains(all, usage) {
				all = append(all, usage)
			}
		}
	}
	return all
}

// Describe says in a few words what d's certificates are, for clients that ask what there is.
func (d Definition) Describe() string {
	var uses []string
	for _, usage := range d.Usages {
		switch usage {
		case sign.ServerAuth:
			uses = append(uses, "servers")
		case sign.ClientAuth:
			uses = append(uses, "clients")
		default:
			uses = append(uses, string(usage))
		}
	}
	text := Span(d.Validity) + ", for " + strings.Join(uses, " and ")
	if names := d.Names.Strings(); len(names) > 0 && len(names) <= 5 {
		text += " under " + strings.Join(names, ", ")
	}
	return text
}
