package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// certonly gets a certificate, or renews the one that is there. Where a person is there, it asks for what is missing.
func (a *app) certonly(ctx context.Context) error {
	if a.csr != "" {
		return a.certifyRequest(ctx)
	}
	a.finishJobs(ctx)
	if err := a.checkNamed(); err != nil {
		return err
	}
	t, err := a.prepare(ctx)
	if err != nil {
		return err
	}
	return a.carryOut(ctx, t)
}

// task is what is to be done, with every question answered.
type task struct {
	plan   renew.Plan
	target *lineage.Lineage  // nil for a new one
	leaf   *x509.Certificate // the target's when that was decided; nil where it could not be read
}

// prepare asks for what the options do not say. As with certbot, who has said how control is proven is asked about the
// account first; for anybody else, the names come first, since they decide which ways of proof there are.
func (a *app) prepare(ctx context.Context) (*task, error) {
	a.preparing = true
	s, err := a.settle(nil)
	if err != nil {
		return nil, err
	}
	if (s.params.Authenticator != "" || len(s.methods) > 0) && a.certName == "" {
		if err := a.askAccount(ctx, &s); err != nil {
			return nil, err
		}
	}
	if len(a.domains) == 0 && a.certName == "" {
		if err := a.askNames(ctx); err != nil {
			return nil, err
		}
	}
	t := new(task)
	if t.plan, t.target, err = a.decide(ctx); err != nil {
		return nil, err
	}
	if t.target != nil {
		t.leaf, _ = t.target.Leaf()
	}
	if t.plan.Action == renew.Keep {
		return t, nil
	}
	if a.bare && t.target == nil {
		if err := a.askServer(ctx); err != nil {
			return nil, err
		}
	}
	if err := a.askProof(ctx, t); err != nil {
		return nil, err
	}
	if a.bare && t.target == nil {
		if err := a.askReload(ctx); err != nil {
			return nil, err
		}
	}
	if s, err = a.settle(t.conf()); err != nil {
		return nil, err
	}
	return t, a.askAccount(ctx, &s)
}

// conf is the configuration of the certificate that is there, or nil.
func (t *task) conf() *lineage.Conf {
	if t.target == nil {
		return nil
	}
	return t.target.Conf
}

// askProof asks how control is proven, and all that the way of proof needs.
func (a *app) askProof(ctx context.Context, t *task) error {
	s, err := a.settle(t.conf())
	if err != nil {
		return err
	}
	if s.undecided(t.plan.Identifiers) {
		if err := a.askMethod(ctx, t.plan.Identifiers); err != nil {
			return err
		}
		if s, err = a.settle(t.conf()); err != nil {
			return err
		}
	}
	if err := a.askWebroots(ctx, &s, s.provenBy("webroot", t.plan.Identifiers)); err != nil || !isDNS(s.params.Authenticator) {
		return err
	}
	return a.askCredentials(ctx, &s, s.params.Authenticator)
}

// refresh reads again what is to be replaced: while somebody thought, another run may have renewed it.
func (a *app) refresh(t *task) (err error) {
	if t.target == nil {
		return nil
	}
	if t.target, err = a.store.Load(t.plan.Lineage); err != nil {
		return err
	}
	if leaf, err := t.target.Leaf(); err == nil && t.leaf != nil && !leaf.Equal(t.leaf) {
		return withHint(fmt.Errorf("the certificate %s was renewed by another run meanwhile", t.plan.Lineage), "look at it with certificates, and start again if it is not as you want it")
	}
	return nil
}

// carryOut does it, and says what came of it.
func (a *app) carryOut(ctx context.Context, t *task) error {
	if t.plan.Action == renew.Keep {
		a.kept()
		a.obtained("kept", t.target)
		a.preparing = false
		return a.twin(ctx, t.target)
	}
	a.preparing = false
	if err := a.refresh(t); err != nil {
		return err
	}
	placed, err := a.obtain(ctx, t.plan, t.target)
	if err != nil {
		return err
	}
	if a.dryRun {
		a.simulated()
		return nil
	}
	action := "created"
	if t.target != nil {
		action = "renewed"
	}
	a.obtained(action, placed)
	if err := a.announce(placed); err != nil {
		return err
	}
	return a.twin(ctx, placed)
}

// checkNamed refuses a --cert-name whose files are broken: making another of that name is not what was asked for.
func (a *app) checkNamed() error {
	if a.certName == "" {
		return nil
	}
	l, err := a.store.Load(a.certName)
	if err == nil {
		_, err = l.Leaf()
	} else if errors.Is(err, fs.ErrNotExist) {
		return nil // a new one
	}
	if err != nil {
		return withHint(fmt.Errorf("the certificate %s is broken: %w", a.certName, err), "mend its files, or choose another --cert-name")
	}
	return nil
}

// kept says that there was nothing to do.
func (a *app) kept() {
	a.say("Certificate not yet due for renewal\n")
	a.frame()
	a.say("Certificate not yet due for renewal; no action taken.")
	a.frame()
}

// have lists the certificates that exist. Those whose files are broken are left out, as certbot does.
func (a *app) have(ctx context.Context) ([]renew.Have, error) {
	lineages, broken, err := a.store.List()
	if err != nil {
		return nil, err
	}
	for _, b := range broken {
		a.log.Warn("a renewal configuration is invalid", "path", b.Path, "error", b.Err)
	}
	var have []renew.Have
	for _, l := range lineages {
		if l.Conf.Own(ownTwin) != "" {
			continue // it goes with another
		}
		leaf, err := l.Leaf()
		if err != nil {
			a.log.Warn("a certificate cannot be read", "name", l.Name, "error", err)
			continue
		}
		v, _, err := a.look(ctx, l, false)
		if err != nil {
			a.log.Warn("it is not known when a certificate is due", "name", l.Name, "error", err)
		}
		have = append(have, renew.Have{
			Lineage: l.Name, Identifiers: acme.CertificateIdentifiers(leaf),
			Due: err == nil && v.Due(now()) || a.dryRun || a.rehearse, // who tries something wants to see it happen
		})
	}
	return have, nil
}

// values lists names as plain text.
func values(ids []acme.Identifier) []string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.Value
	}
	return names
}

// summary shortens a list of names the way certbot does.
func summary(names []acme.Identifier) string {
	switch len(names) {
	case 1:
		return names[0].Value
	case 2:
		return names[0].Value + " and " + names[1].Value
	default:
		return fmt.Sprintf("%s and %d more", names[0].Value, len(names)-1)
	}
}
