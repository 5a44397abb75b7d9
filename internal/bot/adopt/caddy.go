package adopt

import (
	"encoding/json"
	"path/filepath"
	"strings"
)

// caddyCertificate is NAME.json. What the issuer adds differs between versions.
type caddyCertificate struct {
	IssuerData struct {
		CA      string `json:"ca"`
		Account string `json:"account"`
		URL     string `json:"url"`
	} `json:"issuer_data"`
}

// caddy reads Caddy's data directory:
//
//	certificates/CA/NAME/    NAME.crt, NAME.key, NAME.json; CA is the URL of the directory, with "-" for what a file name cannot have
//	acme/CA/users/EMAIL/     EMAIL.json, EMAIL.key
func (r *reader) caddy() error {
	accounts := r.caddyAccounts()
	root := filepath.Join(r.config.Dir, "certificates")
	for _, issuer := range entries(root) {
		if issuer == "local" {
			r.note("certificates of Caddy's own authority are left out: they are made anew by itself")
			continue
		}
		for _, name := range entries(filepath.Join(root, issuer)) {
			base := filepath.Join(root, issuer, name, name)
			content, err := text(base + ".json")
			if err != nil {
				continue
			}
			var meta caddyCertificate
			if err := json.Unmarshal(content, &meta); err != nil {
				r.note("%s.json is left out: %v", base, err)
				continue
			}
			c, ok := r.begin("", base+".key", base+".crt", "")
			if !ok {
				continue
			}
			c.Params.Server = firstOf(r.caddyServer(issuer), meta.server(issuer))
			c.caddyAccount(meta.IssuerData.Account, accounts[issuer])
			if strings.HasPrefix(name, "wildcard_") {
				c.note("it is for all names below %s, which needs the DNS: choose a provider with cairnbot reconfigure --cert-name %s --dns PROVIDER", c.Name, c.Name)
			} else {
				c.Params.Authenticator = "standalone"
				c.note("Caddy answered the CA itself. While it runs it has port 80: renew through a web root it serves (cairnbot reconfigure --cert-name %s --webroot -w DIR), or stop it in a pre-hook", c.Name)
			}
			r.add(c)
		}
	}
	if len(r.found.Certificates) > 0 {
		r.note("Caddy goes on renewing these as long as its configuration has their names; to have it use the files of cairnbot, name them there: tls CERT KEY")
	}
	return nil
}

// caddyServer finds the directory's URL behind the name that Caddy made of it, among those that are known.
func (r *reader) caddyServer(issuer string) string {
	known := []string{r.config.Server}
	for _, server := range directories {
		known = append(known, server)
	}
	for _, server := range known {
		if server != "" && caddyKey(server) == issuer {
			return server
		}
	}
	return ""
}

// caddyKey is how Caddy names a directory after an URL.
func caddyKey(server string) string {
	_, rest, _ := strings.Cut(server, "://")
	return strings.NewReplacer("/", "-", ":", "-").Replace(strings.ToLower(rest))
}

// caddyAccounts finds the accounts, by the name that Caddy has for their CA.
func (r *reader) caddyAccounts() map[string][]*Account {
	accounts := make(map[string][]*Account)
	root := filepath.Join(r.config.Dir, "acme")
	for _, issuer := range entries(root) {
		users := filepath.Join(root, issuer, "users")
		for _, user := range entries(users) {
			base := filepath.Join(users, user)
			var meta struct {
				Location string `json:"location"`
			}
			files := entries(base)
			for _, file := range files {
				name, ok := strings.CutSuffix(file, ".json")
				if !ok {
					continue
				}
				if content, err := text(filepath.Join(base, file)); err == nil {
					_ = json.Unmarshal(content, &meta) // without a location the account says so itself
				}
				server := firstOf(r.caddyServer(issuer), r.serverAt(host(meta.Location)), r.caddyDirectory(issuer))
				if a := r.account(server, meta.Location, filepath.Join(base, name+".key")); a != nil {
					accounts[issuer] = append(accounts[issuer], a)
				}
			}
		}
	}
	return accounts
}

// caddyDirectory finds the directory's URL through a certificate from the same CA.
func (r *reader) caddyDirectory(issuer string) string {
	root := filepath.Join(r.config.Dir, "certificates", issuer)
	for _, name := range entries(root) {
		var meta caddyCertificate
		content, err := text(filepath.Join(root, name, name+".json"))
		if err != nil || json.Unmarshal(content, &meta) != nil {
			continue
		}
		if server := meta.server(issuer); server != "" {
			return server
		}
	}
	return ""
}

// server is the URL of the directory, where the file or the name that Caddy made of it says it beyond doubt: a path of
// one part. In a longer one a "-" can be a "-" or a "/".
func (m caddyCertificate) server(issuer string) string {
	if m.IssuerData.CA != "" {
		return m.IssuerData.CA
	}
	path, ok := strings.CutPrefix(issuer, caddyKey("https://"+host(m.IssuerData.URL))+"-")
	if !ok || path == "" || strings.Contains(path, "-") {
		return ""
	}
	return "https://" + host(m.IssuerData.URL) + "/" + path
}

// caddyAccount chooses the account that a certificate is from, or the only one.
func (c *Certificate) caddyAccount(address string, accounts []*Account) {
	for _, a := range accounts {
		if a.URL == address || len(accounts) == 1 {
			c.Account, c.Params.Server = a, a.Server
		}
	}
	if c.Account == nil && len(accounts) > 0 {
		c.Account, c.Params.Server = accounts[0], accounts[0].Server
	}
}
