package adopt_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/adopt"
)

// acmeSh lays down one certificate as acme.sh keeps it.
func acmeSh(t *testing.T, home, directory, domain, kind, conf string, names ...string) {
	t.Helper()
	key, cert := pair(t, kind, names...)
	at := filepath.Join(home, directory)
	write(t, filepath.Join(at, domain+".key"), key)
	write(t, filepath.Join(at, domain+".cer"), cert)
	write(t, filepath.Join(at, "fullchain.cer"), cert+issuer().pem)
	write(t, filepath.Join(at, domain+".conf"), conf)
}

func TestAcmeSh(t *testing.T) {
	home := t.TempDir()
	write(t, filepath.Join(home, "account.conf"), "ACCOUNT_EMAIL='me@a.test'\nSAVED_CF_Token='s3cr%et'\nUPGRADE_HASH='x'\nLOG_FILE=$(touch "+home+"/pwned)\n")
	accountKey, _ := pair(t, "ecdsa", "x.test")
	write(t, filepath.Join(home, "ca", "ca.test", "dir", "account.key"), accountKey)
	write(t, filepath.Join(home, "ca", "ca.test", "dir", "ca.conf"), "ACCOUNT_URL='https://ca.test/acct/1'\nCA_KEY_HASH='x='\n")
	// "systemctl reload nginx", as acme.sh keeps commands.
	reload := "Le_ReloadCmd='__ACME_BASE64__START_c3lzdGVtY3RsIHJlbG9hZCBuZ2lueA==__ACME_BASE64__END_'\nLe_RealKeyPath='/etc/nginx/a.key'\n"
	api := "Le_API='https://ca.test/dir'\n"
	acmeSh(t, home, "a.test_ecc", "a.test", "ecdsa", "Le_Domain='a.test'\nLe_Alt='www.a.test'\nLe_Webroot='/srv/a,/srv/www'\nLe_PreHook=''\n"+api+reload, "a.test", "www.a.test")
	acmeSh(t, home, "a.test", "a.test", "rsa", "Le_Domain='a.test'\nLe_Alt='no'\nLe_Webroot='no'\n"+api, "a.test")
	acmeSh(t, home, "*.b.test", "*.b.test", "rsa", "Le_Domain='*.b.test'\nLe_Alt='no'\nLe_Webroot='dns_cf'\n"+api, "*.b.test")
	acmeSh(t, home, "c.test", "c.test", "rsa", "Le_Domain='c.test'\nLe_Webroot='dns_nobody'\nLe_Alt='no'\n"+api, "c.test")
	acmeSh(t, home, "d.test", "d.test", "rsa", "Le_Domain='d.test'\nLe_Webroot='alpn'\nLe_Alt='no'\n"+api, "d.test")
	acmeSh(t, home, "e.test", "e.test", "rsa", "Le_Domain='e.test'\nLe_Webroot='dns_own'\nLe_Alt='no'\n"+api, "e.test")
	write(t, filepath.Join(home, "dnsapi", "dns_own.sh"), "dns_own_add() { :; }\n")
	write(t, filepath.Join(home, "broken.test", "broken.test.conf"), "Le_Domain='broken.test'\n")
	provider := func(name string) (map[string]string, bool) {
		return map[string]string{"CF_DNS_API_TOKEN": "api_token", "CF_API_KEY": "api_key"}, name == "cloudflare" || name == "acmesh"
	}
	report, s, dir := carry(t, adopt.Config{Source: adopt.AcmeSh, Dir: home, Provider: provider})
	if _, err := os.Stat(filepath.Join(home, "pwned")); err == nil {
		t.Fatal("a line of the configuration was run")
	}
	first := params(t, s, "a.test") // the directory without "_ecc" comes first
	if first.KeyType != "rsa" || first.Authenticator != "standalone" || first.Server != "https://ca.test/dir" {
		t.Errorf("a.test: %+v", first)
	}
	hasAccount(t, s, first)
	second := params(t, s, "a.test-ecdsa")
	if second.EllipticCurve != "secp384r1" || !slices.Equal(second.WebrootPath, []string{"/srv/a", "/srv/www"}) || second.DeployHook != "systemctl reload nginx" {
		t.Errorf("a.test-ecdsa: %+v", second)
	}
	if wild := params(t, s, "b.test"); wild.Authenticator != "dns-cloudflare" {
		t.Errorf("b.test: %+v", wild)
	}
	credentials := filepath.Join(dir, "etc", "credentials", "cloudflare-b.test.ini")
	text, err := os.ReadFile(credentials)
	info, statErr := os.Stat(credentials)
	if err != nil || statErr != nil || string(text) != "dns_cloudflare_api_token = s3cr%et\n" || info.Mode().Perm() != 0o600 {
		t.Errorf("the credentials are %q, %v", text, err)
	}
	conf, err := os.ReadFile(filepath.Join(dir, "etc", "renewal", "b.test.conf"))
	if err != nil || !strings.Contains(string(conf), "dns_cloudflare_credentials = "+credentials+"\n") {
		t.Errorf("the renewal configuration of b.test is\n%s", conf)
	}
	if alpn := params(t, s, "d.test"); !slices.Equal(alpn.PreferredChallenges, []string{"tls-alpn-01"}) {
		t.Errorf("d.test: %+v", alpn)
	}
	if script := params(t, s, "e.test"); script.Authenticator != "dns-acmesh" || !strings.HasSuffix(script.Plugin["dns_acmesh_credentials"], "acmesh-e.test.ini") {
		t.Errorf("e.test: %+v", script)
	}
	checkNotes(t, report)
}

