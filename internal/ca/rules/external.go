package rules

import (
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// ExternalAccounts says what becomes of external account bindings (RFC 8555 §7.3.4).
type ExternalAccounts int

// The three ways. Optional is the zero value: keys exist only if the operator made
// some, so whoever sends a binding means it, and it must be right.
const (
	Optional ExternalAccounts = iota // checked if given
	Required                         // no account without one
	Ignored                          // not looked at, and so not shown either
)

// ExternalKey is a MAC key with which its holder can bind new accounts, each once it has been given (RFC 8555 §7.3.4).
type ExternalKey struct {
	ID      string
	MAC     []byte
	Names   acme.Subtrees // accounts that are bound with it get certificates for these alone; none means for all that the CA issues for
	Uses    int           // how many accounts it binds; 0 means any number
	Used    int           // how many it has bound
	Note    string        // for the operator
	Created time.Time
	Expires time.Time // zero means never
	Revoked time.Time // zero if it is not
}

// macKeySize is as long as the longest MAC that a binding can have (RFC 7518 §3.2: the key must not be shorter).
const macKeySize = 64

// NewExternalKey completes k, which says what the key is for, with an ID and the MAC key itself.
func NewExternalKey(k ExternalKey, now time.Time) ExternalKey {
	k.ID, k.MAC, k.Used, k.Created, k.Revoked = NewID(now), make([]byte, macKeySize), 0, now, time.Time{}
	for {
		_, _ = rand.Read(k.MAC) // never fails
		// People put it behind an option, where what begins with "-" is another option.
		if base64.RawURLEncoding.EncodeToString(k.MAC)[0] != '-' {
			return k
		}
	}
}

// Unusable says why k binds no account at now, beginning with a verb; "" if it does.
func (k ExternalKey) Unusable(now time.Time) string {
	switch {
	case !k.Revoked.IsZero():
		return "has been revoked"
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return "expired on " + k.Expires.UTC().Format(time.RFC3339)
	case k.Uses > 0 && k.Used >= k.Uses:
		return "has been used as often as it may be"
	}
	return ""
}

// Bind decides whether account, which is new, may be registered with binding, which names
// k. It returns k as used and the account as bound.
func (k ExternalKey) Bind(account Account, binding *acme.Binding, now time.Time) (ExternalKey, Account, *acme.Problem) {
	if !binding.Verify(k.MAC) {
		return k, account, acme.Problemf(acme.TypeUnauthorized,
			"the MAC of the external account binding does not verify: check the key (HMAC key) that came with the key identifier %q", k.ID)
	}
	if why := k.Unusable(now); why != "" {
		return k, account, acme.Problemf(acme.TypeUnauthorized,
			"the external account key %q %s: ask the CA's operator for another one", k.ID, why)
	}
	k.Used++
	account.ExternalKey, account.Scope = k.ID, k.Names
	return k, account, nil
}

// Revoke ends k; accounts that it has bound stay.
func (k ExternalKey) Revoke(now time.Time) ExternalKey {
	if k.Revoked.IsZero() {
		k.Revoked = now
	}
	return k
}

// CheckBinding reads the binding of a newAccount request that is signed with key and
// went to url; nil if there is none, or if nobody looks at it. Who knows the MAC key
// decides about the rest (ExternalKey.Bind).
func (p Policy) CheckBinding(req acme.NewAccount, url string, key *acme.Key) (*acme.Binding, *acme.Problem) {
	if p.External == Ignored {
		return nil, nil
	}
	if len(req.ExternalAccount) == 0 || string(req.ExternalAccount) == "null" {
		if p.External == Required {
			return nil, acme.Problemf(acme.TypeExternalAccountRequired,
				`an account here needs "externalAccountBinding": ask the CA's operator for a key (EAB), and give its identifier and the key itself to your client`)
		}
		return nil, nil
	}
	binding, problem := acme.ParseBinding(req.ExternalAccount)
	switch {
	case problem != nil:
		return nil, problem
	case binding.URL != url:
		return nil, acme.Problemf(acme.TypeMalformed, `"url" of the external account binding is %.256q, but the request went to %s`, binding.URL, url)
	case !binding.Key.Equal(key):
		return nil, acme.Problemf(acme.TypeMalformed, "the external account binding is for another key than the one that signs the request")
	}
	return binding, nil
}

// outOfScope says why an account may not have a certificate for id although the policy
// allows it; nil if it may.
func (a Account) outOfScope(id acme.Identifier) *acme.Problem {
	if len(a.Scope.Domains)+len(a.Scope.Ranges) == 0 || a.Scope.Contains(id) {
		return nil
	}
	return acme.Problemf(acme.TypeRejectedIdentifier,
		"this account does not get certificates for %s: the external account key that it was registered with is limited to %s", id.Value, some(a.Scope.Strings()))
}

// confine refuses those of ids that an account may not have certificates for, each with a subproblem of its own.
func (a Account) confine(ids []acme.Identifier) *acme.Problem {
	var refused []*acme.Problem
	for _, id := range ids {
		if problem := a.outOfScope(id); problem != nil {
			refused = append(refused, problem.About(id))
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return together(refused, "some identifiers are not among those that this account gets certificates for: leave them out")
}
