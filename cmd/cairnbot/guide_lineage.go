package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// decide says what the options mean, given the certificates that are there. A person settles what they leave open.
// The lineage is the one of the plan, or nil if that makes a new one.
func (a *app) decide(ctx context.Context) (renew.Plan, *lineage.Lineage, error) {
	request := renew.Ask{Lineage: a.certName, Expand: a.expand, Force: a.force, Keep: a.keep,
		Duplicate: a.duplicate, NewNames: a.renewWithNewDomains}
	for _, name := range a.domains {
		request.Identifiers = append(request.Identifiers, acme.IdentifierFor(name))
	}
	have, err := a.have(ctx)
	if err != nil {
		return renew.Plan{}, nil, err
	}
	plan, err := renew.Decide(request, have)
	if err != nil || plan.Action == renew.Create {
		return plan, nil, err
	}
	target, err := a.store.Load(plan.Lineage)
	if err != nil {
		return plan, nil, err
	}
	if plan.Action == renew.Keep { // the CA may know better
		if v, _, err := a.look(ctx, target, true); err == nil && v.Due(now()) {
			plan.Action, plan.Doubt = renew.Renew, renew.Settled
		}
	}
	changes, err := a.askKeyType(ctx, target)
	if err != nil {
		return plan, nil, err
	}
	if (changes || a.dryRun) && plan.Action == renew.Keep {
		plan.Action, plan.Doubt = renew.Renew, renew.Settled // due or not
	}
	switch plan.Doubt {
	case renew.KeepOrRenew:
		err = a.askKeep(ctx, &plan, target)
	case renew.Expand:
		err = a.askExpand(ctx, &plan, target)
	case renew.OtherNames:
		err = a.askOtherNames(ctx, &plan)
	}
	return plan, target, err
}

// askKeep asks whether a certificate that is not due is renewed all the same.
func (a *app) askKeep(ctx context.Context, plan *renew.Plan, target *lineage.Lineage) error {
	keep := "Keep the existing certificate for now"
	if _, installer, _ := a.requested(); installer != "" && a.verb == "run" {
		keep = "Attempt to reinstall this existing certificate"
	}
	n, err := a.ask.Menu(ctx, ask.Menu{
		Question: ask.Question{
			Text: fmt.Sprintf("You have an existing certificate that has exactly the same domains or certificate name you requested and isn't close to expiry.\n(ref: %s)\n\nWhat would you like to do?",
				target.ConfPath()),
			Flag: "--keep-until-expiring or --force-renewal",
		},
		Items:   []string{keep, "Renew & replace the certificate (may be subject to CA rate limits)"},
		Default: 1, Usual: 1,
	})
	if err == nil && n == 2 {
		plan.Action = renew.Renew
	}
	return err
}

// askExpand asks whether a certificate with some of the names is replaced by one with all of them.
func (a *app) askExpand(ctx context.Context, plan *renew.Plan, target *lineage.Lineage) error {
	const otherwise = "--expand replaces it by one with all of the names; --duplicate, or another --cert-name NAME, makes a separate one and leaves it alone"
	leaf, err := target.Leaf()
	if err != nil {
		return err
	}
	yes, err := a.ask.YesNo(ctx, ask.YesNo{
		Question: ask.Question{
			Text: fmt.Sprintf("You have an existing certificate that contains a portion of the domains you requested (ref: %s)\n\nIt has: %s\nIt would also get: %s\n\n"+
				"Do you want to expand and replace this existing certificate with the new certificate?",
				target.ConfPath(), strings.Join(values(acme.CertificateIdentifiers(leaf)), ", "), strings.Join(values(plan.Added), ", ")),
			Flag: "--expand", Force: true,
		},
		Yes: "Expand", No: "Cancel",
	})
	switch {
	case err != nil:
		return withHint(err, otherwise)
	case !yes:
		return withHint(ask.ErrCancelled, otherwise)
	}
	return nil
}

// askOtherNames asks whether the certificate that was named is to have other names.
func (a *app) askOtherNames(ctx context.Context, plan *renew.Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "You are updating certificate %s", plan.Lineage)
	changes := func(heading, sign string, names []acme.Identifier) {
		if len(names) > 0 {
			b.WriteString(heading + ":\n")
			for _, name := range names {
				fmt.Fprintf(&b, "\n%s %s", sign, name.Value)
			}
			b.WriteString("\n\n")
		}
	}
	changes(" to include new domain(s)", "+", plan.Added)
	if len(plan.Added) > 0 {
		changes("You are also removing previously included domain(s)", "-", plan.Removed)
	} else {
		changes(" to remove previously included domain(s)", "-", plan.Removed)
	}
	yes, err := a.ask.YesNo(ctx, ask.YesNo{
		Question: ask.Question{Text: b.String() + "Did you intend to make this change?", Flag: "--renew-with-new-domains"},
		Yes:      "Update certificate", No: "Cancel", Default: ask.Yes,
	})
	if err == nil && !yes {
		err = withHint(ask.ErrCancelled, "leave out -d to renew %s with the names that it has, or leave out --cert-name to get another certificate", plan.Lineage)
	}
	return err
}

// askKeyType settles what becomes of a certificate whose kind of key is not the one that a new certificate would
// get. It reports whether the kind changes; then the options say so.
func (a *app) askKeyType(ctx context.Context, target *lineage.Lineage) (bool, error) {
	params, err := target.Conf.Params()
	if err != nil {
		return false, err
	}
	have, want := params.KeyType, a.keyType
	if have == "" {
		have = "rsa" // what certbot made before it wrote the kind down
	}
	if want == "" {
		want = "ecdsa"
	}
	if have == want {
		return false, nil
	}
	if a.given["key-type"] && a.given["cert-name"] {
		return true, nil
	}
	upper := strings.ToUpper
	yes, err := a.ask.YesNo(ctx, ask.YesNo{
		Question: ask.Question{
			Text: fmt.Sprintf("An %s certificate named %s already exists. Do you want to update its key type to %s?", upper(have), target.Name, upper(want)),
			Flag: "--cert-name together with --key-type",
		},
		Yes: "Update key type", No: "Keep existing key type", Default: ask.No, Usual: ask.No,
	})
	switch {
	case err != nil:
		return false, err
	case yes:
		a.keyType = want
		a.set("key-type")
		return true, nil
	case a.given["key-type"]:
		return false, withHint(
			phrase(fmt.Sprintf("Are you trying to change the key type of the certificate named %s from %s to %s?", target.Name, upper(have), upper(want))),
			"Please provide both --cert-name and --key-type on the command line to confirm the change you are trying to make.")
	}
	return false, nil
}
