package dns_test

import (
	"context"
	"net"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/bot/dns"
)

// answering is a DNS server that sends whatever answer makes of a question. It returns its address.
func answering(t testing.TB, answer func(query *wire.Msg) []byte) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			query := new(wire.Msg)
			if query.Unpack(buffer[:n]) == nil {
				_, _ = conn.WriteTo(answer(query), from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// hostile is a resolver whose servers say what they like.
func hostile(t testing.TB, answer func(query *wire.Msg) []byte) *dns.Resolver {
	t.Helper()
	resolver, err := dns.NewResolver(dns.ResolverConfig{Servers: []string{answering(t, answer)}, Port: 1, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return resolver
}

// What claims too much leads nowhere, and comes to an end.
func TestFindHostile(t *testing.T) {
	const name = "_acme-challenge.example.org."
	for what, fill := range map[string]func(reply *wire.Msg, asked string){
		"the root is the zone": func(reply *wire.Msg, _ string) {
			reply.Answer = []wire.RR{rr(t, ". 5 IN SOA a. b. 1 1 1 1 1")}
		},
		"a zone elsewhere": func(reply *wire.Msg, _ string) {
			reply.Ns = []wire.RR{rr(t, "example.com. 5 IN SOA a. b. 1 1 1 1 1")}
		},
		"an alias of itself": func(reply *wire.Msg, asked string) {
			reply.Answer = []wire.RR{rr(t, asked+" 5 IN CNAME "+asked), rr(t, asked+" 5 IN SOA a. b. 1 1 1 1 1")}
		},
		"aliases without end": func(reply *wire.Msg, asked string) {
			reply.Answer = []wire.RR{rr(t, asked+" 5 IN CNAME x."+asked), rr(t, asked+" 5 IN SOA a. b. 1 1 1 1 1"),
				rr(t, asked+" 5 IN NS ns."+asked), rr(t, asked+" 5 IN A 127.0.0.1")}
		},
		"another question": func(reply *wire.Msg, _ string) { reply.Question[0].Name = "example.com." },
		"no answer at all": func(reply *wire.Msg, _ string) { reply.Response = false },
	} {
		t.Run(what, func(t *testing.T) {
			resolver := hostile(t, func(query *wire.Msg) []byte {
				reply := new(wire.Msg).SetReply(query)
				fill(reply, query.Question[0].Name)
				packed, err := reply.Pack()
				if err != nil {
					t.Errorf("packing: %v", err)
				}
				return packed
			})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if place, err := resolver.Find(ctx, name); err == nil {
				t.Errorf("it is in %q at %v", place.Zone, place.Servers)
			}
			if ctx.Err() != nil {
				t.Error("it does not come to an end")
			}
		})
	}
}

func rr(t testing.TB, text string) wire.RR {
	t.Helper()
	record, err := wire.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func FuzzFind(f *testing.F) {
	reply := new(wire.Msg).SetQuestion("_acme-challenge.example.org.", wire.TypeSOA)
	reply.Answer = []wire.RR{rr(f, "example.org. 5 IN SOA a. b. 1 1 1 1 1"), rr(f, "example.org. 5 IN NS ns.example.org."), rr(f, "ns.example.org. 5 IN A 127.0.0.1")}
	packed, err := reply.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed[12:], byte(0))
	f.Fuzz(func(t *testing.T, body []byte, code byte) {
		if len(body) > 1200 {
			return
		}
		resolver := hostile(t, func(query *wire.Msg) []byte {
			header := []byte{byte(query.Id >> 8), byte(query.Id), 0x84, code & 0x0f, 0, 1, 0, 1, 0, 1, 0, 1}
			return append(header, body...)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, _ = resolver.Find(ctx, "_acme-challenge.example.org.")
	})
}
