package solve

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// Rule says who proves control of some names. Its Names are one of
//
//	example.com     this name; *.example.com likewise is the wildcard alone
//	.example.com    this name and all below it, wildcards too
//	*               all wildcards
type Rule struct {
	Names  string
	Solver renew.Solver
}

// ParseRule splits NAMES=METHOD and checks NAMES.
func ParseRule(text string) (names, method string, err error) {
	names, method, ok := strings.Cut(text, "=")
	names, method = strings.ToLower(strings.TrimSpace(names)), strings.TrimSpace(method)
	if !ok || names == "" || method == "" {
		return "", "", fmt.Errorf("%q is not NAMES=METHOD, such as example.com=standalone or .example.com=dns-cloudflare", text)
	}
	if names == "*" {
		return names, method, nil
	}
	plain := acme.IdentifierFor(strings.ReplaceAll(strings.TrimPrefix(names, "."), "_", "x")) // "_" is the CA's business
	if _, problem := plain.Normalize(); problem != nil {
		return "", "", fmt.Errorf("the names in %q: %s", text, problem.Detail)
	}
	if names[0] == '.' {
		return names, method, nil
	}
	return acme.IdentifierFor(names).Value, method, nil
}

// weight says how well names fit a name of the certificate; 0 is not at all. What is more exact weighs more.
func weight(names string, id acme.Identifier, wildcard bool) int {
	name := id.Value
	if wildcard {
		name = "*." + name
	}
	const exact = 1 << 20
	switch {
	case names == name:
		return exact
	case names == "*" && wildcard:
		return 1
	case strings.HasPrefix(names, ".") && id.Type == acme.DNS && strings.HasSuffix("."+id.Value, names):
		return 1 + len(names)
	}
	return 0
}

// Pick gives the method that rules ("NAMES=METHOD") have for a name, or "".
func Pick(rules []string, id acme.Identifier, wildcard bool) string {
	best, chosen := 0, ""
	for _, text := range rules {
		names, method, err := ParseRule(text)
		if w := weight(names, id, wildcard); err == nil && w > 0 && w >= best {
			best, chosen = w, method
		}
	}
	return chosen
}

// MixedConfig says who proves control of which names.
type MixedConfig struct {
	Rules   []Rule       // the one that fits a name best counts; of two alike, the later
	Default renew.Solver // for all other names; nil refuses them
}

// Mixed leaves each name of a certificate to the solver that is for it.
type Mixed struct{ config MixedConfig }

// NewMixed takes c as it is.
func NewMixed(c MixedConfig) *Mixed { return &Mixed{config: c} }

// pick finds who is for a name, or nil.
func (m *Mixed) pick(id acme.Identifier, wildcard bool) renew.Solver {
	best, chosen := 0, m.config.Default
	for _, rule := range m.config.Rules {
		if w := weight(rule.Names, id, wildcard); w > 0 && w >= best {
			best, chosen = w, rule.Solver
		}
	}
	return chosen
}

// Types asks the solver that is for the name.
func (m *Mixed) Types(id acme.Identifier, wildcard bool) []acme.ChallengeType {
	solver := m.pick(id, wildcard)
	if solver == nil {
		return nil
	}
	return solver.Types(id, wildcard)
}

// Present has the solver for the name show the proof.
func (m *Mixed) Present(ctx context.Context, c renew.Challenge) error {
	solver := m.pick(c.Identifier, c.Wildcard)
	if solver == nil {
		return fmt.Errorf("no method is given for %s: give one with --method, or one for all other names", c.Identifier)
	}
	return solver.Present(ctx, m.own(solver, c))
}

// CleanUp has it taken back.
func (m *Mixed) CleanUp(ctx context.Context, c renew.Challenge) error {
	solver := m.pick(c.Identifier, c.Wildcard)
	if solver == nil {
		return nil
	}
	return solver.CleanUp(ctx, m.own(solver, c))
}

// Wait has every solver that can wait do so, for its own proofs.
func (m *Mixed) Wait(ctx context.Context, challenges []renew.Challenge) error {
	var order []renew.Waiter
	shares := make(map[renew.Waiter][]renew.Challenge)
	for _, c := range challenges {
		solver := m.pick(c.Identifier, c.Wildcard)
		waiter, ok := solver.(renew.Waiter)
		if !ok {
			continue
		}
		if _, known := shares[waiter]; !known {
			order = append(order, waiter)
		}
		shares[waiter] = append(shares[waiter], m.own(solver, c))
	}
	var failures []error
	for _, waiter := range order {
		failures = append(failures, waiter.Wait(ctx, shares[waiter]))
	}
	return errors.Join(failures...)
}

// own counts only the proofs that are one solver's: who does them by hand wants to know which is the last.
func (m *Mixed) own(solver renew.Solver, c renew.Challenge) renew.Challenge {
	var all []acme.Identifier
	var wildcard []bool
	index := 0
	for i, id := range c.All {
		if i >= len(c.AllWildcard) || m.pick(id, c.AllWildcard[i]) != solver {
			continue
		}
		if i == c.Index {
			index = len(all)
		}
		all, wildcard = append(all, id), append(wildcard, c.AllWildcard[i])
	}
	c.All, c.AllWildcard, c.Index = all, wildcard, index
	return c
}
