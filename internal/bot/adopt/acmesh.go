package adopt

import (
	"encoding/base64"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// acmeSh reads ~/.acme.sh:
//
//	account.conf                     variables for all: SAVED_… are the credentials of DNS providers
//	NAME/ or NAME_ecc/               NAME.conf (variables), NAME.key, NAME.cer, ca.cer, fullchain.cer
//	ca/HOST/PATH/                    account.key, ca.conf (ACCOUNT_URL)
func (r *reader) acmeSh() error {
	home := make(map[string]string)
	if content, err := text(filepath.Join(r.config.Dir, "account.conf")); err == nil {
		var others []int
		if home, others = assignments(string(content), nil); len(others) > 0 {
			r.note("account.conf has lines that only a shell understands (%s): what they set is left out", lines(others))
		}
	}
	for _, name := range entries(r.config.Dir) {
		domain := strings.TrimSuffix(name, "_ecc")
		if !strings.Contains(domain, ".") || domain == ".." || domain[0] == '.' {
			continue // ca, deploy, dnsapi, notify and acme.sh's own files
		}
		directory := filepath.Join(r.config.Dir, name)
		content, err := text(filepath.Join(directory, domain+".conf"))
		if err != nil {
			continue // no certificate's
		}
		conf, others := assignments(string(content), nil)
		cert := filepath.Join(directory, "fullchain.cer")
		c, ok := r.begin(strings.TrimPrefix(domain, "*."), filepath.Join(directory, domain+".key"), cert, "")
		if !ok {
			continue
		}
		if len(others) > 0 {
			c.note("%s.conf has lines that only a shell understands (%s): what they set is left out", domain, lines(others))
		}
		c.Params.Server = firstOf(conf["Le_API"], home["DEFAULT_ACME_SERVER"])
		c.Account = r.acmeShAccount(c.Params.Server)
		r.acmeShMethod(c, conf, home)
		acmeShHooks(c, conf)
		if foreign(r.config.Dir, directory, filepath.Join(directory, domain+".conf")) {
			c.leaveCommands()
		}
		c.Params.PreferredChain, c.Params.PreferredProfile = decode(conf["Le_Preferred_Chain"]), firstOf(conf["Le_Certificate_Profile"], conf["Le_CertProfile"])
		r.add(c)
	}
	r.note("acme.sh still renews: when a renewal by cairnbot has worked, run acme.sh --uninstall-cronjob, or acme.sh --remove -d NAME for each")
	return nil
}

func firstOf(texts ...string) string {
	i := slices.IndexFunc(texts, func(s string) bool { return s != "" })
	if i < 0 {
		return ""
	}
	return texts[i]
}

// acmeShAccount finds the account at a CA: below ca/, in directories named for the URL; earlier for the host alone.
func (r *reader) acmeShAccount(server string) *Account {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || strings.Contains(u.Path, "..") {
		return nil
	}
	for _, directory := range []string{
		filepath.Join(r.config.Dir, "ca", strings.ReplaceAll(u.Host, ":", "_"), filepath.FromSlash(u.Path)),
		filepath.Join(r.config.Dir, "ca", u.Host, filepath.FromSlash(u.Path)), filepath.Join(r.config.Dir, "ca", u.Host),
	} {
		content, err := text(filepath.Join(directory, "ca.conf"))
		if err != nil {
			continue
		}
		conf, _ := assignments(string(content), nil)
		return r.account(server, conf["ACCOUNT_URL"], filepath.Join(directory, "account.key"))
	}
	return nil
}

// acmeShMethod reads Le_Webroot: one way for all names, or a list with one for each.
func (r *reader) acmeShMethod(c *Certificate, conf, home map[string]string) {
	names := []string{conf["Le_Domain"]}
	if alt := conf["Le_Alt"]; alt != "" && alt != "no" {
		names = append(names, strings.Split(alt, ",")...)
	}
	ways := strings.Split(conf["Le_Webroot"], ",")
	first := ways[0]
	switch {
	case strings.HasPrefix(first, "/"):
		c.Params.Authenticator = "webroot"
		for i, name := range names {
			way := ways[min(i, len(ways)-1)]
			if way == "" {
				way = first
			}
			if !strings.HasPrefix(way, "/") {
				c.note("%s was proven by %q, the others through a web root: give a method for it with cairnbot reconfigure", name, way)
				continue
			}
			c.Params.WebrootMap = append(c.Params.WebrootMap, lineage.Webroot{Name: name, Path: way})
			if !slices.Contains(c.Params.WebrootPath, way) {
				c.Params.WebrootPath = append(c.Params.WebrootPath, way)
			}
		}
		return
	case first == "no" || first == "":
		c.Params.Authenticator = "standalone"
	case first == "alpn":
		c.Params.Authenticator, c.Params.PreferredChallenges = "standalone", []string{"tls-alpn-01"}
	case strings.HasPrefix(first, "dns_"):
		r.acmeShDNS(c, first, conf, home)
	default:
		c.note("control was proven by %q, which has no equivalent: choose a method with cairnbot reconfigure --cert-name %s", first, c.Name)
	}
	for _, way := range ways {
		if way != "" && way != first {
			c.note("some names were proven by %q: give a method for them with cairnbot reconfigure", way)
		}
	}
}

// acmeShDNS carries over a DNS provider with its credentials.
func (r *reader) acmeShDNS(c *Certificate, hook string, conf, home map[string]string) {
	if alias := firstOf(conf["Le_ChallengeAlias"], conf["Le_DomainAlias"]); alias != "" && alias != "no" {
		c.note("the proofs went to %q: the CNAME of _acme-challenge is followed by itself", alias)
	}
	for _, row := range dnsHooks() {
		if row.hook != hook || r.config.Provider == nil {
			continue
		}
		settings, ok := r.config.Provider(row.provider)
		if !ok {
			break
		}
		prefix := "dns_" + strings.ReplaceAll(row.provider, "-", "_") + "_"
		credentials := &Credentials{Provider: row.provider, Values: make(map[string]string)}
		for theirs, variable := range row.variables {
			value := decode(firstOf(conf["SAVED_"+theirs], conf[theirs], home["SAVED_"+theirs], home[theirs]))
			if setting, ok := settings[variable]; ok && value != "" {
				credentials.Values[prefix+setting] = value
			}
		}
		c.Params.Authenticator = "dns-" + row.provider
		if len(credentials.Values) == 0 {
			c.note("no credentials of %s are saved there: put them into a file, and name it with --dns-%s-credentials", hook, row.provider)
			return
		}
		c.DNS = credentials
		return
	}
	r.acmeShScript(c, hook)
}

// scriptProvider is the provider of ours that runs acme.sh's scripts.
const scriptProvider = "acmesh"

// acmeShScript has the script itself go on making records, with what acme.sh has saved for it.
func (r *reader) acmeShScript(c *Certificate, hook string) {
	var known bool
	if r.config.Provider != nil {
		_, known = r.config.Provider(scriptProvider)
	}
	path, ok := inside(r.config.Dir, "dnsapi", hook+".sh")
	if ok && exists(path) && foreign(r.config.Dir, filepath.Dir(path), path) {
		c.note("there is no provider of ours for %s, and its script %s is not run, for somebody else can change it: choose one with cairnbot reconfigure --cert-name %s --dns PROVIDER", hook, path, c.Name)
		return
	}
	if !known || !ok || !exists(path) {
		c.note("there is no provider of ours for %s, and its script is not in %s: choose one with cairnbot reconfigure --cert-name %s --dns PROVIDER",
			hook, filepath.Join(r.config.Dir, "dnsapi"), c.Name)
		return
	}
	c.Params.Authenticator = "dns-" + scriptProvider
	c.DNS = &Credentials{Provider: scriptProvider, Values: map[string]string{
		"dns_acmesh_script": path, "dns_acmesh_home": r.config.Dir, "dns_acmesh_account_conf": filepath.Join(r.config.Dir, "account.conf"),
	}}
	c.note("there is no provider of ours for %s: acme.sh's script goes on making the records, with the credentials that acme.sh has saved: keep %s", hook, r.config.Dir)
}

// dnsHooks are scripts in acme.sh's dnsapi for which there is a provider of ours, with what they call the settings that
// lego's variables stand for.
func dnsHooks() []dnsHook {
	return []dnsHook{
		{"dns_cf", "cloudflare", map[string]string{"CF_Token": "CF_DNS_API_TOKEN", "CF_Key": "CF_API_KEY", "CF_Email": "CF_API_EMAIL"}},
		{"dns_dgon", "digitalocean", map[string]string{"DO_API_KEY": "DO_AUTH_TOKEN"}},
		{"dns_aws", "route53", map[string]string{"AWS_ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY"}},
		{"dns_dnsimple", "dnsimple", map[string]string{"DNSimple_OAUTH_TOKEN": "DNSIMPLE_OAUTH_TOKEN"}},
		{"dns_me", "dnsmadeeasy", map[string]string{"ME_Key": "DNSMADEEASY_API_KEY", "ME_Secret": "DNSMADEEASY_API_SECRET"}},
		{"dns_linode_v4", "linode", map[string]string{"LINODE_V4_API_KEY": "LINODE_TOKEN"}},
		{"dns_lua", "luadns", map[string]string{"LUA_Key": "LUADNS_API_TOKEN", "LUA_Email": "LUADNS_API_USERNAME"}},
		{"dns_nsone", "nsone", map[string]string{"NS1_Key": "NS1_API_KEY"}},
		{"dns_ovh", "ovh", map[string]string{"OVH_END_POINT": "OVH_ENDPOINT", "OVH_AK": "OVH_APPLICATION_KEY", "OVH_AS": "OVH_APPLICATION_SECRET", "OVH_CK": "OVH_CONSUMER_KEY"}},
		{"dns_gandi_livedns", "gandiv5", map[string]string{"GANDI_LIVEDNS_KEY": "GANDIV5_API_KEY", "GANDI_LIVEDNS_TOKEN": "GANDIV5_PERSONAL_ACCESS_TOKEN"}},
		{"dns_hetzner", "hetzner", map[string]string{"HETZNER_Token": "HETZNER_API_KEY"}},
		{"dns_hetznercloud", "hetzner", map[string]string{"HETZNER_TOKEN": "HETZNER_API_TOKEN"}},
		{"dns_porkbun", "porkbun", map[string]string{"PORKBUN_API_KEY": "PORKBUN_API_KEY", "PORKBUN_SECRET_API_KEY": "PORKBUN_SECRET_API_KEY"}},
		{"dns_namecheap", "namecheap", map[string]string{"NAMECHEAP_USERNAME": "NAMECHEAP_API_USER", "NAMECHEAP_API_KEY": "NAMECHEAP_API_KEY"}},
		{"dns_duckdns", "duckdns", map[string]string{"DuckDNS_Token": "DUCKDNS_TOKEN"}},
		{"dns_desec", "desec", map[string]string{"DEDYN_TOKEN": "DESEC_TOKEN"}},
		{"dns_inwx", "inwx", map[string]string{"INWX_User": "INWX_USERNAME", "INWX_Password": "INWX_PASSWORD", "INWX_Shared_Secret": "INWX_SHARED_SECRET"}},
		{"dns_vultr", "vultr", map[string]string{"VULTR_API_KEY": "VULTR_API_KEY"}},
		{"dns_ionos", "ionos", map[string]string{"IONOS_PREFIX": "IONOS_API_PREFIX", "IONOS_SECRET": "IONOS_API_KEY"}},
		{"dns_acmedns", "acme-dns", map[string]string{"ACMEDNS_BASE_URL": "ACME_DNS_API_BASE"}},
	}
}

// dnsHook is a script of acme.sh's, and the provider of ours that stands for it.
type dnsHook struct {
	hook, provider string
	variables      map[string]string // what the script calls a setting → what lego does
}

// leaveCommands leaves out what renewals would run: it was written by somebody who would so get our rights.
func (c *Certificate) leaveCommands() {
	for _, hook := range []struct {
		option  string
		command *string
	}{{"--pre-hook", &c.Params.PreHook}, {"--post-hook", &c.Params.PostHook}, {"--deploy-hook", &c.Params.DeployHook}} {
		if *hook.command != "" {
			c.note("the command %q is not carried over, for somebody else can change the file that it is in: if it is right, give it to cairnbot reconfigure --cert-name %s %s", *hook.command, c.Name, hook.option)
			*hook.command = ""
		}
	}
}

// exists reports whether there is a file.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// acmeShHooks carries over the commands around a renewal. Deploy scripts of acme.sh's need acme.sh.
func acmeShHooks(c *Certificate, conf map[string]string) {
	c.Params.PreHook, c.Params.PostHook = decode(conf["Le_PreHook"]), decode(conf["Le_PostHook"])
	reload := decode(conf["Le_ReloadCmd"])
	c.Params.DeployHook = firstOf(reload, decode(conf["Le_RenewHook"]))
	if reload != "" && decode(conf["Le_RenewHook"]) != "" {
		c.note("of two commands after a renewal one is carried over: add %q to a script in renewal-hooks/deploy", decode(conf["Le_RenewHook"]))
	}
	copies := make(map[string]string)
	for variable, kind := range map[string]string{
		"Le_RealCertPath": "cert", "Le_RealKeyPath": "privkey", "Le_RealCACertPath": "chain", "Le_RealFullChainPath": "fullchain",
	} {
		if path := decode(conf[variable]); path != "" && path != "no" {
			copies[kind] = path
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(copies)) {
		c.note("acme.sh copied %s to %s: have the server read live/%s/%s.pem, or copy it in a deploy hook", kind, copies[kind], c.Name, kind)
	}
	if hook := conf["Le_DeployHook"]; hook != "" && hook != "no" {
		c.note("acme.sh deployed by its script %q: put what it does into a deploy hook", strings.TrimSuffix(hook, ","))
	}
}

// The marks around a value that acme.sh has encoded.
const (
	encodedStart = "__ACME_BASE64__START_"
	encodedEnd   = "__ACME_BASE64__END_"
)

// decode gives the value behind acme.sh's encoding. "no" and what is broken are nothing.
func decode(value string) string {
	inner, ok := strings.CutPrefix(value, encodedStart)
	if !ok {
		if value == "no" {
			return ""
		}
		return value
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(inner, encodedEnd))
	if err != nil || strings.ContainsRune(string(plain), 0) {
		return ""
	}
	return strings.TrimSuffix(string(plain), "\n")
}
