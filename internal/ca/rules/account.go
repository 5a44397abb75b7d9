package rules

import (
	"cmp"
	"net/mail"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Account is a client's registration (RFC 8555 §7.1.2). One key belongs to at
// most one account (§11.1); the store sees to it.
type Account struct {
	ID      string
	Key     *acme.Key
	Status  acme.Status // valid, deactivated or revoked; the last two are final (§7.1.6)
	Contact []string    // "mailto:" URLs
	// TermsAgreed is the URL of the terms of service that the client agreed to, or "".
	TermsAgreed string
	Created     time.Time

	// Of an account that was registered with an external account binding (RFC 8555 §7.3.4).
	Binding     []byte        // as the client sent it
	ExternalKey string        // the ID of the key
	Scope       acme.Subtrees // what the account gets certificates for; none means all that the CA issues for
}

// Limits on what one account may ask the server to keep.
const (
	maxContacts      = 10
	maxContactLength = 320 + len("mailto:") // RFC 3696 erratum 1690: 64 + 1 + 255
)

// NewAccount decides on a newAccount request for a key that has no account yet (RFC 8555 §7.3).
func NewAccount(p Policy, key *acme.Key, req acme.NewAccount, now time.Time) (Account, *acme.Problem) {
	if problem := p.CheckAccountKey(key); problem != nil {
		return Account{}, problem
	}
	if p.TermsOfService != "" && !req.TermsOfServiceAgreed {
		refused := acme.Problemf(cmp.Or(p.TermsProblem, acme.TypeMalformed),
			`"termsOfServiceAgreed" must be true: read %s and agree to it`, p.TermsOfService)
		refused.Terms = p.TermsOfService
		return Account{}, refused
	}
	if problem := checkContacts(req.Contact); problem != nil {
		return Account{}, problem
	}
	account := Account{ID: NewID(now), Key: key, Status: acme.StatusValid, Contact: req.Contact, Created: now}
	if req.TermsOfServiceAgreed {
		account.TermsAgreed = p.TermsOfService
	}
	return account, nil
}

// CheckAccountKey decides whether key may sign requests (RFC 8555 §6.2).
func (p Policy) CheckAccountKey(key *acme.Key) *acme.Problem {
	if why := weakness(key.Public(), cmp.Or(p.LeastRSA, leastRSA)); why != "" {
		return acme.Problemf(acme.TypeBadPublicKey, "the account key %s", why)
	}
	return nil
}

// Active is the problem that an account's requests meet once it has ended, or nil (RFC 8555 §7.3.6).
func (a Account) Active() *acme.Problem {
	if a.Status == acme.StatusValid {
		return nil
	}
	return acme.Problemf(acme.TypeUnauthorized, "the account is %s: register a new one with another key", a.Status).
		WithStatus(401) // RFC 8555 §7.3.6 fixes it
}

// Update decides on a request to the account's URL (RFC 8555 §7.3.2). Contacts are
// replaced as a whole, if given; the one status that a client can set is
// "deactivated" (§7.3.6); everything else is ignored.
func (a Account) Update(req acme.Account) (Account, *acme.Problem) {
	if req.Status == acme.StatusDeactivated {
		a.Status = acme.StatusDeactivated
		return a, nil
	}
	if req.Contact != nil {
		if problem := checkContacts(req.Contact); problem != nil {
			return a, problem
		}
		a.Contact = req.Contact
	}
	return a, nil
}

// ChangeKey decides on a keyChange request whose signatures have been checked, and
// newKey by CheckAccountKey (RFC 8555 §7.3.5). url is the account's own; the store refuses a key that is taken.
func (a Account) ChangeKey(url string, req acme.KeyChange, newKey *acme.Key) (Account, *acme.Problem) {
	if req.Account != url {
		return a, acme.Problemf(acme.TypeMalformed, `"account" of the key change is not the account that signs it`)
	}
	oldKey, problem := acme.ParseKey(req.OldKey)
	if problem != nil {
		return a, problem
	}
	if !oldKey.Equal(a.Key) {
		return a, acme.Problemf(acme.TypeMalformed, `"oldKey" of the key change is not the account's key`)
	}
	a.Key = newKey
	return a, nil
}

// checkContacts accepts e-mail addresses, one a URL and without header fields (RFC 8555 §7.3).
func checkContacts(contacts []string) *acme.Problem {
	if len(contacts) > maxContacts {
		return acme.Problemf(acme.TypeInvalidContact, "%d contacts are too many: give at most %d", len(contacts), maxContacts)
	}
	for _, contact := range contacts {
		scheme, address, ok := strings.Cut(contact, ":")
		if !ok || len(contact) > maxContactLength {
			return acme.Problemf(acme.TypeInvalidContact, "contact %.64q is not a URL such as mailto:admin@example.org", contact)
		}
		if !strings.EqualFold(scheme, "mailto") {
			return acme.Problemf(acme.TypeUnsupportedContact, "contact scheme %.32q is not supported: use mailto:", scheme)
		}
		parsed, err := mail.ParseAddress(address)
		if err != nil || parsed.Address != address || strings.ContainsAny(address, "?,%\"") || !isASCII(address) {
			return acme.Problemf(acme.TypeInvalidContact, "contact %.64q is not one plain e-mail address", contact)
		}
	}
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
