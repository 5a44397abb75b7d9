// Package dnstest is a small part of the DNS, for tests: zones, servers that are
// authoritative for them, each on its own address of loopback, and a resolver.
package dnstest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	ours "github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/freeport"
)

// Resolver is the address at which everything is resolved.
var resolver = netip.MustParseAddr("127.0.0.1")

// DNS is what there is of the DNS.
type DNS struct {
	Port int // of all servers

	mu      sync.Mutex
	zones   map[string]*Zone // by their names
	servers []*dns.Server
	lag     map[netip.Addr]int // how many more questions for TXT are answered as if nothing had been added
	down    map[netip.Addr]bool
	asked   map[netip.Addr]int
}

// Zone is a zone with its records. It is a Provider.
type Zone struct {
	net     *DNS
	name    string
	servers []netip.Addr
	records []dns.RR
	calls   []string
	foreign bool // somebody else's servers answer for it
}

// Start makes an empty DNS with the resolver. Stop ends it.
func Start() (*DNS, error) {
	d := &DNS{
		zones: make(map[string]*Zone), lag: make(map[netip.Addr]int),
		down: make(map[netip.Addr]bool), asked: make(map[netip.Addr]int),
	}
	var err error
	if d.Port, err = freeport.Find(); err != nil { // all servers have this port, those that come later, too
		return nil, err
	}
	return d, d.listen(resolver)
}

// Stop ends all servers.
func (d *DNS) Stop() {
	for _, server := range d.servers {
		_ = server.Shutdown() // it may never have run
	}
}

// Resolver is its address, for ResolverConfig.Servers.
func (d *DNS) Resolver() string { return netip.AddrPortFrom(resolver, uint16(d.Port)).String() }

// Zone makes a zone with servers on the given addresses, 127.0.0.2 and up: ns1.NAME is the first.
func (d *DNS) Zone(name string, addresses ...string) (*Zone, error) {
	return d.zone(name, false, addresses)
}

// Delegate makes a zone whose servers are somebody else's, at the port of all.
func (d *DNS) Delegate(name string, addresses ...string) (*Zone, error) {
	return d.zone(name, true, addresses)
}

func (d *DNS) zone(name string, foreign bool, addresses []string) (*Zone, error) {
	z := &Zone{net: d, name: dns.CanonicalName(name), foreign: foreign}
	for i, address := range addresses {
		addr := netip.MustParseAddr(address)
		z.servers = append(z.servers, addr)
		if !foreign {
			if err := d.Listen(address); err != nil {
				return nil, err
			}
		}
		host := fmt.Sprintf("ns%d.%s", i+1, z.name)
		z.records = append(z.records,
			&dns.NS{Hdr: header(z.name, dns.TypeNS), Ns: host},
			&dns.A{Hdr: header(host, dns.TypeA), A: addr.AsSlice()})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.zones[z.name] = z
	return z, nil
}

// Listen has a server on an address that it did not have, for zones to come.
func (d *DNS) Listen(address string) error {
	addr := netip.MustParseAddr(address)
	d.mu.Lock()
	_, known := d.asked[addr]
	d.asked[addr] += 0
	d.mu.Unlock()
	if known {
		return nil
	}
	return d.listen(addr)
}

func (d *DNS) listen(addr netip.Addr) error {
	packets, err := net.ListenPacket("udp", netip.AddrPortFrom(addr, uint16(d.Port)).String())
	if err != nil {
		return err
	}
	streams, err := net.Listen("tcp", netip.AddrPortFrom(addr, uint16(d.Port)).String())
	if err != nil {
		_ = packets.Close()
		return err
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) { d.serve(w, query, addr) })
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: streams, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }() // ends with Shutdown
		<-started
		d.servers = append(d.servers, server)
	}
	return nil
}

// Lag has the server at address answer the next questions for TXT as if there were nothing.
func (d *DNS) Lag(address string, questions int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lag[netip.MustParseAddr(address)] = questions
}

// Down has the server at address say nothing any more, or speak again.
func (d *DNS) Down(address string, down bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down[netip.MustParseAddr(address)] = down
}

// Asked is how many questions the server at address was asked.
func (d *DNS) Asked(address string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[netip.MustParseAddr(address)]
}

func (d *DNS) serve(w dns.ResponseWriter, query *dns.Msg, at netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[at]++
	if d.down[at] {
		return
	}
	var reply *dns.Msg
	if at == resolver {
		reply = d.resolve(query)
	} else {
		reply = d.answer(query, at)
	}
	if _, tcp := w.RemoteAddr().(*net.TCPAddr); !tcp {
		reply.Truncate(512)
	}
	_ = w.WriteMsg(reply) // who asked asks again
}

// answer is what the server at an address, which is authoritative for some zones, says.
func (d *DNS) answer(query *dns.Msg, at netip.Addr) *dns.Msg {
	reply := new(dns.Msg).SetReply(query)
	name, kind := dns.CanonicalName(query.Question[0].Name), query.Question[0].Qtype
	zone := d.deepest(name, func(z *Zone) bool { return slices.Contains(z.servers, at) })
	if zone == nil {
		reply.Rcode = dns.RcodeRefused
		return reply
	}
	if cut := d.deepest(name, nil); cut != zone && dns.IsSubDomain(zone.name, cut.name) {
		for _, record := range cut.records {
			switch record.Header().Rrtype {
			case dns.TypeNS:
				reply.Ns = append(reply.Ns, record)
			case dns.TypeA:
				reply.Extra = append(reply.Extra, record)
			}
		}
		return reply
	}
	reply.Authoritative = true
	empty := kind == dns.TypeTXT && d.lag[at] > 0
	if empty {
		d.lag[at]--
	}
	zone.fill(reply, name, kind, empty)
	return reply
}

