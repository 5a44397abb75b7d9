package bench

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// serveDNS starts a DNS server that knows all names under the suffix: their address is
// that of the responders, they have the TXT records that are published, and no CAA records.
func (r *responders) serveDNS(c Config) error {
	answer, err := netip.ParseAddr(c.Answer)
	if err != nil {
		return fmt.Errorf("the address that names are given: %w", err)
	}
	packets, err := net.ListenPacket("udp", c.DNS)
	if err != nil {
		return fmt.Errorf("starting the DNS server: %w", err)
	}
	// The same port, should the system have chosen it.
	streams, err := net.Listen("tcp", packets.LocalAddr().String())
	if err != nil {
		_ = packets.Close()
		return fmt.Errorf("starting the DNS server: %w", err)
	}
	zone := &zone{suffix: dns.CanonicalName(c.Suffix), address: answer.Unmap(), responders: r}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: zone}, {Listener: streams, Handler: zone}} {
		r.dns = append(r.dns, s)
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		r.hosts.Go(func() { _ = s.ActivateAndServe() })
		<-ready
	}
	return nil
}

// zone answers for the suffix of a run.
type zone struct {
	suffix     string // canonical, with its dot
	address    netip.Addr
	responders *responders
}

// ServeDNS implements dns.Handler.
func (z *zone) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg).SetReply(query)
	reply.Authoritative, reply.RecursionAvailable = true, true
	if len(query.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
		_ = w.WriteMsg(reply)
		return
	}
	q := query.Question[0]
	name := dns.CanonicalName(q.Name)
	switch {
	case dns.IsSubDomain(z.suffix, name):
		reply.Answer = z.records(q, name)
	case dns.IsSubDomain(name, z.suffix):
		// Who looks for CAA records climbs above the suffix (RFC 8659 §3): there are none.
	default:
		reply.Rcode, reply.Authoritative = dns.RcodeRefused, false
	}
	if len(reply.Answer) == 0 && reply.Rcode == dns.RcodeSuccess {
		reply.Ns = []dns.RR{&dns.SOA{Hdr: z.header(z.suffix, dns.TypeSOA), Ns: "ns." + z.suffix, Mbox: "nobody." + z.suffix,
			Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400}}
	}
	if opt := query.IsEdns0(); opt != nil {
		reply.SetEdns0(1232, false)
	}
	_ = w.WriteMsg(reply)
}

func (z *zone) header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET}
}

// records answers a question about a name under the suffix.
func (z *zone) records(q dns.Question, name string) (records []dns.RR) {
	switch {
	case q.Qtype == dns.TypeA && z.address.Is4() && !strings.HasPrefix(name, "_"):
		return []dns.RR{&dns.A{Hdr: z.header(q.Name, dns.TypeA), A: z.address.AsSlice()}}
	case q.Qtype == dns.TypeAAAA && z.address.Is6() && !strings.HasPrefix(name, "_"):
		return []dns.RR{&dns.AAAA{Hdr: z.header(q.Name, dns.TypeAAAA), AAAA: z.address.AsSlice()}}
	case q.Qtype == dns.TypeTXT:
		z.responders.mu.RLock()
		defer z.responders.mu.RUnlock()
		for _, value := range z.responders.txt[name] {
			records = append(records, &dns.TXT{Hdr: z.header(q.Name, dns.TypeTXT), Txt: []string{value}})
		}
	}
	return records
}
