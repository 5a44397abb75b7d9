package dns_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/dnstest"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

var persistOnly = []acme.ChallengeType{acme.DNSPersist01}

// The record is created once; another certificate needs none.
func TestPersistCreates(t *testing.T) {
	w := newWorld(t)
	zone := w.zone(t, "example.org", "127.0.0.2", "127.0.0.3")
	ca := newAuthority(t, w)
	w.Lag("127.0.0.3", 3)
	var found []dns.PersistFound
	s := w.solver(t, dns.Config{
		Route: route(zone, dns.Entry{AnyValue: true}), Types: persistOnly,
		Persist: dns.Persist{Create: true, For: 24 * time.Hour, Found: func(f dns.PersistFound) { found = append(found, f) }},
	})
	for range 2 {
		if _, err := ca.obtain(t, s, "*.example.org"); err != nil {
			t.Fatal(err)
		}
	}
	if got := zone.Calls(); !slices.Equal(got, []string{"add _validation-persist.example.org."}) {
		t.Errorf("calls: %q", got)
	}
	if len(found) != 2 || found[0].Domain != "example.org" || found[0].Name != "_validation-persist.example.org" || time.Until(found[1].Until) < 23*time.Hour {
		t.Errorf("found: %+v", found)
	}
	values := zone.Values("_validation-persist.example.org")
	if len(values) != 1 || !strings.Contains(values[0], "accounturi="+ca.client.AccountURL()) || !strings.Contains(values[0], "policy=wildcard") {
		t.Errorf("the record says %q", values)
	}
}

// A person creates it.
func TestPersistIsAskedFor(t *testing.T) {
	w := newWorld(t)
	zone := w.zone(t, "example.org", "127.0.0.2")
	ca := newAuthority(t, w)
	s := w.solver(t, dns.Config{Route: route(zone, dns.Entry{}), Types: persistOnly})
	_, err := ca.obtain(t, s, "example.org")
	missing, ok := errors.AsType[*dns.MissingRecord](err)
	if !ok || missing.Name != "_validation-persist.example.org" {
		t.Fatalf("the error is %v", err)
	}
	s = w.solver(t, dns.Config{
		Route: route(zone, dns.Entry{}), Types: persistOnly,
		Persist: dns.Persist{Missing: func(name, value string) {
			if value != missing.Value {
				t.Errorf("the record is %q, and was %q", value, missing.Value)
			}
			_ = zone.Add(t.Context(), dns.Record{Name: name + ".", Value: value})
		}},
	})
	if _, err := ca.obtain(t, s, "example.org"); err != nil {
		t.Fatal(err)
	}
}

// Which records do, by the drafts.
func TestPersistFinds(t *testing.T) {
	const account, thumbprint, prefix = "https://ca.example/acct/1", "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI", "https://ca.example/h/"
	now := time.Unix(2000000000, 0)
	url := renew.Challenge{Type: acme.DNSPersist01, Identifier: acme.IdentifierFor("a.b.example.org"), Account: account, IssuerDomains: []string{"ca.example", "other.example"}}
	wild, hashed := url, url
	wild.Wildcard = true
	hashed.AccountHashPrefix, hashed.Thumbprint = prefix, thumbprint
	hash := func(domain string) string { return acme.HashedAccountURI(prefix, domain, thumbprint, account) }
	for _, test := range []struct {
		what      string
		challenge renew.Challenge
		domain    string
		value     string
		found     bool
	}{
		{"the account's URL", url, "a.b.example.org", "ca.example; accounturi=" + account, true},
		{"another name of the CA, and parameters that nobody knows", url, "a.b.example.org", "Other.Example.;x=y; accounturi=" + account, true},
		{"another CA", url, "a.b.example.org", "third.example; accounturi=" + account, false},
		{"another account", url, "a.b.example.org", "ca.example; accounturi=" + account + "0", false},
		{"it ends later", url, "a.b.example.org", "ca.example; accounturi=" + account + "; persistUntil=2000000001", true},
		{"it has ended", url, "a.b.example.org", "ca.example; accounturi=" + account + "; persistUntil=2000000000", false},
		{"not for wildcards", wild, "a.b.example.org", "ca.example; accounturi=" + account, false},
		{"for wildcards", wild, "a.b.example.org", "ca.example; accounturi=" + account + "; policy=WildCard", true},
		{"a domain above", url, "example.org", "ca.example; accounturi=" + account + "; policy=wildcard", true},
		{"a domain above, for itself alone", url, "example.org", "ca.example; accounturi=" + account, false},
		{"a hash where URLs are", url, "a.b.example.org", "ca.example; accounturi=" + hash("a.b.example.org"), false},
		{"a hash", hashed, "a.b.example.org", "ca.example; accounturi=" + hash("a.b.example.org"), true},
		{"a hash for all domains", hashed, "a.b.example.org", "ca.example; accounturi=" + hash("*"), true},
		{"a URL where hashes are", hashed, "a.b.example.org", "ca.example; accounturi=" + account, false},
		{"a hash for the domain above", hashed, "example.org", "ca.example; policy=wildcard; accounturi=" + hash("example.org"), true},
		{"nonsense", url, "a.b.example.org", "ca.example; accounturi", false},
	} {
		t.Run(test.what, func(t *testing.T) {
			w := newWorld(t)
			zone := w.zone(t, "example.org", "127.0.0.2")
			_ = zone.Add(t.Context(), dns.Record{Name: "_validation-persist." + test.domain + ".", Value: test.value})
			s := w.solver(t, dns.Config{Route: route(zone, dns.Entry{}), Types: persistOnly, Persist: dns.Persist{Now: func() time.Time { return now }}})
			err := s.Present(t.Context(), test.challenge)
			if _, missing := errors.AsType[*dns.MissingRecord](err); missing == test.found || err != nil && !missing {
				t.Errorf("it is found: %v; the error is %v", test.found, err)
			}
		})
	}
}

