package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// shownAccount is the result of the verbs about an account that exists.
type shownAccount struct {
	ID         string   `json:"id"` // as --account takes it
	URL        string   `json:"url"`
	Server     string   `json:"server"`
	Status     string   `json:"status"` // valid or deactivated
	Thumbprint string   `json:"thumbprint"`
	Contact    []string `json:"contact"` // e-mail addresses
}

// knownAccounts reads the settings of a run about accounts, and which there are at its CA.
func (a *app) knownAccounts() (s settings, accounts *lineage.Accounts, all []*lineage.Account, err error) {
	if s, err = a.settle(nil); err != nil {
		return s, nil, nil, err
	}
	if accounts, err = a.store.Accounts(s.params.Server); err != nil {
		return s, nil, nil, err
	}
	all, err = accounts.List()
	return s, accounts, all, err
}

// existingAccount connects as an account that is there. The error is certbot's where there is none.
func (a *app) existingAccount(ctx context.Context) (*acme.Client, *settings, error) {
	s, _, all, err := a.knownAccounts()
	if err != nil {
		return nil, nil, err
	}
	if len(all) == 0 {
		return nil, nil, withHint(phrase(fmt.Sprintf("Could not find an existing account for server %s.", s.params.Server)),
			"give its CA with --server, or make one with %q", a.name+" register")
	}
	client, err := a.connect(ctx, &s, false)
	if err != nil {
		return nil, nil, a.explainServer(err, &s)
	}
	return client, &s, nil
}

// emails are the addresses among an account's contacts.
func emails(account *acme.Account) []string {
	list := []string{}
	for _, contact := range account.Contact {
		if address, ok := strings.CutPrefix(contact, "mailto:"); ok {
			list = append(list, address)
		}
	}
	return list
}

// showAccount asks the CA what it knows of the account.
func (a *app) showAccount(ctx context.Context) error {
	client, s, err := a.existingAccount(ctx)
	if err != nil {
		return err
	}
	account, err := client.Account(ctx)
	if err != nil {
		return a.explainServer(err, s)
	}
	addresses := emails(account)
	a.result = shownAccount{ID: s.params.Account, URL: client.AccountURL(), Server: s.params.Server, Status: string(account.Status),
		Thumbprint: client.Thumbprint(), Contact: addresses}
	a.say("Account details for server %s:", s.params.Server)
	a.say("  Account URL: %s", client.AccountURL())
	a.say("  Account Thumbprint: %s", client.Thumbprint())
	switch len(addresses) {
	case 0:
		a.say("  Email contact: none")
	case 1:
		a.say("  Email contact: %s", addresses[0])
	default:
		a.say("  Email contacts: %s", strings.Join(addresses, ", "))
	}
	return nil
}

// updateAccount changes the addresses under which the CA can reach the account's owner, or takes them away.
func (a *app) updateAccount(ctx context.Context) error {
	client, s, err := a.existingAccount(ctx)
	if err != nil {
		return err
	}
	text := a.email
	if !a.given["email"] && !a.noEmail {
		text, err = a.ask.Input(ctx, ask.Input{
			Question: ask.Question{Text: "Which e-mail address is the CA to have? Several are separated by commas.",
				Flag: "-m ADDRESS, or --register-unsafely-without-email to have none", Force: true},
		})
		if err != nil {
			return err
		}
	}
	var contact, addresses []string
	for address := range strings.SplitSeq(text, ",") {
		if address = strings.TrimSpace(address); address != "" {
			addresses = append(addresses, address)
			contact = append(contact, "mailto:"+address)
		}
	}
	account, err := client.SetContact(ctx, contact)
	if err != nil {
		return a.explainServer(err, s)
	}
	a.result = shownAccount{ID: s.params.Account, URL: client.AccountURL(), Server: s.params.Server, Status: string(account.Status),
		Thumbprint: client.Thumbprint(), Contact: emails(account)}
	if len(addresses) == 0 {
		a.say("Any contact information associated with this account has been removed.")
		return nil
	}
	a.say("Your e-mail address was updated to %s.", strings.Join(addresses, ","))
	return nil
}

// unregister gives up an account for good, at the CA and here.
func (a *app) unregister(ctx context.Context) error {
	s, accounts, all, err := a.knownAccounts()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return withHint(phrase(fmt.Sprintf("Could not find existing account for server %s.", s.params.Server)), "give its CA with --server")
	}
	yes, err := a.ask.YesNo(ctx, ask.YesNo{
		Question: ask.Question{Text: "Are you sure you would like to irrevocably deactivate your account?", Flag: "-n"},
		Yes:      "Deactivate", No: "Abort", Default: ask.Yes,
	})
	if err != nil {
		return err
	}
	if !yes {
		return phrase("Deactivation aborted.")
	}
	client, err := a.connect(ctx, &s, false)
	if err != nil {
		return a.explainServer(err, &s)
	}
	// The CA first: without its key the account could never be given up. Done again after a crash it is refused, which says the same.
	if err := client.Deactivate(ctx); err != nil && !isDeactivated(err) {
		return a.explainServer(err, &s)
	}
	if err := accounts.Remove(s.params.Account); err != nil {
		return err
	}
	a.result = shownAccount{ID: s.params.Account, URL: client.AccountURL(), Server: s.params.Server, Status: string(acme.StatusDeactivated),
		Thumbprint: client.Thumbprint(), Contact: []string{}}
	a.say("Account deactivated.")
	return nil
}

