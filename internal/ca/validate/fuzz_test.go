package validate_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

func FuzzParseHosts(f *testing.F) {
	for _, seed := range []string{"", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n", "10.0.0.1\tA.Test. b # c\r\n", "fe80::1%eth0 x\n::ffff:1.2.3.4 y",
		"#", "1.2.3.4", "1.2.3.4 .", strings.Repeat("10.0.0.1 a\n", 20)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for name, addrs := range validate.ParseHosts(text) {
			if name == "" || len(name) > 253 || name != strings.ToLower(name) || len(addrs) == 0 || len(addrs) > 16 {
				t.Errorf("%q is %v", name, addrs)
			}
			for _, addr := range addrs {
				if !addr.IsValid() || addr.Zone() != "" {
					t.Errorf("%q is at %v", name, addr)
				}
			}
		}
	})
}

func FuzzParseResolvConf(f *testing.F) {
	f.Add([]byte("search a\nnameserver 10.0.0.1\nnameserver fd00::1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if servers := validate.ParseResolvConf(text); len(servers) == 0 || len(servers) > 3 {
			t.Errorf("servers are %v", servers)
		}
	})
}

// Wherever a redirect leads, it is HTTP on an open port of a domain name, and
// what is said about one that is not followed shows no path and no query.
func FuzzRedirectTarget(f *testing.F) {
	for _, seed := range []string{"", "/x", "//b.test", "http://b.test:5002/x?y#z", "https://b.test", "file:///x", "http://u:p@b.test/", "http://127.0.0.1/",
		"http://[::1]:80/", "http://2130706433/", "http:b.test", "http://b.test:/", "http://b.test.:443/", "http://%31.test/", "\\\\b.test", "?q", "http://b.test\r\nX: y"} {
		f.Add(seed)
	}
	from, err := url.Parse("http://a.test:5002" + path)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, location string) {
		to, why := validate.RedirectTarget(validate.Config{HTTP01Port: 5002, TLSALPN01Port: 5001}, from, []string{location})
		if why != "" {
			if len(why) > 600 {
				t.Errorf("%q is refused with %q", location, why)
			}
			return
		}
		id := acme.Identifier{Type: acme.DNS, Value: to.Hostname()}
		if norm, problem := id.Normalize(); problem != nil || norm != id || to.User != nil || to.Scheme != "http" && to.Scheme != "https" {
			t.Errorf("%q leads to %s", location, to)
		}
		if port := to.Port(); !strings.Contains(" 80 443 5001 5002", " "+port) {
			t.Errorf("%q leads to port %s", location, port)
		}
		if again, why := validate.RedirectTarget(validate.Config{HTTP01Port: 5002, TLSALPN01Port: 5001}, from, []string{to.String()}); len(to.String()) <= 2048 &&
			(why != "" || again.String() != to.String()) {
			t.Errorf("%q leads to %s, and that to %v (%s)", location, to, again, why)
		}
	})
}

// Only the key authorization proves control, with white space after it at most.
func FuzzCompare(f *testing.F) {
	for _, seed := range []string{"", keyAuth, keyAuth + "\n", " " + keyAuth, "\ufeff" + keyAuth, token, token + ".x", keyAuth + "x", keyAuth + strings.Repeat(" ", 5000)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		verdict := validate.Compare(body, keyAuth)
		rest, starts := strings.CutPrefix(string(body), keyAuth)
		right := starts && strings.Trim(rest, " \t\r\n\v\f") == "" && len(body) <= 4096
		if (verdict == "") != right {
			t.Errorf("%q is %q", body, verdict)
		}
	})
}

