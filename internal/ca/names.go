package ca

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/cairn-ca/cairn/acme"
)

// privateNames is what a CA issues for without being told: names and addresses that
// belong to nobody on the Internet (RFC 6761, RFC 6762 §3, RFC 8375, ICANN's "internal",
// RFC 1918, RFC 6598, RFC 4193).
var privateNames = []string{
	"localhost", "internal", "home.arpa", "lan", "local", "test",
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8",
	"fc00::/7", "::1",
}

// Machine is what the machine calls itself.
type Machine struct {
	Names     []string     // host names, the short one first; lower case
	Addresses []netip.Addr // of its interfaces, loopback included, link-local ones not
}

// maxNames is how many names of a machine count. More are somebody's list of something else.
const maxNames = 8

// ThisMachine asks the system. hostsFile, if there is one, tells the full name that belongs to the host name.
func ThisMachine(hostsFile string) (Machine, error) {
	var m Machine
	host, err := os.Hostname()
	if err != nil {
		return m, fmt.Errorf("finding the host name: %w", err)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return m, fmt.Errorf("finding the machine's addresses: %w", err)
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		addr := prefix.Addr().Unmap().WithZone("")
		if !addr.IsLinkLocalUnicast() && !addr.IsMulticast() && !addr.IsUnspecified() {
			m.Addresses = append(m.Addresses, addr)
		}
	}
	slices.SortFunc(m.Addresses, netip.Addr.Compare)
	m.Addresses = slices.Compact(m.Addresses)
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	m.addNames(host)
	if file, err := os.Open(hostsFile); err == nil { // a machine without a hosts file has no further names
		defer file.Close()
		m.addNames(m.fullNames(file, host)...)
	}
	return m, nil
}

// addNames takes up the names that a machine can have to itself. A host that is called "dev"
// or "app" is not: what lies under these belongs to the public.
func (m *Machine) addNames(names ...string) {
	for _, name := range names {
		id, problem := acme.Identifier{Type: acme.DNS, Value: name}.Normalize()
		suffix, public := publicsuffix.PublicSuffix(id.Value)
		if problem == nil && !(public && suffix == id.Value) && !slices.Contains(m.Names, id.Value) && len(m.Names) < maxNames {
			m.Names = append(m.Names, id.Value)
		}
	}
}

// fullNames finds the names that a hosts file gives to host itself: those that begin with it,
// in lines that also have it alone, for an address of this machine. Other lines
// are about other machines, or are a list of names to be blocked.
func (m *Machine) fullNames(file io.Reader, host string) (names []string) {
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		text, _, _ := strings.Cut(strings.ToLower(lines.Text()), "#")
		fields := strings.Fields(text)
		if len(fields) < 3 || !slices.Contains(fields[1:], host) {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil || !addr.IsLoopback() && !slices.Contains(m.Addresses, addr.Unmap()) {
			continue
		}
		for _, name := range fields[1:] {
			if strings.HasPrefix(name, host+".") {
				names = append(names, name)
			}
		}
	}
	return names
}

// Subtrees is what a CA on m issues for without being told.
func (m Machine) Subtrees() acme.Subtrees {
	private, err := acme.ParseSubtrees(privateNames)
	if err != nil {
		panic(err) // a table of this file
	}
	own := acme.Subtrees{Domains: m.Names}
	for _, addr := range m.Addresses {
		own.Ranges = append(own.Ranges, netip.PrefixFrom(addr, addr.BitLen()))
	}
	return private.Union(own)
}

// maxOwnNames is how many names the CA's own HTTPS certificate is for at most: a host of
// containers can have hundreds of addresses, and a certificate takes a hundred names.
const maxOwnNames = 100

// called lists whatever somebody on m's network may call a server on it by.
func (m Machine) called() []string {
	names := append([]string{"localhost", "127.0.0.1", "::1"}, m.Names...)
	for _, addr := range m.Addresses {
		names = append(names, addr.String())
	}
	return names
}

// identifiers is what the CA's own HTTPS certificate is for: what it is called, as far as its issuer may issue for it.
func identifiers(called []string, permitted acme.Subtrees) (ids, left []acme.Identifier) {
	for _, name := range called {
		id, problem := acme.IdentifierFor(name).Normalize()
		switch {
		case problem != nil || slices.Contains(ids, id) || slices.Contains(left, id) || len(ids) == maxOwnNames:
		case permitted.Contains(id):
			ids = append(ids, id)
		default:
			left = append(left, id)
		}
	}
	return ids, left
}
