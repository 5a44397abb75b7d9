package lineage_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

var everything = lineage.Params{
	Account: "34ab0252e553ffb25c84ba951e632df4", Server: "https://localhost:14000/dir", Authenticator: "webroot", Installer: "nginx",
	KeyType: "rsa", EllipticCurve: "secp384r1", RSAKeySize: 4096, HTTP01Port: 5002, HTTP01Address: "::1",
	PreferredChallenges: []string{"http-01"}, PreferredChain: "A, B & # Root", PreferredProfile: "shortlived", RequiredProfile: "classic",
	WebrootPath: []string{"/var/www/a b", "/srv,x"}, WebrootMap: []lineage.Webroot{{Name: "a.example", Path: "/srv,x"}, {Name: "b.example", Path: "/w"}},
	PreHook: "echo pre", PostHook: `echo "it's" # x`, DeployHook: "a\nb", ReuseKey: true, MustStaple: true, AllowSubsetOfNames: true, NoAutoRenew: true,
	UserAgent: "me/1 (a, b)", ConfigDir: "/c", WorkDir: "/w", LogsDir: "/l",
	Plugin: map[string]string{"manual_auth_hook": `sh -c "a, b"`, "dns_foo_credentials": "~/x.ini", "apache_ctl": "2"},
}

func TestParamsComeBack(t *testing.T) {
	for _, p := range []lineage.Params{{KeyType: "rsa"}, params, everything} {
		c, err := lineage.ParseConf([]byte("# mine\nversion = 1\n[renewalparams]\nunknown = x # kept\n[other]\na = b\n"))
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []lineage.Params{p, everything, p} {
			if err := c.SetParams(step); err != nil {
				t.Fatal(err)
			}
			again, err := lineage.ParseConf(c.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := again.Params(); err != nil || !reflect.DeepEqual(got, step) {
				t.Errorf("wrote %+v, read %+v, %v", step, got, err)
			}
		}
		if text := string(c.Bytes()); !strings.HasPrefix(text, "# mine\nversion = 1\n[renewalparams]\nunknown = x # kept\n") || !strings.HasSuffix(text, "[other]\na = b\n") {
			t.Errorf("something else was changed:\n%s", text)
		}
	}
}

func TestParamsOfOldFiles(t *testing.T) {
	const old = `# renew_before_expiry = 30 days
cert = /x
# Options used in the renewal process
[renewalparams]
installer = None
http01_port = None
autorenew = true
reuse_key = FALSE
webroot_path = /var/www
pref_challs = http-01
server = https://acme-v01.api.letsencrypt.org/directory
manual_auth_hook = None
os_packages_only = False
manual_public_ip_logging_ok = True
`
	c, err := lineage.ParseConf([]byte(old))
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Params()
	want := lineage.Params{
		KeyType: "rsa", WebrootPath: []string{"/var/www"}, PreferredChallenges: []string{"http-01"},
		Server: "https://acme-v02.api.letsencrypt.org/directory",
	}
	if err != nil || !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, %v, want %+v", p, err, want)
	}
	p.HTTP01Port = 80
	if err := c.SetParams(p); err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("http01_port = None", "http01_port = 80", "acme-v01", "acme-v02", "os_packages_only = False\n", "", "manual_public_ip_logging_ok = True\n", "key_type = rsa\n")
	if text := string(c.Bytes()); text != changed.Replace(old) {
		t.Errorf("more than the port was changed:\n%s", text)
	}
}

