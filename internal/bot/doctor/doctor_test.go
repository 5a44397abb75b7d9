package doctor_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/doctor"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// The addresses of a resolver, and of the server of the zone example.
const (
	resolverAt = "127.0.0.1"
	zoneAt     = "127.0.0.2"
)

// zone is a zone file; what begins with an address is what that server says, and the other does not.
const zone = `
example. 60 IN SOA ns.example. a.example. 1 2 3 4 5
example. 60 IN NS ns.example.
ns.example. 60 IN A 127.0.0.2
here.example. 60 IN A 127.0.0.1
split.example. 60 IN A 127.0.0.1
open.example. 60 IN A 127.0.0.1
open.example. 60 IN CAA 0 issue "ca.test"
closed.example. 60 IN A 127.0.0.1
closed.example. 60 IN CAA 0 issue "other.test"
tied.example. 60 IN A 127.0.0.1
tied.example. 60 IN CAA 0 issue "ca.test; accounturi=https://ca.test/acct/1; validationmethods=http-01"
deep.closed.example. 60 IN A 127.0.0.1
six.example. 60 IN AAAA ::1
none.example. 60 IN TXT "x"
`

// serveDNS runs both servers, and gives their resolver and port.
func serveDNS(t *testing.T) (*dns.Resolver, int) {
	t.Helper()
	var records []mdns.RR
	for parser := mdns.NewZoneParser(strings.NewReader(zone), "", ""); ; {
		record, ok := parser.Next()
		if !ok {
			if err := parser.Err(); err != nil {
				t.Fatal(err)
			}
			break
		}
		records = append(records, record)
	}
	port := 0
	for _, address := range []string{resolverAt, zoneAt} {
		packets, err := net.ListenPacket("udp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		port = packets.LocalAddr().(*net.UDPAddr).Port
		server := &mdns.Server{PacketConn: packets, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, query *mdns.Msg) {
			reply := new(mdns.Msg).SetReply(query)
			reply.Authoritative = address == zoneAt
			question := query.Question[0]
			for _, record := range records {
				if strings.EqualFold(record.Header().Name, question.Name) && record.Header().Rrtype == question.Qtype {
					reply.Answer = append(reply.Answer, record)
				}
			}
			if question.Name == "split.example." && question.Qtype == mdns.TypeA && address == zoneAt {
				reply.Answer[0] = &mdns.A{Hdr: *reply.Answer[0].Header(), A: net.IPv4(127, 0, 0, 9)}
			}
			if len(reply.Answer) == 0 {
				reply.Ns = append(reply.Ns, records[0])
			}
			_ = w.WriteMsg(reply) // the doctor notices
		})}
		go func() { _ = server.ActivateAndServe() }() // ends with Close
		t.Cleanup(func() { _ = packets.Close() })
	}
	resolver, err := dns.NewResolver(dns.ResolverConfig{Servers: []string{net.JoinHostPort(resolverAt, strconv.Itoa(port))}, Port: port, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return resolver, port
}

// ca is a directory; its members and its Date are as said.
func ca(t *testing.T, meta string, skew time.Duration) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
		fmt.Fprintf(w, `{"newNonce": "https://x/n", "newAccount": "https://x/a", "newOrder": "https://x/o", "meta": {%s}}`, meta)
	}))
	t.Cleanup(server.Close)
	return server
}

// has looks for a finding of a check and level, with words in it.
func has(t *testing.T, findings []doctor.Finding, check string, level doctor.Level, words string) {
	t.Helper()
	for _, f := range findings {
		if f.Check == check && f.Level == level && strings.Contains(f.Text+" "+f.Remedy, words) {
			if f.Remedy == "" && (level == doctor.Error || level == doctor.Warning) {
				t.Errorf("%+v has no remedy", f)
			}
			return
		}
	}
	t.Errorf("there is no %s of %s with %q in %+v", level, check, words, findings)
}

// www serves a handler on a port of loopback.
func www(t *testing.T, handler http.Handler) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(listener) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}

