package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// obtain carries out a plan, and gives the lineage as it is then. target is nil for a new one. With --dry-run
// all goes as far as the CA, nothing is kept, and there is no lineage to give.
func (a *app) obtain(ctx context.Context, plan renew.Plan, target *lineage.Lineage) (*lineage.Lineage, error) {
	s, err := a.settle(confOf(target))
	if err != nil {
		return nil, err
	}
	placed, err := a.obtainAs(ctx, plan, target, &s)
	if err != nil {
		a.hooks.missed(values(plan.Identifiers))
	}
	return placed, err
}

// obtainAs is obtain with settings that are there already. It remembers how it went.
func (a *app) obtainAs(ctx context.Context, plan renew.Plan, target *lineage.Lineage, s *settings) (*lineage.Lineage, error) {
	placed, err := a.order(ctx, plan, target, s)
	if target != nil {
		a.learn(target.Name, s, plan.Identifiers, err)
	}
	if err == nil && !a.dryRun {
		a.readyFallbacks(ctx, s)
	}
	return placed, err
}

// order gets the certificate, puts it in its place, and tells its users.
func (a *app) order(ctx context.Context, plan renew.Plan, target *lineage.Lineage, s *settings) (*lineage.Lineage, error) {
	want, current, err := a.want(s, plan, target)
	if err != nil {
		return nil, err
	}
	obtainer, err := a.obtainer(ctx, s, plan.Identifiers, s.replaced(target))
	if err != nil {
		return nil, err
	}
	a.say("%s %s", a.undertaking(plan), summary(plan.Identifiers))
	a.hooks.before(ctx, &s.params)
	issued, err := obtainer.Obtain(ctx, want, current)
	var placed *lineage.Lineage
	if err == nil && !a.dryRun {
		placed, err = a.place(s, plan, target, issued)
	}
	if err != nil {
		return nil, a.explainServer(err, s)
	}
	names := values(acme.CertificateIdentifiers(issued.Chain.Certificates[0]))
	if a.dryRun {
		a.hooks.simulated(ctx, target, names, &s.params)
		return nil, nil
	}
	a.deployed(ctx, placed, names, s, target == nil)
	a.done(plan.Lineage)
	a.tellEFF(ctx, s)
	return placed, nil
}

// confOf is the configuration of the certificate that is there, or nil.
func confOf(target *lineage.Lineage) *lineage.Conf {
	if target == nil {
		return nil
	}
	return target.Conf
}

// obtainer makes what orders certificates for names as s says, in place of another or of "", once it is clear that it can.
func (a *app) obtainer(ctx context.Context, s *settings, names []acme.Identifier, replaces string) (*renew.Obtainer, error) {
	if err := a.hooks.check(&s.params); err != nil {
		return nil, err
	}
	solver, err := a.solver(s, names)
	if err != nil {
		return nil, err
	}
	client, err := a.reach(ctx, s, true)
	if err != nil {
		return nil, a.explainServer(err, s)
	}
	jobs := a.jobs()
	if a.dryRun {
		jobs, replaces = renew.NoJobs(), ""
	}
	return renew.NewObtainer(renew.ObtainConfig{
		Client: client, Server: s.params.Server, Solver: solver, Log: a.log, Jobs: jobs,
		IssuanceTimeout: time.Duration(a.issuanceTimeout) * time.Second, FreshProofs: a.dryRun, Replaces: replaces,
	}), nil
}

// want says what the certificate is to be for, and gives the one that is there.
func (a *app) want(s *settings, plan renew.Plan, target *lineage.Lineage) (renew.Want, *x509.Certificate, error) {
	p := &s.params
	want := renew.Want{
		Lineage: plan.Lineage, Identifiers: plan.Identifiers, Key: s.key, Chain: p.PreferredChain,
		Profile: p.RequiredProfile, PreferredProfile: p.PreferredProfile,
		MustStaple: p.MustStaple, Subset: p.AllowSubsetOfNames,
	}
	if target == nil {
		return want, nil, nil
	}
	current, err := target.Leaf()
	if err != nil {
		return want, nil, nil // a broken one is about to be replaced
	}
	if err := a.protect(s, target, current); err != nil {
		return want, nil, err
	}
	if p.ReuseKey && !a.newKey {
		want.Reuse, err = a.reusedKey(target)
	}
	return want, current, err
}

