package main

import (
	"context"

	"github.com/cairn-ca/cairn/internal/bot/eff"
)

// tellEFF gives the EFF the address of whoever agreed to that when the account of s was made: certbot keeps it in
// the account until a first certificate is there. That it fails is a warning, and it is tried once.
func (a *app) tellEFF(ctx context.Context, s *settings) {
	if a.eff == "" || s.params.Account == "" {
		return
	}
	accounts, err := a.store.Accounts(s.params.Server)
	if err != nil {
		return // whoever used the account has said so
	}
	account, err := accounts.Load(s.params.Account)
	if err != nil || account.RegisterToEFF == "" {
		return
	}
	if err := eff.Subscribe(ctx, a.eff, account.RegisterToEFF); err != nil {
		a.log.Warn("the EFF could not be told your address; you can do so at https://act.eff.org", "error", err)
	} else {
		a.say("Subscribe to the EFF mailing list (email: %s).", account.RegisterToEFF)
	}
	account.RegisterToEFF = ""
	if err := accounts.Save(account); err != nil {
		a.log.Warn("the account still says that the EFF is to be told", "error", err)
	}
}
