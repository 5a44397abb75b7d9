package validate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/cairn-ca/cairn/acme"
)

// Persist is what the records of dns-persist-01 are compared with.
type Persist struct {
	Issuers  []string  `json:"issuers"`  // names of this CA, one of which a record must have
	Accounts []Account `json:"accounts"` // the ways to name the account; those with its present key first
	// HashPrefix is what a record's accounturi begins with, in the drafts that have it hashed; "" in those that have not.
	HashPrefix string `json:"hashPrefix,omitempty"`
}

// Account is one way in which a record can name an account: by its URL or, where
// records are hashed, by its URL and one of its keys.
type Account struct {
	URL        string `json:"url"`
	Thumbprint string `json:"thumbprint,omitempty"` // RFC 7638
}

// maxAccounts bounds how many keys of an account are tried.
const maxAccounts = 1000

func (p *Persist) check() error {
	switch {
	case p == nil || len(p.Issuers) == 0 || len(p.Issuers) > acme.MaxIssuerDomains:
		return errors.New("dns-persist-01 needs one to ten names of this CA")
	case len(p.Accounts) == 0 || len(p.Accounts) > maxAccounts:
		return errors.New("dns-persist-01 needs the account")
	}
	return nil
}

// names reports whether a record that stands under domain names the account.
func (p *Persist) names(uri, domain string) bool {
	return slices.ContainsFunc(p.Accounts, func(a Account) bool {
		if p.HashPrefix == "" {
			return uri == a.URL
		}
		return uri == acme.HashedAccountURI(p.HashPrefix, domain, a.Thumbprint, a.URL) ||
			uri == acme.HashedAccountURI(p.HashPrefix, "*", a.Thumbprint, a.URL)
	})
}

// maxAncestors is how many domains above the identifier are asked, besides itself: more levels than people use.
const maxAncestors = 4

// dnsPersist01 looks for a record that lets the account have certificates (draft-ietf-acme-dns-persist,
// BR §3.2.2.4.22): at the identifier, and then, since a record with policy=wildcard is good for all that is
// under it, at the domains above. What the client is told is what was found nearest to the identifier.
func (a *attempt) dnsPersist01(ctx context.Context) error {
	domain := a.request.Identifier.Value
	failure := a.persistAt(ctx, domain)
	for range maxAncestors {
		parent := above(domain)
		if failure == nil || ctx.Err() != nil || parent == "" {
			break
		}
		domain = parent
		err := a.persistAt(ctx, domain)
		if problem := (*acme.Problem)(nil); err != nil && !errors.As(err, &problem) {
			return err // the authority's own fault decides nothing
		}
		if err == nil || !isForUs(failure) && isForUs(err) {
			failure = err
		}
	}
	if forUs, ok := errors.AsType[*recordProblem](failure); ok {
		return forUs.Problem
	}
	return failure
}

// above is the domain over domain; "" if that is a public suffix, under which strangers stand side by side.
func above(domain string) string {
	if suffix, _ := publicsuffix.PublicSuffix(domain); domain == suffix {
		return ""
	} else if _, parent, ok := strings.Cut(domain, "."); ok && parent != suffix {
		return parent
	}
	return ""
}

// recordProblem is what is wrong with a record that names this CA. It tells more
// than that there is none.
type recordProblem struct{ *acme.Problem }

func (p *recordProblem) Unwrap() error { return p.Problem }

func isForUs(err error) bool {
	_, ok := errors.AsType[*recordProblem](err)
	return ok
}

// persistAt looks at the records under one domain.
func (a *attempt) persistAt(ctx context.Context, domain string) error {
	name := acme.DNSPersist01Name(domain)
	found, err := a.config.Resolver.TXT(ctx, name)
	a.evidence.Lookups = append(a.evidence.Lookups, found.Lookup)
	if err != nil {
		return err
	}
	var first *acme.Problem
	for _, text := range found.Values {
		if !slices.Contains(a.request.Persist.Issuers, acme.IssuerOf(text)) {
			continue // another CA's, or nobody's
		}
		problem := a.judge(text, domain, time.Now())
		if problem == nil {
			return nil
		}
		if first == nil {
			first = problem
		}
	}
	if first == nil {
		return acme.Problemf(acme.TypeUnauthorized, `no TXT record of %s is for this CA: one must begin with "%s;", and %s has %s`,
			name, a.request.Persist.Issuers[0], serverName(found.Server), tellTXT(found))
	}
	first.Detail = fmt.Sprintf("the TXT record of %s for this CA does not do: %s", name, first.Detail)
	return &recordProblem{first}
}

// judge decides on one record under domain that names this CA, and takes over when it ends.
func (a *attempt) judge(text, domain string, now time.Time) *acme.Problem {
	record, err := acme.ParsePersistRecord(text)
	if err != nil {
		return acme.Problemf(acme.TypeMalformed, "the record is malformed: %s", err)
	}
	persist := a.request.Persist
	if persist.HashPrefix != "" {
		if err := acme.CheckHashedAccountURI(record.AccountURI, persist.HashPrefix); err != nil {
			return acme.Problemf(acme.TypeMalformed, "the record is malformed: %s", err)
		}
	}
	switch {
	case !persist.names(record.AccountURI, domain):
		return acme.Problemf(acme.TypeUnauthorized, "its accounturi %s is not that of this account", short(clip(record.AccountURI, maxEcho)))
	case !record.Until.IsZero() && !now.Before(record.Until):
		return acme.Problemf(acme.TypeUnauthorized, "by its persistUntil, it ended on %s", record.Until.Format(time.RFC3339))
	case !record.Wildcard && a.request.Wildcard:
		return acme.Problemf(acme.TypeUnauthorized, "it has no policy=wildcard, and is asked for a wildcard")
	case !record.Wildcard && domain != a.request.Identifier.Value:
		return acme.Problemf(acme.TypeUnauthorized, "it has no policy=wildcard, and is asked for %s, which is below", a.request.Identifier.Value)
	}
	a.until, a.accountURI = record.Until, record.AccountURI
	return nil
}
