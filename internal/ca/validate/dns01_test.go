package validate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// challengeValue is the right answer to the challenge of token, in the DNS.
var challengeValue = acme.DNS01Value(keyAuth)

// proveDNS runs one dns-01 proof of name against a DNS server.
func proveDNS(t *testing.T, config validate.ResolverConfig, name string) validate.Result {
	t.Helper()
	req := request(name)
	req.Type = acme.DNS01
	config.Timeout = 20 * time.Second // long enough for a busy machine
	result, err := validate.New(validate.Config{Resolver: resolver(t, config), Timeout: 30 * time.Second}).Prove(t.Context(), req)
	if err != nil {
		t.Fatalf("Prove: %v", err)
	}
	return result
}

func served(t *testing.T, handler dns.HandlerFunc) validate.ResolverConfig {
	t.Helper()
	return validate.ResolverConfig{Servers: []string{newDNS(t, handler)}}
}

func TestV11DNS01Proves(t *testing.T) {
	txt := func(name, value string) string { return name + " TXT " + value }
	single := func(w dns.ResponseWriter, query *dns.Msg) { // names an alias and leaves its records out
		reply := new(dns.Msg).SetReply(query)
		for _, text := range []string{"_acme-challenge.a.test. CNAME b.test.", "b.test. CNAME c.test.", txt("c.test.", challengeValue)} {
			if rr, _ := dns.NewRR(text); rr.Header().Name == query.Question[0].Name {
				reply.Answer = append(reply.Answer, rr)
			}
		}
		w.WriteMsg(reply)
	}
	var many []string
	for i := range 300 {
		many = append(many, txt("_acme-challenge.a.test.", fmt.Sprintf("other%d", i)))
	}
	for name, handler := range map[string]dns.HandlerFunc{
		"one value":          zone(t, txt("_acme-challenge.a.test.", challengeValue)),
		"one of several":     zone(t, txt("_acme-challenge.a.test.", "x"), txt("_acme-challenge.a.test.", challengeValue), txt("_acme-challenge.a.test.", "y")),
		"last of many":       overTCP(zone(t, append(many, txt("_acme-challenge.a.test.", challengeValue))...)),
		"several strings":    zone(t, txt("_acme-challenge.a.test.", challengeValue[:20]+` "" `+challengeValue[20:])),
		"alias":              zone(t, "_acme-challenge.a.test. CNAME x.b.test.", txt("x.b.test.", challengeValue)),
		"alias to be asked":  single,
		"name in other case": lowerCase(zone(t, txt("_acme-challenge.a.test.", challengeValue))),
	} {
		t.Run(name, func(t *testing.T) {
			result := proveDNS(t, served(t, handler), "a.test")
			if result.Problem != nil {
				t.Fatal(result.Problem)
			}
			seen := result.Evidence.Lookups
			if len(seen) != 1 || seen[0].Name != "_acme-challenge.a.test" || len(seen[0].Questions) == 0 || len(result.Evidence.Connections) != 0 {
				t.Fatalf("evidence is %+v", result.Evidence)
			}
			for _, q := range seen[0].Questions {
				if q.Type != "TXT" || q.Status != "NOERROR" || len(q.Answers) == 0 || len(q.Answers) > 16 {
					t.Errorf("question is %+v", q)
				}
			}
		})
	}
}

// overTCP answers over UDP that the answer does not fit.
func overTCP(full dns.HandlerFunc) dns.HandlerFunc {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		if w.LocalAddr().Network() == "udp" {
			reply := new(dns.Msg).SetReply(query)
			reply.Truncated = true
			w.WriteMsg(reply)
			return
		}
		full(w, query)
	}
}

