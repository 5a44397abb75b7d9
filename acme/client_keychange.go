package acme

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNoKeyChange says that a server does not offer to change an account's key.
var ErrNoKeyChange = errors.New("this CA cannot change the key of an account")

// ChangeKey puts next in place of the account's key (RFC 8555 §7.3.5). Make next durable before: if the answer is lost, it is
// not known which of the two the server has, and Register with OnlyReturnExisting tells. Once it is done c, which has
// the old key, is of no use any more.
func (c *Client) ChangeKey(ctx context.Context, next crypto.Signer) error {
	directory, err := c.Directory(ctx)
	if err != nil {
		return err
	}
	if directory.KeyChange == "" {
		return ErrNoKeyChange
	}
	inner, err := c.keyChange(directory.KeyChange, next)
	if err != nil {
		return fmt.Errorf("changing the account's key: %w", err)
	}
	if _, err := c.post(ctx, signed{url: directory.KeyChange, payload: inner}); err != nil {
		return fmt.Errorf("changing the account's key: %w", err)
	}
	return nil
}

// keyChange is what the new key signs: that it takes the place of the old one. It has no nonce (RFC 8555 §7.3.5).
func (c *Client) keyChange(url string, next crypto.Signer) (json.RawMessage, error) {
	public, err := NewKey(next.Public())
	if err != nil {
		return nil, err
	}
	old, err := c.key.MarshalJSON()
	if err != nil {
		return nil, err
	}
	account := c.AccountURL()
	if account == "" {
		return nil, errors.New("the account's URL is not known: register first")
	}
	payload, err := json.Marshal(KeyChange{Account: account, OldKey: old})
	if err != nil {
		return nil, err
	}
	return SignJWS(next, Header{URL: url, Key: public}, payload)
}