func FuzzReadAnswer(f *testing.F) {
	query := new(dns.Msg)
	query.SetQuestion("a.test.", dns.TypeA)
	query.Id = 0x1234
	for _, records := range [][]string{nil, {"a.test. A 10.0.0.1"}, {"a.test. CNAME b.test.", "b.test. A 10.0.0.2"}, {"a.test. CNAME a.test."}, {"b.test. A 10.0.0.3"}} {
		reply := new(dns.Msg).SetReply(query)
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				f.Fatal(err)
			}
			reply.Answer = append(reply.Answer, rr)
		}
		f.Add(packed(reply))
		f.Add(packed(reply)[:len(packed(reply))-3])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		addrs, ok := validate.ReadAnswer(text, "a.test", 0x1234)
		if len(addrs) > 16 || !ok && len(addrs) > 0 {
			t.Errorf("addresses are %v", addrs)
		}
		for _, addr := range addrs {
			if !addr.Is4() {
				t.Errorf("an A record holds %v", addr)
			}
		}
	})
}

// A value comes only from a TXT record of the name that was asked for, or of one that its aliases lead to.
func FuzzReadTXT(f *testing.F) {
	query := new(dns.Msg)
	query.SetQuestion("_acme-challenge.a.test.", dns.TypeTXT)
	query.Id = 0x1234
	for _, records := range [][]string{nil, {"_acme-challenge.a.test. TXT a b"}, {"_acme-challenge.a.test. CNAME b.test.", `b.test. TXT "\007\""`},
		{"_acme-challenge.a.test. CNAME _acme-challenge.a.test."}, {"b.test. TXT x"}, {"_acme-challenge.a.test. A 10.0.0.1"}} {
		reply := new(dns.Msg).SetReply(query)
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				f.Fatal(err)
			}
			reply.Answer = append(reply.Answer, rr)
		}
		f.Add(packed(reply))
		f.Add(packed(reply)[:len(packed(reply))-3])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		values, ok := validate.ReadTXT(text, "_acme-challenge.a.test", 0x1234)
		if !ok && len(values) > 0 {
			t.Errorf("values are %q", values)
		}
		for _, value := range values {
			// An octet of the message is at most four of the notation (RFC 1035 §5.1), which is printable.
			if len(value) > 4*len(text) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("a value is %q", value)
			}
		}
	})
}

// Whatever a client sends, onion-csr-01 and proof-of-possession-01 are decided without a fault, and nothing
// that was made without the keys proves anything.
func FuzzResponses(f *testing.F) {
	onion := "bbcweb3hytmzhn5d532owbu6oqadra5z3ar726vq5kgwwn6aucdccrad.onion"
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	csr, err := acme.NewOnionCSR(key, "bI6/MRqV4gw=")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"csr":"` + base64.RawURLEncoding.EncodeToString(csr) + `"}`))
	public, err := acme.NewKey(key.Public())
	if err != nil {
		f.Fatal(err)
	}
	response, err := acme.SignPossession(key, acme.Possession{
		Challenge: acme.Challenge{URL: "https://ca.test/c", Token: token}, AccountKey: public, Identifiers: []acme.Identifier{acme.IdentifierFor("a.test")},
	})
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(response)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"authorization":{},"certificates":["AA"]}`))
	f.Add([]byte(`{}`))
	prober := validate.New(validate.Config{})
	f.Fuzz(func(t *testing.T, response []byte) {
		for _, r := range []validate.Request{
			{Type: acme.OnionCSR01, Identifier: acme.IdentifierFor(onion), Nonce: make([]byte, 16), Response: response},
			{Type: acme.ProofOfPossession01, Identifier: acme.IdentifierFor("a.test"), Token: token, KeyAuthorization: keyAuth,
				ChallengeURL: "https://ca.test/c", Possession: &validate.Possession{}, Response: response},
		} {
			result, err := prober.Prove(t.Context(), r)
			if len(response) > 0 && err != nil {
				t.Errorf("%s: %v", r.Type, err)
			}
			if err == nil && (result.Problem == nil || len(result.Problem.Detail) > 1000) {
				t.Errorf("%s: the outcome of %q is %v", r.Type, response, result.Problem)
			}
		}
	})
}
