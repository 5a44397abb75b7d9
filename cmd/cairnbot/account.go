package main

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// account completes config with the account that s names, or the only one there
// is, or a new one. It notes in s which.
func (a *app) account(ctx context.Context, s *settings, config acme.ClientConfig, register bool) (*acme.Client, error) {
	accounts, err := a.store.Accounts(s.params.Server)
	if err != nil {
		return nil, err
	}
	if err := a.settleRollovers(ctx, accounts, s, config); err != nil {
		return nil, err
	}
	found, err := a.existing(ctx, accounts, s)
	if err != nil {
		return nil, err
	}
	if found == nil {
		if !register {
			return nil, withHint(fmt.Errorf("could not find an existing account for server %s", s.params.Server),
				"give the CA that the certificate is from with --server")
		}
		return a.newAccount(ctx, accounts, s, config)
	}
	s.params.Account = found.ID()
	config.Key, config.AccountURL = found.Key, found.URL
	return acme.NewClient(config)
}

// existing finds the account to use, or nil.
func (a *app) existing(ctx context.Context, accounts *lineage.Accounts, s *settings) (*lineage.Account, error) {
	if s.params.Account != "" {
		account, err := accounts.Load(s.params.Account)
		if err == nil {
			return account, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || a.given["account"] {
			return nil, fmt.Errorf("account %s at %s: %w", s.params.Account, s.params.Server, err)
		}
	}
	all, err := accounts.List()
	if err != nil || len(all) == 0 {
		return nil, err
	}
	if len(all) > 1 {
		return a.chooseAccount(ctx, all)
	}
	return all[0], nil
}

// newAccount registers a new account, and asks before what the options do not say.
func (a *app) newAccount(ctx context.Context, accounts *lineage.Accounts, s *settings, config acme.ClientConfig) (*acme.Client, error) {
	who := a.newcomer
	if who == nil || who.server != s.params.Server {
		var err error
		if who, err = a.introduce(ctx, s, config); err != nil {
			return nil, err
		}
	}
	if err := a.enroll(ctx, who); err != nil {
		return nil, err
	}
	account := &lineage.Account{Key: who.key, URL: who.client.AccountURL()}
	if who.eff {
		account.RegisterToEFF = who.email
	}
	if err := accounts.Save(account); err != nil {
		return nil, fmt.Errorf("saving the account: %w", err)
	}
	s.params.Account = account.ID()
	a.say("Account registered.")
	return who.client, nil
}

// bind ties the new account with its key to an external one (RFC 8555 §7.3.4), if a key for that was given.
func (a *app) bind(directory *acme.Directory, key *ecdsa.PrivateKey) (json.RawMessage, error) {
	if a.eabKeyID == "" && a.eabKey == "" {
		if meta := directory.Meta; meta != nil && meta.ExternalAccountRequired {
			return nil, missing("--eab-kid ID and --eab-hmac-key KEY", "this CA registers only whom it has given a key")
		}
		return nil, nil
	}
	if a.eabKeyID == "" || a.eabKey == "" {
		return nil, usagef("--eab-kid and --eab-hmac-key belong together: the CA gave you both")
	}
	secret, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(a.eabKey, "="))
	if err != nil {
		return nil, usagef("argument --eab-hmac-key: it is not base64url: copy it as the CA shows it")
	}
	public, err := acme.NewKey(key.Public())
	if err != nil {
		return nil, err
	}
	binding, err := acme.ExternalKey{ID: a.eabKeyID, Key: secret, Algorithm: a.eabAlg}.Bind(directory.NewAccount, public)
	if err != nil {
		return nil, usagef("binding the account (--eab-kid, --eab-hmac-key, --eab-hmac-alg): %v", err)
	}
	return json.RawMessage(binding), nil
}

// register is the verb that does nothing but that.
func (a *app) register(ctx context.Context) error {
	s, _, all, err := a.knownAccounts()
	if err != nil {
		return err
	}
	if len(all) > 0 {
		return phrase("There is an existing account; registration of a duplicate account with this command is currently unsupported.")
	}
	client, err := a.connect(ctx, &s, true)
	if err != nil {
		return a.explainServer(err, &s)
	}
	a.result = accountJSON{ID: s.params.Account, URL: client.AccountURL(), Server: s.params.Server}
	return nil
}