// fill puts what the zone has into a reply.
func (z *Zone) fill(reply *dns.Msg, name string, kind uint16, empty bool) {
	exists := false
	for _, record := range z.records {
		if record.Header().Name != name {
			exists = exists || dns.IsSubDomain(name, record.Header().Name)
			continue
		}
		exists = true
		if have := record.Header().Rrtype; (have == kind || have == dns.TypeCNAME) && !empty {
			reply.Answer = append(reply.Answer, record)
		}
	}
	if name == z.name && kind == dns.TypeSOA {
		reply.Answer = append(reply.Answer, z.soa())
	}
	if len(reply.Answer) == 0 {
		reply.Ns = []dns.RR{z.soa()}
		if !exists && name != z.name {
			reply.Rcode = dns.RcodeNameError
		}
	}
}

// resolve is what the resolver says: it follows aliases from zone to zone.
func (d *DNS) resolve(query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg).SetReply(query)
	reply.RecursionAvailable = true
	name, kind := dns.CanonicalName(query.Question[0].Name), query.Question[0].Qtype
	for range 8 {
		zone := d.deepest(name, nil)
		if zone == nil {
			reply.Rcode = dns.RcodeNameError
			return reply
		}
		if len(zone.servers) == 0 || !slices.ContainsFunc(zone.servers, func(a netip.Addr) bool { return !d.down[a] }) {
			reply.Rcode = dns.RcodeServerFailure
			return reply
		}
		before := len(reply.Answer)
		part := d.from(zone, name, kind)
		reply.Answer, reply.Ns, reply.Rcode = append(reply.Answer, part.Answer...), part.Ns, part.Rcode
		if len(reply.Answer) == before {
			return reply
		}
		alias, ok := reply.Answer[len(reply.Answer)-1].(*dns.CNAME)
		if !ok || kind == dns.TypeCNAME {
			return reply
		}
		name = alias.Target
	}
	reply.Rcode = dns.RcodeServerFailure
	return reply
}

// from is what a zone's servers say.
func (d *DNS) from(zone *Zone, name string, kind uint16) *dns.Msg {
	part := new(dns.Msg)
	if !zone.foreign || strings.HasPrefix(name, "ns") && (kind == dns.TypeA || kind == dns.TypeAAAA) || kind == dns.TypeNS {
		zone.fill(part, name, kind, false) // the rest of it is glue
		return part
	}
	query := new(dns.Msg).SetQuestion(name, kind)
	got, _, err := new(dns.Client).Exchange(query, netip.AddrPortFrom(zone.servers[0], uint16(d.Port)).String())
	if err != nil {
		part.Rcode = dns.RcodeServerFailure
		return part
	}
	return got
}

// deepest is the zone nearest to name of those that will do.
func (d *DNS) deepest(name string, do func(*Zone) bool) *Zone {
	var found *Zone
	for _, zone := range d.zones {
		if dns.IsSubDomain(zone.name, name) && (do == nil || do(zone)) && (found == nil || len(zone.name) > len(found.name)) {
			found = zone
		}
	}
	return found
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: 60}
}

func (z *Zone) soa() dns.RR {
	return &dns.SOA{Hdr: header(z.name, dns.TypeSOA), Ns: "ns1." + z.name, Mbox: "root." + z.name, Serial: 1, Refresh: 60, Retry: 60, Expire: 600, Minttl: 5}
}

// Alias makes name an alias of target.
func (z *Zone) Alias(name, target string) {
	z.net.mu.Lock()
	defer z.net.mu.Unlock()
	name = dns.CanonicalName(name)
	z.records = append(z.records, &dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: dns.CanonicalName(target)})
}

// Add adds a TXT value.
func (z *Zone) Add(_ context.Context, r ours.Record) error {
	z.net.mu.Lock()
	defer z.net.mu.Unlock()
	z.calls = append(z.calls, "add "+r.Name)
	if !dns.IsSubDomain(z.name, r.Name) {
		return fmt.Errorf("%s is not in the zone %s", r.Name, z.name)
	}
	if !slices.ContainsFunc(z.records, same(r)) {
		z.records = append(z.records, &dns.TXT{Hdr: header(r.Name, dns.TypeTXT), Txt: ours.Chunks(r.Value)})
	}
	return nil
}

// Remove removes one.
func (z *Zone) Remove(_ context.Context, r ours.Record) error {
	z.net.mu.Lock()
	defer z.net.mu.Unlock()
	z.calls = append(z.calls, "remove "+r.Name)
	z.records = slices.DeleteFunc(z.records, same(r))
	return nil
}

func same(r ours.Record) func(dns.RR) bool {
	return func(record dns.RR) bool {
		txt, ok := record.(*dns.TXT)
		return ok && txt.Hdr.Name == r.Name && strings.Join(txt.Txt, "") == r.Value
	}
}

// Values are the TXT values at name.
func (z *Zone) Values(name string) []string {
	z.net.mu.Lock()
	defer z.net.mu.Unlock()
	var values []string
	for _, record := range z.records {
		if txt, ok := record.(*dns.TXT); ok && txt.Hdr.Name == dns.CanonicalName(name) {
			values = append(values, strings.Join(txt.Txt, ""))
		}
	}
	return values
}

// Calls lists the calls of Add and Remove so far.
func (z *Zone) Calls() []string {
	z.net.mu.Lock()
	defer z.net.mu.Unlock()
	return slices.Clone(z.calls)
}
