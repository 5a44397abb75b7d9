package validate_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

const (
	token   = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
	keyAuth = token + ".NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
	path    = acme.HTTP01Path + token
)

// everywhereHere opens the loopback addresses, on which all tests run.
var everywhereHere = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// newDNS serves handler over UDP and TCP on one port and returns host:port.
func newDNS(t *testing.T, handler dns.HandlerFunc) string {
	t.Helper()
	for range 20 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.ListenPacket("udp", listener.Addr().String())
		if err != nil { // somebody else has this port over UDP
			listener.Close()
			continue
		}
		for _, server := range []*dns.Server{{PacketConn: conn, Handler: handler}, {Listener: listener, Handler: handler}} {
			started := make(chan struct{})
			server.NotifyStartedFunc = func() { close(started) }
			go server.ActivateAndServe()
			<-started
			t.Cleanup(func() { server.Shutdown() })
		}
		return listener.Addr().String()
	}
	t.Fatal("no port is free over both TCP and UDP")
	return ""
}

// zone answers with records in their text form, and with NXDOMAIN for other
// names. Aliases are followed within the answer.
func zone(t *testing.T, records ...string) dns.HandlerFunc {
	t.Helper()
	byName := map[string][]dns.RR{}
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		byName[rr.Header().Name] = append(byName[rr.Header().Name], rr)
	}
	return func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		name := query.Question[0].Name
		if len(byName[name]) == 0 {
			reply.Rcode = dns.RcodeNameError
		}
		for range 20 {
			next := ""
			for _, rr := range byName[name] {
				if cname, ok := rr.(*dns.CNAME); ok {
					next = cname.Target
				}
				if t := rr.Header().Rrtype; t == query.Question[0].Qtype || t == dns.TypeCNAME {
					reply.Answer = append(reply.Answer, rr)
				}
			}
			if name = next; name == "" {
				break
			}
		}
		w.WriteMsg(reply)
	}
}

// newResolver resolves with handler alone: no hosts file, no multicast DNS.
func newResolver(t *testing.T, handler dns.HandlerFunc) *validate.Resolver {
	t.Helper()
	return resolver(t, validate.ResolverConfig{Servers: []string{newDNS(t, handler)}})
}

func resolver(t *testing.T, c validate.ResolverConfig) *validate.Resolver {
	t.Helper()
	if c.HostsFile == "" {
		c.HostsFile = filepath.Join(t.TempDir(), "no hosts")
	}
	if c.Multicast == nil {
		c.Multicast = []netip.AddrPort{}
	}
	r, err := validate.NewResolver(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newWeb serves handler on 127.0.0.1 and returns its port.
func newWeb(t *testing.T, handler http.Handler) int {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return portOf(t, server.URL)
}

func newTLSWeb(t *testing.T, handler http.Handler) int {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	return portOf(t, server.URL)
}

func portOf(t *testing.T, url string) int {
	t.Helper()
	port, err := strconv.Atoi(url[strings.LastIndex(url, ":")+1:])
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// rawServer accepts connections on 127.0.0.1, gives each to serve and closes it then.
func rawServer(t *testing.T, serve func(net.Conn)) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// closedPort is a port on which nothing listens.
func closedPort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// good answers the challenge as it should be.
func good(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(keyAuth)) }

func request(name string) validate.Request {
	return validate.Request{Type: acme.HTTP01, Identifier: acme.IdentifierFor(name), Token: token, KeyAuthorization: keyAuth}
}

// prove runs one proof that must be decided.
func prove(t *testing.T, c validate.Config, name string) validate.Result {
	t.Helper()
	if c.Resolver == nil {
		c.Resolver = newResolver(t, zone(t, "a.test. A 127.0.0.1", "b.test. A 127.0.0.1"))
	}
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second // long enough for a busy machine
	}
	result, err := validate.New(c).Prove(t.Context(), request(name))
	if err != nil {
		t.Fatalf("Prove: %v", err)
	}
	return result
}

// wantProblem checks type and words of a problem. A word that begins with "!" must be absent.
func wantProblem(t *testing.T, got *acme.Problem, want acme.ProblemType, words ...string) {
	t.Helper()
	if got == nil {
		t.Fatalf("control is proven, want problem %s", want.Name())
	}
	if got.Type != want {
		t.Errorf("problem is %s, want type %s", got.Error(), want.Name())
	}
	for _, word := range words {
		if absent, ok := strings.CutPrefix(word, "!"); ok {
			if strings.Contains(got.Detail, absent) {
				t.Errorf("detail %q holds %q", got.Detail, absent)
			}
		} else if !strings.Contains(got.Detail, word) {
			t.Errorf("detail %q lacks %q", got.Detail, word)
		}
	}
	if strings.Count(got.Detail, "\n") > 0 {
		t.Errorf("detail %q has several lines", got.Detail)
	}
}

func asProblem(t *testing.T, err error) *acme.Problem {
	t.Helper()
	var problem *acme.Problem
	if !errors.As(err, &problem) {
		t.Fatalf("error %v is not a problem", err)
	}
	return problem
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
