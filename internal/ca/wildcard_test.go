package ca_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// zone is a DNS server on loopback that knows TXT records alone.
type zone struct {
	address string

	mu     sync.Mutex
	values map[string][]string // by name, with a final dot
}

func newZone(t *testing.T) *zone {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z := &zone{address: conn.LocalAddr().String(), values: map[string][]string{}}
	server := &dns.Server{PacketConn: conn, Handler: z}
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	go func() { _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown() })
	return z
}

func (z *zone) add(name, value string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.values[name] = append(z.values[name], value)
}

func (z *zone) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	asked := query.Question[0]
	reply := new(dns.Msg).SetReply(query)
	values, known := z.values[asked.Name]
	if !known {
		reply.Rcode = dns.RcodeNameError
	}
	for _, value := range values {
		if asked.Qtype == dns.TypeTXT {
			reply.Answer = append(reply.Answer, &dns.TXT{
				Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{value},
			})
		}
	}
	_ = w.WriteMsg(reply)
}

// TestWildcard obtains a certificate for a wildcard and its base name, both proven by
// TXT records of the same name, and checks that nothing else was offered for the wildcard.
func TestWildcard(t *testing.T) {
	z := newZone(t)
	a := catest.Start(t, "", func(c *ca.Config) { c.Resolvers = []string{z.address} })
	client := a.Client(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := client.Register(ctx, acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	ids := []acme.Identifier{acme.IdentifierFor("*.a.test"), acme.IdentifierFor("a.test")}
	order, err := client.NewOrder(ctx, acme.NewOrder{Identifiers: ids})
	if err != nil {
		t.Fatal(err)
	}
	for i, url := range order.Authorizations {
		authorization, err := client.Authorization(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		wildcard := i == 0
		if authorization.Wildcard != wildcard || authorization.Identifier != ids[1] {
			t.Errorf("V12: the authorization for %s is %+v", ids[i], authorization)
		}
		for _, challenge := range authorization.Challenges {
			if wildcard && !strings.HasPrefix(string(challenge.Type), "dns-") {
				t.Errorf("V12: %s is offered for a wildcard", challenge.Type)
			}
			if challenge.Type == acme.DNS01 {
				z.add("_acme-challenge.a.test.", acme.DNS01Value(client.KeyAuthorization(challenge.Token)))
				if _, err := client.Respond(ctx, challenge); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := client.WaitAuthorization(ctx, url); err != nil {
			t.Fatal(err)
		}
	}
	if order, err = client.WaitOrder(ctx, order, acme.StatusReady); err != nil {
		t.Fatal(err)
	}
	got, err := catest.Finalize(ctx, client, order, ids)
	if err != nil {
		t.Fatal(err)
	}
	leaf := got.Chain.Certificates[0]
	for name, want := range map[string]bool{"x.a.test": true, "a.test": true, "x.y.a.test": false, "b.test": false} {
		if (leaf.VerifyHostname(name) == nil) != want {
			t.Errorf("the certificate covers %s: %v", name, !want)
		}
	}
	if err := a.Stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	catest.CheckCA(t, a.Dir, leaf)
}