func TestParamsRefuse(t *testing.T) {
	for _, line := range []string{"rsa_key_size = big", "http01_port = -1", "http01_port = ''", "reuse_key = yes", "autorenew = 0", "must_staple = ,"} {
		c, err := lineage.ParseConf([]byte("[renewalparams]\n" + line + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		key, _, _ := strings.Cut(line, " ")
		if p, err := c.Params(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %+v, %v", line, p, err)
		}
	}
	c, err := lineage.ParseConf([]byte("cert = x\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.Params(); err == nil {
		t.Errorf("without the section: %+v", p)
	}
}

func TestOwnKeys(t *testing.T) {
	c, err := lineage.ParseConf([]byte("renew_before_expiry = 1 week\n[renewalparams]\na = b\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Own("x"); got != "" || c.RenewBeforeExpiry() != "1 week" {
		t.Errorf("got %q, %q", got, c.RenewBeforeExpiry())
	}
	for _, value := range []string{"1", "2", ""} {
		if err := c.SetOwn("x", value); err != nil || c.Own("x") != value {
			t.Errorf("%q: %q, %v", value, c.Own("x"), err)
		}
	}
	if text := string(c.Bytes()); text != "renew_before_expiry = 1 week\n[renewalparams]\na = b\n[cairnbot]\n" {
		t.Errorf("got %q", text)
	}
}

// reconstitute has certbot prepare a renewal from a configuration, and gives what it has understood.
const reconstitute = `
import json, sys
from certbot import configuration
from certbot._internal import cli, renewal
from certbot._internal.plugins import disco
args = ["renew", "--config-dir", sys.argv[1], "--work-dir", sys.argv[2], "--logs-dir", sys.argv[3], "-n"]
config = configuration.NamespaceConfig(cli.prepare_and_parse_args(disco.PluginsRegistry.find_all(), args))
found = renewal._reconstitute(config, sys.argv[4])
names = ["account", "server", "authenticator", "installer", "key_type", "elliptic_curve", "rsa_key_size", "http01_port", "http01_address", "pref_challs", "preferred_chain",
    "webroot_path", "webroot_map", "pre_hook", "post_hook", "renew_hook", "reuse_key", "must_staple", "allow_subset_of_names", "autorenew", "domains"]
json.dump({n: getattr(config, n) for n in names} if found else None, sys.stdout)
`

func TestCertbotUnderstandsParams(t *testing.T) {
	dirs := tempDirs(t)
	store := open(t, dirs)
	l, err := store.Create("a.example", newAuthority(t).material(t, "a.example"), lineage.Setup{Params: everything})
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
	var got, want any
	if err := json.Unmarshal(python(t, reconstitute, nil, dirs.Config, dirs.Work, dirs.Logs, l.ConfPath()), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"account": "34ab0252e553ffb25c84ba951e632df4", "server": "https://localhost:14000/dir", "authenticator": "webroot", "installer": "nginx",
		"key_type": "rsa", "elliptic_curve": "secp384r1", "rsa_key_size": 4096, "http01_port": 5002, "http01_address": "::1", "pref_challs": ["http-01"],
		"preferred_chain": "A, B & # Root", "webroot_path": ["/var/www/a b", "/srv,x"], "webroot_map": {"a.example": "/srv,x", "b.example": "/w"},
		"pre_hook": "echo pre", "post_hook": "echo \"it's\" # x", "renew_hook": "a\nb", "reuse_key": true, "must_staple": true, "allow_subset_of_names": true,
		"autorenew": false, "domains": ["a.example"]}`), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("certbot understands\n%v\nwant\n%v", got, want)
	}
}

func TestSaveKeepsMode(t *testing.T) {
	dirs := tempDirs(t)
	l := create(t, open(t, dirs), "a.example", newAuthority(t).material(t, "a.example"))
	if err := os.Chmod(l.ConfPath(), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := l.Save(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(l.ConfPath()); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if text, err := os.ReadFile(filepath.Join(dirs.Config, "renewal/a.example.conf")); err != nil || string(text) != string(l.Conf.Bytes()) {
		t.Errorf("saved %q, %v", text, err)
	}
}

func FuzzConf(f *testing.F) {
	f.Add([]byte("[renewalparams]\nserver = https://x\nrsa_key_size = 2048\n[[webroot_map]]\na = /b\n"), "echo 'x'", "/w")
	f.Add([]byte("[renewalparams]\nautorenew = False\npre_hook = None\nwebroot_path = /a,\n"), "", "a,b")
	f.Fuzz(func(t *testing.T, text []byte, hook, root string) {
		c, err := lineage.ParseConf(text)
		if err != nil {
			return
		}
		p, err := c.Params()
		if err != nil {
			return
		}
		p.PreHook, p.WebrootPath = hook, []string{root}
		if hook == "None" || c.SetParams(p) != nil {
			return
		}
		again, err := lineage.ParseConf(c.Bytes())
		if err != nil {
			t.Fatalf("%q became %q: %v", text, c.Bytes(), err)
		}
		if got, err := again.Params(); err != nil || !strings.Contains(hook+root, "%(") && !reflect.DeepEqual(got, p) {
			t.Fatalf("wrote %+v, read %+v, %v from %q", p, got, err, c.Bytes())
		}
	})
}

func FuzzMaterial(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n"), []byte("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), []byte(""))
	f.Fuzz(func(t *testing.T, key, chain []byte) {
		if m, err := lineage.NewMaterial(key, chain); err == nil {
			if err := m.Check(); err != nil {
				t.Errorf("NewMaterial passed what Check refuses: %v", err)
			}
		}
	})
}

// FuzzAccount reads the three files of an account.
func FuzzAccount(f *testing.F) {
	f.Add([]byte(`{"kty":"EC","crv":"P-256"}`), []byte(`{"body":{},"uri":"https://x/1"}`), []byte(`{"creation_dt":"2026-11-23T17:57:20Z","creation_host":"vm"}`))
	f.Add([]byte(`{"kty":"oct","k":"AA"}`), []byte(`{"uri":1}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, key, registration, meta []byte) {
		dirs := lineage.Dirs{Config: t.TempDir()}
		directory := filepath.Join(dirs.Config, "accounts/x/dir/id")
		write(t, filepath.Join(directory, "private_key.json"), string(key), 0o600)
		write(t, filepath.Join(directory, "regr.json"), string(registration), 0o600)
		write(t, filepath.Join(directory, "meta.json"), string(meta), 0o600)
		accounts, err := dirs.Accounts("https://x/dir")
		if err != nil {
			t.Fatal(err)
		}
		if account, err := accounts.Load("id"); err == nil && (account.ID() == "" || account.URL == "" || account.Created.IsZero()) {
			t.Errorf("loaded %+v", account)
		}
	})
}

func TestAskAgain(t *testing.T) {
	conf, err := lineage.ParseConf([]byte("cert = x\n[renewalparams]\nserver = s\n"))
	if err != nil {
		t.Fatal(err)
	}
	before := string(conf.Bytes())
	if at := conf.AskAgain(); !at.IsZero() {
		t.Error(at)
	}
	want := time.Date(2026, 11, 24, 0, 1, 2, 0, time.Local)
	if err := conf.SetAskAgain(want.UTC()); err != nil || !strings.HasSuffix(string(conf.Bytes()), "[acme_renewal_info]\nari_retry_after = 2026-11-24T00:01:02\n") {
		t.Errorf("%q, %v", conf.Bytes(), err)
	}
	if at := conf.AskAgain(); !at.Equal(want) {
		t.Error(at)
	}
	if err := conf.SetAskAgain(time.Time{}); err != nil || string(conf.Bytes()) != before {
		t.Errorf("%q, %v", conf.Bytes(), err)
	}
	for text, ok := range map[string]bool{"2026-11-24T00:01:02.123456": true, "soon": false, "": false} {
		conf, err := lineage.ParseConf([]byte("[acme_renewal_info]\nari_retry_after = " + text + "\nother = 1\n"))
		if err != nil || conf.AskAgain().IsZero() == ok {
			t.Errorf("%q: %s, %v", text, conf.AskAgain(), err)
		}
		if err := conf.SetAskAgain(time.Time{}); err != nil || !strings.Contains(string(conf.Bytes()), "other = 1") {
			t.Errorf("%q, %v", conf.Bytes(), err)
		}
	}
}
