package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/doctor"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// doctorJSON is the result of doctor.
type doctorJSON struct {
	Findings []doctor.Finding `json:"findings"`
	Errors   int              `json:"errors"`
	Warnings int              `json:"warnings"`
}

// maxWords bounds how many names follow a verb.
const maxWords = 1000

// doctor looks at what certificates need: those that are named, or all; a name that has none yet is looked at with the options.
func (a *app) doctor(ctx context.Context) error {
	patients, err := a.patients()
	if err != nil {
		return err
	}
	r := doctorJSON{Findings: []doctor.Finding{}}
	for _, p := range patients {
		found, err := a.examine(ctx, p)
		if err != nil {
			return err
		}
		r.Findings = append(r.Findings, found...)
	}
	for _, f := range r.Findings {
		switch f.Level {
		case doctor.Error:
			r.Errors++
		case doctor.Warning:
			r.Warnings++
		}
	}
	a.result = r
	a.showFindings(r)
	if r.Errors > 0 {
		return withHint(fmt.Errorf("%d of %d findings would keep a CA from issuing", r.Errors, len(r.Findings)), "do what is said beside each, and look again")
	}
	return nil
}

// examined is one certificate to look at, or what is to become one.
type examined struct {
	settings settings
	names    []acme.Identifier
	lineage  string // "" for none yet
}

// patients finds what is to be looked at.
func (a *app) patients() (list []examined, err error) {
	var names []acme.Identifier
	words := a.words
	if a.certName != "" {
		words = append(words, a.certName)
	}
	for _, word := range words {
		l, err := a.store.Load(word)
		if errors.Is(err, fs.ErrNotExist) { // a name that may be about to get one
			name, err := checkDomain(word)
			if err != nil {
				return nil, err
			}
			names = append(names, acme.IdentifierFor(name))
			continue
		}
		if err == nil {
			list, err = a.withLineage(list, l)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, name := range a.domains {
		names = append(names, acme.IdentifierFor(name))
	}
	switch {
	case len(names) > 0:
		s, err := a.settle(nil)
		return append(list, examined{s, names, ""}), err
	case len(list) > 0:
		return list, nil
	default:
		return a.allPatients()
	}
}

// allPatients are all certificates.
func (a *app) allPatients() (list []examined, err error) {
	lineages, broken, err := a.store.List()
	if err != nil {
		return nil, err
	}
	for _, b := range broken {
		a.log.Warn("a renewal configuration is invalid", "path", b.Path, "error", b.Err)
	}
	if len(lineages) == 0 {
		return nil, withHint(errors.New("there is no certificate yet"), "name what you want one for: %s doctor NAME", a.name)
	}
	for _, l := range lineages {
		if list, err = a.withLineage(list, l); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// withLineage adds a certificate that is there.
func (a *app) withLineage(list []examined, l *lineage.Lineage) ([]examined, error) {
	leaf, err := l.Leaf()
	if err != nil {
		return nil, err
	}
	s, err := a.settle(l.Conf)
	return append(list, examined{s, acme.CertificateIdentifiers(leaf), l.Name}), err
}

// examine looks at one.
func (a *app) examine(ctx context.Context, p examined) ([]doctor.Finding, error) {
	client, err := a.clientConfig(&p.settings)
	if err != nil {
		return nil, err
	}
	resolver, err := a.dnsResolver(p.settings.dns.resolvers)
	if err != nil {
		return nil, err
	}
	account, err := a.knownAccount(&p.settings)
	if err != nil {
		return nil, err
	}
	params := &p.settings.params
	subject := doctor.Subject{
		Identifiers: p.names, Method: params.Authenticator, Profile: params.PreferredProfile, RequiredProfile: params.RequiredProfile,
		Types: a.answered(params),
	}
	if a.given["http-01-port"] {
		subject.PortHTTP = a.httpPort // as with --rehearse: who says the port means that the CA looks there
	}
	if subject.Solver, err = a.triedSolver(&p); err != nil {
		return nil, err
	}
	if t := a.shared.memory.Load(p.lineage).Trouble; t != nil {
		subject.Pending = &doctor.Pending{Lineage: p.lineage, Class: string(t.Class), Error: t.Error, Count: t.Count, Next: t.Next, NotBefore: t.NotBefore}
	}
	var down *doctor.Pending
	if t := a.shared.memory.Server(params.Server).Trouble; t != nil {
		down = &doctor.Pending{Class: string(t.Class), Error: t.Error, Count: t.Count, Next: t.Cooling()}
	}
	var others []string
	for _, text := range p.settings.dns.resolvers {
		if server, err := dns.ParseServer(text); err == nil {
			others = append(others, server.String())
		}
	}
	return doctor.Examine(ctx, doctor.Config{
		Subjects: []doctor.Subject{subject}, Server: params.Server, HTTP: client.HTTP, Account: account, Down: down, Resolver: resolver,
		System: doctor.SystemResolvers("/etc/resolv.conf"), Others: others, Log: a.log,
	}), nil
}

// knownAccount is as whom the CA would be asked.
func (a *app) knownAccount(s *settings) (doctor.Account, error) {
	known := doctor.Account{Binding: a.eabKeyID != "" && a.eabKey != "", Agreed: a.agreeTOS}
	accounts, err := a.store.Accounts(s.params.Server)
	if err != nil {
		return known, err
	}
	if s.params.Account != "" {
		if account, err := accounts.Load(s.params.Account); err == nil {
			known.URL = account.URL
			return known, nil
		}
	}
	all, err := accounts.List()
	if err == nil && len(all) > 0 {
		known.URL = all[0].URL
	}
	return known, err
}

// answered lists the challenges that a method answers, as far as that is clear without making it.
func (a *app) answered(p *lineage.Params) []acme.ChallengeType {
	preferred, err := solve.ParseChallenges(p.PreferredChallenges)
	switch {
	case err == nil && len(preferred) > 0:
		return preferred
	case strings.HasPrefix(p.Authenticator, "dns"):
		return []acme.ChallengeType{acme.DNS01}
	case p.Authenticator == "standalone":
		return []acme.ChallengeType{acme.HTTP01, acme.TLSALPN01}
	case p.Authenticator == "webroot", p.Authenticator == "manual":
		return []acme.ChallengeType{acme.HTTP01}
	}
	return nil
}

// triedSolver is the method, where an answer can be tried out without consequences.
func (a *app) triedSolver(p *examined) (renew.Solver, error) {
	s := &p.settings
	if len(s.methods) > 0 || s.params.Authenticator != "standalone" && s.params.Authenticator != "webroot" {
		return nil, nil
	}
	solver, err := a.methodSolver(s, s.params.Authenticator, p.names)
	if asking, ok := solver.(*patient); ok {
		return asking.Solver, err // a port that is taken is a finding, and no question
	}
	return solver, err
}

// showFindings says what was found, and what to do.
func (a *app) showFindings(r doctorJSON) {
	for _, f := range r.Findings {
		about := f.Check
		if f.Name != "" {
			about += " " + f.Name
		}
		a.say("%-8s %s: %s", strings.ToUpper(string(f.Level)), about, f.Text)
		if f.Remedy != "" {
			a.say("         -> %s", f.Remedy)
		}
	}
	a.say("%d errors, %d warnings.", r.Errors, r.Warnings)
}
