// Package registry lists the DNS providers that there are: our own clients, each a package beside
// this one with a function Entry, and those of lego. Listing makes nothing, and asks nobody.
package registry

import (
	"cmp"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/acmesh"
	"github.com/cairn-ca/cairn/internal/bot/dns/azure"
	"github.com/cairn-ca/cairn/internal/bot/dns/dnsimple"
	"github.com/cairn-ca/cairn/internal/bot/dns/google"
	"github.com/cairn-ca/cairn/internal/bot/dns/lego"
	"github.com/cairn-ca/cairn/internal/bot/dns/linode"
	"github.com/cairn-ca/cairn/internal/bot/dns/program"
	"github.com/cairn-ca/cairn/internal/bot/dns/responder"
	"github.com/cairn-ca/cairn/internal/bot/dns/rfc2136"
	"github.com/cairn-ca/cairn/internal/bot/dns/route53"
	"github.com/cairn-ca/cairn/internal/bot/dns/sakuracloud"
)

// own are our own clients. One of these wins over one of lego's that has the same name.
func own() []dns.Entry {
	return []dns.Entry{
		acmesh.Entry(),
		azure.Entry(),
		dnsimple.Entry(),
		google.Entry(),
		responder.Entry(),
		linode.Entry(),
		rfc2136.Entry(),
		route53.Entry(),
		sakuracloud.Entry(),
		program.Entry(),
		program.HookEntry(),
	}
}

// Entries lists all providers by their names.
func Entries() []dns.Entry {
	entries := own()
	for _, entry := range lego.Entries() {
		if !slices.ContainsFunc(entries, func(e dns.Entry) bool { return e.Is(entry.Name) }) {
			entries = append(entries, entry)
		}
	}
	slices.SortFunc(entries, func(a, b dns.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries
}

// Find gives the provider of that name, which may be the name of a plugin of certbot's: "dns-" in front is left out.
// acmesh:SCRIPT is the provider that runs this script of acme.sh's.
func Find(name string) (dns.Entry, bool) {
	if script, ok := strings.CutPrefix(strings.TrimPrefix(name, "dns-"), acmesh.Prefix); ok && script != "" {
		return acmesh.EntryFor(script), true
	}
	name = strings.TrimPrefix(strings.ToLower(name), "dns-")
	entries := Entries()
	i := slices.IndexFunc(entries, func(e dns.Entry) bool { return e.Is(name) })
	if i < 0 {
		return dns.Entry{}, false
	}
	return entries[i], true
}
