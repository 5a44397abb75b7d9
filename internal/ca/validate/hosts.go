package validate

import (
	"net/netip"
	"strings"
)

// hosts maps names, in lower case and without a final dot, to addresses.
type hosts map[string][]netip.Addr

// maxHostAddresses bounds the addresses of one name in the hosts file.
const maxHostAddresses = 16

// parseHosts reads a hosts file as hosts(5) describes it: an address and names
// on each line, "#" begins a comment. Lines of another form are passed over, as
// the C library does; a name on several lines has all their addresses.
func parseHosts(text []byte) hosts {
	found := hosts{}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil || addr.Zone() != "" {
			continue
		}
		for _, name := range fields[1:] {
			name = canonicalName(name)
			if len(name) > 0 && len(name) <= 253 && len(found[name]) < maxHostAddresses {
				found[name] = append(found[name], addr)
			}
		}
	}
	return found
}

// canonicalName is name as it is compared: domain names ignore the case of
// ASCII letters (RFC 4343 §2), and the final dot says nothing here.
func canonicalName(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
