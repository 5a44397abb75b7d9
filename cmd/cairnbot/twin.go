package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// ownTwin is the key of our own section, in a certificate that --both-key-types made beside another, for
// the other's name. It is a lineage like any other, which renew and certbot keep by themselves.
const ownTwin = "twin_of"

// twinName is where the twin of a certificate is kept: NAME-rsa beside one with an ECDSA key.
func twinName(name, keyType string) string { return name + "-" + keyType }

// otherType is the type of key that a twin has.
func otherType(keyType string) string {
	if keyType == "rsa" {
		return "ecdsa"
	}
	return "rsa"
}

// twin sees to the certificate for the same names with a key of the other type (--both-key-types): servers
// give it to those clients that cannot do with the first.
func (a *app) twin(ctx context.Context, first *lineage.Lineage) error {
	if !a.bothKeyTypes || a.dryRun || first == nil {
		return nil
	}
	params, err := first.Conf.Params()
	if err != nil {
		return err
	}
	leaf, err := first.Leaf()
	if err != nil {
		return err
	}
	kind := otherType(params.KeyType)
	plan := renew.Plan{Action: renew.Create, Lineage: twinName(first.Name, kind), Identifiers: acme.CertificateIdentifiers(leaf)}
	target, err := a.store.Load(plan.Lineage)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case target.Conf.Own(ownTwin) != first.Name:
		return withHint(fmt.Errorf("--both-key-types needs the name %s, which another certificate has", plan.Lineage), "give that one another name with rename")
	default:
		if plan.Action = a.twinAction(target, plan.Identifiers); plan.Action == renew.Keep {
			return nil
		}
	}
	return a.obtainTwin(ctx, first, kind, plan, target)
}

// twinAction says what becomes of a twin that is there already.
func (a *app) twinAction(target *lineage.Lineage, names []acme.Identifier) renew.Action {
	leaf, err := target.Leaf()
	if err != nil || !sameNames(acme.CertificateIdentifiers(leaf), names) {
		return renew.Replace
	}
	at, _, _, err := renew.DueOf(target, a.force, time.Now())
	if err != nil || !at.After(time.Now()) {
		return renew.Renew
	}
	return renew.Keep
}

// obtainTwin obtains it with the same options, and another key.
func (a *app) obtainTwin(ctx context.Context, first *lineage.Lineage, kind string, plan renew.Plan, target *lineage.Lineage) error {
	other, options := *a, *a.options
	options.given, options.plugin = maps.Clone(a.given), maps.Clone(a.plugin)
	options.keyType, options.certName, options.twinOf = kind, plan.Lineage, first.Name
	options.set("key-type")
	other.options = &options
	placed, err := other.obtain(ctx, plan, target)
	if err != nil {
		return fmt.Errorf("the certificate with a key of type %s: %w", kind, err)
	}
	return a.announce(placed)
}

// sameNames compares without regard to order.
func sameNames(a, b []acme.Identifier) bool {
	in := func(list []acme.Identifier) func(acme.Identifier) bool {
		return func(id acme.Identifier) bool { return !slices.Contains(list, id) }
	}
	return !slices.ContainsFunc(a, in(b)) && !slices.ContainsFunc(b, in(a))
}
