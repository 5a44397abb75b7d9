package ca_test

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// caaZone is a DNS server with a few records, which tests change.
type caaZone struct {
	mu      sync.Mutex
	records []string
	asked   []string // for CAA
}

func (z *caaZone) set(records ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records, z.asked = records, nil
}

func (z *caaZone) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	reply, question := new(dns.Msg).SetReply(query), query.Question[0]
	if question.Qtype == dns.TypeCAA {
		z.asked = append(z.asked, strings.ToLower(question.Name))
	}
	for _, text := range z.records {
		rr, err := dns.NewRR(text)
		if err == nil && strings.EqualFold(rr.Header().Name, question.Name) && rr.Header().Rrtype == question.Qtype {
			reply.Answer = append(reply.Answer, rr)
		}
	}
	_ = w.WriteMsg(reply)
}

// startWithDNS starts an authority for corp.example whose DNS is z.
func startWithDNS(t *testing.T, z *caaZone, change ...func(*ca.Config)) *catest.Authority {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: conn, Handler: z, NotifyStartedFunc: func() { close(started) }}
	go func() { _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown() })
	ours := func(c *ca.Config) {
		c.NoCAA = false
		c.Names, c.Resolvers = acme.Subtrees{Domains: []string{"corp.example"}}, []string{conn.LocalAddr().String()}
		c.HostsFile, c.AllowTargets = os.DevNull, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.CAAIdentities = []string{"ca.example", "other.example"}
	}
	return catest.Start(t, "", append([]func(*ca.Config){ours}, change...)...)
}

// TestV16CAA: records decide for public names, from the first validation to the certificate.
func TestV16CAA(t *testing.T) {
	z := new(caaZone)
	authority := startWithDNS(t, z)
	client := authority.Client(t)
	if _, err := client.Register(t.Context(), acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	const address = "www.corp.example. 60 IN A 127.0.0.1"
	for _, test := range []struct {
		name    string
		records []string
		refused string // part of the problem; "" where it is permitted
	}{
		{"none", nil, ""},
		{"ours", []string{`corp.example. 60 IN CAA 0 issue "ca.example"`}, ""},
		{"our other", []string{`corp.example. 60 IN CAA 0 issue "other.example"`}, ""},
		{"another's", []string{`corp.example. 60 IN CAA 0 issue "elsewhere.example"`}, "elsewhere.example"},
		{"nobody", []string{`example. 60 IN CAA 0 issue ";"`}, "CAA"},
		{"the nearest counts", []string{`example. 60 IN CAA 0 issue ";"`, `www.corp.example. 60 IN CAA 0 issue "ca.example"`}, ""},
		{"another method", []string{`corp.example. 60 IN CAA 0 issue "ca.example; validationmethods=dns-01"`}, "http-01"},
		{"this method", []string{`corp.example. 60 IN CAA 0 issue "ca.example; validationmethods=dns-01,http-01"`}, ""},
		{"another account", []string{`corp.example. 60 IN CAA 0 issue "ca.example; accounturi=https://ca.example/account/1"`}, "account"},
		{"this account", []string{`corp.example. 60 IN CAA 0 issue "ca.example; accounturi=` + client.AccountURL() + `"`}, ""},
		{"critical", []string{`corp.example. 60 IN CAA 128 unknown "x"`}, "critical"},
	} {
		t.Run(test.name, func(t *testing.T) {
			z.set(append(test.records, address)...)
			fresh := authority.Client(t)
			if strings.Contains(test.name, "account") {
				fresh = client
			} else if _, err := fresh.Register(t.Context(), acme.NewAccount{}); err != nil {
				t.Fatal(err)
			}
			order, err := fresh.NewOrder(t.Context(), acme.NewOrder{Identifiers: []acme.Identifier{{Type: acme.DNS, Value: "www.corp.example"}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := catest.Prove(t.Context(), fresh, authority.Responder, order); err != nil {
				t.Fatal(err)
			}
			if order, err = fresh.WaitOrder(t.Context(), order, acme.StatusReady); err != nil {
				t.Fatal(err)
			}
			switch problem := order.Error; {
			case test.refused == "" && problem != nil:
				t.Errorf("refused: %v", problem)
			case test.refused != "" && (problem == nil || !strings.Contains(problem.Error(), "caa: ") || !strings.Contains(problem.Error(), test.refused)):
				t.Errorf("got %v, want a caa problem with %q", problem, test.refused)
			}
		})
	}
}

// TestCAAIsNotAskedOfPrivateNames: nobody outside can have records for them.
func TestCAAIsNotAskedOfPrivateNames(t *testing.T) {
	z := new(caaZone)
	z.set(`www.lan. 60 IN A 127.0.0.1`, `lan. 60 IN CAA 0 issue ";"`)
	authority := startWithDNS(t, z)
	client := authority.Client(t)
	if _, err := client.Register(t.Context(), acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	if _, err := catest.Obtain(t.Context(), client, authority.Responder, "www.lan"); err != nil {
		t.Error(err)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if len(z.asked) > 0 {
		t.Errorf("CAA was asked for of %v", z.asked)
	}
}

// TestNoCAA: the operator can do without.
func TestNoCAA(t *testing.T) {
	z := new(caaZone)
	z.set(`www.corp.example. 60 IN A 127.0.0.1`, `corp.example. 60 IN CAA 0 issue ";"`)
	authority := startWithDNS(t, z, func(c *ca.Config) { c.NoCAA = true })
	client := authority.Client(t)
	if _, err := client.Register(t.Context(), acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	if _, err := catest.Obtain(t.Context(), client, authority.Responder, "www.corp.example"); err != nil {
		t.Error(err)
	}
}
