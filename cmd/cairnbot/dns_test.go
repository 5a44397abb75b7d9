package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/dnstest"
	"github.com/cairn-ca/cairn/internal/bot/dns/registry"
)

// startDNS is the command "dns ZONE": a part of the DNS with one zone, RESOLVER, and DNSAPI, an address at which lego's
// provider httpreq can add and remove records. DNSTOKEN is who may.
func startDNS(ts *testscript.TestScript, _ bool, args []string) {
	d, err := dnstest.Start()
	ts.Check(err)
	ts.Defer(d.Stop)
	zone, err := d.Zone(args[0], "127.0.0.2", "127.0.0.3")
	ts.Check(err)
	api := recordAPI(zone)
	ts.Defer(api.Close)
	ts.Setenv("RESOLVER", d.Resolver())
	ts.Setenv("DNSAPI", api.URL)
	ts.Value(zones{}).(map[string]*dnstest.Zone)[args[0]] = zone
}

// recordAPI is what lego's provider httpreq talks to.
func recordAPI(zone *dnstest.Zone) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var record struct{ FQDN, Value string }
		user, password, _ := r.BasicAuth()
		if err := json.NewDecoder(r.Body).Decode(&record); err != nil || user != "me" || password != "secret" {
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		do := zone.Add
		if r.URL.Path == "/cleanup" {
			do = zone.Remove
		}
		if err := do(r.Context(), dns.Record{Name: record.FQDN, Value: record.Value}); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}))
}

// zones is the key of the zones of a script, by their names.
type zones struct{}

// record is the command "record ZONE NAME FILE": the zone gets a TXT record with what the file says.
func record(ts *testscript.TestScript, _ bool, args []string) {
	zone := ts.Value(zones{}).(map[string]*dnstest.Zone)[args[0]]
	ts.Check(zone.Add(context.Background(), dns.Record{Name: args[1] + ".", Value: strings.TrimSpace(ts.ReadFile(args[2]))}))
}

// norecord is the command "norecord ZONE NAME": the zone has no TXT record there.
func norecord(ts *testscript.TestScript, _ bool, args []string) {
	if values := ts.Value(zones{}).(map[string]*dnstest.Zone)[args[0]].Values(args[1]); len(values) > 0 {
		ts.Fatalf("%s has the TXT records %q", args[1], values)
	}
}

// The plugins that are promised have a provider behind each, and certbot's own files have the keys that it reads.
func TestPlugins(t *testing.T) {
	keys := map[string]string{
		"cloudflare": "api_token email api_key", "digitalocean": "token", "dnsimple": "token", "dnsmadeeasy": "api_key secret_key",
		"gehirn": "api_token api_secret", "google": "project", "linode": "key", "luadns": "email token", "nsone": "api_key",
		"ovh": "endpoint application_key application_secret consumer_key", "rfc2136": "server port name secret algorithm sign_query",
		"route53": "", "sakuracloud": "api_token api_secret",
	}
	for _, plugin := range dnsPlugins() {
		entry, ok := registry.Find("dns-" + plugin.name)
		if !ok {
			t.Errorf("dns-%s has no provider", plugin.name)
			continue
		}
		have := make(map[string]bool)
		for _, key := range entry.Keys {
			have[key.Name] = true
		}
		for _, key := range strings.Fields(keys[plugin.name]) {
			if !have[key] {
				t.Errorf("dns_%s_%s is not read", plugin.name, key)
			}
		}
		if got := pluginFor(entry); got != "dns-"+plugin.name {
			t.Errorf("%s is kept as %s", plugin.name, got)
		}
	}
	for _, name := range otherPlugins() {
		if _, ok := registry.Find("dns-" + name); !ok && name != "multi" {
			t.Errorf("dns-%s has no provider", name)
		}
	}
}

func TestResponderAddress(t *testing.T) {
	for _, test := range []struct {
		own, address, six, port, want string
	}{
		{"", "", "", "", ""}, {"192.0.2.1:5353", "192.0.2.2", "", "", "192.0.2.1:5353"}, {"", "192.0.2.2", "", "", "192.0.2.2"},
		{"", "192.0.2.2", "2001:db8::1", "54", "192.0.2.2:54,[2001:db8::1]:54"}, {"", "", "", "54", "0.0.0.0:54,[::]:54"},
	} {
		if got := responderAddress(test.own, test.address, test.six, test.port); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

// docs/dns.md has a table of the providers. It says what the registry does.
func TestProvidersTable(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "dns.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- providers -->\n", "<!-- /providers -->\n"
	_, rest, _ := strings.Cut(string(text), begin)
	have, _, found := strings.Cut(rest, end)
	if !found {
		t.Fatalf("%s has no table between %s and %s", path, begin, end)
	}
	if want := providersTable(); have != want {
		if os.Getenv("UPDATE_DOCS") != "" {
			text := strings.Replace(string(text), begin+have+end, begin+want+end, 1)
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Errorf("the table of providers in %s is out of date: run `UPDATE_DOCS=1 go test -run TestProvidersTable ./cmd/cairnbot`", path)
	}
}

// providersTable is the table as it should be.
func providersTable() string {
	var b strings.Builder
	b.WriteString("| `--dns` | service | settings | names of plugins for certbot |\n|---|---|---|---|\n")
	for _, entry := range registry.Entries() {
		var keys []string
		for _, key := range entry.Keys {
			switch {
			case key.Name == "ttl" || key.Name == "http_timeout":
			case key.Needed:
				keys = append(keys, "**`"+key.Name+"`**")
			default:
				keys = append(keys, "`"+key.Name+"`")
			}
		}
		var plugins []string
		for _, plugin := range dnsPlugins() {
			if entry.Is(plugin.name) {
				plugins = append(plugins, "`dns-"+plugin.name+"`")
			}
		}
		for _, name := range otherPlugins() {
			if entry.Is(name) {
				plugins = append(plugins, "`dns-"+name+"`")
			}
		}
		b.WriteString("| `" + entry.Name + "` | [" + entry.Title + "](" + entry.Docs + ") | " + strings.Join(keys, ", ") + " | " + strings.Join(plugins, ", ") + " |\n")
	}
	return b.String()
}
