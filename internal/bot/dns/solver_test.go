package dns_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/dnstest"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// solver makes one of the world's, with a provider.
func (w *world) solver(t *testing.T, c dns.Config) *dns.Solver {
	t.Helper()
	c.Resolver = w.resolver
	s, err := dns.NewSolver(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Two values at one name, one of them for a wildcard; a server that lags behind; nothing is left.
func TestDNS01(t *testing.T) {
	w := newWorld(t)
	zone := w.zone(t, "example.org", "127.0.0.2", "127.0.0.3")
	ca := newAuthority(t, w)
	w.Lag("127.0.0.3", 3)
	var limit time.Duration
	s := w.solver(t, dns.Config{Route: route(zone, dns.Entry{}), Waiting: func(d time.Duration) { limit = d }})
	leaf, err := ca.obtain(t, s, "example.org", "*.example.org", "www.example.org")
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.DNSNames) != 3 {
		t.Errorf("names: %q", leaf.DNSNames)
	}
	if limit != 2*time.Minute {
		t.Errorf("the limit was %s", limit)
	}
	if left := zone.Values("_acme-challenge.example.org"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	want := []string{"add _acme-challenge.example.org.", "add _acme-challenge.example.org.", "add _acme-challenge.www.example.org."}
	calls := zone.Calls()
	if got := slices.Sorted(slices.Values(calls[:min(3, len(calls))])); !slices.Equal(got, want) || len(calls) != 6 {
		t.Errorf("calls: %q", calls)
	}
}

// The record belongs where aliases lead, and the other server there is asked.
func TestDNS01Alias(t *testing.T) {
	w := newWorld(t)
	org := w.zone(t, "example.org", "127.0.0.2")
	acmeZone := w.zone(t, "acme.example.net", "127.0.0.3")
	org.Alias("_acme-challenge.example.org", "org.acme.example.net")
	ca := newAuthority(t, w)
	var asked [][]string
	lead := route(acmeZone, dns.Entry{})
	s := w.solver(t, dns.Config{Route: func(names ...string) (*dns.Route, error) {
		asked = append(asked, names)
		return lead(names...)
	}})
	if _, err := ca.obtain(t, s, "example.org"); err != nil {
		t.Fatal(err)
	}
	if got := acmeZone.Calls(); !slices.Equal(got, []string{"add org.acme.example.net.", "remove org.acme.example.net."}) {
		t.Errorf("calls: %q", got)
	}
	if last := asked[len(asked)-1]; !slices.Equal(last, []string{"org.acme.example.net", "example.org"}) {
		t.Errorf("the provider was chosen by %q", last)
	}
}

func TestDNSAccount01(t *testing.T) {
	w := newWorld(t)
	zone := w.zone(t, "example.org", "127.0.0.2")
	ca := newAuthority(t, w)
	s := w.solver(t, dns.Config{Route: route(zone, dns.Entry{}), Types: []acme.ChallengeType{acme.DNSAccount01}})
	if _, err := ca.obtain(t, s, "example.org", "*.example.org"); err != nil {
		t.Fatal(err)
	}
	name := acme.DNSAccount01Name(ca.client.AccountURL(), "example.org") + "."
	if got := zone.Calls(); len(got) != 4 || got[0] != "add "+name || got[3] != "remove "+name {
		t.Errorf("calls: %q, want four for %s", got, name)
	}
}

// What a server does not show by the limit is the CA's to judge, and the log says which it is.
func TestWaitGivesUp(t *testing.T) {
	w := newWorld(t)
	zone := w.zone(t, "example.org", "127.0.0.2", "127.0.0.3")
	w.Lag("127.0.0.3", 1000)
	var log bytes.Buffer
	s := w.solver(t, dns.Config{
		Route: limited(zone, 1500*time.Millisecond), Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	wait(t, s)
	for _, part := range []string{"ns2.example.org (127.0.0.3)", "no TXT record", "_acme-challenge.example.org"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log has no %q:\n%s", part, log.String())
		}
	}
	if strings.Contains(log.String(), "ns1.") {
		t.Errorf("the log names a server that shows it:\n%s", log.String())
	}
}

// A server that is dead does not hold up what all others show.
func TestWaitLeavesOutTheDead(t *testing.T) {
	w := newWorld(t)
	zone := w.zone(t, "example.org", "127.0.0.2", "127.0.0.3")
	w.Down("127.0.0.3", true)
	s := w.solver(t, dns.Config{Route: limited(zone, time.Minute)})
	begin := time.Now()
	wait(t, s)
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

// Where no server of the zone can be reached, the resolver is asked.
func TestWaitAsksTheResolver(t *testing.T) {
	w := newWorld(t)
	zone := w.zone(t, "example.org", "127.0.0.2")
	resolver, err := dns.NewResolver(dns.ResolverConfig{Servers: []string{w.Resolver()}, Port: 1, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := dns.NewSolver(dns.Config{
		Route: limited(zone, time.Minute), Resolver: resolver, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, s)
	if log.Len() > 0 {
		t.Errorf("the log has\n%s", log.String())
	}
}

// Without a check nobody is asked, not even for the zone.
func TestNoCheck(t *testing.T) {
	w := newWorld(t)
	zone := w.zone(t, "example.org", "127.0.0.2")
	resolver, err := dns.NewResolver(dns.ResolverConfig{Servers: []string{"127.0.0.1:1"}, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	s, err := dns.NewSolver(dns.Config{Route: limited(zone, time.Millisecond), Resolver: resolver, NoCheck: true})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, s)
	if n := w.Asked("127.0.0.2"); n != 0 {
		t.Errorf("the zone's server was asked %d times", n)
	}
	if got := zone.Calls(); !slices.Equal(got, []string{"add _acme-challenge.example.org."}) {
		t.Errorf("calls: %q", got)
	}
}

// limited is a route with a limit on waiting.
func limited(zone *dnstest.Zone, limit time.Duration) func(...string) (*dns.Route, error) {
	r := &dns.Route{Entry: dns.Entry{Title: "the test's provider"}, Provider: zone, Propagation: limit}
	return func(...string) (*dns.Route, error) { return r, nil }
}

var proof = renew.Challenge{
	Type: acme.DNS01, Identifier: acme.Identifier{Type: acme.DNS, Value: "example.org"},
	Token: "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", KeyAuthorization: "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI",
}

// wait presents one proof, and waits for it.
func wait(t *testing.T, s *dns.Solver) {
	t.Helper()
	if err := s.Present(t.Context(), proof); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), []renew.Challenge{proof}); err != nil {
		t.Fatal(err)
	}
}

// failing is a provider that adds half of it.
type failing struct{ removed []string }

func (f *failing) Add(context.Context, dns.Record) error { return errors.New("the service says no") }
func (f *failing) Remove(_ context.Context, r dns.Record) error {
	f.removed = append(f.removed, r.Name)
	return nil
}

func TestPresentLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.zone(t, "example.org", "127.0.0.2")
	provider := new(failing)
	s := w.solver(t, dns.Config{Route: route(provider, dns.Entry{})})
	err := s.Present(t.Context(), proof)
	if err == nil || !strings.Contains(err.Error(), "adding the record _acme-challenge.example.org with the test's provider: the service says no") {
		t.Errorf("the error is %v", err)
	}
	if len(provider.removed) != 1 {
		t.Errorf("removed: %q", provider.removed)
	}
	if err := s.CleanUp(t.Context(), proof); err != nil || len(provider.removed) != 1 {
		t.Errorf("cleaning up what is not there: %v, %q", err, provider.removed)
	}
}

func TestTypes(t *testing.T) {
	w := newWorld(t)
	zone := w.zone(t, "example.org", "127.0.0.2")
	name := acme.IdentifierFor("example.org")
	if got := w.solver(t, dns.Config{Route: route(zone, dns.Entry{})}).Types(name, false); !slices.Equal(got, []acme.ChallengeType{acme.DNS01, acme.DNSAccount01}) {
		t.Errorf("types: %q", got)
	}
	if got := w.solver(t, dns.Config{Route: route(zone, dns.Entry{Plain: true})}).Types(name, false); !slices.Equal(got, []acme.ChallengeType{acme.DNS01}) {
		t.Errorf("types of a plain provider: %q", got)
	}
	if got := w.solver(t, dns.Config{Route: route(zone, dns.Entry{})}).Types(acme.IdentifierFor("192.0.2.1"), false); len(got) > 0 {
		t.Errorf("types for an address: %q", got)
	}
}