func webroot(t *testing.T, directory string, names ...string) *solve.Webroot {
	t.Helper()
	roots := make(map[string]string)
	for _, name := range names {
		roots[name] = directory
	}
	solver, err := solve.NewWebroot(solve.WebrootConfig{Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	return solver
}

var http01 = []acme.ChallengeType{acme.HTTP01}

func identifiers(names ...string) (list []acme.Identifier) {
	for _, name := range names {
		list = append(list, acme.IdentifierFor(name))
	}
	return list
}

func TestWhatIsSound(t *testing.T) {
	resolver, port := serveDNS(t)
	server := ca(t, `"caaIdentities": ["ca.test"], "profiles": {"short": ""}`, 0)
	root := t.TempDir()
	findings := doctor.Examine(t.Context(), doctor.Config{
		Server: server.URL, HTTP: server.Client(), Resolver: resolver, System: []string{net.JoinHostPort(resolverAt, strconv.Itoa(port))},
		Account: doctor.Account{URL: "https://ca.test/acct/1"},
		Subjects: []doctor.Subject{{Identifiers: identifiers("here.example", "open.example", "tied.example"), Method: "webroot", Types: http01, RequiredProfile: "short",
			Solver: webroot(t, root, "here.example", "open.example", "tied.example"), PortHTTP: www(t, http.FileServer(http.Dir(root)))}},
	})
	if worst := doctor.Worst(findings); worst != doctor.Note {
		t.Errorf("the worst is %s: %+v", worst, findings)
	}
	has(t, findings, "clock", doctor.OK, "agrees")
	has(t, findings, "profile", doctor.OK, "short")
	has(t, findings, "caa", doctor.OK, "accounturi")
	has(t, findings, "dns", doctor.OK, "2 servers say 127.0.0.1")
	has(t, findings, "challenge", doctor.OK, "is seen at 127.0.0.1")
	has(t, findings, "outside", doctor.Note, "from outside")
	if left, err := filepath.Glob(filepath.Join(root, ".well-known", "acme-challenge", "*")); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v behind, %v", left, err)
	}
}

func TestWhatIsWrongWithNames(t *testing.T) {
	resolver, port := serveDNS(t)
	server := ca(t, `"caaIdentities": ["ca.test"]`, 0)
	findings := doctor.Examine(t.Context(), doctor.Config{
		Server: server.URL, HTTP: server.Client(), Resolver: resolver, System: []string{net.JoinHostPort(resolverAt, strconv.Itoa(port))},
		Others: []string{"127.0.0.3:" + strconv.Itoa(port)}, Timeout: time.Second,
		Subjects: []doctor.Subject{{Identifiers: identifiers("split.example", "none.example", "closed.example", "deep.closed.example", "tied.example", "six.example"),
			Method: "standalone", Types: http01, PortHTTP: 9}},
	})
	has(t, findings, "dns", doctor.Warning, "disagree: the zone's server ns.example (127.0.0.2) says 127.0.0.9")
	has(t, findings, "dns", doctor.Error, "no address")
	has(t, findings, "dns", doctor.Warning, "the resolver 127.0.0.3")
	has(t, findings, "caa", doctor.Error, `closed.example CAA 0 issue "ca.test"`)
	has(t, findings, "caa", doctor.Error, "permits another account")
	has(t, findings, "caa", doctor.Error, "the verb register")
	deep := slices.IndexFunc(findings, func(f doctor.Finding) bool { return f.Name == "deep.closed.example" && f.Check == "caa" })
	if deep < 0 || !strings.Contains(findings[deep].Text, "records of closed.example") {
		t.Errorf("the records of the name above do not count: %+v", findings)
	}
}

func TestWhatIsWrongWithTheAnswer(t *testing.T) {
	resolver, port := serveDNS(t)
	server := ca(t, "", 0)
	for _, test := range []struct {
		name    string
		handler http.Handler
		level   doctor.Level
		want    string
	}{
		{"another directory", http.FileServer(http.Dir(t.TempDir())), doctor.Error, "is -w the directory"},
		{"a CDN", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("CF-RAY", "1")
			w.WriteHeader(http.StatusForbidden)
		}), doctor.Error, "Cloudflare stands between"},
		{"a redirect elsewhere", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}), doctor.Error, "nothing listens"},
	} {
		t.Run(test.name, func(t *testing.T) {
			findings := doctor.Examine(t.Context(), doctor.Config{
				Server: server.URL, HTTP: server.Client(), Resolver: resolver, System: []string{net.JoinHostPort(resolverAt, strconv.Itoa(port))},
				Subjects: []doctor.Subject{{Identifiers: identifiers("here.example"), Method: "webroot", Types: http01,
					Solver: webroot(t, t.TempDir(), "here.example"), PortHTTP: www(t, test.handler)}},
			})
			check := "challenge"
			if test.want == "nothing listens" {
				check = "address"
			}
			has(t, findings, check, test.level, test.want)
		})
	}
	solver, err := solve.NewStandalone(solve.StandaloneConfig{Port: www(t, http.NotFoundHandler()), Challenges: http01})
	if err != nil {
		t.Fatal(err)
	}
	findings := doctor.Examine(t.Context(), doctor.Config{Server: server.URL, HTTP: server.Client(), Resolver: resolver,
		Subjects: []doctor.Subject{{Identifiers: identifiers("here.example"), Method: "standalone", Types: http01, Solver: solver}}})
	has(t, findings, "challenge", doctor.Error, "already in use")
}

