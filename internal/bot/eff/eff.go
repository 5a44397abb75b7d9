// Package eff tells the Electronic Frontier Foundation, which makes certbot, the address of somebody who agreed to that.
package eff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Form is where the EFF takes addresses, as certbot sends them there.
const Form = "https://supporters.eff.org/subscribe/certbot"

const (
	timeout   = 30 * time.Second // nobody waits longer for a list of letters
	maxAnswer = 64 << 10         // a line is usual
)

// Subscribe fills in the form at an URL.
func Subscribe(ctx context.Context, form, email string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
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
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&answer); err != nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	switch {
	case answer.Status == nil:
		return errors.New("the answer does not say whether it was taken")
	case !*answer.Status:
		return fmt.Errorf("it was refused: is %s right?", email)
	}
	return nil
}
