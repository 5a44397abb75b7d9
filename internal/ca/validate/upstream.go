package validate

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// transport is how questions travel to a DNS server.
type transport string

const (
	plain    transport = ""         // UDP, and TCP where an answer is truncated (RFC 7766 §5)
	overTCP  transport = "tcp://"   // TCP alone
	overTLS  transport = "tls://"   // RFC 7858
	overHTTP transport = "https://" // RFC 8484
)

// upstream is a DNS server as the configuration names it.
type upstream struct {
	transport transport
	name      string         // that its certificate must bear; a domain name or an address
	at        netip.AddrPort // where it is
	path      string         // of DNS over HTTPS
}

// String is the upstream in its full form, which parses to the same.
func (u upstream) String() string {
	at := u.at.String()
	if u.name != "" && u.name != u.at.Addr().String() {
		at = u.name + "@" + at
	}
	return string(u.transport) + at + u.path
}

// trustsAD reports whether the AD bit in an answer is the upstream's own word:
// on the way from loopback nobody can change it, and neither under TLS with a
// verified name (RFC 4035 §4.9.3, RFC 6840 §5.7).
func (u upstream) trustsAD() bool {
	return u.at.Addr().IsLoopback() || u.transport == overTLS || u.transport == overHTTP
}

// CheckServer says what is wrong with the name of a DNS server, which is one of
// ADDRESS:PORT, tcp://ADDRESS[:PORT], tls://NAME@ADDRESS[:PORT] and
// https://NAME@ADDRESS[:PORT][/PATH]. The name may be left out where the
// certificate bears the address.
func CheckServer(server string) error {
	_, err := parseUpstream(server)
	return err
}

// maxUpstream bounds the text of one upstream.
const maxUpstream = 512

func parseUpstream(text string) (upstream, error) {
	if len(text) > maxUpstream {
		return upstream{}, errors.New("it is too long")
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return parsePlain(text)
	}
	u := upstream{transport: transport(strings.ToLower(scheme) + "://")}
	var port uint16
	switch u.transport {
	case overTCP:
		port = 53
	case overTLS:
		port = 853 // RFC 7858 §3.1
	case overHTTP:
		port = 443
	default:
		return upstream{}, errors.New("the ways to ask are ADDRESS:PORT, tcp://, tls:// and https://")
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 && u.transport == overHTTP {
		rest, u.path = rest[:i], rest[i:]
	}
	if u.transport == overHTTP && (u.path == "" || u.path == "/") {
		u.path = "/dns-query" // the usual one (RFC 8484 §4.1.1)
	}
	if strings.ContainsFunc(u.path, func(r rune) bool { return r <= ' ' || r > '~' || r == '?' || r == '#' || r == '{' }) {
		return upstream{}, errors.New("the path must be plain, without a query: questions are sent by POST")
	}
	name, address, named := strings.Cut(rest, "@")
	if !named {
		name, address = "", rest
	}
	return u.placed(name, address, port)
}

// parsePlain reads ADDRESS:PORT.
func parsePlain(text string) (upstream, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return upstream{}, errors.New("it is not ADDRESS:PORT, for example 10.0.0.53:53")
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return upstream{}, errors.New("the host must be an address, since a name would have to be resolved first, by itself")
	}
	n, err := parsePort(port)
	return upstream{at: netip.AddrPortFrom(addr, n)}, err
}

// placed fills in where the upstream is and what its certificate must bear.
func (u upstream) placed(name, address string, port uint16) (upstream, error) {
	host := address
	if h, p, err := net.SplitHostPort(address); err == nil {
		n, err := parsePort(p)
		if err != nil {
			return upstream{}, err
		}
		host, port = h, n
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	switch {
	case err != nil && u.transport == overTCP:
		return upstream{}, errors.New("the host must be an address, since a name would have to be resolved first, by itself")
	case err != nil && name == "":
		return upstream{}, errors.New("it needs an address, since its name would have to be resolved first, by itself: for example " +
			string(u.transport) + "dns.example@192.0.2.53" + u.path)
	case err != nil:
		return upstream{}, errors.New("after the @ belongs an address, for example 192.0.2.53 or [2001:db8::53]:853")
	}
	u.at = netip.AddrPortFrom(addr, port)
	if u.transport == overTCP {
		if name != "" {
			return upstream{}, errors.New("a name says nothing without TLS: write tcp://ADDRESS:PORT")
		}
		return u, nil
	}
	u.name = canonicalName(name)
	if u.name == "" {
		u.name = addr.WithZone("").String()
	} else if !isHostName(u.name) {
		return upstream{}, errors.New("before the @ belongs the domain name that is in its certificate")
	}
	return u, nil
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, errors.New("the port must be from 1 to 65535")
	}
	return uint16(n), nil
}

// isHostName reports whether name, in lower case, can stand in a certificate: a domain name or an address.
func isHostName(name string) bool {
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.Zone() == ""
	}
	if len(name) > maxName {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		ok := label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-'
		for _, c := range []byte(label) {
			ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_')
		}
		if !ok {
			return false
		}
	}
	return true
}
