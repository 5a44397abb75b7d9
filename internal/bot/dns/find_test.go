package dns_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
)

// timeout is for one question on loopback, where an answer takes a thousandth of it.
const timeout = 300 * time.Millisecond

// found is a Place in one line.
func found(p dns.Place) string {
	var servers []string
	for _, server := range p.Servers {
		servers = append(servers, server.Name+"="+server.Addr.Addr().String())
	}
	slices.Sort(servers)
	return p.Name + " in " + p.Zone + " at " + strings.Join(servers, ",")
}

func TestFind(t *testing.T) {
	w := newWorld(t)
	org := w.zone(t, "example.org", "127.0.0.2", "127.0.0.3")
	w.zone(t, "sub.example.org", "127.0.0.4")    // on a server of its own
	w.zone(t, "shared.example.org", "127.0.0.2") // where its parent is
	w.zone(t, "down.example.org", "127.0.0.5")   // whose server says nothing
	w.zone(t, "acme.example.net", "127.0.0.6")   // where aliases lead
	net := w.zone(t, "example.net", "127.0.0.3") // its parent
	w.Down("127.0.0.5", true)
	org.Alias("_acme-challenge.www.example.org", "www.acme.example.net")
	org.Alias("_acme-challenge.twice.example.org", "step.example.net")
	net.Alias("step.example.net", "twice.acme.example.net")
	org.Alias("_acme-challenge.down.example.net.example.org", "x.down.example.org")
	org.Alias("a.example.org", "b.example.org")
	org.Alias("b.example.org", "a.example.org")
	for _, test := range []struct{ name, want string }{
		{"_acme-challenge.example.org", "_acme-challenge.example.org. in example.org. at ns1.example.org=127.0.0.2,ns2.example.org=127.0.0.3"},
		{"_acme-challenge.A.B.example.org.", "_acme-challenge.a.b.example.org. in example.org. at ns1.example.org=127.0.0.2,ns2.example.org=127.0.0.3"},
		{"_acme-challenge.sub.example.org", "_acme-challenge.sub.example.org. in sub.example.org. at ns1.sub.example.org=127.0.0.4"},
		{"_acme-challenge.shared.example.org", "_acme-challenge.shared.example.org. in shared.example.org. at ns1.shared.example.org=127.0.0.2"},
		{"_acme-challenge.www.example.org", "www.acme.example.net. in acme.example.net. at ns1.acme.example.net=127.0.0.6"},
		{"_acme-challenge.twice.example.org", "twice.acme.example.net. in acme.example.net. at ns1.acme.example.net=127.0.0.6"},
		// The zone's servers are silent: those of the zone above tell who they are.
		{"_acme-challenge.down.example.org", "_acme-challenge.down.example.org. in down.example.org. at ns1.down.example.org=127.0.0.5"},
	} {
		place, err := w.resolver.Find(t.Context(), test.name)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if got := found(place); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
	for name, want := range map[string]string{
		"a.example.org":               "leads back",
		"_acme-challenge.example.com": "finding the zone of _acme-challenge.example.com",
	} {
		if place, err := w.resolver.Find(t.Context(), name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %q", name, place, err, want)
		}
	}
}

func TestParseServer(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1:53", "192.0.2.1:5353": "192.0.2.1:5353", "2001:db8::1": "[2001:db8::1]:53",
		"[2001:db8::1]": "[2001:db8::1]:53", "[2001:db8::1]:54": "[2001:db8::1]:54",
	} {
		if got, err := dns.ParseServer(text); err != nil || got.String() != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "ns1.example.org", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:99999"} {
		if got, err := dns.ParseServer(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

func TestNames(t *testing.T) {
	if got := dns.Zones("_acme-challenge.www.example.org."); !slices.Equal(got,
		[]string{"_acme-challenge.www.example.org.", "www.example.org.", "example.org."}) {
		t.Errorf("the zones are %q", got)
	}
	if got := dns.Relative("_acme-challenge.example.org.", "example.org."); got != "_acme-challenge" {
		t.Errorf("below the zone it is %q", got)
	}
	if got := dns.Relative("example.org.", "example.org."); got != "" {
		t.Errorf("the zone itself is %q", got)
	}
	long := strings.Repeat("x", 600)
	if got := dns.Chunks(long); len(got) != 3 || len(got[0]) != 255 || strings.Join(got, "") != long {
		t.Errorf("%d chunks", len(got))
	}
}
