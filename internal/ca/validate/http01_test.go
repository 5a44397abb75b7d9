package validate_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

func TestV08HTTP01Proves(t *testing.T) {
	for name, body := range map[string]string{
		"exact":                  keyAuth,
		"newline":                keyAuth + "\n",
		"white space at the end": keyAuth + " \r\n\t\n",
	} {
		t.Run(name, func(t *testing.T) {
			var seen *http.Request
			port := newWeb(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = r
				w.Header().Set("Link", "</x>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints) // comes before the answer that counts
				w.Write([]byte(body))
			}))
			result := prove(t, validate.Config{HTTP01Port: port, Allow: everywhereHere}, "a.test")
			if result.Problem != nil {
				t.Fatal(result.Problem)
			}
			if want := fmt.Sprintf("a.test:%d", port); seen.Host != want || seen.URL.Path != path || seen.Method != "GET" {
				t.Errorf("asked %s %s of %s", seen.Method, seen.URL, seen.Host)
			}
			if seen.Header.Get("User-Agent") != "cairn-validator" || seen.Header.Get("Accept-Encoding") != "" || !seen.Close {
				t.Errorf("headers are %v, close %v", seen.Header, seen.Close)
			}
		})
	}
}

// RFC 8738 §4 and §5: no resolution, and the Host header is the address.
func TestHTTP01Addresses(t *testing.T) {
	for _, network := range []struct{ ip, listen, host string }{
		{"127.0.0.1", "127.0.0.1:0", "127.0.0.1"},
		{"::1", "[::1]:0", "[::1]"},
	} {
		t.Run(network.ip, func(t *testing.T) {
			listener, err := net.Listen("tcp", network.listen)
			if err != nil {
				t.Fatal(err)
			}
			hosts := make(chan string, 1)
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				hosts <- r.Host
				good(w, r)
			})}
			go server.Serve(listener)
			defer server.Close()
			port := listener.Addr().(*net.TCPAddr).Port
			// Nothing is opened: a loopback identifier may be reached on loopback.
			result := prove(t, validate.Config{HTTP01Port: port}, network.ip)
			if result.Problem != nil {
				t.Fatal(result.Problem)
			}
			if got, want := <-hosts, fmt.Sprintf("%s:%d", network.host, port); got != want {
				t.Errorf("Host is %q, want %q", got, want)
			}
			if len(result.Evidence.Lookups[0].Questions) != 0 {
				t.Error("an address was asked for in the DNS")
			}
		})
	}
}

// inner is what a page says that no client may learn.
const inner = "inner-secret-7f3a"

func TestV10HTTP01WrongPages(t *testing.T) {
	cases := []struct {
		name   string
		status int
		body   string
		words  []string
	}{
		{"other content", 200, inner, []string{"another page", "evaGxfAD….NzbLsXh8…", "status 200", "type text/plain", "17 octets", "127.0.0.1 port"}},
		{"empty", 200, "", []string{"an empty page"}},
		{"leading space", 200, " " + keyAuth, []string{"white space"}},
		{"byte order mark", 200, "\ufeff" + keyAuth, []string{"byte order mark"}},
		{"more after", 200, keyAuth + inner, []string{"more after it"}},
		{"other thumbprint", 200, token + "." + inner, []string{"another account's key"}},
		{"token alone", 200, token, []string{"the token alone"}},
		{"not found", 404, inner, []string{"status 404", "the file is not where"}},
		{"right body, wrong status", 500, keyAuth, []string{"status 500"}},
		{"see other is not a redirect that counts", 303, keyAuth, []string{"status 303"}},
		{"multiple choices", 300, keyAuth, []string{"status 300"}},
		{"unusual status", 299, inner, []string{"another page"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			port := newWeb(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain; note="+inner)
				w.Header().Set("X-Inner", inner)
				w.WriteHeader(c.status)
				w.Write([]byte(c.body))
			}))
			result := prove(t, validate.Config{HTTP01Port: port, Allow: everywhereHere}, "a.test")
			wantProblem(t, result.Problem, acme.TypeUnauthorized, append(c.words, "!"+inner, "!"+token)...)
			if c.body == inner && !strings.Contains(result.Evidence.Hops[0].First, inner) {
				t.Errorf("the evidence lacks the page: %+v", result.Evidence.Hops[0])
			}
		})
	}
}

