package responder_test

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/dnstest"
	"github.com/cairn-ca/cairn/internal/bot/dns/responder"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/freeport"
)

// free is an address at which nobody listens at the moment.
func free(t testing.TB) string {
	t.Helper()
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

func start(t testing.TB) (*responder.Responder, string) {
	t.Helper()
	address := free(t)
	r, err := responder.New(responder.Config{Addresses: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	return r, address
}

func add(t *testing.T, r *responder.Responder, records ...dns.Record) {
	t.Helper()
	for _, record := range records {
		if err := r.Add(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Remove(t.Context(), record) })
	}
}

func ask(t *testing.T, network, address string, query *wire.Msg) *wire.Msg {
	t.Helper()
	reply, _, err := (&wire.Client{Net: network, Timeout: 2 * time.Second}).Exchange(query, address)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

var (
	here = dns.Record{Name: "_acme-challenge.example.org.", Value: "one", Zone: "_acme-challenge.example.org.", Servers: []string{"ns.example.net."}}
	more = dns.Record{Name: "_acme-challenge.example.org.", Value: "two", Zone: "_acme-challenge.example.org.", Servers: []string{"ns.example.net."}}
	deep = dns.Record{Name: "x.y.acme.example.net.", Value: "three", Zone: "acme.example.net.", Servers: []string{"ns.example.net."}}
)

func TestAnswers(t *testing.T) {
	r, address := start(t)
	add(t, r, here, more, deep)
	for _, test := range []struct {
		name  string
		kind  uint16
		rcode int
		want  string // of each record: type, name, and what it says
	}{
		{"_acme-challenge.example.org.", wire.TypeTXT, wire.RcodeSuccess, "TXT one,TXT two"},
		{"_ACME-challenge.Example.org.", wire.TypeTXT, wire.RcodeSuccess, "TXT one,TXT two"},
		{"_acme-challenge.example.org.", wire.TypeSOA, wire.RcodeSuccess, "SOA"},
		{"_acme-challenge.example.org.", wire.TypeNS, wire.RcodeSuccess, "NS ns.example.net."},
		{"_acme-challenge.example.org.", wire.TypeA, wire.RcodeSuccess, "/SOA"},
		{"_acme-challenge.example.org.", wire.TypeCAA, wire.RcodeSuccess, "/SOA"},
		{"_acme-challenge.example.org.", wire.TypeANY, wire.RcodeSuccess, "HINFO"},
		{"a._acme-challenge.example.org.", wire.TypeTXT, wire.RcodeNameError, "/SOA"},
		{"a._acme-challenge.example.org.", wire.TypeANY, wire.RcodeNameError, "/SOA"},
		{"x.y.acme.example.net.", wire.TypeTXT, wire.RcodeSuccess, "TXT three"},
		{"y.acme.example.net.", wire.TypeTXT, wire.RcodeSuccess, "/SOA"}, // RFC 8020: there is something below
		{"z.acme.example.net.", wire.TypeTXT, wire.RcodeNameError, "/SOA"},
		{"acme.example.net.", wire.TypeSOA, wire.RcodeSuccess, "SOA"},
		{"example.org.", wire.TypeTXT, wire.RcodeRefused, ""},
		{"www.example.com.", wire.TypeA, wire.RcodeRefused, ""},
		{".", wire.TypeNS, wire.RcodeRefused, ""},
	} {
		for _, network := range []string{"udp", "tcp"} {
			query := new(wire.Msg).SetQuestion(test.name, test.kind)
			reply := ask(t, network, address, query)
			if got := short(reply); got != test.want || reply.Rcode != test.rcode {
				t.Errorf("%s %s by %s: %s %q, want %s %q", test.name, wire.TypeToString[test.kind], network,
					wire.RcodeToString[reply.Rcode], got, wire.RcodeToString[test.rcode], test.want)
			}
			if reply.Authoritative != (test.rcode != wire.RcodeRefused) || reply.RecursionAvailable {
				t.Errorf("%s: the flags are %+v", test.name, reply.MsgHdr)
			}
			if reply.Question[0].Name != test.name {
				t.Errorf("%s is answered as %s", test.name, reply.Question[0].Name)
			}
			for _, record := range reply.Answer {
				if record.Header().Ttl > 60 {
					t.Errorf("%s is to be remembered for %d s", test.name, record.Header().Ttl)
				}
			}
		}
	}
}

// short is what a reply has.
func short(reply *wire.Msg) string {
	var parts []string
	for _, record := range reply.Answer {
		text := wire.TypeToString[record.Header().Rrtype]
		switch record := record.(type) {
		case *wire.TXT:
			text += " " + strings.Join(record.Txt, "")
		case *wire.NS:
			text += " " + record.Ns
		}
		parts = append(parts, text)
	}
	text := strings.Join(parts, ",")
	for _, record := range reply.Ns {
		text += "/" + wire.TypeToString[record.Header().Rrtype]
	}
	return text
}

// It listens while there is something to show, and not a moment longer.
func TestListensOnlyThen(t *testing.T) {
	r, address := start(t)
	listens := func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	for range 3 {
		if listens() {
			t.Fatal("it listens without a record")
		}
		for _, record := range []dns.Record{here, more, here} {
			if err := r.Add(t.Context(), record); err != nil {
				t.Fatal(err)
			}
		}
		if !listens() {
			t.Fatal("it does not listen")
		}
		if err := r.Remove(t.Context(), here); err != nil {
			t.Fatal(err)
		}
		if got := short(ask(t, "udp", address, new(wire.Msg).SetQuestion(here.Name, wire.TypeTXT))); got != "TXT two" {
			t.Errorf("with one record removed: %s", got)
		}
		for _, record := range []dns.Record{more, here} {
			if err := r.Remove(t.Context(), record); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestTwoAtOnce has certificates come and go at the same time: the last record of one may be removed while the first of another
// is added.
func TestTwoAtOnce(t *testing.T) {
	r, _ := start(t)
	var working sync.WaitGroup
	for i := range 2 {
		name := fmt.Sprintf("_acme-challenge.n%d.example.org.", i)
		record := dns.Record{Name: name, Value: "v", Zone: name}
		working.Go(func() {
			for range 500 {
				if err := r.Add(t.Context(), record); err != nil {
					t.Error(err)
					return
				}
				if err := r.Remove(t.Context(), record); err != nil {
					t.Error(err)
				}
			}
		})
	}
	working.Wait()
}

func TestPortTaken(t *testing.T) {
	r, address := start(t)
	other, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := r.Add(t.Context(), here); !errors.Is(err, responder.ErrPortTaken) {
		t.Errorf("the error is %v", err)
	}
	_ = other.Close()
	add(t, r, here) // nothing is left of the first try
}

// It is of no use for attacks on others: answers are hardly longer than questions, and go out at a limited rate.
func TestFlood(t *testing.T) {
	r, address := start(t)
	for i := range 30 {
		record := here
		record.Value = fmt.Sprintf("%043d", i)
		add(t, r, record)
	}
	query := new(wire.Msg).SetQuestion(here.Name, wire.TypeTXT).SetEdns0(4096, true)
	question, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	received := make(chan [2]int)
	go func() { // counts until nothing comes any more
		packets, longest := 0, 0
		buffer := make([]byte, 65536)
		for {
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			n, err := conn.Read(buffer)
			if err != nil {
				received <- [2]int{packets, longest}
				return
			}
			packets, longest = packets+1, max(longest, n)
		}
	}()
	const flood = 3000
	for range flood {
		if _, err := conn.Write(question); err != nil {
			t.Fatal(err)
		}
	}
	got := <-received
	if got[0] == 0 || got[0] > 2000 {
		t.Errorf("%d of %d questions were answered", got[0], flood)
	}
	if got[1] > 512 {
		t.Errorf("an answer had %d octets", got[1])
	}
	// Who asks by TCP gets it all.
	if reply := ask(t, "tcp", address, query); len(reply.Answer) != 30 {
		t.Errorf("%d records by TCP", len(reply.Answer))
	}
}

// What is no question.
func TestNonsense(t *testing.T) {
	r, address := start(t)
	add(t, r, here)
	notify := new(wire.Msg).SetNotify(here.Zone)
	if reply := ask(t, "udp", address, notify); reply.Rcode != wire.RcodeNotImplemented {
		t.Errorf("NOTIFY: %s", wire.RcodeToString[reply.Rcode])
	}
	chaos := new(wire.Msg).SetQuestion("version.bind.", wire.TypeTXT)
	chaos.Question[0].Qclass = wire.ClassCHAOS
	if reply := ask(t, "udp", address, chaos); reply.Rcode != wire.RcodeRefused {
		t.Errorf("CHAOS: %s", wire.RcodeToString[reply.Rcode])
	}
	version := new(wire.Msg).SetQuestion(here.Name, wire.TypeTXT).SetEdns0(1232, false)
	version.IsEdns0().SetVersion(7)
	if reply := ask(t, "udp", address, version); reply.Rcode != wire.RcodeBadVers {
		t.Errorf("EDNS 7: %s", wire.RcodeToString[reply.Rcode])
	}
	if err := r.Add(t.Context(), dns.Record{Name: "a.example.", Zone: "b.example.", Value: "x"}); err == nil {
		t.Error("a record outside of its zone was taken")
	}
	if _, err := responder.New(responder.Config{Addresses: []string{"ns.example.org"}}); err == nil {
		t.Error("a name was taken for an address")
	}
}

// The way through the DNS: a zone that is delegated to us is found while nobody answers in it, and is answered then.
func TestDelegated(t *testing.T) {
	d, err := dnstest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	org, err := d.Zone("example.org", "127.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	for _, zone := range []string{"_acme-challenge.example.org", "acme.example.org"} {
		if _, err := d.Delegate(zone, "127.0.0.9"); err != nil {
			t.Fatal(err)
		}
	}
	org.Alias("_acme-challenge.www.example.org", "www.acme.example.org")
	resolver, err := dns.NewResolver(dns.ResolverConfig{Servers: []string{d.Resolver()}, Port: d.Port, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r, err := responder.New(responder.Config{Addresses: []string{fmt.Sprintf("127.0.0.9:%d", d.Port)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]string{
		"_acme-challenge.example.org":     {"_acme-challenge.example.org.", "_acme-challenge.example.org."},
		"_acme-challenge.www.example.org": {"www.acme.example.org.", "acme.example.org."},
	} {
		place, err := resolver.Find(t.Context(), name)
		if err != nil || place.Name != want[0] || place.Zone != want[1] {
			t.Fatalf("%s: %+v, %v", name, place, err)
		}
		add(t, r, dns.Record{Name: place.Name, Zone: place.Zone, Value: "here"})
		query := new(wire.Msg).SetQuestion(name+".", wire.TypeTXT)
		reply := ask(t, "udp", d.Resolver(), query)
		if last := len(reply.Answer) - 1; last < 0 || reply.Answer[last].(*wire.TXT).Txt[0] != "here" {
			t.Errorf("the resolver says\n%s", reply)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	query, _ := new(wire.Msg).SetQuestion(here.Name, wire.TypeTXT).Pack()
	f.Add(query)
	r, address := start(f)
	if err := r.Add(f.Context(), here); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = r.Remove(f.Context(), here) })
	f.Fuzz(func(t *testing.T, packet []byte) {
		conn, err := net.Dial("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if len(packet) == 0 || len(packet) > 1232 {
			return
		}
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
		ask(t, "tcp", address, new(wire.Msg).SetQuestion(here.Name, wire.TypeTXT)) // it is still there
	})
}

// A proof by a zone that is delegated to us.
func TestProof(t *testing.T) {
	d, err := dnstest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	if _, err := d.Zone("example.org", "127.0.0.2"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Delegate("_acme-challenge.example.org", "127.0.0.9"); err != nil {
		t.Fatal(err)
	}
	resolver, err := dns.NewResolver(dns.ResolverConfig{Servers: []string{d.Resolver()}, Port: d.Port, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r, err := responder.New(responder.Config{Addresses: []string{fmt.Sprintf("127.0.0.9:%d", d.Port)}})
	if err != nil {
		t.Fatal(err)
	}
	route := &dns.Route{Entry: responder.Entry(), Provider: r}
	solver, err := dns.NewSolver(dns.Config{Route: func(...string) (*dns.Route, error) { return route, nil }, Resolver: resolver})
	if err != nil {
		t.Fatal(err)
	}
	proof := renew.Challenge{Type: acme.DNS01, Identifier: acme.IdentifierFor("example.org"), Token: "x", KeyAuthorization: "x.y"}
	if err := solver.Present(t.Context(), proof); err != nil {
		t.Fatal(err)
	}
	if err := solver.Wait(t.Context(), []renew.Challenge{proof}); err != nil {
		t.Fatal(err)
	}
	reply := ask(t, "tcp", d.Resolver(), new(wire.Msg).SetQuestion("_acme-challenge.example.org.", wire.TypeTXT))
	if got := short(reply); got != "TXT "+acme.DNS01Value("x.y") {
		t.Errorf("the resolver says %s", got)
	}
	if err := solver.CleanUp(t.Context(), proof); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.9:%d", d.Port)); err == nil {
		_ = conn.Close()
		t.Error("it still listens")
	}
}
