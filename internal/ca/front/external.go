package front

import (
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// bind checks the external account binding of a newAccount request, and spends one use
// of its key in the same transaction that makes the account (RFC 8555 §7.3.4).
func (f *Front) bind(tx *store.Tx, r keyRequest, req acme.NewAccount, account rules.Account) (rules.Account, error) {
	binding, problem := f.Policy.CheckBinding(req, r.url, r.key)
	if problem != nil {
		return account, problem
	}
	if binding == nil {
		return account, nil
	}
	before, stored, err := f.externalKey(tx, binding.KeyID)
	if err != nil {
		return account, err
	}
	after, bound, problem := before.Bind(account, binding, tx.Now)
	if problem != nil {
		return account, problem
	}
	bound.Binding = req.ExternalAccount
	if stored {
		err = tx.UpdateExternalKey(before, after)
	}
	return bound, err
}

// externalKey finds the MAC key that a binding names, and whether it is one in the store.
func (f *Front) externalKey(tx *store.Tx, id string) (rules.ExternalKey, bool, error) {
	if mac, ok := f.ExternalKeys[id]; ok {
		return rules.ExternalKey{ID: id, MAC: mac}, false, nil
	}
	key, err := tx.ExternalKey(id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return key, false, acme.Problemf(acme.TypeUnauthorized,
			"this CA has not given away an external account key %q: check the key identifier (EAB kid)", id)
	case err != nil:
		return key, false, fmt.Errorf("finding the key of an external account binding: %w", err)
	}
	return key, true, nil
}