// The beginning of a page is for the client only where everybody can read it.
func TestV14Echo(t *testing.T) {
	public, private := netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("10.0.0.7")
	id := acme.IdentifierFor("a.test")
	for _, c := range []struct {
		host  string
		addr  netip.Addr
		inner bool
	}{{"a.test", public, false}, {"a.test", private, true}, {"b.test", public, true}, {"b.test", private, true}} {
		if got := validate.IsInner(id, c.host, c.addr); got != c.inner {
			t.Errorf("IsInner(%s at %s) = %v", c.host, c.addr, got)
		}
	}
	page := "<b>\"x\"\x00" + strings.Repeat("y", 57) + "tail"
	detail := validate.WrongPage(false, public, page)
	if !strings.Contains(detail, `beginning "<b>\"x\"\x00yyy`) || strings.Contains(detail, "tail") || strings.Contains(detail, "\x00") {
		t.Errorf("a public page is shown as %q", detail)
	}
	if detail := validate.WrongPage(true, public, page); strings.Contains(detail, "yyy") {
		t.Errorf("an inner page is shown as %q", detail)
	}
}

// hostile is a server that does what it should not.
type hostile struct {
	name  string
	slow  bool // nothing but the time limit ends it
	serve func(net.Conn)
	want  acme.ProblemType
	words []string
}

func hostileServers(t *testing.T) []hostile {
	silent := func(conn net.Conn) { conn.Read(make([]byte, 1)); <-t.Context().Done() }
	var bomb bytes.Buffer
	zipper := gzip.NewWriter(&bomb)
	zipper.Write(make([]byte, 8<<20))
	zipper.Close()
	return []hostile{
		{"silent", true, silent, acme.TypeConnection, []string{"in time"}},
		{"closes at once", false, func(conn net.Conn) { conn.Read(make([]byte, 1)) }, acme.TypeConnection, []string{"closed the connection"}},
		{"drips", true, drip, acme.TypeConnection, []string{"began to answer", "in time"}},
		{"drips header", true, func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n")
			for every(conn, 5*time.Millisecond, "X-A: b\r\n") {
			}
		}, acme.TypeConnection, []string{"in time"}},
		{"endless body", false, func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
			for every(conn, 0, strings.Repeat(inner, 100)) {
			}
		}, acme.TypeUnauthorized, []string{"more than 4096 octets"}},
		{"endless white space", false, func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n"+keyAuth)
			for every(conn, 0, strings.Repeat(" ", 1000)) {
			}
		}, acme.TypeUnauthorized, []string{"more than 4096 octets"}},
		{"endless header", false, func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n")
			for every(conn, 0, "X-A: "+strings.Repeat(inner, 100)+"\r\n") {
			}
		}, acme.TypeConnection, []string{"octets of header"}},
		{"endless 1xx", false, func(conn net.Conn) {
			for every(conn, 0, "HTTP/1.1 103 Early Hints\r\n\r\n") {
			}
		}, acme.TypeConnection, nil},
		{"switches protocols", false, func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"+keyAuth)
			conn.Read(make([]byte, 4096))
		}, acme.TypeUnauthorized, []string{"status 101"}},
		{"chunks without end", false, func(conn net.Conn) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for every(conn, 0, strings.Repeat("00000001;x="+inner+"\r\ny\r\n", 50)) {
			}
		}, acme.TypeConnection, []string{"began to answer"}},
		{"truncated body", false, func(conn net.Conn) {
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n%s", keyAuth)
			conn.Read(make([]byte, 4096))
		}, acme.TypeConnection, []string{"before its answer was whole"}},
		{"not HTTP", false, func(conn net.Conn) { fmt.Fprint(conn, "220 "+inner+" ESMTP\r\n"); conn.Read(make([]byte, 4096)) },
			acme.TypeConnection, []string{"proper HTTP"}},
		{"gzip bomb", false, func(conn net.Conn) {
			conn.Read(make([]byte, 4096))
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", bomb.Len())
			conn.Write(bomb.Bytes())
		}, acme.TypeUnauthorized, []string{fmt.Sprint(bomb.Len())}},
	}
}

