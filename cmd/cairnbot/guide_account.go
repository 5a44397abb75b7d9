package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/mail"
	"path/filepath"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// newcomer is an account that is about to be made: all is answered, and the CA does not know of it yet.
type newcomer struct {
	server  string
	key     *ecdsa.PrivateKey
	client  *acme.Client
	email   string // one or several, separated by commas; "" for none
	eff     bool   // the EFF may have that address
	agreed  bool   // to this CA's terms
	binding json.RawMessage
}

// newAccountKey makes a key for an account. It is on P-256: certbot can use it, too.
func newAccountKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// introduce asks what a new account at the CA of s needs and the options do not say.
func (a *app) introduce(ctx context.Context, s *settings, config acme.ClientConfig) (*newcomer, error) {
	key, err := newAccountKey()
	if err != nil {
		return nil, err
	}
	config.Key = key
	client, err := acme.NewClient(config)
	if err != nil {
		return nil, err
	}
	directory, err := client.Directory(ctx)
	if err != nil {
		return nil, err
	}
	who := &newcomer{server: s.params.Server, key: key, client: client, agreed: a.agreeTOS}
	if who.binding, err = a.bind(directory, key); err != nil {
		return nil, err
	}
	if a.dryRun && a.hasAccount() { // who has agreed to the terms of a CA is not asked again for its test
		who.agreed = true
		return who, nil
	}
	if who.email, err = a.askEmail(ctx, ""); err != nil {
		return nil, err
	}
	if err := a.askTerms(ctx, directory, who); err != nil {
		return nil, err
	}
	who.eff, err = a.askEFF(ctx, who)
	return who, err
}

// askEmail asks for an address, which nobody must give. why says what was wrong with an earlier one.
func (a *app) askEmail(ctx context.Context, why string) (string, error) {
	if why == "" && (a.given["email"] || a.noEmail || a.rehearse) {
		return a.email, nil
	}
	return a.ask.Input(ctx, ask.Input{
		Question: ask.Question{
			Text: why + "Enter email address or hit Enter to skip.\nThe CA may write to it about your account. Certificates do not need it.",
			Flag: "--email, or --register-unsafely-without-email", Force: true,
		},
		HasDefault: why == "", // one that the CA refuses is not left out on our own account
		Check:      checkEmail,
	})
}

// checkEmail takes addresses separated by commas, or nothing.
func checkEmail(text string) (string, error) {
	var addresses []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		address, err := mail.ParseAddress(part)
		at := strings.LastIndexByte(part, '@')
		if err != nil || address.Address != part || strings.ContainsFunc(part, func(r rune) bool { return r > 127 || r == ' ' || r == '"' }) ||
			!strings.Contains(strings.Trim(part[at+1:], "."), ".") {
			return "", phrase(fmt.Sprintf("There is a problem with your email address. One looks like you@example.org, and %q does not.", part))
		}
		addresses = append(addresses, part)
	}
	return strings.Join(addresses, ","), nil
}

// askTerms has a person agree to what the CA wants agreed to: that is for nobody else to do.
func (a *app) askTerms(ctx context.Context, directory *acme.Directory, who *newcomer) error {
	if directory.Meta == nil || directory.Meta.TermsOfService == "" || who.agreed {
		return nil
	}
	url := strings.Join(strings.Fields(directory.Meta.TermsOfService), " ") // the CA's: it is not to look like lines of ours
	yes, err := a.ask.YesNo(ctx, ask.YesNo{Question: ask.Question{
		Text: fmt.Sprintf("Please read the Terms of Service at: %s\nYou must agree in order to register with the ACME server. Do you agree?", url),
		Flag: "--agree-tos", Force: true,
	}})
	if err == nil && !yes {
		err = errors.New("registration cannot proceed without accepting the Terms of Service")
	}
	who.agreed = yes
	return err
}

