package front

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// agreementPath is where people agree to changed terms of service: agreementPath/ACCOUNT/TOKEN.
const agreementPath = "/agree/"

// mustHaveAgreed refuses an account that has to agree to changed terms first (RFC 8555 §7.3.3). The
// link in the problem is for whoever runs the client: who has it can agree for the account, and nothing else.
func (f *Front) mustHaveAgreed(b base, account rules.Account) error {
	instance := b.origin + agreementPath + account.ID + "/" + f.agreementToken(account.ID)
	if problem := f.Policy.Agreed(account, instance); problem != nil {
		return problem
	}
	return nil
}

// agreementToken makes the link for one account and the terms as they are now.
func (f *Front) agreementToken(account string) string {
	mac := hmac.New(sha256.New, f.LinkKey)
	fmt.Fprintf(mac, "terms of service\n%s\n%s", account, f.Policy.TermsOfService) // never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// agreement is what the page shows.
type agreement struct {
	Title, Text string
	Terms       string // a URL; "" if there is nothing to agree to
	Account     string
}

// agreementStyle is the whole look of the page; its hash is what the policy lets through.
const agreementStyle = `
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
code { overflow-wrap: anywhere; }
button { font: inherit; padding: .5rem 1rem; }
`

var agreementPage = template.Must(template.New("agreement").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{{.Title}}</title>
<style>` + agreementStyle + `</style>
</head>
<body>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
{{if .Terms}}<p>Terms of service: <a href="{{.Terms}}">{{.Terms}}</a></p>
<p>Account: <code>{{.Account}}</code></p>
<form method="post">
<p><button type="submit">I agree to these terms</button></p>
</form>
{{end}}</body>
</html>
`))

// isAgreement reports whether a request is for the page on which people agree to the terms.
func (f *Front) isAgreement(r *http.Request) bool {
	return r.TLS != nil && f.Policy.AskAgain && strings.HasPrefix(r.URL.Path, agreementPath)
}

// serveAgreement shows the terms and takes the agreement. It needs no script and no cookie: the link is all.
func (f *Front) serveAgreement(w http.ResponseWriter, r *http.Request) {
	status, page := f.agreement(r)
	var text bytes.Buffer
	if err := agreementPage.Execute(&text, page); err != nil { // only if the template does not fit
		f.Log.Error("writing the page for the terms of service failed", "error", err)
		status = http.StatusInternalServerError
	}
	sum := sha256.Sum256([]byte(agreementStyle))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
		"'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = text.WriteTo(w) // a peer that went away gets nothing
	}
}

// agreement decides what a request for the page is answered with.
func (f *Front) agreement(r *http.Request) (int, agreement) {
	id, token, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, agreementPath), "/")
	if !acme.ValidToken(id) || !hmac.Equal([]byte(token), []byte(f.agreementToken(id))) {
		return http.StatusNotFound, agreement{Title: "This link is not good, or not any more", Text: "Run your ACME client again: it shows the link that is."}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, agreement{Title: "This page is for browsers"}
	}
	account, err := f.agree(r.Context(), id, r.Method == http.MethodPost)
	var problem *acme.Problem
	switch {
	case errors.As(err, &problem):
		return http.StatusForbidden, agreement{Title: "This account cannot agree", Text: problem.Detail}
	case err != nil:
		f.Log.Error("taking an agreement to the terms of service failed", "account", id, "error", err)
		return http.StatusServiceUnavailable, agreement{Title: "That did not work", Text: "Try again in a moment."}
	case !f.Policy.MustAgree(account):
		return http.StatusOK, agreement{Title: "Thank you", Text: "The account has agreed to the terms of service. Run your ACME client again."}
	}
	return http.StatusOK, agreement{
		Title: "The terms of service have changed", Text: "Before this account gets another certificate, whoever is responsible for it must read and accept them.",
		Terms: f.Policy.TermsOfService, Account: f.baseFor(r).account(id),
	}
}

// agree loads the account that a link is for and, if it is to, has it agree.
func (f *Front) agree(ctx context.Context, id string, agrees bool) (account rules.Account, err error) {
	load := func(tx *store.Tx) (err error) {
		if account, err = tx.Account(id); err != nil {
			return err
		}
		if problem := account.Active(); problem != nil {
			return problem
		}
		return nil
	}
	if !agrees {
		err = f.DB.View(ctx, load)
		return account, err
	}
	defer f.known.forget(id)
	err = f.change(ctx, func(tx *store.Tx) error {
		if err := load(tx); err != nil || !f.Policy.MustAgree(account) {
			return err
		}
		before := account
		account = before.Agree(f.Policy)
		return tx.UpdateAccount(before, account)
	})
	if err == nil {
		f.Log.Info("terms of service agreed to", "account", id, "terms", f.Policy.TermsOfService)
	}
	return account, err
}
