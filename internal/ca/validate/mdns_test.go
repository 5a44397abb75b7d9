package validate_test

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// responder answers multicast DNS questions on a loopback address.
func responder(t *testing.T, answer func(query *dns.Msg) *dns.Msg) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 9000)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			query := new(dns.Msg)
			if query.Unpack(buffer[:n]) != nil || query.RecursionDesired {
				continue
			}
			if reply := answer(query); reply != nil {
				text, _ := reply.Pack()
				conn.WriteToUDPAddrPort(text, from)
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// announce answers as responders do, with the cache-flush bit (RFC 6762 §10.2).
func announce(records ...string) func(*dns.Msg) *dns.Msg {
	return func(query *dns.Msg) *dns.Msg {
		reply := new(dns.Msg).SetReply(query)
		reply.Authoritative = true
		for _, text := range records {
			rr, _ := dns.NewRR(text)
			if rr.Header().Rrtype == query.Question[0].Qtype && rr.Header().Name == query.Question[0].Name {
				rr.Header().Class |= 1 << 15
				reply.Answer = append(reply.Answer, rr)
			}
		}
		if len(reply.Answer) == 0 {
			return nil
		}
		return reply
	}
}

func TestMulticastDNS(t *testing.T) {
	t.Parallel()
	where := responder(t, announce("printer.local. A 10.0.0.20", "printer.local. AAAA fd00::20", "four.local. A 10.0.0.4",
		"both.local. A 10.0.0.66", "a.test. A 10.0.0.66"))
	server := newDNS(t, zone(t, "both.local. A 10.0.0.1"))
	r := resolver(t, validate.ResolverConfig{Servers: []string{server}, Multicast: []netip.AddrPort{where}})
	for name, want := range map[string][]string{
		"printer.local": {"fd00::20 mdns", "10.0.0.20 mdns"},
		"four.local":    {"10.0.0.4 mdns"},
		"both.local":    {"10.0.0.1 dns"}, // a server that knows the name wins
	} {
		found := lookup(t, r, name)
		if got := addresses(found); !slices.Equal(got, want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
		if found.Addresses[0].Source.Kind == validate.FromMulticast && found.Addresses[0].Source.Where != where.String() {
			t.Errorf("%s: source is %+v", name, found.Addresses[0].Source)
		}
	}
	_, err := r.Lookup(t.Context(), "nobody.local")
	wantProblem(t, asProblem(t, err), acme.TypeDNS, "NXDOMAIN", "nobody answered by multicast DNS either")
	_, err = r.Lookup(t.Context(), "a.test") // not a .local name: the link is not asked
	wantProblem(t, asProblem(t, err), acme.TypeDNS, "NXDOMAIN", "!multicast")
}

func TestMulticastDNSStrict(t *testing.T) {
	honest := announce("x.local. A 10.0.0.66")
	change := func(spoil func(*dns.Msg)) func(*dns.Msg) *dns.Msg {
		return func(query *dns.Msg) *dns.Msg {
			reply := honest(query)
			if reply != nil {
				spoil(reply)
			}
			return reply
		}
	}
	for name, answer := range map[string]func(*dns.Msg) *dns.Msg{
		"another ID":   change(func(m *dns.Msg) { m.Id++ }),
		"a query":      change(func(m *dns.Msg) { m.Response = false }),
		"a code":       change(func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }),
		"another name": change(func(m *dns.Msg) { m.Answer[0].Header().Name = "y.local." }),
		"a class":      change(func(m *dns.Msg) { m.Answer[0].Header().Class = dns.ClassCHAOS }),
		"truncated":    change(func(m *dns.Msg) { m.Truncated = true }),
		"no question":  change(func(m *dns.Msg) { m.Question = nil }),
	} {
		t.Run(name, func(t *testing.T) {
			r := resolver(t, validate.ResolverConfig{Servers: []string{newDNS(t, zone(t))}, Multicast: []netip.AddrPort{responder(t, answer)},
				MulticastWait: 50 * time.Millisecond})
			if found, err := r.Lookup(t.Context(), "x.local"); err == nil {
				t.Errorf("found %v", found.Addresses)
			}
		})
	}
}

// An answer comes from the port that was asked (RFC 6762 §6).
func TestMulticastDNSOtherPort(t *testing.T) {
	honest := announce("x.local. A 10.0.0.66")
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		buffer := make([]byte, 9000)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			query := new(dns.Msg)
			if query.Unpack(buffer[:n]) == nil && honest(query) != nil {
				other.WriteToUDPAddrPort(packed(honest(query)), from)
			}
		}
	}()
	r := resolver(t, validate.ResolverConfig{Servers: []string{newDNS(t, zone(t))}, MulticastWait: 50 * time.Millisecond,
		Multicast: []netip.AddrPort{conn.LocalAddr().(*net.UDPAddr).AddrPort()}})
	if found, err := r.Lookup(t.Context(), "x.local"); err == nil {
		t.Errorf("found %v", found.Addresses)
	}
}