// One server that does not have the record is enough for the CA to miss it.
func TestPersistAllServers(t *testing.T) {
	w := newWorld(t)
	zone := w.zone(t, "example.org", "127.0.0.2", "127.0.0.3")
	challenge := renew.Challenge{Type: acme.DNSPersist01, Identifier: acme.IdentifierFor("example.org"), Account: "https://ca.example/1", IssuerDomains: []string{"ca.example"}}
	_ = zone.Add(t.Context(), dns.Record{Name: "_validation-persist.example.org.", Value: "ca.example; accounturi=https://ca.example/1"})
	s := w.solver(t, dns.Config{Route: route(zone, dns.Entry{}), Types: persistOnly})
	if err := s.Present(t.Context(), challenge); err != nil {
		t.Fatal(err)
	}
	w.Lag("127.0.0.3", 1)
	if err := s.Present(t.Context(), challenge); err == nil {
		t.Error("a record that one server lacks was found")
	}
}

// Where nothing is to be checked, the CA alone looks.
func TestPersistNoCheck(t *testing.T) {
	w := newWorld(t)
	zone := w.zone(t, "example.org", "127.0.0.2")
	challenge := renew.Challenge{Type: acme.DNSPersist01, Identifier: acme.IdentifierFor("example.org"), Account: "https://ca.example/1", IssuerDomains: []string{"ca.example"}}
	s := w.solver(t, dns.Config{Route: route(zone, dns.Entry{}), Types: persistOnly, NoCheck: true})
	if err := s.Present(t.Context(), challenge); err != nil {
		t.Error(err)
	}
	if n := w.Asked("127.0.0.2"); n != 0 {
		t.Errorf("%d questions were asked", n)
	}
}

// What the CA says may be anything.
func TestPersistHostile(t *testing.T) {
	w := newWorld(t)
	zone := w.zone(t, "example.org", "127.0.0.2")
	for _, c := range []renew.Challenge{
		{},
		{IssuerDomains: []string{"ca.example\" \"x"}, Account: "https://ca.example/1"},
		{IssuerDomains: []string{"ca.example; policy=wildcard"}, Account: "https://ca.example/1; policy=wildcard"},
		{IssuerDomains: []string{""}, Account: "https://ca.example/1"},
		{IssuerDomains: make([]string, 100), Account: "https://ca.example/1"},
	} {
		c.Type, c.Identifier = acme.DNSPersist01, acme.IdentifierFor("example.org")
		s := w.solver(t, dns.Config{Route: route(zone, dns.Entry{AnyValue: true}), Types: persistOnly, Persist: dns.Persist{Create: true}})
		if err := s.Present(t.Context(), c); err == nil {
			t.Errorf("%+v led to %q", c, zone.Values("_validation-persist.example.org"))
		}
	}
	if calls := zone.Calls(); len(calls) > 0 {
		t.Errorf("calls: %q", calls)
	}
}

var _ dns.Provider = (*dnstest.Zone)(nil)
