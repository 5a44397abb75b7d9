package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/command"
	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/registry"
)

// topicDNS is the heading for what goes for every DNS provider.
const topicDNS = "dns"

// dnsPlugin is one of certbot's DNS plugins.
type dnsPlugin struct {
	name  string // without "dns-"
	title string
	wait  int // seconds
}

// dnsPlugins are those that certbot's own project makes, with the time that each waits for DNS.
func dnsPlugins() []dnsPlugin {
	return []dnsPlugin{
		{"cloudflare", "Cloudflare", 10}, {"digitalocean", "DigitalOcean", 10}, {"dnsimple", "DNSimple", 30},
		{"dnsmadeeasy", "DNS Made Easy", 60}, {"gehirn", "Gehirn", 30}, {"google", "Google Cloud DNS", 60},
		{"linode", "Linode", 120}, {"luadns", "LuaDNS", 30}, {"nsone", "NS1", 30}, {"ovh", "OVH", 120},
		{"rfc2136", "a name server that takes updates (RFC 2136)", 60}, {"route53", "Amazon Route 53", 0}, {"sakuracloud", "Sakura Cloud", 90},
	}
}

// otherPlugins are those that other people make for certbot and we stand in for. Their options are taken, and not shown.
func otherPlugins() []string {
	return []string{
		"acmedns", "azure", "bunny", "clouddns", "cloudns", "czechia", "desec", "domeneshop", "dreamhost", "duckdns", "dynu", "eurodns", "gandi",
		"godaddy", "he", "hetzner", "hetzner-cloud", "infomaniak", "inwx", "ionos", "ispconfig", "leaseweb", "loopia", "mijn-host", "multi",
		"namecheap", "netcup", "njalla", "pdns", "porkbun", "powerdns", "scaleway", "standalone", "transip", "vultr", "websupport",
	}
}

// tableDNS has the options of certbot's DNS plugins, and those for every provider.
func tableDNS() []option {
	rows := tableProviders()
	for _, plugin := range dnsPlugins() {
		name := "dns-" + plugin.name
		rows = append(rows, option{Name: name, Topics: []string{topicPlugins, name}, Help: "answer the CA by records at " + plugin.title,
			Target: func(o *options) any { return &choice{o, name} }})
		if plugin.name == "route53" {
			continue // its key comes from AWS's own files and variables, and it knows when a change is everywhere
		}
		rows = append(rows,
			pluginOption(name+"-credentials", "FILE", name, "the file with the keys for "+plugin.title, ""),
			pluginOption(name+"-propagation-seconds", "SECONDS", name, "how long to wait at most before the CA is asked to look",
				"as long as the servers of the zone take; with --dns-no-check, "+strconv.Itoa(plugin.wait)))
		if plugin.name == "google" {
			rows = append(rows, pluginOption("dns-google-project", "ID", name, "the project that the zone belongs to", "the key's own"))
		}
	}
	return append(rows, tableOtherPlugins()...)
}

// tableProviders has the options for every provider.
func tableProviders() []option {
	row := func(name, arg, help, fallback string, target func(*options) any) option {
		return option{Name: name, Arg: arg, Topics: []string{topicDNS}, Help: help, Default: fallback, Target: target}
	}
	first := row("dns", "PROVIDER", `answer the CA by records at a DNS provider: one of almost two hundred (docs/dns.md), "responder" for a name server of our `+
		`own, "profiles" for whichever the file with profiles says, or "persist" for a record that stays (dns-persist-01)`, "",
		func(o *options) any { return &providerName{o} })
	first.Topics = append(first.Topics, topicPlugins, "run", "certonly")
	resolvers := row("dns-resolver", "ADDRESS", "the resolver that finds the servers of zones; may be repeated", "the system's",
		func(o *options) any { return &serverList{&o.dns.resolvers} })
	resolvers.List = true
	resolvers.Topics = append(resolvers.Topics, "doctor")
	return []option{
		first,
		row("dns-credentials", "FILE", "the file with the keys for --dns PROVIDER; without it, the environment has them", "",
			func(o *options) any { return &o.dns.credentials }),
		row("dns-profile", "NAME", "the profile to take the keys from", "the one for the domain",
			func(o *options) any { return &profileName{o} }),
		row("dns-profiles", "FILE", "the file with profiles: keys for several providers, and which domains each is for",
			defaultConfigDir+"/"+profilesFile, func(o *options) any { return &o.dns.profiles }),
		row("dns-propagation-seconds", "SECONDS", "how long to wait at most before the CA is asked to look", "as the provider",
			func(o *options) any { return (*seconds)(&o.dns.propagation) }),
		resolvers,
		row("dns-no-check", "", "do not look whether the records can be seen; wait as long as the provider takes", "",
			func(o *options) any { return &o.dns.noCheck }),
		row("dns-responder-address", "ADDRESS", "where --dns responder listens; several separated by commas", "port 53 of all addresses",
			func(o *options) any { return &o.dns.responder }),
		row("dns-persist-create", "", "let the provider create the record of dns-persist-01 where it is missing", "you are shown it",
			func(o *options) any { return &o.dns.persistCreate }),
		row("dns-persist-days", "DAYS", "for how long such a record is good", "for ever",
			func(o *options) any { return (*seconds)(&o.dns.persistDays) }),
	}
}

