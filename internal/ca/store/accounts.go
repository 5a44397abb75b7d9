package store

import (
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

const accountColumns = `id, key, status, contact, terms, created, binding, external_key, scope`

func (tx *Tx) readAccount(a *rules.Account) func(*row) error {
	return func(r *row) (err error) {
		a.ID = r.text()
		if a.Key, err = tx.keys.read(r.text()); err != nil {
			return fmt.Errorf("its key: %w", err)
		}
		a.Status = acme.Status(r.text())
		r.json(&a.Contact)
		a.TermsAgreed, a.Created = r.text(), r.moment()
		a.Binding, a.ExternalKey = r.blob(), r.text()
		a.Scope = readSubtrees(r)
		return nil
	}
}

// InsertAccount stores a new account; ErrExists if its key is another's (RFC 8555 §11.1).
func (tx *Tx) InsertAccount(a rules.Account) error {
	for _, w := range []write{newAccountKey(a), newAccount(a)} {
		if err := tx.insert(w.query, w.args...); err != nil {
			return fmt.Errorf("%s: %w", w.what, err)
		}
	}
	return nil
}

func newAccountKey(a rules.Account) write {
	return write{"key of account " + a.ID, `INSERT INTO account_keys (thumbprint, account) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
		[]any{a.Key.Thumbprint(), a.ID}}
}

func newAccount(a rules.Account) write {
	return write{"account " + a.ID, `INSERT INTO accounts (` + accountColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		[]any{
			a.ID, compact(a.Key), string(a.Status), compactList(a.Contact), a.TermsAgreed, millis(a.Created),
			a.Binding, a.ExternalKey, compactList(a.Scope.Strings()),
		}}
}

// Account finds an account by its ID.
func (tx *Tx) Account(id string) (a rules.Account, err error) {
	if err := tx.first(tx.readAccount(&a), `SELECT `+accountColumns+` FROM accounts WHERE id = $1`, id); err != nil {
		return rules.Account{}, fmt.Errorf("account %s: %w", id, err)
	}
	return a, nil
}

// HasAccounts reports whether there is any account.
func (tx *Tx) HasAccounts() (bool, error) {
	err := tx.first(func(*row) error { return nil }, `SELECT id FROM accounts WHERE id > '' ORDER BY id LIMIT $1`, int64(1))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, fmt.Errorf("looking for accounts: %w", err)
	}
	return err == nil, nil
}

// AccountByKey finds the account whose key has an RFC 7638 thumbprint.
func (tx *Tx) AccountByKey(thumbprint string) (rules.Account, error) {
	var id string
	err := tx.first(func(r *row) error { id = r.text(); return nil },
		`SELECT account FROM account_keys WHERE thumbprint = $1`, thumbprint)
	if err != nil {
		return rules.Account{}, fmt.Errorf("account with key %s: %w", thumbprint, err)
	}
	return tx.Account(id)
}

// UpdateAccount saves an account that was before, with its key if that changed
// (RFC 8555 §7.3.5). ErrExists: the new key is another's. ErrConflict: the
// account's key or status is no longer that of before.
func (tx *Tx) UpdateAccount(before, after rules.Account) error {
	if !before.Key.Equal(after.Key) {
		if err := tx.insert(`INSERT INTO account_keys (thumbprint, account) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
			after.Key.Thumbprint(), before.ID); err != nil {
			return fmt.Errorf("new key of account %s: %w", before.ID, err)
		}
		if err := tx.swap(`DELETE FROM account_keys WHERE thumbprint = $1 AND account = $2`,
			before.Key.Thumbprint(), before.ID); err != nil {
			return fmt.Errorf("old key of account %s: %w", before.ID, err)
		}
		if err := tx.rememberKey(before.ID, before.Key.Thumbprint()); err != nil {
			return err
		}
	}
	if err := tx.swap(`UPDATE accounts SET key = $1, status = $2, contact = $3, terms = $4 WHERE id = $5 AND key = $6 AND status = $7`,
		compact(after.Key), string(after.Status), compactList(after.Contact), after.TermsAgreed,
		before.ID, compact(before.Key), string(before.Status)); err != nil {
		return fmt.Errorf("account %s: %w", before.ID, err)
	}
	return nil
}
