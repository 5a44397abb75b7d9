package validate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// targetRule forbids to connect to the addresses in a range.
type targetRule struct {
	Range netip.Prefix
	What  string // what such an address is: "a link-local address"
}

// targetRules, which nothing changes, are the ranges that no proof connects to, the first match counts.
// Private ranges are not among them: the names that Cairn certifies live there.
//
// What is refused either never leaves the machine or the link (so it cannot be
// where the identifier's owner serves), hands out a cloud machine's secrets, or
// hides an IPv4 address that these rules would then not see.
var targetRules = []targetRule{
	rule("0.0.0.0/8", `an address of "this network"`), // RFC 1122 §3.2.1.3
	rule("169.254.169.254/32", metadata),              // AWS, Azure, Google, OpenStack and others
	rule("100.100.100.200/32", metadata),              // Alibaba Cloud
	rule("168.63.129.16/32", metadata),                // Azure, the "WireServer"
	rule("192.0.0.192/32", metadata),                  // Oracle Cloud Classic
	rule("fd00:ec2::254/128", metadata),               // AWS EC2
	rule("fd00:ec2::23/128", metadata),                // AWS EKS Pod Identity
	rule("fd20:ce::254/128", metadata),                // Google Compute Engine
	rule("fd00:c1::a9fe:a9fe/128", metadata),          // Oracle Cloud
	rule("fd00:42::42/128", metadata),                 // Scaleway
	rule("fd00:a9fe:a9fe::1/128", metadata),           // Akamai (Linode)
	rule("169.254.0.0/16", "a link-local address"),    // RFC 3927
	rule("fe80::/10", "a link-local address"),         // RFC 4291 §2.5.6
	rule("fec0::/10", "a site-local address"),         // RFC 3879
	rule("224.0.0.0/4", "a multicast address"),        // RFC 5771
	rule("ff00::/8", "a multicast address"),           // RFC 4291 §2.7
	rule("255.255.255.255/32", "the broadcast address"),
	rule("::/128", "the unspecified address"),
	rule("::ffff:0:0/96", hidden),   // RFC 4291 §2.5.5.2
	rule("::ffff:0:0:0/96", hidden), // RFC 2765 §2.1
	rule("64:ff9b::/96", hidden),    // RFC 6052 §2.1
	rule("64:ff9b:1::/48", hidden),  // RFC 8215
	rule("2002::/16", hidden),       // 6to4, RFC 3056
	rule("2001::/32", hidden),       // Teredo, RFC 4380
	// The loopback addresses are ordinary where the name says so; see judge.
	rule("127.0.0.0/8", loopback), // RFC 1122 §3.2.1.3
	rule("::1/128", loopback),     // RFC 4291 §2.5.3
	rule("::/96", hidden),         // RFC 4291 §2.5.5.1
}

const (
	loopback = "a loopback address"
	metadata = "a cloud metadata address"
	hidden   = "an IPv4 address hidden in an IPv6 address"
)

func rule(prefix, what string) targetRule { return targetRule{netip.MustParsePrefix(prefix), what} }

// targets decides which addresses may be connected to.
type targets struct{ allow []netip.Prefix }

// judge returns the rule that forbids to connect to an address, if one does.
// loopbackOK says that the name may be this machine itself; what counts then is
// that the machine's own configuration says so, and not a DNS server's answer.
func (t targets) judge(a Address, loopbackOK bool) (targetRule, bool) {
	if slices.ContainsFunc(t.allow, func(p netip.Prefix) bool { return p.Contains(a.Addr) }) {
		return targetRule{}, false
	}
	for _, rule := range targetRules {
		if !rule.Range.Contains(a.Addr) {
			continue
		}
		if rule.What == loopback && loopbackOK && a.Source.ownWord() {
			return targetRule{}, false
		}
		return rule, true
	}
	return targetRule{}, false
}

// ownWord reports whether the source is this machine's configuration or the
// identifier that the policy has let pass, and not somebody on the network.
func (s Source) ownWord() bool {
	return s.Kind == FromIdentifier || s.Kind == FromHosts || s.Kind == FromBuiltIn
}

// screen splits addresses into those to connect to, in the order to try them,
// and sentences about the others for the client. It notes the refusals in the
// addresses themselves and tells the operator how each could be opened.
func (a *attempt) screen(name string, found []Address, loopbackOK bool) (usable []Address, refused []string) {
	for i, addr := range found {
		rule, forbidden := a.targets.judge(addr, loopbackOK)
		if !forbidden {
			usable = append(usable, addr)
			continue
		}
		found[i].Refused = rule.What
		refused = append(refused, fmt.Sprintf("%s is %s (%s), which is never connected to", addr.Addr, rule.What, addr.Source))
		a.config.Log.Warn("target refused", "identifier", a.request.Identifier.Value, "name", name,
			"address", addr.Addr, "source", addr.Source.String(), "rule", rule.What,
			"to_open", "--allow-target "+rule.Range.String())
	}
	return inOrder(usable), refused
}

// maxTargets bounds how many addresses of one name are tried.
const maxTargets = 4

// inOrder puts IPv6 before IPv4, as RFC 6724 §2.1 would, but turn by turn, so
// that a machine with several dead IPv6 addresses still gets asked over IPv4.
func inOrder(addrs []Address) []Address {
	var six, four, out []Address
	for _, a := range addrs {
		if a.Addr.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	for i := range max(len(six), len(four)) {
		out = append(out, six[min(i, len(six)):min(i+1, len(six))]...)
		out = append(out, four[min(i, len(four)):min(i+1, len(four))]...)
	}
	return out[:min(len(out), maxTargets)]
}

// specialRanges are unicast ranges that are not globally reachable according to
// the IANA special-purpose registries (RFC 6890), beyond what netip knows.
var specialRanges = func() (ranges []netip.Prefix) {
	const list = "100.64.0.0/10 192.0.0.0/24 192.0.2.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 " +
		"240.0.0.0/4 2001::/23 2001:db8::/32 3fff::/20"
	for _, field := range strings.Fields(list) {
		ranges = append(ranges, netip.MustParsePrefix(field))
	}
	return ranges
}()

// isPublic reports whether addr is reachable from the whole Internet.
func isPublic(addr netip.Addr) bool {
	for _, rule := range targetRules {
		if rule.Range.Contains(addr) {
			return false
		}
	}
	for _, special := range specialRanges {
		if special.Contains(addr) {
			return false
		}
	}
	// RFC 4291 §2.4 and the IANA registry: all that is assigned lies in 2000::/3.
	return !addr.IsPrivate() && (addr.Is4() || netip.MustParsePrefix("2000::/3").Contains(addr))
}
