package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// ResolverConfig says who is asked.
type ResolverConfig struct {
	// Servers are resolvers, ADDRESS or ADDRESS:PORT each. None means those of File.
	Servers []string
	File    string        // "" means /etc/resolv.conf
	Port    int           // where the servers of zones listen; 0 means 53
	Timeout time.Duration // for one question to one server; 0 means three seconds
	Log     *slog.Logger  // nil discards
}

// Resolver asks DNS servers: resolvers for the way to a zone, and the zone's own servers for what is in it.
// Nothing that they answer is trusted further than to decide where to ask next and whether to wait longer.
type Resolver struct {
	config  ResolverConfig
	servers []netip.AddrPort
}

// Bounds for what servers may make us do. Each is several times what large zones have.
const (
	maxResolvers = 8
	maxServers   = 32 // addresses of one zone's servers
	maxAliases   = 12 // from name to name
	maxCuts      = 12 // from zone to zone below
	udpSize      = 1232
)

// NewResolver reads the list of resolvers. It asks nobody.
func NewResolver(c ResolverConfig) (*Resolver, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Port == 0 {
		c.Port = 53
	}
	if c.Timeout == 0 {
		c.Timeout = 3 * time.Second
	}
	if c.File == "" {
		c.File = "/etc/resolv.conf"
	}
	listed := c.Servers
	if len(listed) == 0 {
		listed = systemResolvers(c.File)
	}
	r := &Resolver{config: c}
	for _, text := range listed[:min(len(listed), maxResolvers)] {
		server, err := ParseServer(text)
		if err != nil {
			return nil, err
		}
		r.servers = append(r.servers, server)
	}
	return r, nil
}

// systemResolvers lists those of a resolv.conf; the machine itself, as resolv.conf(5) has it, where there are none.
func systemResolvers(file string) []string {
	config, err := dns.ClientConfigFromFile(file)
	if err != nil || len(config.Servers) == 0 {
		return []string{"127.0.0.1:53"}
	}
	list := make([]string, len(config.Servers))
	for i, server := range config.Servers {
		list[i] = net.JoinHostPort(server, config.Port)
	}
	return list
}

// ParseServer reads the address of a DNS server, with or without a port.
func ParseServer(text string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return netip.AddrPortFrom(addr.Unmap(), 53), nil
	}
	server, err := netip.ParseAddrPort(text)
	if err != nil || server.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is not the address of a DNS server: write an IP address, or ADDRESS:PORT", text)
	}
	return server, nil
}

// question is what is asked, of whom.
type question struct {
	name    string
	kind    uint16
	recurse bool
	server  netip.AddrPort
}

// ask puts a question to one server: by UDP, and by TCP if the answer does not fit or none comes.
func (r *Resolver) ask(ctx context.Context, q question) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(q.name, q.kind)
	query.RecursionDesired = q.recurse
	query.SetEdns0(udpSize, false)
	reply, err := r.exchange(ctx, query, "udp", q.server)
	if err == nil && reply.Rcode == dns.RcodeFormatError {
		query.Extra = nil // RFC 6891 §7: a server that does not know EDNS
		reply, err = r.exchange(ctx, query, "udp", q.server)
	}
	if err == nil && !reply.Truncated || ctx.Err() != nil || isRefused(err) {
		return reply, err
	}
	return r.exchange(ctx, query, "tcp", q.server)
}

func (r *Resolver) exchange(ctx context.Context, query *dns.Msg, network string, server netip.AddrPort) (*dns.Msg, error) {
	client := &dns.Client{Net: network, Timeout: r.config.Timeout, UDPSize: udpSize}
	reply, _, err := client.ExchangeContext(ctx, query, server.String())
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", server, err)
	}
	asked := query.Question[0]
	if !reply.Response || len(reply.Question) != 1 || reply.Question[0].Qtype != asked.Qtype ||
		!strings.EqualFold(reply.Question[0].Name, asked.Name) {
		return nil, fmt.Errorf("asking %s: it answered something else", server)
	}
	return reply, nil
}

// isRefused reports whether nobody listens, or no way leads there: another try by TCP would say the same.
func isRefused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// errSilent says that no resolver gave an answer.
var errSilent = errors.New("no resolver has an answer")

// lookUp asks the resolvers in turn. The answer is NOERROR or NXDOMAIN.
func (r *Resolver) lookUp(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	failure := errSilent
	for _, server := range r.servers {
		reply, err := r.ask(ctx, question{name: name, kind: kind, recurse: true, server: server})
		switch {
		case err != nil:
			failure = err
		case reply.Rcode == dns.RcodeSuccess || reply.Rcode == dns.RcodeNameError:
			return reply, nil
		default:
			failure = fmt.Errorf("asking %s for %s of %s: %s", server, dns.TypeToString[kind], name, rcode(reply))
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, failure
}

// Forward puts somebody else's question to the resolvers.
func (r *Resolver) Forward(ctx context.Context, query *dns.Msg) (*dns.Msg, error) {
	if len(query.Question) != 1 {
		return nil, errors.New("that is not one question")
	}
	reply, err := r.lookUp(ctx, query.Question[0].Name, query.Question[0].Qtype)
	if err != nil {
		return nil, err
	}
	reply.Id = query.Id
	return reply, nil
}

func rcode(m *dns.Msg) string {
	if text, ok := dns.RcodeToString[m.Rcode]; ok {
		return text
	}
	return "code " + strconv.Itoa(m.Rcode)
}

// texts are the values of the TXT records that name has in a reply.
func texts(reply *dns.Msg, name string) []string {
	var list []string
	for _, record := range reply.Answer {
		if txt, ok := record.(*dns.TXT); ok && strings.EqualFold(txt.Hdr.Name, name) {
			list = append(list, strings.Join(txt.Txt, ""))
		}
	}
	return list
}
