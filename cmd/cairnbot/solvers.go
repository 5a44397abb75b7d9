package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/hook"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// Keys of our own section in renewal configurations, for options that certbot has not.
const (
	ownMethods  = "methods"          // --method: rules with spaces between them
	ownTLSPort  = "tls_alpn_01_port" // --tls-alpn-01-port
	ownServed   = "check_served"     // --check-served, with commas; "no" for --no-check-served
	servedNever = "no"
)

// proof is what settings say about proofs, and about what is looked at afterwards, beside what certbot knows.
type proof struct {
	methods []string // NAMES=METHOD
	tlsPort int      // 0 is the usual one
	served  []string
	unseen  bool // what is served is not looked at
}

// settleProof lays the options over conf, which may be nil.
func (o *options) settleProof(conf *lineage.Conf) proof {
	var p proof
	if conf != nil {
		p.methods = strings.Fields(conf.Own(ownMethods))
		p.tlsPort, _ = strconv.Atoi(conf.Own(ownTLSPort)) // what is no number is none
		if text := conf.Own(ownServed); text == servedNever {
			p.unseen = true
		} else if text != "" {
			p.served = strings.Split(text, ",")
		}
	}
	if o.given["tls-alpn-01-port"] {
		p.tlsPort = o.tlsPort
	}
	if authenticator, _, _ := o.requested(); authenticator != "" || len(o.methods) > 0 {
		p.methods = o.methods // who chooses a method for all has chosen anew
	}
	if len(o.checkServed) > 0 {
		p.served, p.unseen = o.checkServed, false
	}
	if o.noCheckServed {
		p.served, p.unseen = nil, true
	}
	return p
}

// own is what a renewal configuration keeps of it.
func (p *proof) own() map[string]string {
	own := map[string]string{ownMethods: strings.Join(p.methods, " "), ownTLSPort: "", ownServed: strings.Join(p.served, ",")}
	if p.tlsPort != 0 {
		own[ownTLSPort] = strconv.Itoa(p.tlsPort)
	}
	if p.unseen {
		own[ownServed] = servedNever
	}
	return own
}

// ownValues is all that our own section of the configuration keeps of s.
func (s *settings) ownValues() map[string]string {
	own := s.proof.own()
	own[ownBundle], own[ownTwin], own[ownFallbacks] = s.bundle, s.twinOf, strings.Join(s.fallbacks, " ")
	maps.Copy(own, s.dns.own())
	maps.Copy(own, s.exports)
	if s.records != nil {
		own[ownDNSUntil] = s.records.ends()
	}
	maps.Copy(own, s.from)
	return own
}

// kept is what the configuration has of the parameters that certbot knows. Where rules (--method) choose for all names, the
// method of the first one stands there as well: certbot renews nothing without one.
func (s *settings) kept() lineage.Params {
	params := s.params
	for _, rule := range s.methods {
		if _, method, err := solve.ParseRule(rule); err == nil && params.Authenticator == "" {
			params.Authenticator = method
		}
	}
	return params
}

// solver makes what proves control of names, as s says.
func (a *app) solver(s *settings, names []acme.Identifier) (renew.Solver, error) {
	solver, err := a.mixedSolver(s, names)
	if err != nil || !a.debugChallenges {
		return solver, err
	}
	return solve.NewPaused(solve.PausedConfig{Solver: solver, Details: a.verbose > 0, Pause: func(ctx context.Context, text string) error {
		a.say("%s", text)
		return a.ask.Pause(ctx, ask.Question{Text: "Challenges loaded. Press Enter to have the CA look.", Flag: "--debug-challenges"})
	}}), nil
}

// mixedSolver has a solver for each method of s.
func (a *app) mixedSolver(s *settings, names []acme.Identifier) (renew.Solver, error) {
	if len(s.methods) == 0 {
		return a.methodSolver(s, s.params.Authenticator, names)
	}
	var config solve.MixedConfig
	known := make(map[string]renew.Solver) // a method is there once, however many rules name it
	for _, text := range s.methods {
		pattern, method, err := solve.ParseRule(text)
		if err != nil {
			return nil, err
		}
		if known[method] == nil {
			if known[method], err = a.methodSolver(s, method, s.provenBy(method, names)); err != nil {
				return nil, fmt.Errorf("the method for %s: %w", pattern, err)
			}
		}
		config.Rules = append(config.Rules, solve.Rule{Names: pattern, Solver: known[method]})
	}
	rest := namesOf(s.methods, "", names)
	if len(rest) == 0 {
		return solve.NewMixed(config), nil
	}
	var err error
	config.Default, err = a.methodSolver(s, s.params.Authenticator, rest)
	return solve.NewMixed(config), err
}

// namesOf lists the names that the rules leave to a method; to none of them, for "".
func namesOf(rules []string, method string, names []acme.Identifier) []acme.Identifier {
	return slices.DeleteFunc(slices.Clone(names), func(id acme.Identifier) bool {
		base, wildcard := id.Base()
		return solve.Pick(rules, base, wildcard) != method
	})
}

