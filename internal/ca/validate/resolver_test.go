package validate_test

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// addresses is what a lookup found, as "ADDRESS KIND".
func addresses(l validate.Lookup) []string {
	var list []string
	for _, a := range l.Addresses {
		list = append(list, a.Addr.String()+" "+string(a.Source.Kind))
	}
	return list
}

func lookup(t *testing.T, r *validate.Resolver, name string) validate.Lookup {
	t.Helper()
	found, err := r.Lookup(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestLookupSources(t *testing.T) {
	hosts := writeFile(t, "127.0.1.1\tmyhost.lan  MyHost # the Debian way\n10.0.0.1 box.lan\nfd00::1 box.lan.\n"+
		"# 10.0.0.9 box.lan\nrubbish box.lan\nfe80::1%eth0 box.lan\n10.0.0.4 special.localhost\n")
	server := newDNS(t, zone(t, "box.lan. A 10.9.9.9", "a.test. A 10.0.0.7", "a.test. A 10.0.0.8", "a.test. AAAA fd00::7", "single. A 10.0.0.5",
		"localhost. A 10.6.6.6", "x.localhost. A 10.6.6.6", "six.test. AAAA fd00::6"))
	r := resolver(t, validate.ResolverConfig{HostsFile: hosts, Servers: []string{server}})
	for name, want := range map[string]string{
		"box.lan":           "10.0.0.1 hosts,fd00::1 hosts",
		"BOX.lan.":          "10.0.0.1 hosts,fd00::1 hosts",
		"myhost":            "127.0.1.1 hosts",
		"localhost":         "::1 built-in,127.0.0.1 built-in",
		"x.localhost":       "::1 built-in,127.0.0.1 built-in",
		"special.localhost": "10.0.0.4 hosts",
		"a.test":            "fd00::7 dns,10.0.0.7 dns,10.0.0.8 dns",
		"single":            "10.0.0.5 dns",
		"six.test":          "fd00::6 dns",
	} {
		found := lookup(t, r, name)
		if got := strings.Join(addresses(found), ","); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
		if overDNS := strings.Contains(want, "dns"); overDNS != (len(found.Questions) > 0) {
			t.Errorf("%s: questions are %+v", name, found.Questions)
		}
	}
}

func TestFilesReadAgain(t *testing.T) {
	hosts, conf := writeFile(t, "10.0.0.1 box.lan\n"), writeFile(t, "nameserver 127.0.0.91\n")
	r := resolver(t, validate.ResolverConfig{HostsFile: hosts, ResolvConf: conf, Attempt: 50 * time.Millisecond})
	if got := addresses(lookup(t, r, "box.lan")); !slices.Equal(got, []string{"10.0.0.1 hosts"}) {
		t.Error(got)
	}
	// The same size and maybe the same time stamp.
	if err := os.WriteFile(hosts, []byte("10.0.0.2 box.lan\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := addresses(lookup(t, r, "box.lan")); !slices.Equal(got, []string{"10.0.0.2 hosts"}) {
		t.Error(got)
	}
	for _, server := range []string{"127.0.0.91", "127.0.0.92"} {
		if err := os.WriteFile(conf, []byte("nameserver "+server+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := r.Lookup(t.Context(), "a.test")
		wantProblem(t, asProblem(t, err), acme.TypeDNS, "DNS server "+server+" ", "!:53")
		if found.Questions[0].Server != server+":53" {
			t.Errorf("asked %+v", found.Questions)
		}
	}
	// An old file is not read again: what is in it then does not matter.
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(hosts, old, old); err != nil {
		t.Fatal(err)
	}
	lookup(t, r, "box.lan")
	if err := os.WriteFile(hosts, []byte("10.0.0.3 box.lan\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(hosts, old, old); err != nil {
		t.Fatal(err)
	}
	if got := addresses(lookup(t, r, "box.lan")); !slices.Equal(got, []string{"10.0.0.2 hosts"}) {
		t.Errorf("an unchanged file was read again: %v", got)
	}
	if err := os.Truncate(hosts, 17<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Lookup(t.Context(), "box.lan"); err == nil || !strings.Contains(err.Error(), "larger than 16 MiB") {
		t.Errorf("an enormous file: %v", err)
	}
}

func TestParseResolvConf(t *testing.T) {
	for text, want := range map[string]string{
		"": "127.0.0.1:53", "nameserver\n": "127.0.0.1:53", "nameserver example.com\n": "127.0.0.1:53",
		"nameserver 10.0.0.53\n": "10.0.0.53:53", "# nameserver 10.0.0.1\n; x\nnameserver 10.0.0.2": "10.0.0.2:53",
		"search corp.test\nnameserver fd00::53\nnameserver fe80::1%eth0\n":                         "[fd00::53]:53 [fe80::1%eth0]:53",
		"nameserver 10.0.0.1 # x\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n": "10.0.0.1:53 10.0.0.2:53 10.0.0.3:53",
	} {
		if got := strings.Join(validate.ParseResolvConf([]byte(text)), " "); got != want {
			t.Errorf("%q gives %s, want %s", text, got, want)
		}
	}
}

func TestNewResolverServers(t *testing.T) {
	for _, server := range []string{"", "10.0.0.53", "dns.test:53", "10.0.0.53:", "10.0.0.53:0", "10.0.0.53:70000", "10.0.0.53:domain", "fd00::53"} {
		if _, err := validate.NewResolver(validate.ResolverConfig{Servers: []string{server}}); err == nil {
			t.Errorf("%q is taken for a server", server)
		}
	}
	if _, err := validate.NewResolver(validate.ResolverConfig{Servers: []string{"10.0.0.53:53", "[fd00::53]:5300"}}); err != nil {
		t.Error(err)
	}
}

// reply answers with a code and records.
func reply(t *testing.T, rcode int, records ...string) dns.HandlerFunc {
	answer := zone(t, records...)
	if rcode == dns.RcodeSuccess {
		return answer
	}
	return func(w dns.ResponseWriter, query *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(query, rcode)) }
}

// bytewise answers with a packed reply that change has spoiled.
func bytewise(change func(reply *dns.Msg) []byte) dns.HandlerFunc {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		good := new(dns.Msg).SetReply(query)
		rr, _ := dns.NewRR(query.Question[0].Name + " A 10.0.0.66")
		good.Answer = append(good.Answer, rr)
		w.Write(change(good))
	}
}

func packed(m *dns.Msg) []byte {
	text, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return text
}

func TestLookupFailures(t *testing.T) {
	for name, c := range map[string]struct {
		handler dns.HandlerFunc
		words   []string
	}{
		"no such name": {reply(t, dns.RcodeNameError), []string{"a.test does not exist (NXDOMAIN)"}},
		"SERVFAIL":     {reply(t, dns.RcodeServerFailure), []string{"could not answer (SERVFAIL)"}},
		"REFUSED":      {reply(t, dns.RcodeRefused), []string{"refused to answer (REFUSED)"}},
		"odd code":     {reply(t, 13), []string{"refused to answer (RCODE13)"}},
		"no address":   {zone(t, "a.test. TXT x"), []string{"neither an A nor an AAAA record"}},
		"silence":      {func(dns.ResponseWriter, *dns.Msg) {}, []string{"did not answer in time"}},
		"rubbish":      {bytewise(func(m *dns.Msg) []byte { return packed(m)[:14] }), []string{"cannot be read"}},
		"too short":    {bytewise(func(m *dns.Msg) []byte { return packed(m)[:5] }), []string{"did not answer in time"}},
		"wrong ID":     {bytewise(func(m *dns.Msg) []byte { m.Id++; return packed(m) }), []string{"did not answer in time"}},
		"a question":   {bytewise(func(m *dns.Msg) []byte { m.Response = false; return packed(m) }), []string{"cannot be read"}},
		"an update":    {bytewise(func(m *dns.Msg) []byte { m.Opcode = dns.OpcodeUpdate; return packed(m) }), []string{"cannot be read"}},
		"no question":  {bytewise(func(m *dns.Msg) []byte { m.Question = nil; return packed(m) }), []string{"cannot be read"}},
		"another question": {bytewise(func(m *dns.Msg) []byte { m.Question[0].Name = "b.test."; return packed(m) }),
			[]string{"cannot be read"}},
		"another type": {bytewise(func(m *dns.Msg) []byte { m.Question[0].Qtype = dns.TypeMX; return packed(m) }), []string{"cannot be read"}},
		"records of others": {bytewise(func(m *dns.Msg) []byte { m.Answer[0].Header().Name = "b.test."; return packed(m) }),
			[]string{"neither an A nor an AAAA"}},
		"another class": {bytewise(func(m *dns.Msg) []byte { m.Answer[0].Header().Class = dns.ClassCHAOS; return packed(m) }),
			[]string{"neither an A nor an AAAA"}},
		"alias to itself":   {zone(t, "a.test. CNAME a.test."), []string{"circle"}},
		"aliases in circle": {zone(t, "a.test. CNAME b.test.", "b.test. CNAME c.test.", "c.test. CNAME b.test."), []string{"circle"}},
		"alias to nowhere":  {reply(t, 0, "a.test. CNAME b.test."), []string{"b.test does not exist (NXDOMAIN)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := validate.ResolverConfig{Servers: []string{newDNS(t, c.handler)}, Timeout: 20 * time.Second}
			if strings.Contains(c.words[0], "in time") || strings.Contains(c.words[0], "cannot be read") {
				config.Attempt = 300 * time.Millisecond // it ends only thus
			}
			r := resolver(t, config)
			found, err := r.Lookup(t.Context(), "a.test")
			wantProblem(t, asProblem(t, err), acme.TypeDNS, append(c.words, "no address found for a.test")...)
			if len(found.Addresses) != 0 || len(found.Questions) < 2 {
				t.Errorf("lookup is %+v", found)
			}
		})
	}
}

func TestLookupNobodyThere(t *testing.T) {
	r := resolver(t, validate.ResolverConfig{Servers: []string{fmt.Sprintf("127.0.0.1:%d", closedPort(t))}})
	_, err := r.Lookup(t.Context(), "a.test")
	wantProblem(t, asProblem(t, err), acme.TypeDNS, "connection refused")
}

// A failed lookup is the problem of the proof.
func TestProveUnresolved(t *testing.T) {
	result := prove(t, validate.Config{}, "nowhere.test")
	wantProblem(t, result.Problem, acme.TypeDNS, "NXDOMAIN")
	if len(result.Evidence.Lookups) != 1 || result.Evidence.Lookups[0].Questions[0].Status != "NXDOMAIN" {
		t.Errorf("evidence is %+v", result.Evidence)
	}
}

func TestLookupNextServer(t *testing.T) {
	t.Parallel()
	good := newDNS(t, zone(t, "a.test. A 10.0.0.7"))
	for name, first := range map[string]dns.HandlerFunc{
		"fails": reply(t, dns.RcodeServerFailure), "refuses": reply(t, dns.RcodeRefused), "is silent": func(dns.ResponseWriter, *dns.Msg) {},
	} {
		r := resolver(t, validate.ResolverConfig{Servers: []string{newDNS(t, first), good}, Attempt: time.Second})
		found := lookup(t, r, "a.test")
		if got := addresses(found); !slices.Equal(got, []string{"10.0.0.7 dns"}) || found.Addresses[0].Source.Where != good {
			t.Errorf("%s: %v", name, found)
		}
	}
	// NXDOMAIN is an answer: the second server is not asked.
	r := resolver(t, validate.ResolverConfig{Servers: []string{newDNS(t, reply(t, dns.RcodeNameError)), good}})
	_, err := r.Lookup(t.Context(), "a.test")
	wantProblem(t, asProblem(t, err), acme.TypeDNS, "NXDOMAIN")
}

// A server that cannot do IPv6 does not spoil IPv4.
func TestLookupHalfBroken(t *testing.T) {
	both := zone(t, "a.test. A 10.0.0.7")
	r := newResolver(t, func(w dns.ResponseWriter, query *dns.Msg) {
		if query.Question[0].Qtype == dns.TypeAAAA {
			w.WriteMsg(new(dns.Msg).SetRcode(query, dns.RcodeServerFailure))
			return
		}
		both(w, query)
	})
	if got := addresses(lookup(t, r, "a.test")); !slices.Equal(got, []string{"10.0.0.7 dns"}) {
		t.Error(got)
	}
	_, err := newResolver(t, func(w dns.ResponseWriter, query *dns.Msg) {
		if query.Question[0].Qtype == dns.TypeAAAA {
			w.WriteMsg(new(dns.Msg).SetRcode(query, dns.RcodeServerFailure))
			return
		}
		w.WriteMsg(new(dns.Msg).SetReply(query))
	}).Lookup(t.Context(), "a.test")
	wantProblem(t, asProblem(t, err), acme.TypeDNS, "SERVFAIL")
}

func TestLookupTruncated(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("a.test. A 10.0.1.%d", i))
	}
	full := zone(t, many...)
	for name, cut := range map[string]func(*dns.Msg) []byte{
		"empty":           func(m *dns.Msg) []byte { m.Truncated, m.Answer = true, nil; return packed(m) },
		"within a record": func(m *dns.Msg) []byte { m.Truncated = true; text := packed(m); return text[:len(text)-2] },
	} {
		r := newResolver(t, func(w dns.ResponseWriter, query *dns.Msg) {
			if w.LocalAddr().Network() == "udp" {
				bytewise(cut)(w, query)
				return
			}
			full(w, query)
		})
		found := lookup(t, r, "a.test")
		if len(found.Addresses) != 16 || found.Addresses[0].Addr != netip.MustParseAddr("10.0.1.0") {
			t.Errorf("%s: addresses are %v", name, found.Addresses)
		}
		for _, q := range found.Questions {
			if !q.TCP || len(q.Answers) > 16 {
				t.Errorf("%s: question is %+v", name, q)
			}
		}
	}
	// Truncated over TCP too: nothing more can be had.
	_, err := newResolver(t, bytewise(func(m *dns.Msg) []byte { m.Truncated, m.Answer = true, nil; return packed(m) })).Lookup(t.Context(), "a.test")
	if problem := asProblem(t, err); problem.Type != acme.TypeDNS {
		t.Error(problem)
	}
}

func TestLookupWithoutEDNS(t *testing.T) {
	full := zone(t, "a.test. A 10.0.0.7")
	r := newResolver(t, func(w dns.ResponseWriter, query *dns.Msg) {
		if query.IsEdns0() == nil {
			full(w, query)
			return
		}
		refusal := new(dns.Msg).SetRcode(query, dns.RcodeFormatError)
		refusal.Question = nil
		w.WriteMsg(refusal)
	})
	if got := addresses(lookup(t, r, "a.test")); !slices.Equal(got, []string{"10.0.0.7 dns"}) {
		t.Error(got)
	}
}

func TestLookupAliases(t *testing.T) {
	chain := []string{}
	for i := range 15 {
		chain = append(chain, fmt.Sprintf("c%d.test. CNAME C%d.Test.", i, i+1))
	}
	whole := zone(t, append(chain, "c15.test. A 10.0.0.15", "in.test. CNAME end.test.", "end.test. A 10.0.0.1")...)
	// single answers with one record at a time, so that the resolver has to ask on.
	single := func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		name := strings.ToLower(query.Question[0].Name)
		for _, text := range append(chain, "c15.test. A 10.0.0.15", "x.test. CNAME y.test.", "y.test. CNAME x.test.") {
			if rr, _ := dns.NewRR(text); rr.Header().Name == name && (rr.Header().Rrtype == dns.TypeCNAME || rr.Header().Rrtype == query.Question[0].Qtype) {
				reply.Answer = append(reply.Answer, rr)
			}
		}
		w.WriteMsg(reply)
	}
	inAnswer, byAsking := newResolver(t, lowerCase(whole)), newResolver(t, single)
	if got := addresses(lookup(t, inAnswer, "in.test")); !slices.Equal(got, []string{"10.0.0.1 dns"}) {
		t.Error(got)
	}
	if got := addresses(lookup(t, byAsking, "c6.test")); !slices.Equal(got, []string{"10.0.0.15 dns"}) {
		t.Error(got)
	}
	for name, r := range map[string]*validate.Resolver{"c4.test": byAsking, "x.test": byAsking} {
		found, err := r.Lookup(t.Context(), name)
		wantProblem(t, asProblem(t, err), acme.TypeDNS, "go in a circle or are more than 10")
		if len(found.Questions) > 22 {
			t.Errorf("%s took %d questions", name, len(found.Questions))
		}
	}
}

// lowerCase makes a zone answer names in any case, as servers do.
func lowerCase(handler dns.HandlerFunc) dns.HandlerFunc {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		query.Question[0].Name = strings.ToLower(query.Question[0].Name)
		handler(w, query)
	}
}