// askEFF asks whether the Electronic Frontier Foundation may have the address. Certbot is theirs, and so the question
// comes up only where certbot asks it: with an address, and its own CA.
func (a *app) askEFF(ctx context.Context, who *newcomer) (bool, error) {
	switch {
	case a.given["eff-email"]:
		if a.effEmail && who.email == "" {
			a.log.Warn("the EFF is not told an address (--eff-email), because none was given (--email)")
		}
		return a.effEmail && who.email != "", nil
	case who.email == "" || who.server != defaultServer:
		return false, nil
	}
	return a.ask.YesNo(ctx, ask.YesNo{
		Question: ask.Question{
			Text: "Would you be willing, once your first certificate is successfully issued, to share your email address with the " +
				"Electronic Frontier Foundation, a founding partner of Let's Encrypt and the home of certbot? " +
				"They write about their work for privacy and free speech on the Internet.",
			Flag: "--eff-email or --no-eff-email",
		},
		Default: ask.No, Usual: ask.No,
	})
}

// maxRefusals is how many addresses a person may try that the CA does not like.
const maxRefusals = 5

// enroll registers who, with another address if the CA does not like the first one.
func (a *app) enroll(ctx context.Context, who *newcomer) error {
	for try := 1; ; try++ {
		request := acme.NewAccount{TermsOfServiceAgreed: who.agreed, ExternalAccount: who.binding}
		for address := range strings.SplitSeq(who.email, ",") {
			if address = strings.TrimSpace(address); address != "" {
				request.Contact = append(request.Contact, "mailto:"+address)
			}
		}
		_, err := who.client.Register(ctx, request)
		var problem *acme.Problem
		if !errors.As(err, &problem) || problem.Type != acme.TypeInvalidContact && problem.Type != acme.TypeUnsupportedContact ||
			try == maxRefusals || !a.ask.Interactive(true) {
			return err
		}
		if who.email, err = a.askEmail(ctx, fmt.Sprintf("There is a problem with your email address. The CA says: %s\n", problem.Detail)); err != nil {
			return err
		}
		who.eff = who.eff && who.email != ""
	}
}

// askAccount settles as whom the CA of s is spoken to, so that all questions come before the first deed. Where nobody
// can answer, that has time until the CA is spoken to.
func (a *app) askAccount(ctx context.Context, s *settings) error {
	if !a.ask.Interactive(false) {
		return nil
	}
	accounts, err := a.store.Accounts(s.params.Server)
	if err != nil {
		return err
	}
	found, err := a.existing(ctx, accounts, s)
	if err != nil {
		return err
	}
	if found != nil {
		a.options.account = found.ID()
		a.set("account")
		return nil
	}
	if a.newcomer != nil && a.newcomer.server == s.params.Server {
		return nil
	}
	config, err := a.clientConfig(s)
	if err != nil {
		return err
	}
	a.newcomer, err = a.introduce(ctx, s, config)
	return a.explainServer(err, s)
}

// chooseAccount asks which of several accounts to use.
func (a *app) chooseAccount(ctx context.Context, all []*lineage.Account) (*lineage.Account, error) {
	labels := make([]string, len(all))
	for i, account := range all {
		id := account.ID()
		labels[i] = fmt.Sprintf("%s@%s (%s)", account.Host, account.Created.UTC().Format(time.RFC3339), id[:min(4, len(id))])
	}
	n, err := a.ask.Menu(ctx, ask.Menu{Question: ask.Question{Text: "Please choose an account", Flag: "--account", Force: true}, Items: labels})
	if err != nil {
		ids := make([]string, len(all))
		for i, account := range all {
			ids[i] = account.ID()
		}
		return nil, withHint(err, "--account ID says which one to use: %s", strings.Join(ids, ", "))
	}
	return all[n-1], nil
}

// hasAccount reports whether there is an account at any CA.
func (a *app) hasAccount() bool {
	found := false
	_ = filepath.WalkDir(filepath.Join(a.configDir, "accounts"), func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "regr.json" {
			found = true
			return fs.SkipAll
		}
		return nil
	}) // what cannot be read holds no account for us
	return found
}
