package validate

import (
	"net"
	"net/netip"
	"strings"
)

// maxServers is how many servers the C library takes from resolv.conf (resolv.conf(5), MAXNS).
const maxServers = 3

// parseResolvConf returns the servers that a resolv.conf names, host:port. It
// reads nothing else of the file: search domains do not apply to names that are
// fully qualified, and the time limits are our own. A file without a server
// means the one on this machine (resolv.conf(5)).
func parseResolvConf(text []byte) []string {
	var servers []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" || len(servers) == maxServers {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, net.JoinHostPort(addr.String(), "53"))
		}
	}
	if len(servers) == 0 {
		return []string{"127.0.0.1:53"}
	}
	return servers
}