func TestWhatIsWrongWithTheCA(t *testing.T) {
	resolver, _ := serveDNS(t)
	examine := func(server *httptest.Server, change func(*doctor.Config)) []doctor.Finding {
		c := doctor.Config{Server: server.URL, HTTP: server.Client(), Resolver: resolver, Timeout: 2 * time.Second}
		change(&c)
		return doctor.Examine(t.Context(), c)
	}
	has(t, examine(ca(t, `"externalAccountRequired": true, "termsOfService": "https://ca.test/terms"`, 0), func(*doctor.Config) {}), "account", doctor.Error, "--eab-kid")
	has(t, examine(ca(t, `"externalAccountRequired": true, "termsOfService": "https://ca.test/terms"`, 0), func(*doctor.Config) {}), "account", doctor.Note, "https://ca.test/terms")
	has(t, examine(ca(t, "", 3*time.Minute), func(*doctor.Config) {}), "clock", doctor.Warning, "set the clock")
	has(t, examine(ca(t, "", -3*time.Hour), func(*doctor.Config) {}), "clock", doctor.Error, "set the clock")
	has(t, examine(ca(t, "", 0), func(c *doctor.Config) { c.HTTP = &http.Client{} }), "tls", doctor.Error, "--ca-bundle")
	has(t, examine(ca(t, "", 0), func(c *doctor.Config) { c.Server = "https://127.0.0.1:1/" }), "directory", doctor.Error, "is the CA running")
	has(t, examine(httptest.NewTLSServer(http.NotFoundHandler()), func(*doctor.Config) {}), "directory", doctor.Error, "--server takes the URL")
	past := ca(t, "", 0)
	has(t, examine(past, func(c *doctor.Config) {
		transport := past.Client().Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.Time = func() time.Time { return time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC) }
		c.HTTP = &http.Client{Transport: transport}
	}), "tls", doctor.Error, "clock right")
	now := time.Now()
	has(t, examine(ca(t, `"profiles": {"a": "", "b": ""}`, 0), func(c *doctor.Config) {
		c.Subjects = []doctor.Subject{{RequiredProfile: "x", Profile: "y", Pending: &doctor.Pending{Class: "rateLimit", Error: "too many", NotBefore: now.Add(time.Hour)}}}
	}), "profile", doctor.Error, "it has a, b")
	has(t, examine(ca(t, "", 0), func(c *doctor.Config) {
		c.Subjects = []doctor.Subject{{Pending: &doctor.Pending{Class: "rateLimit", Error: "too many", NotBefore: now.Add(time.Hour)}}}
	}), "limits", doctor.Error, "left alone")
	has(t, examine(ca(t, "", 0), func(c *doctor.Config) {
		c.Down = &doctor.Pending{Class: "server", Error: "on fire", Next: now.Add(time.Hour)}
	}), "limits", doctor.Warning, "on fire")
	has(t, examine(ca(t, "", 0), func(c *doctor.Config) {
		c.Subjects = []doctor.Subject{{Pending: &doctor.Pending{Class: "network", Error: "gone", Next: now.Add(time.Hour)}}}
	}), "limits", doctor.Warning, "--force-renewal")
}

func TestAddressesOfThisMachine(t *testing.T) {
	resolver, _ := serveDNS(t)
	server := ca(t, "", 0)
	root := t.TempDir()
	port := www(t, http.FileServer(http.Dir(root)))
	findings := doctor.Examine(t.Context(), doctor.Config{Server: server.URL, HTTP: server.Client(), Resolver: resolver,
		Subjects: []doctor.Subject{{Identifiers: []acme.Identifier{{Type: acme.IP, Value: netip.MustParseAddr("127.0.0.1").String()}}, Method: "webroot", Types: http01,
			Solver: webroot(t, root, "127.0.0.1"), PortHTTP: port}}})
	has(t, findings, "address", doctor.OK, "of this machine")
	has(t, findings, "challenge", doctor.OK, "is seen")
	if _, err := os.Stat(root); err != nil {
		t.Error(err)
	}
}
