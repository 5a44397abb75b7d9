package adopt

import (
	"encoding/json"
	"path/filepath"
	"strings"
)

// legoAccount is account.json, of version 4 and 5.
type legoAccount struct {
	Email        string `json:"email"`
	ID           string `json:"id"`     // version 5
	Server       string `json:"server"` // version 5
	Registration struct {
		URI        string `json:"uri"`        // version 4
		AccountURL string `json:"accountURL"` // version 5
	} `json:"registration"`
}

// legoCertificate is NAME.json, of version 4 and 5.
type legoCertificate struct {
	CertURL        string `json:"certUrl"`
	PreferredChain string `json:"preferredChain"`
	Profile        string `json:"profile"`
}

// lego reads .lego:
//
//	accounts/HOST/EMAIL/account.json    and keys/EMAIL.key (version 4) or ID.key (version 5)
//	certificates/NAME.json              and .crt, .issuer.crt, .key; "_" stands for the "*" of a wildcard
func (r *reader) lego() error {
	accounts := make(map[string][]*Account) // by host of the CA
	root := filepath.Join(r.config.Dir, "accounts")
	for _, place := range entries(root) {
		for _, user := range entries(filepath.Join(root, place)) {
			if a := r.legoAccount(filepath.Join(root, place, user), user, place); a != nil {
				accounts[host(a.URL)] = append(accounts[host(a.URL)], a)
			}
		}
	}
	directory := filepath.Join(r.config.Dir, "certificates")
	for _, name := range entries(directory) {
		base, ok := strings.CutSuffix(name, ".json")
		if !ok {
			continue
		}
		r.legoCertificate(filepath.Join(directory, base), accounts)
	}
	if len(r.found.Certificates) > 0 {
		r.note("lego keeps neither how control was proven nor its hooks: give them with cairnbot reconfigure --cert-name NAME, then take lego's renewal out of cron or systemd")
	}
	return nil
}

func (r *reader) legoAccount(directory, user, place string) *Account {
	content, err := text(filepath.Join(directory, "account.json"))
	if err != nil {
		return nil
	}
	var a legoAccount
	if err := json.Unmarshal(content, &a); err != nil {
		r.note("the account in %s is left out: %v", directory, err)
		return nil
	}
	address := firstOf(a.Registration.AccountURL, a.Registration.URI)
	server := firstOf(a.Server, r.serverAt(host(address)), r.serverAt(place))
	key := filepath.Join(directory, "keys", user+".key")
	if _, err := text(key); err != nil {
		key = filepath.Join(directory, user+".key")
	}
	return r.account(server, address, key)
}

// legoCertificate reads the files that begin with base.
func (r *reader) legoCertificate(base string, accounts map[string][]*Account) {
	var meta legoCertificate
	content, err := text(base + ".json")
	if err == nil {
		err = json.Unmarshal(content, &meta)
	}
	if err != nil {
		r.note("%s.json is left out: %v", base, err)
		return
	}
	c, ok := r.begin("", base+".key", base+".crt", "")
	if !ok {
		return
	}
	if len(c.Material.Chain) == 0 { // without --bundle the issuers are apart
		if whole, err := load("", base+".key", base+".crt", base+".issuer.crt"); err == nil {
			whole.From = c.From
			c = whole
		}
	}
	c.Params.PreferredChain, c.Params.PreferredProfile = meta.PreferredChain, meta.Profile
	c.Params.Server = r.serverAt(host(meta.CertURL))
	switch mine := accounts[host(meta.CertURL)]; len(mine) {
	case 0:
	case 1:
		c.Account, c.Params.Server = mine[0], mine[0].Server
	default:
		c.Account, c.Params.Server = mine[0], mine[0].Server
		c.note("there are %d accounts at its CA, and lego does not say which it is from: the first is used", len(mine))
	}
	c.note("how control was proven is not written there: choose a method with cairnbot reconfigure --cert-name %s", c.Name)
	r.add(c)
}