func TestHTTP01HostileServers(t *testing.T) {
	for _, c := range hostileServers(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config := validate.Config{HTTP01Port: rawServer(t, c.serve), Allow: everywhereHere}
			if c.slow {
				config.Timeout = time.Second
			}
			began := time.Now()
			result := prove(t, config, "a.test")
			wantProblem(t, result.Problem, c.want, append(c.words, "!"+inner)...)
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func drip(conn net.Conn) {
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(keyAuth))
	for i := range len(keyAuth) {
		if !every(conn, 20*time.Millisecond, keyAuth[i:i+1]) {
			return
		}
	}
}

// every writes text after a pause and reports whether the other side still takes it.
func every(conn net.Conn, pause time.Duration, text string) bool {
	<-time.After(pause)
	_, err := conn.Write([]byte(text))
	return err == nil
}

func TestV16HTTP01Connections(t *testing.T) {
	port := newWeb(t, http.HandlerFunc(good)) // on 127.0.0.1 only
	here := validate.Config{HTTP01Port: port, Allow: everywhereHere}

	t.Run("IPv6 first, then IPv4", func(t *testing.T) {
		here.Resolver = newResolver(t, zone(t, "six.test. AAAA ::1", "six.test. A 127.0.0.1"))
		result := prove(t, here, "six.test")
		if result.Problem != nil {
			t.Fatal(result.Problem)
		}
		made := result.Evidence.Connections
		if len(made) != 2 || made[0].Target.Addr() != netip.IPv6Loopback() || made[0].Outcome == "connected" || made[1].Outcome != "connected" {
			t.Errorf("connections are %+v", made)
		}
	})
	t.Run("also behind a redirect", func(t *testing.T) {
		mux := http.NewServeMux()
		mux.HandleFunc("a.test"+path, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://six.test:"+strings.Split(r.Host, ":")[1]+"/x", http.StatusFound)
		})
		mux.HandleFunc("six.test/x", good)
		config := validate.Config{HTTP01Port: newWeb(t, mux), Allow: everywhereHere,
			Resolver: newResolver(t, zone(t, "a.test. A 127.0.0.1", "six.test. AAAA ::1", "six.test. A 127.0.0.1"))}
		if result := prove(t, config, "a.test"); result.Problem != nil {
			t.Fatal(result.Problem)
		}
	})
	t.Run("refused", func(t *testing.T) {
		result := prove(t, validate.Config{HTTP01Port: closedPort(t), Allow: everywhereHere}, "a.test")
		wantProblem(t, result.Problem, acme.TypeConnection, "connection refused at 127.0.0.1 port", "from DNS server 127.0.0.1:", "is a web server listening there")
	})
	t.Run("no time", func(t *testing.T) {
		config := validate.Config{HTTP01Port: port, Allow: everywhereHere, DialTimeout: 1}
		wantProblem(t, prove(t, config, "a.test").Problem, acme.TypeConnection, "no answer from 127.0.0.1", "firewall")
	})
}

func TestProveErrors(t *testing.T) {
	c := validate.Config{Resolver: newResolver(t, zone(t)), Timeout: time.Second}
	for name, change := range map[string]func(*validate.Request){
		"unknown type":       func(r *validate.Request) { r.Type = "dns-00" },
		"wildcard":           func(r *validate.Request) { r.Identifier.Value = "*.a.test" },
		"not canonical":      func(r *validate.Request) { r.Identifier.Value = "A.test" },
		"no identifier":      func(r *validate.Request) { r.Identifier = acme.Identifier{} },
		"dns-01 for an IP":   func(r *validate.Request) { r.Type, r.Identifier = acme.DNS01, acme.IdentifierFor("10.0.0.1") },
		"token with a slash": func(r *validate.Request) { r.Token = "../../x" },
		"no key":             func(r *validate.Request) { r.KeyAuthorization = r.Token },
		"huge key":           func(r *validate.Request) { r.KeyAuthorization = strings.Repeat("x", 600) },
	} {
		t.Run(name, func(t *testing.T) {
			req := request("a.test")
			change(&req)
			if result, err := validate.New(c).Prove(t.Context(), req); err == nil {
				t.Errorf("result is %+v, want an error", result)
			}
		})
	}
	t.Run("hosts file cannot be read", func(t *testing.T) {
		c := validate.Config{Resolver: resolver(t, validate.ResolverConfig{HostsFile: t.TempDir(), Servers: []string{"127.0.0.1:1"}})}
		if _, err := validate.New(c).Prove(t.Context(), request("a.test")); err == nil {
			t.Error("no error")
		}
	})
}

