package lego_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/dnstest"
	"github.com/cairn-ca/cairn/internal/bot/dns/lego"
)

// environment is that of the test's process.
var environment = &dns.Environment{Lookup: os.LookupEnv, Set: os.Setenv, Unset: os.Unsetenv}

// world is the DNS of all tests here: lego has one resolver for the process.
var world = sync.OnceValues(func() (*dns.Resolver, error) {
	d, err := dnstest.Start()
	if err != nil {
		return nil, err
	}
	if _, err := d.Zone("forwarded.example", "127.0.0.2"); err != nil {
		return nil, err
	}
	return dns.NewResolver(dns.ResolverConfig{Servers: []string{d.Resolver()}, Port: d.Port})
})

func entry(t *testing.T, name string) dns.Entry {
	t.Helper()
	entries := lego.Entries()
	i := slices.IndexFunc(entries, func(e dns.Entry) bool { return e.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	return entries[i]
}

func provider(t *testing.T, name string, values map[string]string) dns.Provider {
	t.Helper()
	resolver, err := world()
	if err != nil {
		t.Fatal(err)
	}
	p, err := entry(t, name).New(dns.Settings{Values: values, Environment: environment, Resolver: resolver})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// service is an HTTP API that remembers what it was asked to do.
type service struct {
	*httptest.Server
	mu    sync.Mutex
	calls []string
}

// newService answers like httpreq's other side, and like DigitalOcean.
func newService(t *testing.T) *service {
	s := new(service)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var record struct{ FQDN, Value, Name, Data string }
		_ = json.Unmarshal(body, &record)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls = append(s.calls, strings.Join(strings.Fields(strings.Join([]string{r.Method, r.URL.Path, record.FQDN, record.Value, record.Name, record.Data, r.Header.Get("Authorization")}, " ")), " "))
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/v2/") {
			w.WriteHeader(http.StatusCreated)
		}
		fmt.Fprintf(w, `{"domain_record":{"id":%d}}`, len(s.calls))
	}))
	t.Cleanup(s.Close)
	return s
}

const keyAuthorization = "token.thumbprint"

var value = acme.DNS01Value(keyAuthorization)

func record(name, zone, domain string) dns.Record {
	return dns.Record{Name: name, Zone: zone, Domain: domain, Value: value, KeyAuthorization: keyAuthorization}
}

// The record is where we want it, whatever its name and zone are.
func TestNames(t *testing.T) {
	s := newService(t)
	request := provider(t, "httpreq", map[string]string{"endpoint": s.URL})
	ocean := provider(t, "digitalocean", map[string]string{"token": "secret", "api_url": s.URL})
	account := acme.DNSAccount01Name("https://ca.example/1", "example.org") + "."
	for _, test := range []struct {
		provider dns.Provider
		record   dns.Record
		want     []string
	}{
		{request, record("_acme-challenge.example.org.", "example.org.", "example.org"),
			[]string{"POST /present _acme-challenge.example.org. " + value, "POST /cleanup _acme-challenge.example.org. " + value}},
		{request, record("org.acme.example.net.", "acme.example.net.", "example.org"),
			[]string{"POST /present org.acme.example.net. " + value, "POST /cleanup org.acme.example.net. " + value}},
		{ocean, record("_acme-challenge.www.example.org.", "example.org.", "www.example.org"),
			[]string{"POST /v2/domains/example.org/records _acme-challenge.www.example.org. " + value + " Bearer secret", "DELETE /v2/domains/example.org/records/1 Bearer secret"}},
		{ocean, record("x.y.acme.example.net.", "acme.example.net.", "example.org"),
			[]string{"POST /v2/domains/acme.example.net/records x.y.acme.example.net. " + value + " Bearer secret", "DELETE /v2/domains/acme.example.net/records/1 Bearer secret"}},
		{ocean, record(account, "example.org.", "example.org"),
			[]string{"POST /v2/domains/example.org/records " + account + " " + value + " Bearer secret", "DELETE /v2/domains/example.org/records/1 Bearer secret"}},
		// A zone that nobody knows is asked for as lego does it.
		{ocean, record("_acme-challenge.forwarded.example.", "", "forwarded.example"),
			[]string{"POST /v2/domains/forwarded.example/records _acme-challenge.forwarded.example. " + value + " Bearer secret", "DELETE /v2/domains/forwarded.example/records/1 Bearer secret"}},
	} {
		s.calls = nil
		if err := test.provider.Add(t.Context(), test.record); err != nil {
			t.Errorf("%s: %v", test.record.Name, err)
		}
		if err := test.provider.Remove(t.Context(), test.record); err != nil {
			t.Errorf("%s: %v", test.record.Name, err)
		}
		if !slices.Equal(s.calls, test.want) {
			t.Errorf("%s:\n got %q\nwant %q", test.record.Name, s.calls, test.want)
		}
	}
}

// What lego cannot do is refused, and not done elsewhere.
func TestRefused(t *testing.T) {
	s := newService(t)
	request := provider(t, "httpreq", map[string]string{"endpoint": s.URL})
	other := record("_validation-persist.example.org.", "example.org.", "example.org")
	other.Value, other.KeyAuthorization = "ca.example; accounturi=x", ""
	if err := request.Add(t.Context(), other); err == nil {
		t.Error("a value that is no digest was taken")
	}
	plain := entry(t, "vultr")
	if !plain.Plain {
		t.Fatal("vultr goes by where the alias leads now: take another provider for this test")
	}
	vultr := provider(t, "vultr", map[string]string{"api_key": "x"})
	if err := vultr.Add(t.Context(), record("org.acme.example.net.", "acme.example.net.", "example.org")); err == nil || !strings.Contains(err.Error(), "_acme-challenge.") {
		t.Errorf("a plain provider and an alias: %v", err)
	}
}