// tableOtherPlugins has what users of other people's plugins say.
func tableOtherPlugins() []option {
	var rows []option
	for _, plugin := range otherPlugins() {
		name := "dns-" + plugin
		rows = append(rows,
			option{Name: name, Target: func(o *options) any { return &choice{o, name} }},
			pluginOption(name+"-credentials", "FILE", name, "", ""),
			pluginOption(name+"-propagation-seconds", "SECONDS", name, "", ""))
	}
	for _, name := range []string{"dns-standalone-address", "dns-standalone-ipv6-address", "dns-standalone-port"} {
		rows = append(rows, pluginOption(name, "VALUE", "dns-standalone", "", ""))
	}
	for i := range rows {
		rows[i].Topics, rows[i].Hidden = nil, true
	}
	return rows
}

// dnsOptions are those for every provider.
type dnsOptions struct {
	credentials   string
	profile       string
	profiles      string
	propagation   int // seconds
	resolvers     []string
	noCheck       bool
	responder     string
	persistCreate bool
	persistDays   int
}

// byProfiles is the method that leaves the choice of a provider to the file with profiles.
const byProfiles = "dns-profiles"

// byPersist is the method that has the record of dns-persist-01 alone, which needs nobody's keys once it is there.
const byPersist = "dns-persist"

// providerName takes --dns.
type providerName struct{ o *options }

// Set chooses the method of certbot's that does the same, so that certbot can go on with the file.
func (p *providerName) Set(text string) error {
	name := strings.TrimPrefix(text, "dns-") // not in lower case: it can have a path in it
	if method := "dns-" + strings.ToLower(name); method == byProfiles || method == byPersist {
		return (&choice{p.o, method}).Set("")
	}
	entry, ok := registry.Find(name)
	if !ok {
		return command.Usagef("there is no DNS provider %q%s", text, resembling(strings.ToLower(name)))
	}
	return (&choice{p.o, pluginFor(entry)}).Set("")
}

// pluginFor is what certbot's plugin for a provider is called or, where it has none, what it would be.
func pluginFor(entry dns.Entry) string {
	for _, plugin := range dnsPlugins() {
		if entry.Is(plugin.name) {
			return "dns-" + plugin.name
		}
	}
	return "dns-" + entry.Name
}

// resembling lists providers whose names have something in common with a wrong one.
func resembling(name string) string {
	var list []string
	for _, entry := range registry.Entries() {
		for _, known := range append([]string{entry.Name}, entry.Aliases...) {
			if len(name) > 1 && (strings.Contains(known, name) || strings.Contains(name, known)) && !slices.Contains(list, entry.Name) {
				list = append(list, entry.Name)
			}
		}
	}
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf("; there is %s", strings.Join(list, ", "))
}

// profileName takes --dns-profile, which is a method where no other is chosen.
type profileName struct{ o *options }

// Set notes the profile.
func (p *profileName) Set(text string) error {
	if text == "" {
		return command.Usagef("a profile has a name")
	}
	p.o.dns.profile = text
	return nil
}

// serverList takes addresses of DNS servers.
type serverList struct{ list *[]string }

// Set adds those in text.
func (s *serverList) Set(text string) error {
	for address := range strings.SplitSeq(text, ",") {
		server, err := dns.ParseServer(strings.TrimSpace(address))
		if err != nil {
			return command.Usagef("%v", err)
		}
		*s.list = append(*s.list, server.String())
	}
	return nil
}
