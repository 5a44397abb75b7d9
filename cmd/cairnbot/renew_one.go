package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// Keys of our own section in renewal configurations for --fallback-server: the others that may be asked, and, while the
// certificate is from one of these, the CA and account that it should be from.
const (
	ownFallbacks = "fallback_servers"
	ownFirst     = "first_server"
	ownFirstID   = "first_account"
)

// heldError says that no CA was asked, because all are left alone for a while.
type heldError struct {
	until   time.Time
	why     string
	trouble *renew.Trouble
}

func (e *heldError) Error() string { return e.why }

// renewOne renews a lineage that is due, from its CA or, when that does not work and it gets late, another.
func (a *app) renewOne(ctx context.Context, l *lineage.Lineage, v *renew.Verdict, attended bool) (server string, err error) {
	leaf, err := l.Leaf()
	if err != nil {
		return "", err
	}
	s, err := a.settle(l.Conf)
	if err != nil {
		return "", err
	}
	unlock, err := a.shared.locks.Lock(ctx, s.exclusive(l)...)
	if err != nil {
		return "", err
	}
	defer unlock()
	first, account, current := a.first(&s, l)
	candidates := renew.Candidates{First: first, Fallbacks: s.fallbacks, Current: current}
	switch {
	case a.dryRun, a.rehearse: // what is only tried is asked of nobody else, least of all of the CA that the certificate is from
		candidates.Fallbacks, candidates.Current = nil, first
	case a.given["server"]: // who chooses a CA has not chosen the one before
		candidates.Current = first
	}
	if !attended {
		candidates.Cooling = a.cooling(append([]string{first, current}, s.fallbacks...))
	}
	plan := renew.Plan{Action: renew.Renew, Lineage: l.Name, Identifiers: acme.CertificateIdentifiers(leaf)}
	tried := make(map[string]bool) // by name: while one was asked, another may have been left alone for long enough
	for {
		servers, why := candidates.Order(v.State.Trouble, v.Life, now())
		next := slices.IndexFunc(servers, func(server string) bool { return !tried[server] })
		if next < 0 {
			break
		}
		if err != nil {
			a.log.Warn("a CA has failed", "name", l.Name, "server", server, "error", err)
		}
		if server = servers[next]; server != first {
			a.log.Warn("asking another CA", "name", l.Name, "server", server, "why", why)
		}
		tried[server] = true
		one := s.at(server, current, first, account)
		_, err = a.obtainAs(ctx, plan, l, &one)
		if err == nil || ctx.Err() != nil {
			return server, err
		}
		if server == first { // what has just failed may be the third failure
			v.State.Trouble = a.shared.memory.Load(l.Name).Trouble
		}
		if class, _ := renew.Classify(err); class == renew.ClassConfiguration {
			return server, err
		}
	}
	if len(tried) == 0 {
		return first, a.held(first)
	}
	return server, err
}

// held says until when the CA is left alone.
func (a *app) held(server string) error {
	trouble := a.shared.memory.Server(server).Trouble
	if trouble == nil {
		trouble = &renew.Trouble{Error: "it is not known"}
	}
	return &heldError{until: trouble.Cooling(), why: "its CA was out of reach a short while ago", trouble: trouble}
}

// cooling gives until when each of servers is left alone.
func (a *app) cooling(servers []string) map[string]time.Time {
	until := make(map[string]time.Time)
	for _, server := range servers {
		if server != "" && a.shared.unreachable(server) == nil { // of this run, it is a failure like the first
			until[server] = a.shared.memory.Server(server).Trouble.Cooling()
		}
	}
	return until
}

// first gives the CA that the certificate should be from, the account there, and the CA that it is from.
func (a *app) first(s *settings, l *lineage.Lineage) (server, account, current string) {
	params, err := l.Conf.Params()
	if err == nil {
		current = params.Server
	}
	if wanted := l.Conf.Own(ownFirst); wanted != "" && !a.given["server"] && !a.dryRun {
		return wanted, l.Conf.Own(ownFirstID), current
	}
	return s.params.Server, s.params.Account, current
}

// at is s for another of the CAs. Nothing of one CA goes to another: no account, and not what is replaced.
func (s settings) at(server, current, first, account string) settings {
	if server != s.params.Server {
		s.params.Server, s.params.Account = server, ""
	}
	if server == first {
		s.params.Account = account
	}
	s.replaces = server == current
	s.from = map[string]string{ownFirst: "", ownFirstID: ""}
	if server != first {
		s.from = map[string]string{ownFirst: first, ownFirstID: account}
	}
	return s
}

// exclusive names what no other renewal may use meanwhile: the versions of this lineage, which may share their
// directory with another's, and hooks and people, who are asked for one thing at a time.
func (s *settings) exclusive(l *lineage.Lineage) []string {
	names := []string{"archive " + l.Archive()}
	methods := []string{s.params.Authenticator}
	for _, rule := range s.methods {
		_, method, _ := strings.Cut(rule, "=")
		methods = append(methods, method)
	}
	for _, method := range methods {
		switch {
		case method == "standalone" || method == "webroot" || method == "":
		case strings.HasPrefix(method, "dns-"):
			names = append(names, "method "+method) // its service may not like several changes at once
		default:
			names = append(names, "method by hand")
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// learn keeps how an attempt to renew ended, for the next ones.
func (a *app) learn(name string, s *settings, names []acme.Identifier, err error) {
	if a.dryRun || errors.Is(err, context.Canceled) {
		return
	}
	var state renew.State
	if err != nil {
		state = a.shared.memory.Load(name)
		if first := s.from[ownFirst]; first != "" && first != s.params.Server {
			return // that another CA failed as well is nothing that the first is asked less for
		}
		state.Trouble = renew.Failed(state.Trouble, err, s.params.Server, s.fingerprint(names), now())
	}
	if saveErr := a.shared.memory.Save(name, state); saveErr != nil {
		a.log.Warn("how it went could not be kept", "name", name, "error", saveErr)
	}
}

// readyFallbacks makes accounts at the CAs of --fallback-server while somebody is there to agree to their terms: when
// they are needed, nobody may be.
func (a *app) readyFallbacks(ctx context.Context, s *settings) {
	if !a.given["fallback-server"] {
		return
	}
	for _, server := range s.fallbacks {
		other := *s
		other.params.Server, other.params.Account = server, ""
		if server == s.params.Server {
			continue
		}
		if _, err := a.reach(ctx, &other, true); err != nil {
			a.log.Warn(fmt.Sprintf("there is no account yet at the fallback %s: make one with %s register --server %s", server, a.name, server), "error", err)
		}
	}
}
