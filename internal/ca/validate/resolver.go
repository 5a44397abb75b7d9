package validate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
)

// ResolverConfig says how names are resolved. The zero value resolves as the machine does.
type ResolverConfig struct {
	HostsFile  string   // "" means /etc/hosts
	ResolvConf string   // "" means /etc/resolv.conf; read only where Servers is empty
	Servers    []string // DNS servers, in the order to ask them; each as CheckServer wants it
	// Roots verify the certificates of servers that are asked over TLS; nil means the machine's.
	Roots *x509.CertPool
	// RequireDNSSEC uses no answer but those of servers that validate and whose
	// word that they did can be believed. Multicast DNS is not asked then.
	RequireDNSSEC bool
	// SignedName is a signed zone for which each server must vouch where DNSSEC is
	// required; "" means the root.
	SignedName string
	// Multicast are the destinations of questions about .local names; nil means
	// 224.0.0.251:5353 and [ff02::fb]:5353 (RFC 6762 §3), empty means not to ask.
	Multicast     []netip.AddrPort
	Attempt       time.Duration // for one answer of one server; 0 means 2 s
	Timeout       time.Duration // for one whole lookup; 0 means 6 s
	MulticastWait time.Duration // for answers by multicast DNS; 0 means 1 s
}

// Resolver finds the addresses of names as this machine does: in the hosts
// file, then by the DNS servers of resolv.conf; for .local names also by
// multicast DNS. Any number of goroutines may use one.
type Resolver struct {
	config  ResolverConfig
	hosts   *watched[hosts]
	conf    *watched[[]string] // nil where the configuration names the servers
	servers []*server          // those of the configuration
	vouched vouched
	links   chan struct{} // a token for each name that is asked for by multicast DNS
}

// maxMulticast bounds how many names are asked for by multicast DNS at a time.
const maxMulticast = 8

// NewResolver returns a Resolver. It fails on a server that CheckServer refuses
// and, where DNSSEC is required, on one whose word on it cannot be believed.
func NewResolver(c ResolverConfig) (*Resolver, error) {
	setDefaults(&c)
	r := &Resolver{config: c, links: make(chan struct{}, maxMulticast), hosts: &watched[hosts]{path: c.HostsFile, parse: parseHosts}}
	if len(c.Servers) == 0 {
		r.conf = &watched[[]string]{path: c.ResolvConf, parse: parseResolvConf}
	}
	for _, text := range c.Servers {
		u, err := parseUpstream(text)
		if err != nil {
			return nil, fmt.Errorf("DNS server %q: %w", text, err)
		}
		r.servers = append(r.servers, newServer(u, c.Roots))
	}
	return r, nil
}

func setDefaults(c *ResolverConfig) {
	if c.HostsFile == "" {
		c.HostsFile = "/etc/hosts"
	}
	if c.ResolvConf == "" {
		c.ResolvConf = "/etc/resolv.conf"
	}
	if c.Multicast == nil {
		c.Multicast = []netip.AddrPort{
			netip.MustParseAddrPort("224.0.0.251:5353"),
			netip.MustParseAddrPort("[ff02::fb]:5353"),
		}
	}
	if c.Attempt == 0 {
		c.Attempt = 2 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 6 * time.Second
	}
	if c.MulticastWait == 0 {
		c.MulticastWait = time.Second
	}
	if c.RequireDNSSEC {
		c.Multicast = []netip.AddrPort{}
	}
	c.SignedName = canonicalName(c.SignedName)
	c.Servers, c.Multicast = slices.Clone(c.Servers), slices.Clone(c.Multicast)
}

// Lookup returns the addresses of a domain name, at least one unless there is
// an error. The error is an *acme.Problem of type dns where the name cannot be
// resolved, and anything else where this machine is at fault. The questions
// asked are in the Lookup in either case.
func (r *Resolver) Lookup(ctx context.Context, name string) (Lookup, error) {
	lookup := Lookup{Name: canonicalName(name)}
	known, err := r.hosts.get()
	if err != nil {
		return lookup, err
	}
	if addrs := known[lookup.Name]; len(addrs) > 0 {
		lookup.add(Source{Kind: FromHosts, Where: r.config.HostsFile}, addrs)
		return lookup, nil
	}
	if isLocalhost(lookup.Name) {
		lookup.add(Source{Kind: FromBuiltIn}, []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})})
		return lookup, nil
	}
	servers, err := r.currentServers()
	if err != nil {
		return lookup, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	err = r.network(ctx, servers, &lookup)
	return lookup, err
}

