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

// A setting that names a file with secrets is looked at as the credentials themselves are.
func TestFilesThatSettingsName(t *testing.T) {
	entry := dns.Entry{Name: "x", Keys: []dns.Key{{Name: "key_file", File: true, Variable: "X_KEY_FILE"}}}
	home := t.TempDir()
	for name, mode := range map[string]os.FileMode{"open": 0o644, "closed": 0o600} {
		if err := os.WriteFile(filepath.Join(home, name), []byte("secret"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, name+".ini"), []byte("dns_x_key_file = ~/"+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, good := range map[string]bool{"open": false, "closed": true} {
		path := filepath.Join(home, name)
		for _, strict := range []bool{false, true} {
			warned := 0
			c := &dns.Credentials{Home: home, Strict: strict, Warn: func(string) { warned++ }, Lookup: func(string) (string, bool) { return "~/" + name, true }}
			for where, read := range map[string]func() (map[string]string, error){
				"file":        func() (map[string]string, error) { return c.File(entry, path+".ini") },
				"environment": func() (map[string]string, error) { return c.FromEnvironment(entry) },
			} {
				values, err := read()
				if wrong := strict && !good; (err != nil) != wrong || err == nil && values["key_file"] != path {
					t.Errorf("%s in the %s, strict %t: %v, %v", name, where, strict, values, err)
				}
			}
			if warns := !strict && !good; (warned > 0) != warns {
				t.Errorf("%s, strict %t: %d warnings", name, strict, warned)
			}
		}
	}
	if _, err := (&dns.Credentials{Lookup: func(string) (string, bool) { return "/nonexistent", true }}).FromEnvironment(entry); err == nil {
		t.Error("a file that does not exist was accepted")
	}
}
