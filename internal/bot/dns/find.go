package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Place is where a record belongs.
type Place struct {
	Name    string   // with the final dot, aliases followed
	Zone    string   // the zone that Name lies in
	Servers []Server // those of the zone, by all their addresses
	Aliases []string // the names that led here, the first one asked for; without Name
}

// names are those of the servers, with final dots.
func (p Place) names() []string {
	var list []string
	for _, server := range p.Servers {
		if name := server.Name + "."; !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// Server is one address of a server of a zone.
type Server struct {
	Name string // without the final dot
	Addr netip.AddrPort
}

func (s Server) String() string {
	if s.Name == "" {
		return s.Addr.String()
	}
	return s.Name + " (" + s.Addr.Addr().String() + ")"
}

// ErrNoZone says that the DNS did not tell which zone a name lies in.
var ErrNoZone = errors.New("finding the zone")

// Find finds out where the record of a name belongs: it follows aliases (RFC 8555 §8.4 has CAs do
// so), and asks the servers of each zone on the way, since resolvers may remember what was there before.
func (r *Resolver) Find(ctx context.Context, name string) (Place, error) {
	place := Place{Name: dns.CanonicalName(name)}
	for range maxAliases {
		next, err := r.settle(ctx, &place)
		if err != nil {
			return Place{}, fmt.Errorf("%w of %s: %w", ErrNoZone, strings.TrimSuffix(place.Name, "."), err)
		}
		if next == "" {
			return place, nil
		}
		place.Aliases = append(place.Aliases, place.Name)
		if slices.Contains(place.Aliases, next) {
			return Place{}, fmt.Errorf("the alias (CNAME) of %s leads back to %s", name, next)
		}
		r.config.Log.Debug("a name is an alias", "name", place.Name, "of", next)
		place.Name = next
	}
	return Place{}, fmt.Errorf("%s is an alias (CNAME) of an alias, more than %d times", name, maxAliases)
}

// settle finds the zone of place.Name, or what that name is an alias of.
func (r *Resolver) settle(ctx context.Context, place *Place) (alias string, err error) {
	zone, err := r.apex(ctx, place.Name)
	if err != nil {
		return "", err
	}
	servers, err := r.serversOf(ctx, zone, nil)
	if err != nil {
		return "", err
	}
	for range maxCuts {
		reply, err := r.first(ctx, servers, place.Name)
		if err != nil {
			// The zone's servers cannot be asked from here, or not yet. What the resolver says has to do.
			r.config.Log.Debug("the servers of a zone do not answer", "zone", zone, "error", err)
			place.Zone, place.Servers = zone, servers
			return r.aliasOf(ctx, place.Name), nil
		}
		if target := cname(reply, place.Name); target != "" {
			return target, nil
		}
		cut, names := referral(reply, zone, place.Name)
		if cut == "" {
			place.Zone, place.Servers = owner(reply, zone, place.Name), servers
			return "", nil
		}
		zone = cut
		if servers, err = r.serversOf(ctx, zone, &delegation{names: names, glue: reply.Extra}); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("more than %d zones lie in one another", maxCuts)
}

// apex is the nearest zone above name, or at it, that the resolvers know.
func (r *Resolver) apex(ctx context.Context, name string) (string, error) {
	failure := errSilent
	for at := name; at != "" && at != "."; at = parent(at) {
		reply, err := r.lookUp(ctx, at, dns.TypeSOA)
		if err != nil {
			failure = err // a zone whose servers are down: the one above may tell who they are
			continue
		}
		if zone := owner(reply, "", name); zone != "" {
			return zone, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return "", failure
}

func parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

// owner is the zone that a reply says name lies in: whose SOA it has. It is otherwise for a reply without any.
func owner(reply *dns.Msg, otherwise, name string) string {
	for _, record := range slices.Concat(reply.Answer, reply.Ns) {
		if soa, ok := record.(*dns.SOA); ok && soa.Hdr.Name != "." && dns.IsSubDomain(soa.Hdr.Name, name) {
			return dns.CanonicalName(soa.Hdr.Name)
		}
	}
	return otherwise
}

// cname is what name is an alias of, by a reply; "" if it is none.
func cname(reply *dns.Msg, name string) string {
	for _, record := range reply.Answer {
		if alias, ok := record.(*dns.CNAME); ok && strings.EqualFold(alias.Hdr.Name, name) {
			return dns.CanonicalName(alias.Target)
		}
	}
	return ""
}

// aliasOf asks the resolvers what name is an alias of.
func (r *Resolver) aliasOf(ctx context.Context, name string) string {
	reply, err := r.lookUp(ctx, name, dns.TypeCNAME)
	if err != nil {
		return ""
	}
	return cname(reply, name)
}

// referral says which zone below zone, on the way to name, a reply points to (RFC 1034 §4.3.2), and its servers.
func referral(reply *dns.Msg, zone, name string) (cut string, names []string) {
	if reply.Authoritative || reply.Rcode != dns.RcodeSuccess || len(reply.Answer) > 0 {
		return "", nil
	}
	for _, record := range reply.Ns {
		ns, ok := record.(*dns.NS)
		if !ok {
			continue
		}
		at := dns.CanonicalName(ns.Hdr.Name)
		if at == zone || !dns.IsSubDomain(zone, at) || !dns.IsSubDomain(at, name) || cut != "" && at != cut {
			continue
		}
		cut, names = at, append(names, dns.CanonicalName(ns.Ns))
	}
	return cut, names
}

// first asks one server after the other what it knows of the zone of name.
func (r *Resolver) first(ctx context.Context, servers []Server, name string) (*dns.Msg, error) {
	failure := errSilent
	for _, server := range servers {
		reply, err := r.ask(ctx, question{name: name, kind: dns.TypeSOA, server: server.Addr})
		switch {
		case err != nil:
			failure = err
		case reply.Rcode == dns.RcodeSuccess || reply.Rcode == dns.RcodeNameError:
			return reply, nil
		default:
			failure = fmt.Errorf("%s answered %s", server, rcode(reply))
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, failure
}

// delegation is what the zone above says about the servers of a zone.
type delegation struct {
	names []string
	glue  []dns.RR
}

// serversOf lists the servers of a zone by their addresses: as it says itself, or as d has it.
func (r *Resolver) serversOf(ctx context.Context, zone string, d *delegation) ([]Server, error) {
	var names []string
	if d != nil {
		names = d.names
	} else {
		reply, err := r.lookUp(ctx, zone, dns.TypeNS)
		if err != nil {
			return nil, fmt.Errorf("asking for the servers of %s: %w", zone, err)
		}
		for _, record := range reply.Answer {
			if ns, ok := record.(*dns.NS); ok && strings.EqualFold(ns.Hdr.Name, zone) {
				names = append(names, dns.CanonicalName(ns.Ns))
			}
		}
	}
	names = names[:min(len(names), maxServers)]
	found := make([][]Server, len(names))
	var group sync.WaitGroup
	for i, name := range names {
		group.Go(func() { found[i] = r.addresses(ctx, name, d) })
	}
	group.Wait()
	servers := slices.Concat(found...)
	if len(servers) == 0 {
		return nil, fmt.Errorf("the zone %s has no servers with an address, as far as can be found out from here", zone)
	}
	return servers[:min(len(servers), maxServers)], nil
}

// addresses are those of one server, of both families: by the resolvers or, failing that, by the glue that came along.
func (r *Resolver) addresses(ctx context.Context, name string, d *delegation) []Server {
	var records []dns.RR
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if reply, err := r.lookUp(ctx, name, kind); err == nil {
			records = append(records, reply.Answer...)
		}
	}
	if list := r.addressed(name, records, false); len(list) > 0 || d == nil {
		return list
	}
	return r.addressed(name, d.glue, true)
}

// addressed takes the addresses among records; exact is set where they may belong to other names.
func (r *Resolver) addressed(name string, records []dns.RR, exact bool) []Server {
	var list []Server
	for _, record := range records {
		var addr netip.Addr
		switch record := record.(type) {
		case *dns.A:
			addr, _ = netip.AddrFromSlice(record.A.To4())
		case *dns.AAAA:
			addr, _ = netip.AddrFromSlice(record.AAAA.To16())
		}
		if addr.IsValid() && (!exact || strings.EqualFold(record.Header().Name, name)) {
			list = append(list, Server{Name: strings.TrimSuffix(name, "."), Addr: netip.AddrPortFrom(addr, uint16(r.config.Port))})
		}
	}
	return list
}