// isDeactivated reports whether the CA says that there is nothing left to give up (RFC 8555 §7.3.6).
func isDeactivated(err error) bool {
	var problem *acme.Problem
	return errors.As(err, &problem) && (problem.Type == acme.TypeAccountDoesNotExist ||
		problem.Type == acme.TypeUnauthorized && strings.Contains(problem.Detail, "deactivated"))
}

// rollover gives the account a new key (RFC 8555 §7.3.5).
//
//	the new key is saved                       a crash here changes nothing
//	the CA is asked                            from here on settleRollover asks which key the CA has
//	the account is saved under its new name, the renewal configurations name it, the old one is removed
func (a *app) rollover(ctx context.Context) error {
	client, s, err := a.existingAccount(ctx)
	if err != nil {
		return err
	}
	accounts, err := a.store.Accounts(s.params.Server)
	if err != nil {
		return err
	}
	old, err := accounts.Load(s.params.Account)
	if err != nil {
		return err
	}
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the account's new key: %w", err)
	}
	if err := accounts.SaveNext(old.ID(), next); err != nil {
		return err
	}
	if err := client.ChangeKey(ctx, next); err != nil {
		var problem *acme.Problem
		refused := errors.As(err, &problem) && problem.Status < http.StatusInternalServerError
		if errors.Is(err, acme.ErrNoKeyChange) || refused {
			err = errors.Join(err, accounts.DropNext(old.ID())) // the key is what it was; a CA in trouble may have changed it all the same
		}
		return a.explainServer(err, s)
	}
	fresh, err := a.finishRollover(accounts, s.params.Server, old, old.WithKey(next))
	if err != nil {
		return err
	}
	thumbprint := ""
	if key, err := acme.NewKey(next.Public()); err == nil {
		thumbprint = key.Thumbprint()
	}
	a.result = shownAccount{ID: fresh.ID(), URL: fresh.URL, Server: s.params.Server, Status: string(acme.StatusValid), Thumbprint: thumbprint, Contact: []string{}}
	a.say("The account %s has a new key. Its ID is %s now, and was %s.", fresh.URL, fresh.ID(), old.ID())
	a.say("  Account Thumbprint: %s", thumbprint)
	return nil
}

// finishRollover puts the account with its new key in place of the old one. Each step may be done again.
func (a *app) finishRollover(accounts *lineage.Accounts, server string, old, fresh *lineage.Account) (*lineage.Account, error) {
	if err := accounts.Save(fresh); err != nil {
		return nil, err
	}
	if err := a.store.ReplaceAccount(server, old.ID(), fresh.ID()); err != nil {
		return nil, err
	}
	return fresh, accounts.Remove(old.ID())
}

// settleRollovers ends changes of account keys that an earlier run has begun. It is not known whether the CA has been asked, so
// this asks it which account the new key has.
func (a *app) settleRollovers(ctx context.Context, accounts *lineage.Accounts, s *settings, config acme.ClientConfig) error {
	all, err := accounts.List()
	if err != nil {
		return err
	}
	for _, old := range all {
		next, err := accounts.Next(old.ID())
		if err != nil {
			return err
		}
		if next == nil {
			continue
		}
		config.Key, config.AccountURL = next, ""
		client, err := acme.NewClient(config)
		if err != nil {
			return err
		}
		_, err = client.Register(ctx, acme.NewAccount{OnlyReturnExisting: true})
		var problem *acme.Problem
		switch {
		case err == nil && client.AccountURL() == old.URL:
			a.log.Info("an earlier change of the account's key had reached the CA", "account", old.URL)
			fresh, err := a.finishRollover(accounts, s.params.Server, old, old.WithKey(next))
			if err != nil {
				return err
			}
			if s.params.Account == old.ID() {
				s.params.Account = fresh.ID()
			}
		case errors.As(err, &problem) && problem.Type == acme.TypeAccountDoesNotExist:
			a.log.Info("an earlier change of the account's key had not reached the CA", "account", old.URL)
			if err := accounts.DropNext(old.ID()); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("finding out which key the account has: %w", err)
		default:
			return fmt.Errorf("the CA says that the next key of account %s belongs to another, %s", old.URL, client.AccountURL())
		}
	}
	return nil
}
