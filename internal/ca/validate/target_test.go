package validate_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

const (
	linkLocal = "a link-local address"
	metadata  = "a cloud metadata address"
	multicast = "a multicast address"
	hidden    = "an IPv4 address hidden in an IPv6 address"
	loopback  = "a loopback address"
	thisNet   = `an address of "this network"`
)

func TestV14Targets(t *testing.T) {
	for addr, want := range map[string]string{
		// Private ranges are where the names live.
		"10.0.0.1": "", "172.16.0.1": "", "192.168.1.1": "", "100.64.0.1": "", "fd00::1": "", "fc00::1": "",
		"8.8.8.8": "", "2606:4700::1111": "", "2001:1::1": "", "192.0.0.191": "", "100.100.100.201": "",
		"0.0.0.0": thisNet, "0.1.2.3": thisNet, "1.0.0.0": "",
		"127.0.0.1": loopback, "127.255.255.255": loopback, "::1": loopback,
		"169.254.0.1": linkLocal, "169.254.169.253": linkLocal, "169.254.170.2": linkLocal, "169.253.255.255": "",
		"fe80::1": linkLocal, "febf::1": linkLocal, "fec0::1": "a site-local address", "feff::1": "a site-local address",
		"169.254.169.254": metadata, "100.100.100.200": metadata, "168.63.129.16": metadata, "192.0.0.192": metadata,
		"fd00:ec2::254": metadata, "fd00:ec2::23": metadata, "fd20:ce::254": metadata, "fd00:42::42": metadata,
		"fd00:c1::a9fe:a9fe": metadata, "fd00:a9fe:a9fe::1": metadata, "fd00:ec2::255": "",
		"224.0.0.1": multicast, "239.255.255.255": multicast, "ff02::1": multicast, "ff0e::1": multicast,
		"255.255.255.255": "the broadcast address", "::": "the unspecified address",
		"::ffff:10.0.0.1": hidden, "::ffff:127.0.0.1": hidden, "::ffff:0:10.0.0.1": hidden, "::10.0.0.1": hidden,
		"64:ff9b::a00:1": hidden, "64:ff9b:1::a00:1": hidden, "64:ff9b:1:ffff::1": hidden, "64:ff9b:2::1": "",
		"2002:a00:1::1": hidden, "2001::a00:1": hidden, "2003::1": "",
	} {
		if got := validate.Judge(nil, netip.MustParseAddr(addr), validate.FromDNS, true); got != want {
			t.Errorf("%s is %q, want %q", addr, got, want)
		}
		// What is opened wins over every rule.
		open := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		if got := validate.Judge(open, netip.MustParseAddr(addr), validate.FromDNS, true); got != "" {
			t.Errorf("%s is %q although it is opened", addr, got)
		}
	}
}

func TestLoopbackTargets(t *testing.T) {
	for _, c := range []struct {
		source     validate.SourceKind
		loopbackOK bool
		want       string
	}{
		{validate.FromHosts, true, ""}, {validate.FromBuiltIn, true, ""}, {validate.FromIdentifier, true, ""},
		{validate.FromDNS, true, loopback}, {validate.FromMulticast, true, loopback},
		{validate.FromHosts, false, loopback}, {validate.FromBuiltIn, false, loopback},
	} {
		for _, addr := range []string{"127.0.0.1", "127.0.1.1", "::1"} {
			if got := validate.Judge(nil, netip.MustParseAddr(addr), c.source, c.loopbackOK); got != c.want {
				t.Errorf("%s from %s (%v) is %q, want %q", addr, c.source, c.loopbackOK, got, c.want)
			}
		}
		// The hosts file opens loopback, and nothing else.
		if got := validate.Judge(nil, netip.MustParseAddr("169.254.1.1"), c.source, c.loopbackOK); got != linkLocal {
			t.Errorf("169.254.1.1 from %s is %q", c.source, got)
		}
	}
}

func TestPublicAddresses(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "192.0.1.1": true, "2606:4700::1111": true, "2a00::1": true,
		"10.0.0.1": false, "172.31.0.1": false, "192.168.0.1": false, "100.64.0.1": false, "127.0.0.1": false,
		"169.254.1.1": false, "192.0.0.8": false, "192.0.2.1": false, "198.18.0.1": false, "198.51.100.1": false,
		"203.0.113.1": false, "240.0.0.1": false, "255.255.255.255": false, "224.0.0.1": false, "0.0.0.0": false,
		"::1": false, "fd00::1": false, "fe80::1": false, "2001:db8::1": false, "2001:2::1": false, "2002::1": false,
		"3fff::1": false, "100::1": false, "5f00::1": false, "::ffff:8.8.8.8": false, "64:ff9b::808:808": false,
	} {
		if got := validate.IsPublic(netip.MustParseAddr(addr)); got != want {
			t.Errorf("IsPublic(%s) = %v", addr, got)
		}
	}
}

