package adopt

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// dehydratedCAs are the short names of CAs in its configuration.
var dehydratedCAs = map[string]string{
	"letsencrypt":      "https://acme-v02.api.letsencrypt.org/directory",
	"letsencrypt-test": "https://acme-staging-v02.api.letsencrypt.org/directory",
	"zerossl":          "https://acme.zerossl.com/v2/DV90",
	"buypass":          "https://api.buypass.com/acme/directory",
	"buypass-test":     "https://api.test4.buypass.no/acme/directory",
	"google":           "https://dv.acme-v02.api.pki.goog/directory",
	"google-test":      "https://dv.acme-v02.test-api.pki.goog/directory",
}

// dehydrated reads a configuration file, or the directory that it is in, and what that names:
//
//	ACCOUNTDIR/URL in base64url/    account_key.pem, account_id.json
//	CERTDIR/NAME/                   privkey.pem, fullchain.pem, config (variables for this one)
//	DOMAINS_TXT                     names a line, and after ">" what the files are called
func (r *reader) dehydrated() error {
	base, conf := r.dehydratedConfig()
	accounts := r.dehydratedAccounts(firstOf(conf["ACCOUNTDIR"], filepath.Join(base, "accounts")))
	server := conf["CA"]
	if known, ok := dehydratedCAs[server]; ok {
		server = known
	}
	directory := firstOf(conf["CERTDIR"], filepath.Join(base, "certs"))
	r.dehydratedDomains(firstOf(conf["DOMAINS_TXT"], filepath.Join(base, "domains.txt")), directory)
	for _, name := range entries(directory) {
		path := filepath.Join(directory, name)
		if _, err := os.Stat(filepath.Join(path, "privkey.pem")); err != nil {
			continue
		}
		c, ok := r.begin(strings.TrimPrefix(name, "*."), filepath.Join(path, "privkey.pem"), filepath.Join(path, "fullchain.pem"), "")
		if !ok {
			continue
		}
		own := conf
		if content, err := text(filepath.Join(path, "config")); err == nil {
			var others []int
			if own, others = assignments(string(content), conf); len(others) > 0 {
				c.note("its config has lines that only a shell understands (%s): what they set is left out", lines(others))
			}
		}
		c.Params.Server, c.Account, c.Params.PreferredChain = server, accounts[server], own["PREFERRED_CHAIN"]
		c.Params.MustStaple = own["OCSP_MUST_STAPLE"] == "yes"
		c.Params.ReuseKey = own["PRIVATE_KEY_RENEW"] == "no"
		c.dehydratedMethod(own)
		r.add(c)
	}
	r.note("dehydrated still renews: when a renewal by cairnbot has worked, take it out of cron")
	return nil
}

// dehydratedConfig reads the configuration, and what CONFIG_D adds.
func (r *reader) dehydratedConfig() (base string, conf map[string]string) {
	file := r.config.Dir
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, "config")
	}
	base = filepath.Dir(file)
	// The defaults that dehydrated has, as far as they can be used in values; SCRIPTDIR is where Debian has none.
	conf = map[string]string{
		"BASEDIR": base, "SCRIPTDIR": base, "CA": "letsencrypt", "CHALLENGETYPE": "http-01", "WELLKNOWN": "/var/www/dehydrated",
	}
	read := func(path string) {
		content, err := text(path)
		if err != nil {
			return
		}
		var others []int
		if conf, others = assignments(string(content), conf); len(others) > 0 {
			r.note("%s has lines that only a shell understands (%s): what they set is left out", path, lines(others))
		}
	}
	read(file)
	if directory := conf["CONFIG_D"]; directory != "" {
		for _, name := range entries(directory) {
			if strings.HasSuffix(name, ".sh") {
				read(filepath.Join(directory, name))
			}
		}
	}
	return strings.TrimSuffix(conf["BASEDIR"], "/"), conf
}

// dehydratedAccounts finds the accounts, by the URL of the directory.
func (r *reader) dehydratedAccounts(directory string) map[string]*Account {
	accounts := make(map[string]*Account)
	for _, name := range entries(directory) {
		server, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(name, "="))
		if err != nil {
			continue
		}
		url := strings.TrimSpace(string(server))
		path := filepath.Join(directory, name)
		key := filepath.Join(path, "account_key.pem")
		if _, err := os.Stat(key); err != nil || !absolute(url) {
			continue
		}
		var id struct {
			URL string `json:"url"`
		}
		if content, err := text(filepath.Join(path, "account_id.json")); err == nil {
			_ = json.Unmarshal(content, &id) // without an URL the account says so itself
		}
		if a := r.account(url, id.URL, key); a != nil {
			accounts[url] = a
		}
	}
	return accounts
}

// dehydratedDomains says which lines of domains.txt have led to no certificate yet.
func (r *reader) dehydratedDomains(file, directory string) {
	content, err := text(file)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
			continue
		}
		names, alias, _ := strings.Cut(line, ">")
		list := strings.Fields(names)
		if len(list) == 0 {
			continue
		}
		path, ok := inside(directory, firstOf(strings.TrimSpace(alias), list[0]))
		if _, err := os.Stat(filepath.Join(path, "fullchain.pem")); !ok || err != nil {
			r.note("there is no certificate for the line %q of %s: get one with cairnbot certonly", line, file)
		}
	}
}

// dehydratedMethod carries over how control was proven. A hook is one program for everything, with a language of its own.
func (c *Certificate) dehydratedMethod(conf map[string]string) {
	switch conf["CHALLENGETYPE"] {
	case "http-01":
		c.Params.Authenticator = "webroot"
		leaf, err := c.Material.Leaf()
		if err != nil {
			return
		}
		// WELLKNOWN is the directory of the tokens themselves; a web root has .well-known/acme-challenge below it.
		root, ok := strings.CutSuffix(strings.TrimSuffix(conf["WELLKNOWN"], "/"), "/.well-known/acme-challenge")
		if !ok {
			c.Params.Authenticator = ""
			c.note("the web server serves %s as /.well-known/acme-challenge: name a web root with cairnbot reconfigure --cert-name %s --webroot -w DIR, of which that is the directory .well-known/acme-challenge (a link there is followed)",
				conf["WELLKNOWN"], c.Name)
			break
		}
		c.Params.WebrootPath = []string{root}
		for _, name := range leaf.DNSNames {
			c.Params.WebrootMap = append(c.Params.WebrootMap, lineage.Webroot{Name: name, Path: root})
		}
	case "tls-alpn-01":
		c.Params.Authenticator, c.Params.PreferredChallenges = "standalone", []string{"tls-alpn-01"}
		c.note("dehydrated left the answer to a web server; the built-in one needs port 443 for a moment")
	default:
		c.note("control was proven through %s, by the hook %q: choose a method with cairnbot reconfigure --cert-name %s", conf["CHALLENGETYPE"], conf["HOOK"], c.Name)
	}
	if conf["HOOK"] != "" {
		c.note("the hook %q is not carried over: put what it does at deploy_cert into a script in renewal-hooks/deploy", conf["HOOK"])
	}
}
