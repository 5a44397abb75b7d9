package acme

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Subtrees is a set of names: domains with all that lies under them, and ranges
// of addresses. It is what a name constraint permits (RFC 5280 §4.2.1.10).
type Subtrees struct {
	Domains []string       // lower case, without a leading or trailing dot
	Ranges  []netip.Prefix // masked
}

// ParseSubtrees reads domains ("corp.example"), addresses ("192.0.2.7") and
// ranges ("10.0.0.0/8"), one an item. The error names the item that is wrong.
func ParseSubtrees(items []string) (Subtrees, error) {
	var s Subtrees
	for _, item := range items {
		if prefix, err := netip.ParsePrefix(item); err == nil {
			if prefix.Addr().Is4In6() {
				return Subtrees{}, fmt.Errorf("%q is a range of IPv4 addresses in IPv6 form: write it in IPv4 form", item)
			}
			if prefix.Masked() != prefix {
				return Subtrees{}, fmt.Errorf("%q has bits set beyond its length: write %s", item, prefix.Masked())
			}
			s.Ranges = append(s.Ranges, prefix)
			continue
		}
		id := IdentifierFor(strings.TrimPrefix(strings.TrimPrefix(item, "*."), "."))
		if strings.Contains(item, "/") {
			return Subtrees{}, fmt.Errorf("%q is not a range of addresses: write one as 10.0.0.0/8 or fc00::/7", item)
		}
		if _, problem := id.Normalize(); problem != nil {
			return Subtrees{}, fmt.Errorf("%q is neither a domain, an address nor a range: %s", item, problem.Detail)
		}
		if addr, err := netip.ParseAddr(id.Value); err == nil {
			s.Ranges = append(s.Ranges, netip.PrefixFrom(addr, addr.BitLen()))
		} else {
			s.Domains = append(s.Domains, id.Value)
		}
	}
	return s.Reduce(), nil
}

// Contains reports whether id, or every name that the wildcard id stands for, lies in s.
func (s Subtrees) Contains(id Identifier) bool {
	base, _ := id.Base()
	if id.Type == IP {
		addr, err := netip.ParseAddr(id.Value)
		return err == nil && s.containsRange(netip.PrefixFrom(addr, addr.BitLen()))
	}
	return s.containsDomain(base.Value)
}

// Covers reports whether everything in t lies in s.
func (s Subtrees) Covers(t Subtrees) bool { return len(s.Missing(t).Strings()) == 0 }

// Missing returns the parts of t that do not lie in s.
func (s Subtrees) Missing(t Subtrees) Subtrees {
	var missing Subtrees
	for _, domain := range t.Domains {
		if !s.containsDomain(domain) {
			missing.Domains = append(missing.Domains, domain)
		}
	}
	for _, prefix := range t.Ranges {
		if !s.containsRange(prefix) {
			missing.Ranges = append(missing.Ranges, prefix)
		}
	}
	return missing
}

// Union returns what lies in s or t.
func (s Subtrees) Union(t Subtrees) Subtrees {
	return Subtrees{
		Domains: slices.Concat(s.Domains, t.Domains),
		Ranges:  slices.Concat(s.Ranges, t.Ranges),
	}.Reduce()
}

// Reduce drops what another part of s contains anyway, and repetitions; the order stays.
func (s Subtrees) Reduce() Subtrees {
	var kept Subtrees
	for _, domain := range s.Domains {
		others := Subtrees{Domains: slices.DeleteFunc(slices.Clone(s.Domains), func(other string) bool { return other == domain })}
		if !slices.Contains(kept.Domains, domain) && !others.containsDomain(domain) {
			kept.Domains = append(kept.Domains, domain)
		}
	}
	for _, prefix := range s.Ranges {
		others := Subtrees{Ranges: slices.DeleteFunc(slices.Clone(s.Ranges), func(other netip.Prefix) bool { return other == prefix })}
		if !slices.Contains(kept.Ranges, prefix) && !others.containsRange(prefix) {
			kept.Ranges = append(kept.Ranges, prefix)
		}
	}
	return kept
}

// Strings lists the parts of s as ParseSubtrees reads them; a single address has no length.
func (s Subtrees) Strings() []string {
	list := slices.Clone(s.Domains)
	for _, prefix := range s.Ranges {
		if prefix.IsSingleIP() {
			list = append(list, prefix.Addr().String())
		} else {
			list = append(list, prefix.String())
		}
	}
	return list
}

func (s Subtrees) containsDomain(name string) bool {
	return slices.ContainsFunc(s.Domains, func(domain string) bool {
		return name == domain || strings.HasSuffix(name, "."+domain)
	})
}

func (s Subtrees) containsRange(r netip.Prefix) bool {
	return slices.ContainsFunc(s.Ranges, func(prefix netip.Prefix) bool {
		return prefix.Bits() <= r.Bits() && prefix.Contains(r.Addr())
	})
}
