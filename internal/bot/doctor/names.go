package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/dns"
)

// view is what one server says of a name.
type view struct {
	server    string // for people
	addresses []string
	err       error
}

// Bounds for what the DNS of a stranger may have us look at.
const (
	maxViews     = 12
	maxAddresses = 8
)

// names asks all servers for the addresses of a name, compares what they say, and gives the addresses.
func (d *doctor) names(ctx context.Context, s Subject, id acme.Identifier) ([]Finding, []string) {
	base, wildcard := id.Base()
	if base.Type == acme.IP {
		return []Finding{d.ownAddress(base)}, []string{base.Value}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*d.config.Timeout)
	defer cancel()
	views := d.views(ctx, base.Value)
	findings, addresses := compare(id, views, wildcard || !s.answers(acme.HTTP01) && !s.answers(acme.TLSALPN01))
	if s.answers(acme.DNS01) || wildcard {
		findings = append(findings, d.zone(ctx, id, base.Value)...)
	}
	return findings, addresses
}

// views collects what this machine's resolvers, the zone's own servers, and others say.
func (d *doctor) views(ctx context.Context, name string) []view {
	servers := make(map[string]string) // address → what it is
	var order []string
	add := func(address, what string) {
		if _, ok := servers[address]; !ok && len(order) < maxViews {
			servers[address] = what
			order = append(order, address)
		}
	}
	for _, address := range d.config.System {
		add(address, "this machine's resolver "+address)
	}
	if place, err := d.config.Resolver.Find(ctx, name); err == nil {
		for _, server := range place.Servers {
			if server.Addr.Addr().Is4() || len(place.Servers) == 1 { // each server once, as a rule
				add(server.Addr.String(), "the zone's server "+server.String())
			}
		}
	}
	for _, address := range d.config.Others {
		add(address, "the resolver "+address)
	}
	views := make([]view, len(order))
	done := make(chan struct{})
	for i, address := range order {
		go func() {
			defer func() { done <- struct{}{} }()
			views[i] = d.look(ctx, address, servers[address], name)
		}()
	}
	for range order {
		<-done
	}
	return views
}

// look asks one server for both kinds of addresses.
func (d *doctor) look(ctx context.Context, address, what, name string) view {
	v := view{server: what}
	resolver, err := dns.NewResolver(dns.ResolverConfig{Servers: []string{address}, Log: d.config.Log})
	if err != nil {
		v.err = err
		return v
	}
	for _, kind := range []uint16{mdns.TypeA, mdns.TypeAAAA} {
		reply, err := resolver.Forward(ctx, new(mdns.Msg).SetQuestion(mdns.Fqdn(name), kind))
		if err != nil {
			v.err = err
			return v
		}
		for _, record := range reply.Answer {
			switch record := record.(type) {
			case *mdns.A:
				v.addresses = append(v.addresses, record.A.String())
			case *mdns.AAAA:
				v.addresses = append(v.addresses, record.AAAA.String())
			}
		}
	}
	slices.Sort(v.addresses)
	v.addresses = slices.Compact(v.addresses)
	return v
}

// compare judges what the servers say. needless says that the proof does not need an address.
func compare(id acme.Identifier, views []view, needless bool) (findings []Finding, addresses []string) {
	said := make(map[string][]string) // addresses → who says so
	for _, v := range views {
		if v.err != nil {
			findings = append(findings, Finding{Check: "dns", Level: Warning, Name: id.Value, Text: fmt.Sprintf("%s does not answer for it: %v", v.server, v.err),
				Remedy: "the CA may meet that server, too: look at the servers of the zone"})
			continue
		}
		key := strings.Join(v.addresses, " ")
		said[key] = append(said[key], v.server)
		for _, address := range v.addresses {
			if !slices.Contains(addresses, address) && len(addresses) < maxAddresses {
				addresses = append(addresses, address)
			}
		}
	}
	if len(said) > 1 {
		var text []string
		for key, who := range said {
			if key == "" {
				key = "no address"
			}
			text = append(text, fmt.Sprintf("%s says %s", strings.Join(who, " and "), key))
		}
		slices.Sort(text)
		findings = append(findings, Finding{Check: "dns", Level: Warning, Name: id.Value, Text: "servers disagree: " + strings.Join(text, "; "),
			Remedy: "after a change, wait for the TTL to pass; for good (split horizon), what the CA sees is what counts: ask a public resolver with --dns-resolver"})
	}
	switch {
	case len(said) == 0:
		findings = append(findings, Finding{Check: "dns", Level: Error, Name: id.Value, Text: "no server can be asked for it", Remedy: "does DNS work on this machine?"})
	case len(addresses) == 0 && needless:
		findings = append(findings, Finding{Check: "dns", Level: Note, Name: id.Value, Text: "it has no address, and needs none for this proof"})
	case len(addresses) == 0:
		findings = append(findings, Finding{Check: "dns", Level: Error, Name: id.Value, Text: "it has no address (A or AAAA)",
			Remedy: "add one that leads to this machine, or prove control through the DNS"})
	case len(said) == 1:
		findings = append(findings, Finding{Check: "dns", Level: OK, Name: id.Value, Text: fmt.Sprintf("%d servers say %s", len(views), strings.Join(addresses, " "))})
	}
	return findings, addresses
}

// ownAddress looks whether an address for which a certificate is wanted is one of this machine's.
func (d *doctor) ownAddress(id acme.Identifier) Finding {
	wanted, err := netip.ParseAddr(id.Value)
	if err != nil {
		return Finding{Check: "address", Level: Error, Name: id.Value, Text: err.Error()}
	}
	list, err := net.InterfaceAddrs()
	if err == nil {
		for _, own := range list {
			if prefix, err := netip.ParsePrefix(own.String()); err == nil && prefix.Addr().Unmap() == wanted.Unmap() {
				return Finding{Check: "address", Level: OK, Name: id.Value, Text: "it is an address of this machine"}
			}
		}
	}
	return Finding{Check: "address", Level: Note, Name: id.Value, Text: "it is no address of this machine's interfaces: it has to be forwarded here"}
}

// zone looks where the record of a proof through the DNS would go.
func (d *doctor) zone(ctx context.Context, id acme.Identifier, name string) []Finding {
	place, err := d.config.Resolver.Find(ctx, acme.DNS01Name(name))
	if err != nil {
		return []Finding{{Check: "dns", Level: Error, Name: id.Value, Text: "the place of its TXT record cannot be found: " + err.Error(),
			Remedy: "does the zone exist, and are its servers there?"}}
	}
	text := fmt.Sprintf("the TXT record goes to %s, in the zone %s", place.Name, place.Zone)
	if len(place.Aliases) > 0 {
		text += ", where an alias (CNAME) leads"
	}
	return []Finding{{Check: "dns", Level: OK, Name: id.Value, Text: text}}
}

// SystemResolvers are the DNS servers of a resolv.conf, ADDRESS:PORT each; none where there is no such file.
func SystemResolvers(file string) []string {
	config, err := mdns.ClientConfigFromFile(file)
	if err != nil {
		return nil
	}
	var list []string
	for _, server := range config.Servers {
		list = append(list, net.JoinHostPort(server, config.Port))
	}
	return list
}