// network asks the DNS servers and, for a .local name, the link. Both are asked
// at once; where a server knows the name, it wins: somebody set it up on purpose.
func (r *Resolver) network(ctx context.Context, servers []*server, lookup *Lookup) error {
	multicast := make(chan []Address, 1)
	if strings.HasSuffix(lookup.Name, ".local") {
		go func() {
			select { // each takes up to maxInterfaces sockets of either family
			case r.links <- struct{}{}:
				defer func() { <-r.links }()
				multicast <- r.multicast(ctx, lookup.Name)
			case <-ctx.Done():
				multicast <- nil
			}
		}()
	} else {
		multicast <- nil
	}
	err := r.askServers(ctx, servers, lookup)
	if err == nil {
		return nil // the other goroutine ends with ctx, and nobody needs what it hears
	}
	heard := <-multicast
	lookup.hear(heard)
	if len(heard) > 0 {
		lookup.Addresses = heard
		return nil
	}
	if problem, ok := errors.AsType[*acme.Problem](err); ok && strings.HasSuffix(lookup.Name, ".local") && len(r.config.Multicast) > 0 {
		problem.Detail += "; nobody answered by multicast DNS either"
	}
	return err
}

// hear notes what multicast DNS said, as one question.
func (l *Lookup) hear(heard []Address) {
	if !strings.HasSuffix(l.Name, ".local") {
		return
	}
	asked := Question{Server: "multicast", Name: l.Name, Type: "AAAA, A"}
	for _, addr := range heard {
		asked.Answers = append(asked.Answers, addr.Addr.String())
	}
	l.Questions = append(l.Questions, asked)
}

// TXT is what the DNS says about the TXT records of a name.
type TXT struct {
	Lookup
	Values []string // the strings of each record, joined; in the notation of RFC 1035 §5.1
	Alias  bool     // the records are those of another name, to which aliases led
	Server string   // host:port of who answered
}

// TXT returns the TXT records of a domain name, which may be none. Only the DNS
// servers are asked, whatever the name: neither the hosts file nor multicast DNS
// has such records for us. Errors are as with Lookup.
func (r *Resolver) TXT(ctx context.Context, name string) (TXT, error) {
	found := TXT{Lookup: Lookup{Name: canonicalName(name)}}
	if len(found.Name) > maxName {
		return found, acme.Problemf(acme.TypeDNS, "%s cannot be asked for: it is longer than %d octets", found.Name, maxName)
	}
	servers, err := r.currentServers()
	if err != nil {
		return found, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	out := r.resolve(ctx, servers, question{found.Name, dns.TypeTXT})
	found.Questions, found.Server, found.DNSSEC = out.questions, out.server, out.dnssec
	found.Values, found.Alias = out.texts(), out.name != found.Name
	if len(out.records) > 0 || out.nothing {
		return found, nil
	}
	return found, out.err("no TXT record found at " + found.Name)
}

// err is why there are no records, beginning with what was wanted.
func (o outcome) err(wanted string) error {
	if o.fault != nil {
		return fmt.Errorf("%s: %w", wanted, o.fault)
	}
	problem := acme.Problemf(acme.TypeDNS, "%s: %s", wanted, o.failure)
	if o.temporary {
		return temporary{problem}
	}
	return problem
}

// maxName is the length of the longest domain name, in octets of text (RFC 1035 §2.3.4).
const maxName = 253

// texts are the values of TXT records. The strings of a record are one text that
// had to be cut at 255 octets (RFC 7208 §3.3 and the practice of dns-01).
func (o outcome) texts() []string {
	var values []string
	for _, rr := range o.records {
		if txt, ok := rr.(*dns.TXT); ok {
			values = append(values, strings.Join(txt.Txt, ""))
		}
	}
	return values
}

// currentServers are those of the configuration, or what resolv.conf says now.
func (r *Resolver) currentServers() ([]*server, error) {
	if r.conf == nil {
		return r.servers, nil
	}
	texts, err := r.conf.get()
	if err != nil {
		return nil, err
	}
	var servers []*server
	for _, text := range texts {
		u, err := parseUpstream(text)
		if err != nil {
			return nil, fmt.Errorf("DNS server %q of %s: %w", text, r.config.ResolvConf, err)
		}
		servers = append(servers, newServer(u, nil))
	}
	return servers, nil
}

func (l *Lookup) add(source Source, addrs []netip.Addr) {
	for _, addr := range addrs {
		l.Addresses = append(l.Addresses, Address{Addr: addr, Source: source})
	}
}

// isLocalhost reports whether name is this machine by definition (RFC 6761 §6.3).
func isLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// cannotResolve is the problem of a name that has no address, and why.
func cannotResolve(name, why string) *acme.Problem {
	return acme.Problemf(acme.TypeDNS, "no address found for %s: %s", name, why)
}
