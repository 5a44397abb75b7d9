package validate

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// maxInterfaces bounds the interfaces on which multicast DNS asks.
const maxInterfaces = 16

// multicast asks the link for the addresses of a .local name, once, from an
// ephemeral port, so that answers come back to it alone (RFC 6762 §5.1, §6.7).
// It returns what it heard within the waiting time, IPv6 before IPv4.
func (r *Resolver) multicast(ctx context.Context, name string) []Address {
	ctx, cancel := context.WithTimeout(ctx, r.config.MulticastWait)
	defer cancel()
	queries := []*dns.Msg{newQuestion(question{name, dns.TypeAAAA}, false), newQuestion(question{name, dns.TypeA}, false)}
	for _, q := range queries {
		q.RecursionDesired = false // RFC 6762 §18.6
	}
	var listeners int
	heard := make(chan []Address)
	for _, destination := range r.config.Multicast {
		for _, conn := range openMulticast(destination) {
			listeners++
			go func() { heard <- askLink(ctx, conn, destination, queries) }()
		}
	}
	var found []Address
	for range listeners {
		for _, addr := range <-heard {
			known := slices.ContainsFunc(found, func(a Address) bool { return a.Addr == addr.Addr })
			if !known && len(found) < maxRecords {
				found = append(found, addr)
			}
		}
	}
	return found
}

// openMulticast returns a socket for each interface on which destination can
// be reached. Interfaces that refuse are passed over.
func openMulticast(destination netip.AddrPort) []*net.UDPConn {
	network := "udp4"
	if destination.Addr().Is6() {
		network = "udp6"
	}
	if !destination.Addr().IsMulticast() {
		conn, err := net.ListenUDP(network, nil)
		if err != nil {
			return nil
		}
		return []*net.UDPConn{conn}
	}
	var conns []*net.UDPConn
	interfaces, _ := net.Interfaces()
	for i := range interfaces {
		ifi := &interfaces[i]
		if ifi.Flags&net.FlagUp == 0 || ifi.Flags&net.FlagMulticast == 0 || len(conns) == maxInterfaces {
			continue
		}
		conn, err := net.ListenUDP(network, nil)
		if err != nil {
			continue
		}
		if setMulticast(conn, network, ifi) != nil {
			conn.Close()
			continue
		}
		conns = append(conns, conn)
	}
	return conns
}

// setMulticast makes conn send to the link of ifi; the hop limit is that of RFC 6762 §11.
func setMulticast(conn *net.UDPConn, network string, ifi *net.Interface) error {
	if network == "udp6" {
		p := ipv6.NewPacketConn(conn)
		if err := p.SetMulticastHopLimit(255); err != nil {
			return err
		}
		return p.SetMulticastInterface(ifi)
	}
	p := ipv4.NewPacketConn(conn)
	if err := p.SetMulticastTTL(255); err != nil {
		return err
	}
	return p.SetMulticastInterface(ifi)
}

// askLink sends the queries and collects answers until each query has one or ctx ends.
func askLink(ctx context.Context, conn *net.UDPConn, destination netip.AddrPort, queries []*dns.Msg) []Address {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	for _, q := range queries {
		packed, err := q.Pack()
		if err != nil {
			return nil
		}
		if _, err := conn.WriteToUDPAddrPort(packed, destination); err != nil {
			return nil
		}
	}
	links := onLink()
	found := make([][]Address, len(queries))
	buffer := make([]byte, 9000) // RFC 6762 §17
	for answered := 0; answered < len(queries); {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			break
		}
		if !believable(from, destination, links) {
			continue
		}
		i, addrs := linkAnswer(buffer[:n], queries)
		if i < 0 || len(addrs) == 0 || len(found[i]) > 0 {
			continue
		}
		source := Source{Kind: FromMulticast, Where: from.String()}
		for _, addr := range addrs {
			found[i] = append(found[i], Address{Addr: addr, Source: source})
		}
		answered++
	}
	return slices.Concat(found...)
}

// linkAnswer finds the query that a datagram answers, and the addresses in it.
func linkAnswer(packed []byte, queries []*dns.Msg) (int, []netip.Addr) {
	for i, q := range queries {
		answer, ours := readAnswer(packed, q)
		// RFC 6762 §18.11: a response code other than 0 makes the message void.
		if !ours || answer == nil || answer.Rcode != dns.RcodeSuccess || answer.Truncated {
			continue
		}
		asked := question{canonicalName(q.Question[0].Name), q.Question[0].Qtype}
		return i, addressesIn(followAliases(answer, asked, maxAliases).records)
	}
	return -1, nil
}

// believable reports whether an answer can come from a responder on this link:
// from its port (RFC 6762 §6) and from an address on a link of ours (§11).
func believable(from, destination netip.AddrPort, links []netip.Prefix) bool {
	addr := from.Addr().Unmap().WithZone("")
	switch {
	case from.Port() != destination.Port():
		return false
	case !destination.Addr().IsMulticast():
		return addr == destination.Addr()
	case addr.IsLinkLocalUnicast():
		return true
	}
	return slices.ContainsFunc(links, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// onLink lists the ranges that are directly connected.
func onLink() []netip.Prefix {
	var links []netip.Prefix
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			links = append(links, prefix)
		}
	}
	return links
}
