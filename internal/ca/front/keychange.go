package front

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// keyChange gives an account another key (RFC 8555 §7.3.5). The old key signed the
// request; the new one signed its payload.
func (f *Front) keyChange(ctx context.Context, r accountRequest) (reply, error) {
	newKey, req, problem := f.readKeyChange(r)
	if problem != nil {
		return reply{}, problem
	}
	var account rules.Account
	defer f.known.forget(r.account.ID)
	err := f.change(ctx, func(tx *store.Tx) error {
		before, err := actor(tx, r)
		if err != nil {
			return err
		}
		after, problem := before.ChangeKey(r.kid, req, newKey)
		if problem != nil {
			return problem
		}
		switch holder, err := tx.AccountByKey(newKey.Thumbprint()); {
		case err == nil:
			taken := acme.Problemf(acme.TypeMalformed, "the new key belongs to an account already").WithStatus(http.StatusConflict)
			taken.Location = r.base.account(holder.ID)
			return taken
		case !errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("finding the account of a key: %w", err)
		}
		if err := refuseBlocked(tx, newKey.Public(), acme.TypeBadPublicKey); err != nil {
			return err
		}
		account = after
		return tx.UpdateAccount(before, after)
	})
	if err != nil {
		return reply{}, fmt.Errorf("changing the key of account %s: %w", r.account.ID, err)
	}
	return reply{status: http.StatusOK, body: f.showAccount(r.base, account)}, nil
}

// readKeyChange makes the checks of RFC 8555 §7.3.5 that need no database: 2 to 6.
func (f *Front) readKeyChange(r accountRequest) (*acme.Key, acme.KeyChange, *acme.Problem) {
	refuse := func(format string, args ...any) (*acme.Key, acme.KeyChange, *acme.Problem) {
		return nil, acme.KeyChange{}, acme.Problemf(acme.TypeMalformed, format, args...)
	}
	inner, problem := acme.ParseJWS(r.payload)
	if problem != nil {
		problem.Detail = "in the payload, the JWS of the new key: " + problem.Detail
		return nil, acme.KeyChange{}, problem
	}
	key := inner.Header.Key
	switch {
	case key == nil:
		return refuse(`the JWS in the payload has "kid": it must have the new key in "jwk"`)
	case inner.Header.Nonce != "":
		return refuse(`the JWS in the payload has "nonce": leave it out`)
	case inner.Header.URL != r.url:
		return refuse(`the JWS in the payload has another "url" than the request`)
	}
	// Before anything is computed with it: the size of a key is up to its sender.
	if problem := f.Policy.CheckAccountKey(key); problem != nil {
		return nil, acme.KeyChange{}, problem
	}
	if problem := inner.Verify(key); problem != nil {
		problem.Detail = "in the payload, the JWS of the new key: " + problem.Detail
		return nil, acme.KeyChange{}, problem
	}
	req, problem := decode[acme.KeyChange](inner.Payload)
	if problem != nil {
		problem.Detail = "in the payload, the JWS of the new key: " + problem.Detail
		return nil, acme.KeyChange{}, problem
	}
	return key, req, nil
}
