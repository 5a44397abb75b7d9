package main

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// reconfigured is the result of reconfigure.
type reconfigured struct {
	Name    string `json:"name"`
	Changed bool   `json:"changed"`
}

// reconfigure changes how a certificate will be renewed: it tries that in a dry run, and then writes it down.
func (a *app) reconfigure(ctx context.Context) error {
	if len(a.domains) > 0 {
		return withHint(errors.New("reconfigure takes no -d: the names of a certificate are not part of its configuration"),
			"%s edit adds and removes names", a.name)
	}
	l, err := a.chooseLineage(ctx, "Which certificate would you like to reconfigure?")
	if err != nil {
		return err
	}
	before, err := l.Conf.Params()
	if err != nil {
		return err
	}
	if a.given["server"] && a.server != before.Server && !a.dryRun || a.given["account"] && a.options.account != before.Account {
		return withHint(phrase("Using reconfigure to change the ACME account or server is not supported."),
			"renew it there at once: %s renew --cert-name %s --force-renewal --server URL --account ID", a.name, l.Name)
	}
	if err := a.askRunDeployHooks(ctx); err != nil {
		return err
	}
	leaf, err := l.Leaf()
	if err != nil {
		return err
	}
	a.dryRun = true
	plan := renew.Plan{Action: renew.Renew, Lineage: l.Name, Identifiers: acme.CertificateIdentifiers(leaf)}
	if _, err := a.obtain(ctx, plan, l); err != nil {
		return err
	}
	a.dryRun = false
	return a.writeDown(l)
}

// askRunDeployHooks asks whether a new deploy hook is tried, too: it would tell servers of a certificate that is not there.
func (a *app) askRunDeployHooks(ctx context.Context) error {
	if !a.given["deploy-hook"] || a.runDeployHooks {
		return nil
	}
	yes, err := a.ask.YesNo(ctx, ask.YesNo{
		Question: ask.Question{Text: "You are attempting to set a --deploy-hook. Would you like it to be run in the dry run that comes now? It is told of the certificate that is there.",
			Flag: "--run-deploy-hooks"},
		Default: ask.No, Usual: ask.No,
	})
	a.runDeployHooks = yes
	return err
}

// writeDown makes the configuration of a certificate say what the options do.
func (a *app) writeDown(l *lineage.Lineage) error {
	s, err := a.settle(l.Conf)
	if err != nil {
		return err
	}
	before := bytes.Clone(l.Conf.Bytes())
	if err := l.Conf.SetParams(s.kept()); err != nil {
		return err
	}
	own := s.ownValues()
	for _, key := range slices.Sorted(maps.Keys(own)) {
		if own[key] == l.Conf.Own(key) {
			continue
		}
		if err := l.Conf.SetOwn(key, own[key]); err != nil {
			return err
		}
	}
	if bytes.Equal(before, l.Conf.Bytes()) {
		a.result = reconfigured{Name: l.Name}
		a.say("\nNo changes were made to the renewal configuration.")
		return nil
	}
	if err := l.Save(); err != nil {
		return err
	}
	if err := a.exportAll(l); err != nil {
		return err
	}
	a.result = reconfigured{Name: l.Name, Changed: true}
	a.say("\nSuccessfully updated configuration.\nChanges will apply when the certificate renews.")
	return nil
}