// checkNotes looks whether what could not be carried over is said.
func checkNotes(t *testing.T, report adopt.Report) {
	t.Helper()
	for _, c := range report.Certificates {
		notes := strings.Join(c.Notes, "\n")
		switch {
		case c.Name == "c.test" && !strings.Contains(notes, "dns_nobody"), c.Name == "a.test-ecdsa" && (!strings.Contains(notes, "/etc/nginx/a.key") || !slices.Equal(c.Hooks, []string{"systemctl reload nginx"})):
			t.Errorf("the notes of %s are %q", c.Name, notes)
		}
	}
	if notes := strings.Join(report.Notes, "\n"); !strings.Contains(notes, "broken.test") || !strings.Contains(notes, "only a shell") || strings.Contains(notes, "s3cr") {
		t.Errorf("the notes are %q", notes)
	}
}

func TestLegoVersion5(t *testing.T) {
	dir := t.TempDir()
	account, _ := pair(t, "ecdsa", "x.test")
	write(t, filepath.Join(dir, "accounts", "ca.test", "me@a.test", "account.json"),
		`{"id": "", "email": "me@a.test", "keyType": "EC256", "server": "https://ca.test/dir", "registration": {"status": "valid", "accountURL": "https://ca.test/acct/9"}}`)
	write(t, filepath.Join(dir, "accounts", "ca.test", "me@a.test", "me@a.test.key"), account)
	key, cert := pair(t, "ecdsa", "*.a.test")
	write(t, filepath.Join(dir, "certificates", "_.a.test.json"),
		`{"id": "*.a.test", "domains": ["*.a.test"], "keyType": "EC384", "profile": "short", "certUrl": "https://ca.test/cert/1"}`)
	write(t, filepath.Join(dir, "certificates", "_.a.test.key"), key)
	write(t, filepath.Join(dir, "certificates", "_.a.test.crt"), cert)
	write(t, filepath.Join(dir, "certificates", "_.a.test.issuer.crt"), issuer().pem)
	report, s, _ := carry(t, adopt.Config{Source: adopt.Lego, Dir: dir})
	p := params(t, s, "a.test")
	if p.Server != "https://ca.test/dir" || p.PreferredProfile != "short" || report.Certificates[0].Identifiers[0] != "*.a.test" {
		t.Errorf("a.test: %+v", p)
	}
	hasAccount(t, s, p)
	l, err := s.Load("a.test")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := l.Material(1); err != nil || string(m.Chain) != issuer().pem {
		t.Errorf("the chain is %q, %v", m.Chain, err)
	}
}

func TestWhatIsNoDirectoryIsRefused(t *testing.T) {
	for _, c := range []adopt.Config{{Source: adopt.Lego, Dir: "/nowhere"}, {Source: "certbot", Dir: t.TempDir()}} {
		if _, err := adopt.Read(c); err == nil {
			t.Errorf("%+v was read", c)
		}
	}
}