func TestOrder(t *testing.T) {
	for in, want := range map[string]string{
		"":                                 "",
		"10.0.0.1":                         "10.0.0.1",
		"10.0.0.1 fd00::1":                 "fd00::1 10.0.0.1",
		"fd00::1 fd00::2 fd00::3 10.0.0.1": "fd00::1 10.0.0.1 fd00::2 fd00::3",
		"10.0.0.1 10.0.0.2 10.0.0.3 fd00::1 fd00::2":                     "fd00::1 10.0.0.1 fd00::2 10.0.0.2",
		"10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7": "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4",
	} {
		var addrs []netip.Addr
		for _, field := range strings.Fields(in) {
			addrs = append(addrs, netip.MustParseAddr(field))
		}
		var got []string
		for _, addr := range validate.Order(addrs) {
			got = append(got, addr.String())
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("order of %s is %s, want %s", in, got, want)
		}
	}
}

func TestManyRefusedTargets(t *testing.T) {
	var records []string
	for i := range 40 {
		records = append(records, fmt.Sprintf("a.test. A 169.254.0.%d", i), fmt.Sprintf("a.test. AAAA fe80::%x", i))
	}
	result := prove(t, validate.Config{Resolver: newResolver(t, zone(t, records...))}, "a.test")
	wantProblem(t, result.Problem, acme.TypeConnection, "28 more are refused")
	if found := len(result.Evidence.Lookups[0].Addresses); found != 32 || len(result.Problem.Detail) > 1000 {
		t.Errorf("%d addresses, detail %q", found, result.Problem.Detail)
	}
}

// One usable address is enough, and a refusal names address, source and rule.
func TestRefusedTargets(t *testing.T) {
	port := newWeb(t, http.HandlerFunc(good))
	hosts := writeFile(t, "127.0.0.1 hosts.test\n169.254.7.7 linklocal.test\n::ffff:127.0.0.1 mapped.test\n")
	server := newDNS(t, zone(t, "both.test. A 169.254.1.1", "both.test. A 127.0.0.1", "rebound.test. A 127.0.0.1", "rebound.test. AAAA ::1",
		"alias.test. CNAME localhost.", "localhost. A 127.0.0.1", "hidden.test. AAAA ::ffff:7f00:1"))
	var log bytes.Buffer
	c := validate.Config{HTTP01Port: port, Resolver: resolver(t, validate.ResolverConfig{HostsFile: hosts, Servers: []string{server}}),
		Log: slog.New(slog.NewTextHandler(&log, nil))}
	for _, open := range []struct{ name, allow string }{
		{"both.test", "127.0.0.0/8"}, {"hosts.test", ""}, {"localhost", ""}, {"deep.sub.localhost", ""}, {"127.0.0.1", ""}, {"mapped.test", "::ffff:0:0/96"},
	} {
		c.Allow = nil
		if open.allow != "" {
			c.Allow = []netip.Prefix{netip.MustParsePrefix(open.allow)}
		}
		if result := prove(t, c, open.name); result.Problem != nil {
			t.Errorf("%s: %v", open.name, result.Problem)
		}
	}
	c.Allow = nil
	for name, words := range map[string][]string{
		"linklocal.test": {"169.254.7.7 is a link-local address (from the hosts file)", "!listening"},
		"rebound.test":   {"127.0.0.1 is a loopback address (from DNS server " + server + ")", "::1 is a loopback address"},
		"alias.test":     {"127.0.0.1 is a loopback address"},
		"hidden.test":    {"::ffff:127.0.0.1 is an IPv4 address hidden in an IPv6 address"},
		"mapped.test":    {"::ffff:127.0.0.1 is an IPv4 address hidden in an IPv6 address"},
		"169.254.1.2":    {"169.254.1.2 is a link-local address (the identifier itself)"},
		"fe80::1":        {"fe80::1 is a link-local address (the identifier itself)"},
		"0.0.0.0":        {`"this network"`},
	} {
		log.Reset()
		result := prove(t, c, name)
		wantProblem(t, result.Problem, acme.TypeConnection, append(words, "never connected to", "!--allow-target")...)
		if len(result.Evidence.Connections) != 0 {
			t.Errorf("%s was connected to: %+v", name, result.Evidence.Connections)
		}
		if !strings.Contains(log.String(), "--allow-target ") || strings.Count(log.String(), "\n") != len(result.Evidence.Lookups[0].Addresses) {
			t.Errorf("%s: log is %s", name, log.String())
		}
	}
}
