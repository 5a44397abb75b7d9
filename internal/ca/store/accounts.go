package store

import (
	"encoding/json"
	"fmt"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// InsertAccount adds an account; ErrExists if its key is another account's.
func (tx *Tx) InsertAccount(a rules.Account) error {
	if err := tx.insert("INSERT INTO account_keys (thumbprint, account) VALUES ($1, $2)", a.Key.Thumbprint(), a.ID); err != nil {
		return err
	}
	jwk, contact, err := accountColumns(a)
	if err != nil {
		return err
	}
	return tx.insert("INSERT INTO accounts (id, jwk, status, contact, terms_agreed, created) VALUES ($1, $2, $3, $4, $5, $6)",
		a.ID, jwk, string(a.Status), contact, a.TermsAgreed, millis(a.Created))
}

// Account finds an account by its ID.
func (tx *Tx) Account(id string) (a rules.Account, err error) {
	err = tx.row(func(row scanner) error {
		var jwk, contact string
		var created int64
		if err := row.Scan(&a.ID, &jwk, &a.Status, &contact, &a.TermsAgreed, &created); err != nil {
			return err
		}
		a.Created = fromMillis(created)
		a.Key = new(acme.Key)
		if err := json.Unmarshal([]byte(jwk), a.Key); err != nil {
			return fmt.Errorf("the key of account %s: %w", a.ID, err)
		}
		return decode(contact, &a.Contact)
	}, "SELECT id, jwk, status, contact, terms_agreed, created FROM accounts WHERE id = $1", id)
	return a, err
}

// AccountByKey finds the account that a key belongs to, by its thumbprint.
func (tx *Tx) AccountByKey(thumbprint string) (rules.Account, error) {
	var id string
	if err := tx.row(func(row scanner) error { return row.Scan(&id) },
		"SELECT account FROM account_keys WHERE thumbprint = $1", thumbprint); err != nil {
		return rules.Account{}, err
	}
	return tx.Account(id)
}

// UpdateAccount changes before to after; ErrExists if after's key is another
// account's, ErrConflict if the account is not as it was.
func (tx *Tx) UpdateAccount(before, after rules.Account) error {
	if !before.Key.Equal(after.Key) {
		if err := tx.insert("INSERT INTO account_keys (thumbprint, account) VALUES ($1, $2)", after.Key.Thumbprint(), after.ID); err != nil {
			return err
		}
		if err := tx.swap("DELETE FROM account_keys WHERE thumbprint = $1 AND account = $2", before.Key.Thumbprint(), before.ID); err != nil {
			return err
		}
	}
	jwk, contact, err := accountColumns(after)
	if err != nil {
		return err
	}
	return tx.swap("UPDATE accounts SET jwk = $1, status = $2, contact = $3, terms_agreed = $4 WHERE id = $5 AND status = $6",
		jwk, string(after.Status), contact, after.TermsAgreed, before.ID, string(before.Status))
}

func accountColumns(a rules.Account) (jwk, contact string, err error) {
	key, err := json.Marshal(a.Key)
	if err != nil {
		return "", "", fmt.Errorf("encoding the key of account %s: %w", a.ID, err)
	}
	contact, err = encode(a.Contact, len(a.Contact) == 0)
	return string(key), contact, err
}

// encode makes the JSON of a value; "" stands for none.
func encode(value any, none bool) (string, error) {
	if none {
		return "", nil
	}
	text, err := json.Marshal(value)
	return string(text), err
}

// decode reads what encode made.
func decode(text string, value any) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), value)
}