// Two calls for one domain that lead to different places do not meet.
func TestAtOnce(t *testing.T) {
	s := newService(t)
	var group sync.WaitGroup
	for i := range 8 {
		p := provider(t, "httpreq", map[string]string{"endpoint": s.URL})
		group.Go(func() {
			name := fmt.Sprintf("r%d.acme.example.net.", i)
			if err := p.Add(t.Context(), record(name, "acme.example.net.", "example.org")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	group.Wait()
	slices.Sort(s.calls)
	if len(slices.Compact(s.calls)) != 8 {
		t.Errorf("calls: %q", s.calls)
	}
}

// Each profile has its own credentials, and the environment is afterwards what it was.
func TestEnvironment(t *testing.T) {
	s := newService(t)
	t.Setenv("DO_AUTH_TOKEN", "of the environment")
	t.Setenv("DO_TTL", "77")
	one := provider(t, "digitalocean", map[string]string{"token": "one", "api_url": s.URL})
	two := provider(t, "digitalocean", map[string]string{"token": "two", "api_url": s.URL})
	if os.Getenv("DO_AUTH_TOKEN") != "of the environment" || os.Getenv("DO_TTL") != "77" {
		t.Errorf("the environment has %q, %q", os.Getenv("DO_AUTH_TOKEN"), os.Getenv("DO_TTL"))
	}
	if _, ok := os.LookupEnv("DO_API_URL"); ok {
		t.Error("a variable was left in the environment")
	}
	for _, p := range []dns.Provider{one, two} {
		if err := p.Add(t.Context(), record("_acme-challenge.example.org.", "example.org.", "example.org")); err != nil {
			t.Error(err)
		}
	}
	if len(s.calls) != 2 || !strings.HasSuffix(s.calls[0], "Bearer one") || !strings.HasSuffix(s.calls[1], "Bearer two") {
		t.Errorf("calls: %q", s.calls)
	}
	// A file that the environment names for a credential is not taken beside a profile.
	t.Setenv("DO_AUTH_TOKEN", "")
	t.Setenv("DO_AUTH_TOKEN_FILE", "/nonexistent")
	resolver, err := world()
	if err != nil {
		t.Fatal(err)
	}
	_, err = entry(t, "digitalocean").New(dns.Settings{Values: map[string]string{"api_url": s.URL}, Environment: environment, Resolver: resolver})
	if err == nil || !strings.Contains(err.Error(), "DO_AUTH_TOKEN") || strings.Contains(err.Error(), "nonexistent") {
		t.Errorf("without a token: %v", err)
	}
}

// Without a profile the environment counts, as with lego.
func TestFromEnvironment(t *testing.T) {
	s := newService(t)
	t.Setenv("HTTPREQ_ENDPOINT", s.URL)
	p := provider(t, "httpreq", nil)
	if err := p.Add(t.Context(), record("_acme-challenge.example.org.", "example.org.", "example.org")); err != nil || len(s.calls) != 1 {
		t.Errorf("%v, %q", err, s.calls)
	}
}

// The names of certbot's users lead to variables that lego has.
func TestKeys(t *testing.T) {
	for name, want := range map[string]string{
		"cloudflare":   "email=CF_API_EMAIL api_key=CF_API_KEY api_token=CF_DNS_API_TOKEN",
		"digitalocean": "token=DO_AUTH_TOKEN",
		"dnsmadeeasy":  "api_key=DNSMADEEASY_API_KEY secret_key=DNSMADEEASY_API_SECRET",
		"gehirn":       "api_token=GEHIRN_TOKEN_ID api_secret=GEHIRN_TOKEN_SECRET",
		"luadns":       "email=LUADNS_API_USERNAME token=LUADNS_API_TOKEN",
		"ns1":          "api_key=NS1_API_KEY",
		"ovh":          "endpoint=OVH_ENDPOINT application_key=OVH_APPLICATION_KEY application_secret=OVH_APPLICATION_SECRET consumer_key=OVH_CONSUMER_KEY",
	} {
		var have []string
		for _, key := range entry(t, name).Keys {
			have = append(have, key.Name+"="+key.Variable)
		}
		for _, pair := range strings.Fields(want) {
			if !slices.Contains(have, pair) {
				t.Errorf("%s has no %s, but %q", name, pair, have)
			}
		}
	}
}

// No two settings of a provider have one name, or people could not tell them apart.
func TestNamesOfKeys(t *testing.T) {
	for _, e := range lego.Entries() {
		seen := make(map[string]string)
		for _, key := range e.Keys {
			for _, name := range append([]string{key.Name}, key.Also...) {
				if before, ok := seen[name]; ok {
					t.Errorf("%s: %s is %s and %s", e.Name, name, before, key.Variable)
				}
				seen[name] = key.Variable
			}
		}
	}
}

// The table is what the generator makes of the lego in go.mod.
func TestTableIsCurrent(t *testing.T) {
	generated, err := exec.Command("go", "run", "./generate").Output()
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("table.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(generated, have) {
		t.Error("table.go is out of date: run `go generate ./internal/bot/dns/lego`")
	}
}
