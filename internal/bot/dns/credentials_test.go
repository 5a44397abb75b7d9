package dns_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/dns"
)

// cloud is a provider as the registry has them.
var cloud = dns.Entry{
	Name: "cloud", Title: "Cloud", Aliases: []string{"old-cloud"}, Docs: "https://cloud.example/",
	Keys: []dns.Key{
		{Name: "token", Variable: "CLOUD_TOKEN", Help: "the token", Needed: true},
		{Name: "account", Variable: "CLOUD_ACCOUNT", Also: []string{"dns_cloud_user", "plugin_cloud:name"}},
		{Name: "pair", Variable: "CLOUD_PAIR", Parts: []string{"dns_cloud_left", "dns_cloud_right"}},
	},
	New: func(s dns.Settings) (dns.Provider, error) {
		if s.Values["account"] == "bad" {
			return nil, errors.New("the account is wrong")
		}
		return &settled{s}, nil
	},
}

// settled is a provider that shows how it was made.
type settled struct{ dns.Settings }

func (*settled) Add(context.Context, dns.Record) error    { return nil }
func (*settled) Remove(context.Context, dns.Record) error { return nil }

func write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCredentialFile(t *testing.T) {
	for _, test := range []struct {
		what, text string
		want       map[string]string
		failure    string
	}{
		{"as certbot has it", "# a comment\ndns_cloud_token = secret\ndns_cloud_account = me", map[string]string{"token": "secret", "account": "me"}, ""},
		{"another name of the provider", "dns_old_cloud_token = secret", map[string]string{"token": "secret"}, ""},
		{"an old file, with the package", "certbot_dns_cloud:dns_cloud_token = secret", map[string]string{"token": "secret"}, ""},
		{"names of other people's plugins", "dns_cloud_token=x\nplugin_cloud:name = me", map[string]string{"token": "x", "account": "me"}, ""},
		{"and of others", "dns_cloud_token=x\ndns_cloud_user = me", map[string]string{"token": "x", "account": "me"}, ""},
		{"variables", "CLOUD_TOKEN=x\nCLOUD_ACCOUNT=me\nOTHER=1", map[string]string{"token": "x", "account": "me"}, ""},
		{"parts", "dns_cloud_token=x\ndns_cloud_left=a\ndns_cloud_right=b", map[string]string{"token": "x", "pair": "a.b"}, ""},
		{"other providers", "dns_cloud_token=x\ndns_other_token=y", map[string]string{"token": "x"}, ""},
		{"what looks like a reference is none", "dns_cloud_token = file:/x", map[string]string{"token": "file:/x"}, ""},
		{"quotes", `dns_cloud_token = "a,b#c"`, map[string]string{"token": "a,b#c"}, ""},
		{"nothing", "", nil, "\n * Property \"dns_cloud_token\" not found (should be the token)."},
		{"an empty one", "dns_cloud_token =", nil, "Property \"dns_cloud_token\" not set"},
		{"no prefix", "token = x", nil, "Missing property in credentials configuration file"},
		{"a list", "dns_cloud_token = a,b", nil, "put it into quotes"},
		{"nonsense", "[[[", nil, "Error parsing credentials configuration file"},
	} {
		path := write(t, "cloud.ini", test.text, 0o600)
		var c dns.Credentials
		values, err := c.File(cloud, path)
		if test.failure == "" && (err != nil || !maps.Equal(values, test.want)) {
			t.Errorf("%s: %v, %v; want %v", test.what, values, err, test.want)
		}
		if test.failure != "" && (err == nil || !strings.Contains(err.Error(), test.failure)) {
			t.Errorf("%s: %v; want %q", test.what, err, test.failure)
		}
	}
}

func TestCredentialFileModes(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o400, 0o640, 0o604, 0o666} {
		path := write(t, "cloud.ini", "dns_cloud_token = secret", mode)
		var warnings []string
		c := dns.Credentials{Warn: func(text string) { warnings = append(warnings, text) }}
		if _, err := c.File(cloud, path); err != nil {
			t.Errorf("%o: %v", mode, err)
		}
		if safe := mode&0o077 == 0; safe != (len(warnings) == 0) {
			t.Errorf("%o: %q", mode, warnings)
		}
		for _, text := range warnings {
			if !strings.HasPrefix(text, "Unsafe permissions on credentials configuration file: "+path) || !strings.Contains(text, "chmod 600 '"+path+"'") || strings.Contains(text, "secret") {
				t.Errorf("%o: %s", mode, text)
			}
		}
		c.Strict = true
		_, err := c.File(cloud, path)
		unsafe, refused := errors.AsType[*dns.UnsafeError](err)
		if refused == (mode&0o077 == 0) || refused && unsafe.Path != path {
			t.Errorf("%o, strictly: %v", mode, err)
		}
	}
}

