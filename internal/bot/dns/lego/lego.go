// Package lego has other people's clients for DNS services: those of lego that are light.
//
// They are made from the process's environment and compute a record's name from a domain, as the challenge
// dns-01 has it. The first is done under a lock, with nothing in the environment but what the provider is meant to have. The
// second is turned round by the resolver that they ask where the domain's alias leads: it
// is ours, and says what we want (see stub).
package lego

//go:generate sh -c "go run ./generate > table.new && mv table.new table.go"

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-acme/lego/v5/challenge"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/dns"
)

// row is one of lego's providers: facts, and how it is made from the environment.
type row struct {
	name, title string
	wait, ttl   int  // in seconds
	plain       bool // it can write at _acme-challenge.DOMAIN alone
	keys        []dns.Key
	more        []dns.Key // what can be set besides, with good defaults
	make        func() (challenge.Provider, error)
}

// Entries lists the providers by their names. It makes none.
func Entries() []dns.Entry {
	entries := make([]dns.Entry, len(table))
	for i := range table {
		entries[i] = table[i].entry()
	}
	return entries
}

func (r *row) entry() dns.Entry {
	known := called[r.name]
	e := dns.Entry{
		Name: r.name, Title: r.title, Aliases: known.aliases, Keys: slices.Concat(r.keys, r.more), Plain: r.plain,
		Propagation: time.Duration(r.wait) * time.Second, TTL: time.Duration(r.ttl) * time.Second,
		Docs: "https://go-acme.github.io/lego/dns/" + r.name + "/",
		New:  r.new,
	}
	if known.wait > 0 {
		e.Propagation = time.Duration(known.wait) * time.Second
	}
	for i := range e.Keys {
		for _, n := range known.keys {
			if n.variable == e.Keys[i].Variable {
				e.Keys[i].Name, e.Keys[i].Also, e.Keys[i].Parts = n.name(e.Keys[i].Name), n.also, n.parts
			}
		}
	}
	return e
}

// making guards the environment of the process while a provider is made.
var making sync.Mutex

// new makes a provider from its settings.
func (r *row) new(s dns.Settings) (dns.Provider, error) {
	if s.Environment == nil || s.Resolver == nil {
		return nil, errors.New("a provider of lego's needs the environment and a resolver")
	}
	listen, err := listening(s)
	if err != nil {
		return nil, err
	}
	set := make(map[string]string)
	for _, key := range r.entry().Keys {
		if value, ok := s.Values[key.Name]; ok {
			set[key.Variable] = value
		}
	}
	making.Lock()
	defer making.Unlock()
	if len(s.Values) > 0 { // nothing is mixed with what happens to be in the environment
		restore, err := r.arrange(s.Environment, set)
		defer restore()
		if err != nil {
			return nil, fmt.Errorf("preparing the environment for %s: %w", r.title, err)
		}
	}
	made, err := r.make()
	if err != nil {
		return nil, fmt.Errorf("setting up %s: %w", r.title, err)
	}
	return &provider{row: r, made: made, stub: listen}, nil
}

// arrange makes the environment have of the provider's variables those in set alone. restore puts back what was.
func (r *row) arrange(e *dns.Environment, set map[string]string) (restore func(), err error) {
	var undo []func() error
	restore = func() {
		for _, f := range slices.Backward(undo) {
			_ = f() // it could be set before
		}
	}
	for _, key := range r.entry().Keys {
		for _, name := range []string{key.Variable, key.Variable + "_FILE"} {
			if before, ok := e.Lookup(name); ok {
				undo = append(undo, func() error { return e.Set(name, before) })
			} else {
				undo = append(undo, func() error { return e.Unset(name) })
			}
			if err := e.Unset(name); err != nil {
				return restore, err
			}
		}
		if value, ok := set[key.Variable]; ok {
			if err := e.Set(key.Variable, value); err != nil {
				return restore, fmt.Errorf("%s: its value cannot be handed on", key.Variable) // which is not shown
			}
		}
	}
	return restore, nil
}

// provider is one of lego's as a dns.Provider. Many of those read and write whole sets, or expect one call
// after the other: so there is one call at a time. Some find what they remove by what they remember of adding
// it, so that after a crash of ours a record can be left at the service.
type provider struct {
	row  *row
	made challenge.Provider
	stub *stub
	mu   sync.Mutex // held during a call
}

// Add has lego's Present add the record.
func (p *provider) Add(ctx context.Context, r dns.Record) error {
	return p.call(ctx, r, p.made.Present)
}

// Remove has lego's CleanUp remove it.
func (p *provider) Remove(ctx context.Context, r dns.Record) error {
	return p.call(ctx, r, p.made.CleanUp)
}

func (p *provider) call(ctx context.Context, r dns.Record, do func(ctx context.Context, domain, token, keyAuth string) error) error {
	if r.KeyAuthorization == "" || acme.DNS01Value(r.KeyAuthorization) != r.Value {
		return fmt.Errorf("%s can only have records of dns-01 and dns-account-01", p.row.title)
	}
	domain := r.Domain
	if rest, ok := strings.CutPrefix(r.Name, acme.DNS01Label); ok && (p.row.plain || domain == "") {
		domain = strings.TrimSuffix(rest, ".")
	}
	if p.row.plain && acme.DNS01Name(domain)+"." != r.Name {
		return fmt.Errorf("%s can only have records of names that begin with %s: %s is none; have the alias lead to one that does, or use dns-01",
			p.row.title, acme.DNS01Label, strings.TrimSuffix(r.Name, "."))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	done, err := p.stub.lead(ctx, call{from: acme.DNS01Name(domain) + ".", to: r.Name, zone: r.Zone})
	if err != nil {
		return err
	}
	defer done()
	// The token is what lego's providers remember a record by. Ours is the value, since it differs where records do.
	return do(ctx, domain, r.Value, r.KeyAuthorization)
}
