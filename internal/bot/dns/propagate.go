package dns

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// expectation is what the servers of a zone have to show at a name before the CA is asked.
type expectation struct {
	place Place
	shown func(values []string) bool
	count int // how many values of ours there are to be
}

// Lack says which server did not show what it should, and what it said instead.
type Lack struct {
	Name   string // of the record
	Server Server
	Why    string
}

func (l Lack) String() string { return fmt.Sprintf("%s for %s: %s", l.Server, l.Name, l.Why) }

// Bounds of the check.
const (
	maxParallel = 16 // questions at a time
	silentTries = 3  // how often a server that does not answer is asked while others do
)

// check is one question that is asked until its answer is right.
type check struct {
	want   expectation
	server Server
	why    string // what was wrong the last time
	silent int    // how often in a row it gave no answer
	done   bool
}

// await asks all servers until all show what they should, or until ctx is done: it returns
// what is lacking. A server that never answers is waited for only as long as no other one of its zone shows it all.
func (r *Resolver) await(ctx context.Context, wants []expectation) []Lack {
	var checks []*check
	for _, want := range wants {
		for _, server := range want.place.Servers {
			checks = append(checks, &check{want: want, server: server})
		}
	}
	for round := 0; ; round++ {
		r.round(ctx, checks)
		if round+1 == silentTries {
			checks = r.elsewhere(wants, checks)
		}
		if settled(checks) || ctx.Err() != nil {
			break
		}
		select {
		case <-time.After(pause(round)):
		case <-ctx.Done():
		}
	}
	var lacks []Lack
	for _, c := range checks {
		if !c.done {
			lacks = append(lacks, Lack{Name: c.want.place.Name, Server: c.server, Why: c.why})
		}
	}
	return lacks
}

// elsewhere has the resolvers asked about the names whose own servers do not answer at all, such as behind a firewall.
func (r *Resolver) elsewhere(wants []expectation, checks []*check) []*check {
	for _, want := range wants {
		mine := func(c *check) bool { return c.want.place.Name == want.place.Name }
		if slices.ContainsFunc(checks, func(c *check) bool { return mine(c) && (c.done || c.silent < silentTries) }) {
			continue
		}
		r.config.Log.Info("no server of the zone answers from here: resolvers are asked", "name", want.place.Name)
		checks = slices.DeleteFunc(checks, mine)
		for _, server := range r.servers {
			checks = append(checks, &check{want: want, server: Server{Addr: server}})
		}
	}
	return checks
}

// pause is how long is waited after a round, in which most of the servers had nothing new to say.
func pause(round int) time.Duration {
	switch {
	case round < 2:
		return 500 * time.Millisecond
	case round < 10:
		return time.Second
	case round < 30:
		return 2 * time.Second
	default:
		return 5 * time.Second
	}
}

// settled reports whether asking again makes no sense: all that answer show what they should, at least one for each name.
func settled(checks []*check) bool {
	shown := make(map[string]bool)
	for _, c := range checks {
		shown[c.want.place.Name] = shown[c.want.place.Name] || c.done
		if !c.done && c.silent < silentTries {
			return false
		}
	}
	for _, all := range shown {
		if !all {
			return false
		}
	}
	return true
}

// round asks each server that has not shown everything yet.
func (r *Resolver) round(ctx context.Context, checks []*check) {
	var group sync.WaitGroup
	slots := make(chan struct{}, maxParallel)
	for _, c := range checks {
		if c.done {
			continue
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			r.look(ctx, c)
		})
	}
	group.Wait()
}

// look asks one server once.
func (r *Resolver) look(ctx context.Context, c *check) {
	name := c.want.place.Name
	recurse := c.server.Name == "" // a resolver
	reply, err := r.ask(ctx, question{name: name, kind: dns.TypeTXT, recurse: recurse, server: c.server.Addr})
	if err != nil {
		c.silent++
		if ctx.Err() == nil || c.why == "" {
			c.why = "no answer: " + err.Error()
		}
		return
	}
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		c.silent++ // it is no server of this zone, or cannot be at the moment
		c.why = "it answered " + rcode(reply)
		return
	}
	c.silent = 0
	values := texts(reply, name)
	switch {
	case reply.Rcode != dns.RcodeSuccess:
		c.why = "it answered " + rcode(reply)
	case len(values) == 0:
		c.why = "it has no TXT record there"
	case !c.want.shown(values) && c.want.count > len(values):
		c.why = fmt.Sprintf("it has %d of %d TXT records there; a service that keeps one alone needs a certificate of its own for the wildcard", len(values), c.want.count)
	case !c.want.shown(values):
		c.why = fmt.Sprintf("it has other TXT records there, %d", len(values))
	default:
		c.done = true
	}
}