func TestHome(t *testing.T) {
	path := write(t, "cloud.ini", "dns_cloud_token = secret", 0o600)
	c := dns.Credentials{Home: filepath.Dir(path)}
	if values, err := c.File(cloud, "~/cloud.ini"); err != nil || values["token"] != "secret" {
		t.Errorf("%v, %v", values, err)
	}
	if got := c.Expand("~other/x"); got != "~other/x" {
		t.Errorf("somebody else's home is %s", got)
	}
}

func TestFromEnvironment(t *testing.T) {
	path := write(t, "token", "from a file\n", 0o600)
	environment := map[string]string{"CLOUD_TOKEN_FILE": path, "CLOUD_ACCOUNT": "me"}
	c := dns.Credentials{Lookup: func(name string) (string, bool) { value, ok := environment[name]; return value, ok }}
	values, err := c.FromEnvironment(cloud)
	if want := map[string]string{"token": "from a file", "account": "me"}; err != nil || !maps.Equal(values, want) {
		t.Errorf("%v, %v; want %v", values, err, want)
	}
}

func TestMulti(t *testing.T) {
	var c dns.Credentials
	if name, err := c.Multi(write(t, "multi.ini", "dns_multi_provider = cloud\nCLOUD_TOKEN = x", 0o600)); err != nil || name != "cloud" {
		t.Errorf("%s, %v", name, err)
	}
	if _, err := c.Multi(write(t, "multi.ini", "CLOUD_TOKEN = x", 0o600)); err == nil || !strings.Contains(err.Error(), "dns_multi_provider") {
		t.Errorf("without a provider: %v", err)
	}
}

// profiles are those of a file, as tests use it.
func profiles(t *testing.T, c *dns.Credentials, text string) (*dns.Profiles, error) {
	t.Helper()
	return c.Profiles(write(t, "dns-profiles.ini", text, 0o600))
}

const threeProfiles = `
[work]
provider = cloud
token = w
[home]
provider = dns-cloud
token = h
account = me
propagation_seconds = 7
[other]
provider = other
key = o
[domains]
example.com = work
lab.example.com = home
"*.example.net" = other
`

