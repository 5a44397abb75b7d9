package work

import (
	"context"
	"fmt"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// question is what the validator is asked about a challenge of a, which the client has responded to.
func (w *Worker) question(ctx context.Context, a rules.Authz, c rules.Challenge) (validate.Request, error) {
	request := validate.Request{
		Type:             c.Type,
		Identifier:       a.Identifier,
		Wildcard:         a.Wildcard || a.Subdomains, // what is proven holds for names below
		Token:            c.Token,
		KeyAuthorization: c.KeyAuthorization,
		AccountURL:       c.AccountURL,
		ChallengeURL:     c.URL,
		Response:         c.Response,
		Nonce:            c.Nonce,
	}
	switch c.Type {
	case acme.DNSPersist01:
	case acme.ProofOfPossession01:
		request.Possession = &validate.Possession{Certificates: c.Certs, Authorities: w.Proving.Authorities}
		return request, nil
	default:
		return request, nil
	}
	persist, err := w.persist(ctx, a.Account, c.AccountURL)
	request.Persist = persist
	return request, err
}

// persist is what dns-persist-01 records for an account are compared with. A record is as old as it may
// be, so each key that the account has ever had counts (draft-ietf-acme-dns-persist-02 §4.2).
func (w *Worker) persist(ctx context.Context, account, url string) (*validate.Persist, error) {
	p := &validate.Persist{Issuers: w.Proving.Issuers}
	if w.Proving.Draft() != acme.PersistDraft02 {
		p.Accounts = []validate.Account{{URL: url}}
		return p, nil
	}
	p.HashPrefix = w.Proving.HashPrefix
	err := w.DB.View(ctx, func(tx *store.Tx) error {
		p.Accounts = nil
		thumbprints, err := tx.Thumbprints(account)
		for _, thumbprint := range thumbprints {
			p.Accounts = append(p.Accounts, validate.Account{URL: url, Thumbprint: thumbprint})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("finding the keys of account %s: %w", account, err)
	}
	return p, nil
}

// confirm checks what a proof rests on that only the database knows, in the transaction that records it.
func confirm(tx *store.Tx, a rules.Authz, possessed *validate.Possessed) (*acme.Problem, error) {
	proven := a.Attempted()
	switch {
	case proven != nil && proven.Type == acme.ProofOfPossession01:
		return confirmPossession(tx, a, *proven, possessed)
	case proven == nil || proven.Type != acme.DNSPersist01:
		return nil, nil
	}
	// draft-ietf-acme-dns-persist-02 §4.2: the record may stand for years, and the account is what it hangs on.
	account, err := tx.Account(a.Account)
	if err != nil {
		return nil, fmt.Errorf("finding account %s: %w", a.Account, err)
	}
	if account.Status != acme.StatusValid {
		return acme.Problemf(acme.TypeUnauthorized, "the account that the record names is %s", account.Status), nil
	}
	return nil, nil
}