// protect does not let a certificate that browsers trust be replaced by one of a test CA without being told to.
func (a *app) protect(s *settings, target *lineage.Lineage, current *x509.Certificate) error {
	before, err := target.Conf.Params()
	if err != nil {
		return err
	}
	issuer := strings.ToLower(current.Issuer.String())
	tested := strings.Contains(issuer, "fake") || strings.Contains(issuer, "staging")
	if a.breakMyCerts || !isStaging(s.params.Server) || isStaging(before.Server) && tested {
		return nil
	}
	return withHint(phrase(fmt.Sprintf("You've asked to renew/replace a seemingly valid certificate with a test certificate (domains: %s). "+
		"We will not do that unless you use the --break-my-certs flag!", strings.Join(values(acme.CertificateIdentifiers(current)), ", "))),
		"leave --staging out, or give --cert-name NAME for a separate one")
}

// isStaging reports whether a CA is one for tests, as certbot sees it.
func isStaging(server string) bool { return strings.Contains(server, "staging") }

// reusedKey gives the private key that a certificate has and keeps (--reuse-key).
func (a *app) reusedKey(target *lineage.Lineage) ([]byte, error) {
	before, err := target.Conf.Params()
	if err != nil {
		return nil, err
	}
	for name, changed := range map[string]bool{
		"key-type":       a.given["key-type"] && a.keyType != before.KeyType,
		"elliptic-curve": a.given["elliptic-curve"] && before.KeyType != "rsa" && a.curve != cmp.Or(before.EllipticCurve, renew.DefaultCurve),
		"rsa-key-size":   a.given["rsa-key-size"] && before.KeyType == "rsa" && a.rsaBits != cmp.Or(before.RSAKeySize, renew.DefaultBits),
	} {
		if changed {
			return nil, withHint(phrase(fmt.Sprintf("Unable to change the --%s of this certificate because --reuse-key is set.", name)),
				"--new-key makes another key this once, --no-reuse-key at each renewal from now on")
		}
	}
	material, err := target.Material(target.Version())
	if err != nil {
		return nil, withHint(fmt.Errorf("the key of %s, which is to be used again: %w", target.Name, err), "--new-key makes another")
	}
	return material.Key, nil
}

// replaced names the certificate that a new one is to take the place of, to the CA that it is from (RFC 9773 §5).
func (s *settings) replaced(l *lineage.Lineage) string {
	if l == nil || !s.replaces {
		return ""
	}
	leaf, err := l.Leaf()
	if err != nil {
		return ""
	}
	id, err := acme.CertIDOf(leaf)
	if err != nil {
		return ""
	}
	return id.String()
}

// place puts a certificate into its lineage and makes it live.
func (a *app) place(s *settings, plan renew.Plan, target *lineage.Lineage, issued *renew.Issued) (*lineage.Lineage, error) {
	placement := renew.Placement{Store: a.store, Lineage: target, Name: plan.Lineage, Params: s.kept(), Log: a.log,
		Own: s.ownValues()}
	return placement.Place(issued)
}

// undertaking is what certbot says that it is doing. Scripts look for the words.
func (a *app) undertaking(plan renew.Plan) string {
	switch renewal := plan.Action != renew.Create; {
	case renewal && a.dryRun:
		return "Simulating renewal of an existing certificate for"
	case renewal:
		return "Renewing an existing certificate for"
	case a.dryRun:
		return "Simulating a certificate request for"
	default:
		return "Requesting a certificate for"
	}
}

// simulated says that a dry run has gone well.
func (a *app) simulated() {
	a.say("The dry run was successful.")
	a.result = certonlyJSON{Action: "simulated"}
}

// errInconsistent says that -d and --csr disagree.
//
//lint:ignore ST1005 the words are certbot's
var errInconsistent = errors.New("Inconsistent requests: the names of the signing request (--csr) are not those of --domains")