// A caller who gives up learns nothing about the client.
func TestProveCancelled(t *testing.T) {
	reached := make(chan struct{})
	port := rawServer(t, func(conn net.Conn) {
		close(reached)
		<-t.Context().Done()
	})
	c := validate.Config{HTTP01Port: port, Allow: everywhereHere, Resolver: newResolver(t, zone(t, "a.test. A 127.0.0.1"))}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	result, err := validate.New(c).Prove(ctx, request("a.test"))
	if !errors.Is(err, context.Canceled) || result.Problem != nil {
		t.Errorf("Prove = %v, %v", result.Problem, err)
	}
	if len(result.Evidence.Connections) != 1 {
		t.Errorf("the evidence is lost: %+v", result.Evidence)
	}
}

// The evidence goes to the record as JSON, and from a remote validator as well.
func TestEvidenceJSON(t *testing.T) {
	port := newWeb(t, http.NotFoundHandler())
	resolver := newResolver(t, zone(t, "a.test. AAAA fe80::1", "a.test. A 127.0.0.1"))
	result := prove(t, validate.Config{HTTP01Port: port, Allow: everywhereHere, Resolver: resolver}, "a.test")
	text, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	var back validate.Result
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("%s\nbecomes\n%s (%v)", text, again, err)
	}
	evidence := result.Evidence
	if evidence.Started.IsZero() || len(evidence.Lookups) != 1 || len(evidence.Lookups[0].Questions) != 2 || len(evidence.Hops) != 1 {
		t.Errorf("evidence is %s", text)
	}
	want := []validate.Address{
		{Addr: netip.MustParseAddr("fe80::1"), Source: evidence.Lookups[0].Addresses[0].Source, Refused: "a link-local address"},
		{Addr: netip.MustParseAddr("127.0.0.1"), Source: validate.Source{Kind: validate.FromDNS, Where: evidence.Lookups[0].Questions[0].Server}},
	}
	if !reflect.DeepEqual(evidence.Lookups[0].Addresses, want) {
		t.Errorf("addresses are %+v, want %+v", evidence.Lookups[0].Addresses, want)
	}
}

// A DNS server that changes its mind gets nobody where the rules forbid.
func TestV14Rebinding(t *testing.T) {
	questions := make(chan struct{}, 100)
	handler := func(w dns.ResponseWriter, query *dns.Msg) {
		record := "a.test. 0 A 127.0.0.1"
		if query.Question[0].Qtype == dns.TypeA {
			if len(questions) > 0 {
				record = "a.test. 0 A 169.254.169.254"
			}
			questions <- struct{}{}
			zone(t, record)(w, query)
			return
		}
		zone(t, record)(w, query)
	}
	port := newWeb(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere?q="+inner, http.StatusFound)
	}))
	var log bytes.Buffer
	c := validate.Config{HTTP01Port: port, Resolver: newResolver(t, handler), Log: slog.New(slog.NewTextHandler(&log, nil)),
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	result := prove(t, c, "a.test")
	wantProblem(t, result.Problem, acme.TypeConnection, "169.254.169.254 is a cloud metadata address", "where one redirect led", "!"+inner, "!elsewhere")
	if len(result.Evidence.Connections) != 1 || len(questions) != 2 {
		t.Errorf("%d questions, connections %+v", len(questions), result.Evidence.Connections)
	}
	if !strings.Contains(log.String(), `to_open="--allow-target 169.254.169.254/32"`) {
		t.Errorf("log is %s", log.String())
	}
}