func TestProfiles(t *testing.T) {
	var c dns.Credentials
	p, err := profiles(t, &c, threeProfiles)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Names(); !slices.Equal(got, []string{"work", "home", "other"}) {
		t.Errorf("profiles: %q", got)
	}
	for names, want := range map[string]string{
		"example.com": "work", "a.b.example.com.": "work", "lab.example.com": "home", "x.LAB.example.com": "home",
		"slab.example.com": "work", "notexample.com": "", "com": "", "www.example.net": "other",
		"x.acme.example,example.com": "work", "lab.example.com,example.net": "home",
	} {
		if got, ok := p.For(strings.Split(names, ",")...); got != want || ok != (want != "") {
			t.Errorf("%s has the profile %q, want %q", names, got, want)
		}
	}
	for text, want := range map[string]string{
		"token = x":                "stands before the first",
		"[domains]\na.b = nobody":  "there is no profile [nobody]",
		"[domains]\na.b = domains": "there is no profile [domains]",
	} {
		if _, err := profiles(t, &c, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
	if _, err := c.Profiles(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// Secrets can be elsewhere.
func TestReferences(t *testing.T) {
	secret := write(t, "secret", "from a file\n", 0o600)
	handed := t.TempDir()
	if err := os.WriteFile(filepath.Join(handed, "cloud.token"), []byte("from systemd\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"token = file:" + secret:           "from a file",
		"token = cred:cloud.token":         "from systemd",
		"token = cred:../x":                "! is no name of a credential",
		"token = cred:..":                  "! is no name of a credential",
		"token = cred:none":                "! no such file",
		"token = file:relative":            "! is no absolute path",
		"token = file:~/secret":            "from a file",
		"dns_cloud_token = file:" + secret: "from a file",
		"token = plain":                    "plain",
	} {
		c := dns.Credentials{Directory: handed, Home: filepath.Dir(secret)}
		p, err := profiles(t, &c, "[x]\nprovider = cloud\n"+text)
		if err != nil {
			t.Fatal(err)
		}
		profile, err := p.Profile("x")
		if err != nil {
			t.Fatal(err)
		}
		values, err := c.Values(cloud, profile)
		if failure, ok := strings.CutPrefix(want, "! "); ok {
			if err == nil || !strings.Contains(err.Error(), failure) {
				t.Errorf("%s: %v; want %q", text, err, failure)
			}
		} else if err != nil || values["token"] != want {
			t.Errorf("%s: %v, %v", text, values, err)
		}
	}
	var c dns.Credentials
	p, _ := profiles(t, &c, "[x]\nprovider = cloud\ntoken = cred:cloud.token")
	profile, _ := p.Profile("x")
	if _, err := c.Values(cloud, profile); err == nil || !strings.Contains(err.Error(), "LoadCredential=cloud.token:") {
		t.Errorf("without systemd: %v", err)
	}
}

// other is another provider.
var other = dns.Entry{Name: "other", Title: "Other", Keys: []dns.Key{{Name: "key", Needed: true}}, New: cloud.New}

func find(name string) (dns.Entry, bool) {
	for _, e := range []dns.Entry{cloud, other} {
		if e.Is(strings.TrimPrefix(name, "dns-")) {
			return e, true
		}
	}
	return dns.Entry{}, false
}

func TestRouter(t *testing.T) {
	credentials := dns.Credentials{Lookup: func(name string) (string, bool) { return "env", name == "CLOUD_TOKEN" }}
	all, err := profiles(t, &credentials, threeProfiles)
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, "cloud.ini", "dns_cloud_token = f", 0o600)
	have := func() (*dns.Profiles, error) { return all, nil }
	for _, test := range []struct {
		what   string
		config dns.RouterConfig
		names  string
		want   string // the token or key, or the failure
	}{
		{"the environment", dns.RouterConfig{Provider: "cloud"}, "a.example", "env"},
		{"a file", dns.RouterConfig{Provider: "dns-old-cloud", File: file}, "a.example", "f"},
		{"a file, whatever profiles say", dns.RouterConfig{Provider: "cloud", File: file, Profiles: have}, "example.com", "f"},
		{"a profile by its name", dns.RouterConfig{Profile: "home", Profiles: have}, "example.com", "h"},
		{"a profile by the domain", dns.RouterConfig{Profiles: have}, "www.example.com", "w"},
		{"a profile by where the alias leads", dns.RouterConfig{Profiles: have}, "x.lab.example.com,www.example.net", "h"},
		{"a profile of that provider", dns.RouterConfig{Provider: "cloud", Profiles: have}, "www.example.com", "w"},
		{"a profile of another provider", dns.RouterConfig{Provider: "cloud", Profiles: have}, "www.example.net", "env"},
		{"no profile", dns.RouterConfig{Profiles: have}, "a.example", "! finding the credentials for a.example"},
		{"no such profile", dns.RouterConfig{Profile: "none", Profiles: have}, "a.example", "! it has work, home, other"},
		{"nothing", dns.RouterConfig{Provider: "other"}, "a.example", ""},
	} {
		test.config.Find, test.config.Credentials = find, credentials
		router, err := dns.NewRouter(test.config)
		if err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		route, err := router.Route(strings.Split(test.names, ",")...)
		if failure, ok := strings.CutPrefix(test.want, "! "); ok {
			if err == nil || !strings.Contains(err.Error(), failure) {
				t.Errorf("%s: %v; want %q", test.what, err, failure)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		values := route.Provider.(*settled).Values
		if got := values["token"] + values["key"]; got != test.want {
			t.Errorf("%s: made with %q, want %q", test.what, got, test.want)
		}
		if again, err := router.Route(test.names); err == nil && !strings.Contains(test.names, ",") && again != route {
			t.Errorf("%s: the second route is another", test.what)
		}
	}
}

func TestRouterSaysWhatIsWrong(t *testing.T) {
	if _, err := dns.NewRouter(dns.RouterConfig{Find: find, Provider: "nobody"}); err == nil {
		t.Error("nobody is a provider")
	}
	bad := write(t, "cloud.ini", "dns_cloud_token = f\ndns_cloud_account = bad", 0o600)
	router, err := dns.NewRouter(dns.RouterConfig{Find: find, Provider: "cloud", File: bad})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := router.Route("a.example"); err == nil || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "token, account, pair") {
		t.Errorf("a provider that cannot be made: %v", err)
	}
}

func FuzzProfiles(f *testing.F) {
	f.Add(threeProfiles)
	f.Fuzz(func(t *testing.T, text string) {
		var c dns.Credentials
		p, err := c.Profiles(write(t, "p", text, 0o600))
		if err != nil {
			return
		}
		for _, name := range p.Names() {
			if profile, err := p.Profile(name); err == nil {
				_, _ = c.Values(cloud, profile)
			}
		}
	})
}
