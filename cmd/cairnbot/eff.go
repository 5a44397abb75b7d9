package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// effForm is where the EFF takes addresses, as certbot sends them there.
const effForm = "https://supporters.eff.org/subscribe/certbot"

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
	if err := subscribe(ctx, a.eff, account.RegisterToEFF); err != nil {
		a.log.Warn("the EFF could not be told your address; you can do so at https://act.eff.org", "error", err)
	} else {
		a.say("Subscribe to the EFF mailing list (email: %s).", account.RegisterToEFF)
	}
	account.RegisterToEFF = ""
	if err := accounts.Save(account); err != nil {
		a.log.Warn("the account still says that the EFF is to be told", "error", err)
	}
}

// subscribe fills in the EFF's form.
func subscribe(ctx context.Context, form, email string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	values := url.Values{"data_type": {"json"}, "email": {email}, "form_id": {"eff_supporters_library_subscribe_form"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, form, strings.NewReader(values.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer was %s", response.Status)
	}
	var answer struct {
		Status *bool `json:"status"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&answer); err != nil || answer.Status == nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	if !*answer.Status {
		return fmt.Errorf("it was refused: is %s right?", email)
	}
	return nil
}