// undecided reports whether it is not known how control of some of the names is proven.
func (s *settings) undecided(names []acme.Identifier) bool {
	return s.params.Authenticator == "" && len(namesOf(s.methods, "", names)) > 0
}

// provenBy lists the names that are left to a method, by rules or else by the one for all.
func (s *settings) provenBy(method string, names []acme.Identifier) []acme.Identifier {
	list := namesOf(s.methods, method, names)
	if s.params.Authenticator == method {
		list = append(list, namesOf(s.methods, "", names)...)
	}
	return list
}

// methodSolver makes the solver of one method, for names.
func (a *app) methodSolver(s *settings, method string, names []acme.Identifier) (renew.Solver, error) {
	preferred, err := solve.ParseChallenges(s.params.PreferredChallenges)
	if err != nil {
		return nil, err
	}
	switch method {
	case "standalone":
		kinds, err := s.kinds(method, preferred, acme.HTTP01, acme.TLSALPN01)
		if err != nil {
			return nil, err
		}
		standalone, err := solve.NewStandalone(solve.StandaloneConfig{Address: s.params.HTTP01Address, Port: s.port(), TLSPort: s.tlsPort,
			Challenges: kinds, Listeners: a.listeners, Log: a.log})
		return &patient{standalone, a.ask, map[acme.ChallengeType]int{acme.HTTP01: s.port(), acme.TLSALPN01: cmp.Or(s.tlsPort, 443)}}, err
	case "webroot":
		if _, err := s.kinds(method, preferred, acme.HTTP01); err != nil {
			return nil, err
		}
		roots, err := s.webroots(names)
		if err != nil {
			return nil, err
		}
		return solve.NewWebroot(solve.WebrootConfig{Roots: roots, Sites: a.sites})
	case "manual":
		return a.manualSolver(s, preferred)
	case "":
		return nil, errNoMethod
	}
	if isDNS(method) {
		return a.dnsSolver(s, method, names, preferred)
	}
	return nil, notInstalled(method)
}

// kinds are the challenges that a method is to answer. In a certificate with several methods, a preference that one of
// them cannot follow is for the others.
func (s *settings) kinds(method string, preferred []acme.ChallengeType, supported ...acme.ChallengeType) ([]acme.ChallengeType, error) {
	kinds, err := solve.Preferred(method, supported, preferred)
	if err != nil && len(s.methods) > 0 {
		return supported, nil
	}
	if err != nil {
		return nil, withHint(err, "leave --preferred-challenges out, or choose another method")
	}
	return kinds, nil
}

// manualSolver leaves proofs to the operator's scripts or to a person.
func (a *app) manualSolver(s *settings, preferred []acme.ChallengeType) (renew.Solver, error) {
	config := solve.ManualConfig{
		AuthHook: s.params.Plugin["manual_auth_hook"], CleanupHook: s.params.Plugin["manual_cleanup_hook"],
		FailOnHookError: a.failOnHookError, Challenges: preferred, Hooks: a.hooks.runner, Log: a.log,
		Output: func(heading, text string) { a.say("%s\n%s", heading, hook.Indent(text)) },
	}
	if a.ask.Interactive(true) {
		config.Tell = func(text string) { a.say("\n%s", text) }
		config.Confirm = func(ctx context.Context) error {
			return a.ask.Pause(ctx, ask.Question{Text: "Go on when it is done.", Flag: "--manual-auth-hook", Force: true})
		}
	}
	manual, err := solve.NewManual(config)
	if errors.Is(err, solve.ErrNobody) {
		err = phrase("An authentication script must be provided with --manual-auth-hook when using the manual plugin non-interactively.")
		if a.verb == "renew" {
			return nil, withHint(err, "this certificate was proven by hand, and cannot be renewed without you: run %s certonly --manual with its names again, "+
				"or give it a script: %s reconfigure --cert-name NAME --manual-auth-hook SCRIPT", a.name, a.name)
		}
		return nil, withHint(err, "the script gets CERTBOT_DOMAIN and CERTBOT_VALIDATION, and CERTBOT_TOKEN for HTTP; or run it in a terminal")
	}
	return manual, err
}

func (s *settings) port() int {
	if s.params.HTTP01Port == 0 {
		return 80
	}
	return s.params.HTTP01Port
}

// webroots finds the directory of each name: its own, or the one that was named last.
func (s *settings) webroots(names []acme.Identifier) (map[string]string, error) {
	roots := make(map[string]string)
	for _, w := range s.params.WebrootMap {
		roots[w.Name] = w.Path
	}
	used := make(map[string]string)
	for _, name := range names {
		base, _ := name.Base()
		root, ok := roots[name.Value]
		if !ok && len(s.params.WebrootPath) > 0 {
			root, ok = s.params.WebrootPath[len(s.params.WebrootPath)-1], true
		}
		if !ok {
			return nil, &ask.MissingError{Question: fmt.Sprintf("Input the webroot for %s:", name.Value), Flag: "--webroot-path"}
		}
		used[base.Value] = root
	}
	return used, nil
}
