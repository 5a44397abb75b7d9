package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// nameList takes names that are added to a certificate, or removed from it.
type nameList struct {
	o     *options
	names *[]string
	adds  bool
}

// Set takes names separated by commas. One that is added belongs to the webroot before it, as with -d.
func (n *nameList) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		name, err := checkDomain(strings.TrimSpace(part))
		if err != nil {
			return err
		}
		if n.adds {
			n.o.webroots.name(name)
		}
		if !slices.Contains(*n.names, name) {
			*n.names = append(*n.names, name)
		}
	}
	return nil
}

// edit adds names to a certificate and removes others: it orders one with the new names, and puts it in its place.
func (a *app) edit(ctx context.Context) error {
	if len(a.addNames)+len(a.removeNames) == 0 {
		return missing("--add-domain NAME or --remove-domain NAME", "which names to add or to remove")
	}
	if len(a.domains) > 0 {
		return withHint(errors.New("edit takes no -d: it changes the names that are there"), "say which with --add-domain and --remove-domain")
	}
	a.finishJobs(ctx)
	l, err := a.chooseLineage(ctx, "Which certificate would you like to change?")
	if err != nil {
		return err
	}
	leaf, err := l.Leaf()
	if err != nil {
		return err
	}
	before := values(acme.CertificateIdentifiers(leaf))
	after, err := edited(before, a.addNames, a.removeNames)
	if err != nil {
		return err
	}
	if slices.Equal(before, after) {
		a.say("The certificate %s has just these names; no action taken.", l.Name)
		a.obtained("kept", l)
		return nil
	}
	yes, err := a.ask.YesNo(ctx, ask.YesNo{
		Question: ask.Question{Text: a.editText(l, before, after), Flag: "-n"},
		Yes:      "Update certificate", No: "Cancel", Default: ask.Yes, Usual: ask.Yes,
	})
	if err != nil {
		return err
	}
	if !yes {
		return ask.ErrCancelled
	}
	a.domains = after // settings find the webroots of new names by them
	plan := renew.Plan{Action: renew.Replace, Lineage: l.Name}
	for _, name := range after {
		plan.Identifiers = append(plan.Identifiers, acme.IdentifierFor(name))
	}
	placed, err := a.obtain(ctx, plan, l)
	if err != nil {
		return err
	}
	a.obtained("renewed", placed)
	return a.announce(placed)
}

// edited is the list of names afterwards: the old ones in their order, then the new ones.
func edited(before, add, remove []string) ([]string, error) {
	for _, name := range remove {
		if !slices.Contains(before, name) {
			return nil, withHint(fmt.Errorf("the certificate is not for %s", name), "it is for %s", strings.Join(before, ", "))
		}
		if slices.Contains(add, name) {
			return nil, fmt.Errorf("%s is both to be added and to be removed", name)
		}
	}
	var after []string
	for _, name := range slices.Concat(before, add) {
		if !slices.Contains(remove, name) && !slices.Contains(after, name) {
			after = append(after, name)
		}
	}
	if len(after) == 0 {
		return nil, errors.New("no name would be left: a certificate is for one at least")
	}
	return after, nil
}

// editText shows what changes.
func (a *app) editText(l *lineage.Lineage, before, after []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "You are updating certificate %s. It will be replaced by one for these names:\n\n", l.Name)
	for _, name := range after {
		mark := " "
		if !slices.Contains(before, name) {
			mark = "+"
		}
		fmt.Fprintf(&b, "  %s %s\n", mark, name)
	}
	for _, name := range before {
		if !slices.Contains(after, name) {
			fmt.Fprintf(&b, "  - %s\n", name)
		}
	}
	b.WriteString("\nDid you intend to make this change?")
	return b.String()
}
