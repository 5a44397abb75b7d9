package dns_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/dnstest"
)

// telling is a provider that says when its servers have everything: at once, or never.
type telling struct {
	*dnstest.Zone
	never bool
	asked int
}

func (s *telling) Settle(ctx context.Context) error {
	s.asked++
	if !s.never {
		return nil
	}
	<-ctx.Done()
	return errors.New("a minute more, please")
}

func TestAServiceThatTellsIsWaitedFor(t *testing.T) {
	for _, never := range []bool{false, true} {
		w := newWorld(t)
		zone := &telling{Zone: w.zone(t, "example.org", "127.0.0.2"), never: never}
		s, err := dns.NewSolver(dns.Config{Resolver: w.resolver, Route: func(...string) (*dns.Route, error) {
			return &dns.Route{Entry: dns.Entry{Title: "the test's provider"}, Provider: zone, Propagation: 100 * time.Millisecond}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		wait(t, s) // fails if it is no more than advice
		if zone.asked != 1 {
			t.Errorf("asked %d times", zone.asked)
		}
	}
}

func TestSettingsThatThereCanBeSeveralOf(t *testing.T) {
	entry := dns.Entry{Name: "azure", Keys: []dns.Key{{Name: "zone", Many: true}, {Name: "zone_name"}}}
	file := filepath.Join(t.TempDir(), "credentials.ini")
	if err := os.WriteFile(file, []byte("dns_azure_zone1 = a\ndns_azure_zone12 = b\ndns_azure_zone_name = c\ndns_azure_zoneX = d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	values, err := (&dns.Credentials{}).File(entry, file)
	if err != nil || len(values) != 3 || values["zone1"] != "a" || values["zone12"] != "b" || values["zone_name"] != "c" {
		t.Errorf("%v, %v", values, err)
	}
}

func TestGetter(t *testing.T) {
	all := func(string) (string, bool) { return "all", true }
	for _, c := range []struct {
		settings dns.Settings
		name     string
		want     string
	}{
		{dns.Settings{}, "HOME", ""},
		{dns.Settings{Lookup: all}, "X", "all"},
		{dns.Settings{Environment: &dns.Environment{Lookup: all}}, "X", ""},
		{dns.Settings{Environment: &dns.Environment{Lookup: all}}, "HOME", "all"},
	} {
		if got, _ := c.settings.Getter("HOME")(c.name); got != c.want {
			t.Errorf("%+v: %s is %q", c.settings, c.name, got)
		}
	}
}