func TestV16DNS01Fails(t *testing.T) {
	const at = "_acme-challenge.a.test."
	long := strings.Repeat("x", 200)
	for name, c := range map[string]struct {
		handler dns.HandlerFunc
		want    acme.ProblemType
		words   []string
	}{
		"no such name":     {reply(t, dns.RcodeNameError), acme.TypeDNS, []string{"no TXT record found at _acme-challenge.a.test", "NXDOMAIN"}},
		"SERVFAIL":         {reply(t, dns.RcodeServerFailure), acme.TypeDNS, []string{"could not answer (SERVFAIL)"}},
		"REFUSED":          {reply(t, dns.RcodeRefused), acme.TypeDNS, []string{"refused to answer (REFUSED)"}},
		"silence":          {func(dns.ResponseWriter, *dns.Msg) {}, acme.TypeDNS, []string{"did not answer in time"}},
		"rubbish":          {bytewise(func(m *dns.Msg) []byte { return packed(m)[:14] }), acme.TypeDNS, []string{"cannot be read"}},
		"circle":           {zone(t, at+" CNAME b.test.", "b.test. CNAME "+at), acme.TypeDNS, []string{"go in a circle"}},
		"alias to nowhere": {reply(t, 0, at+" CNAME b.test."), acme.TypeDNS, []string{"b.test does not exist (NXDOMAIN)"}},
		"other records":    {zone(t, at+" A 10.0.0.1"), acme.TypeUnauthorized, []string{"no TXT record there", "DNS server 127.0.0.1:"}},
		"one wrong value": {zone(t, at+` TXT "in\"ner"`), acme.TypeUnauthorized,
			[]string{"no TXT record of _acme-challenge.a.test is " + challengeValue[:8] + "…", "DNS server 127.0.0.1:", `one other value, "in`, "!" + challengeValue}},
		"several wrong values": {zone(t, at+" TXT first", at+" TXT "+inner), acme.TypeUnauthorized, []string{`2 other values, the first is "first"`, "!" + inner}},
		"long value":           {zone(t, at+" TXT "+long), acme.TypeUnauthorized, []string{strings.Repeat("x", 64), "!" + strings.Repeat("x", 65)}},
		"value behind an alias": {zone(t, at+" CNAME b.test.", "b.test. TXT "+inner), acme.TypeUnauthorized,
			[]string{"one other value, at a name to which an alias (CNAME) leads", "!" + inner}},
		"other case":         {zone(t, at+" TXT "+strings.ToLower(challengeValue)), acme.TypeUnauthorized, []string{"one other value"}},
		"space after":        {zone(t, at+` TXT "`+challengeValue+` "`), acme.TypeUnauthorized, []string{"one other value"}},
		"more after":         {zone(t, at+" TXT "+challengeValue+" x"), acme.TypeUnauthorized, []string{"one other value"}},
		"in two records":     {zone(t, at+" TXT "+challengeValue[:20], at+" TXT "+challengeValue[20:]), acme.TypeUnauthorized, []string{"2 other values"}},
		"padded":             {zone(t, at+" TXT "+challengeValue+"="), acme.TypeUnauthorized, []string{"one other value"}},
		"key authorization":  {zone(t, at+" TXT "+keyAuth), acme.TypeUnauthorized, []string{"one other value"}},
		"at the name itself": {zone(t, "a.test. TXT "+challengeValue), acme.TypeDNS, []string{"NXDOMAIN"}},
		"of another name":    {elsewhere(t), acme.TypeUnauthorized, []string{"no TXT record there"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := served(t, c.handler)
			if strings.Contains(c.words[0], "in time") || strings.Contains(c.words[0], "cannot be read") {
				config.Attempt = 300 * time.Millisecond // it ends only thus
			}
			result := proveDNS(t, config, "a.test")
			wantProblem(t, result.Problem, c.want, c.words...)
			if len(result.Evidence.Lookups) != 1 || len(result.Evidence.Lookups[0].Questions) == 0 {
				t.Errorf("evidence is %+v", result.Evidence)
			}
		})
	}
}

// elsewhere answers with the right value at a name that was not asked for.
func elsewhere(t *testing.T) dns.HandlerFunc {
	rr, err := dns.NewRR("_acme-challenge.b.test. TXT " + challengeValue)
	if err != nil {
		t.Fatal(err)
	}
	return func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		reply.Answer = append(reply.Answer, rr)
		w.WriteMsg(reply)
	}
}

// The hosts file and the built-in names say nothing about TXT records, and a .local name is asked for in the DNS alone.
func TestDNS01AsksTheDNSAlone(t *testing.T) {
	config := served(t, zone(t, "_acme-challenge.box.local. TXT "+challengeValue, "_acme-challenge.x.localhost. TXT "+challengeValue))
	config.HostsFile = writeFile(t, "10.0.0.1 box.local _acme-challenge.box.local\n")
	for _, name := range []string{"box.local", "x.localhost"} {
		if result := proveDNS(t, config, name); result.Problem != nil {
			t.Errorf("%s: %v", name, result.Problem)
		}
	}
	wantProblem(t, proveDNS(t, config, "none.local").Problem, acme.TypeDNS, "NXDOMAIN", "!multicast")
	// With the label before it the name is too long for the DNS.
	long := strings.Repeat("abcdefghi.", 24) + "test"
	wantProblem(t, proveDNS(t, config, long).Problem, acme.TypeDNS, "longer than 253 octets")
}

const accountURL = "https://example.com/acme/acct/ExampleAccount"

// The record stands under a label of the account's, and a record of another account or of dns-01 is none.
func TestDNSAccount01(t *testing.T) {
	right := zone(t, "_ujmmovf2vn55tgye._acme-challenge.a.test. TXT "+challengeValue)
	for name, c := range map[string]struct {
		account string
		handler dns.HandlerFunc
		want    acme.ProblemType
	}{
		"the account's":                  {accountURL, right, ""},
		"under an alias":                 {accountURL, zone(t, "_ujmmovf2vn55tgye._acme-challenge.a.test. CNAME x.b.test.", "x.b.test. TXT "+challengeValue), ""},
		"the account under another name": {"https://other.example/acme/acct/ExampleAccount", right, acme.TypeDNS},
		"dns-01's":                       {accountURL, zone(t, "_acme-challenge.a.test. TXT "+challengeValue), acme.TypeDNS},
		"another value":                  {accountURL, zone(t, "_ujmmovf2vn55tgye._acme-challenge.a.test. TXT x"), acme.TypeUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			req := request("a.test")
			req.Type, req.AccountURL, req.Wildcard = acme.DNSAccount01, c.account, true
			config := served(t, c.handler)
			config.Timeout = 20 * time.Second
			result, err := validate.New(validate.Config{Resolver: resolver(t, config), Timeout: 30 * time.Second}).Prove(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if c.want != "" {
				wantProblem(t, result.Problem, c.want, acme.DNSAccount01Name(c.account, "a.test"))
			} else if result.Problem != nil {
				t.Error(result.Problem)
			}
		})
	}
}
