package acme

import (
	"net/netip"
	"strings"
)

// IdentifierType says what kind of name an Identifier holds (RFC 8555 §9.7.7).
type IdentifierType string

// The identifier types that Cairn knows.
const (
	DNS IdentifierType = "dns" // a fully qualified domain name (RFC 8555 §7.1.3)
	IP  IdentifierType = "ip"  // an address in canonical text (RFC 8738 §3)
)

// Identifier is what a certificate is for: a domain name or an address.
type Identifier struct {
	Type  IdentifierType `json:"type"`
	Value string         `json:"value"`
}

func (id Identifier) String() string { return id.Value }

// IdentifierFor returns the identifier that a person means by name: an address
// in any spelling, or else a domain name. It does not check the domain name.
func IdentifierFor(name string) Identifier {
	if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil && addr.Zone() == "" {
		return Identifier{Type: IP, Value: addr.Unmap().String()}
	}
	return Identifier{Type: DNS, Value: strings.ToLower(strings.TrimSuffix(name, "."))}
}

// Normalize checks the form of id and returns it in its one canonical form:
// domain names in lower case, addresses as they must be anyway.
// A domain name may begin with the wildcard label "*." (RFC 8555 §7.1.3).
func (id Identifier) Normalize() (Identifier, *Problem) {
	switch id.Type {
	case DNS:
		return normalizeDNS(id.Value)
	case IP:
		return normalizeIP(id.Value)
	case "":
		return id, Problemf(TypeMalformed, `an identifier has no "type": it must be "dns" or "ip"`)
	default:
		return id, Problemf(TypeUnsupportedIdentifier, `identifier type %.32q is not supported: use "dns" or "ip"`, string(id.Type))
	}
}

// Base returns id without a wildcard label, and whether there was one (RFC 8555 §7.1.3).
func (id Identifier) Base() (Identifier, bool) {
	rest, ok := strings.CutPrefix(id.Value, "*.")
	return Identifier{Type: id.Type, Value: rest}, ok && id.Type == DNS
}

func normalizeIP(value string) (Identifier, *Problem) {
	addr, err := netip.ParseAddr(value)
	// RFC 8738 §3: IPv4 as dotted quad, IPv6 as RFC 5952 §4 writes it, and no zone.
	if err != nil || addr.Zone() != "" || addr.String() != value || addr.Is4In6() {
		return Identifier{}, Problemf(TypeMalformed, "%.64q is not an address in canonical form (RFC 8738 §3)", value)
	}
	return Identifier{Type: IP, Value: value}, nil
}

// normalizeDNS enforces the LDH rules of RFC 5890 §2.3.1 and the lengths of RFC 1035 §2.3.4.
func normalizeDNS(value string) (Identifier, *Problem) {
	reject := func(why string) (Identifier, *Problem) {
		return Identifier{}, Problemf(TypeMalformed, "domain name %.256q %s", value, why)
	}
	name := strings.ToLower(value)
	base := strings.TrimPrefix(name, "*.")
	switch {
	case base == "":
		return reject("is empty")
	case len(base) > 253:
		return reject("is longer than 253 octets")
	case strings.HasSuffix(base, "."):
		return reject("ends in a dot: leave the dot out")
	}
	if _, err := netip.ParseAddr(base); err == nil {
		return reject(`is an address: use an identifier of type "ip"`)
	}
	labels := strings.Split(base, ".")
	for _, label := range labels {
		if why := badLabel(label); why != "" {
			return reject(why)
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return reject("ends in a label of digits alone, which no domain does")
	}
	return Identifier{Type: DNS, Value: name}, nil
}

// badLabel says what is wrong with one label of a domain name, or "".
func badLabel(label string) string {
	switch {
	case label == "":
		return "has an empty label"
	case len(label) > 63:
		return "has a label of more than 63 octets"
	case label == "*":
		return `has a "*" that is not the whole first label before a further name`
	case label[0] == '-' || label[len(label)-1] == '-':
		return "has a label that begins or ends with a hyphen"
	case len(label) >= 4 && label[2:4] == "--" && label[:2] != "xn":
		return `has a label with "--" in its third and fourth place, which is reserved (RFC 5891 §4.2.3.1)`
	}
	for i := range len(label) {
		c := label[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
			return "has a character other than a letter, a digit or a hyphen; write international names in their xn-- form"
		}
	}
	return ""
}
