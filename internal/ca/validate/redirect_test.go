package validate_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// redirector sends everything but /good to location.
func redirector(t *testing.T, status int, location string) int {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/good", good)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, port, _ := net.SplitHostPort(r.Host)
		w.Header()["Location"] = []string{strings.ReplaceAll(location, "PORT", port)}
		w.WriteHeader(status)
	})
	return newWeb(t, mux)
}

func TestV09RedirectsFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 307, 308} {
		for _, location := range []string{"/good", "../../good", "http://b.test:PORT/good", "//b.test:PORT/good?x=y#z", "HTTP://B.TEST.:PORT/good"} {
			c := validate.Config{HTTP01Port: redirector(t, status, location), Allow: everywhereHere}
			result := prove(t, c, "a.test")
			if result.Problem != nil {
				t.Errorf("%d to %s: %v", status, location, result.Problem)
			} else if len(result.Evidence.Hops) != 2 || len(result.Evidence.Lookups) != 2 {
				t.Errorf("%d to %s: evidence is %+v", status, location, result.Evidence)
			}
		}
	}
}

func TestRedirectToHTTPS(t *testing.T) {
	secure := newTLSWeb(t, http.HandlerFunc(good)) // with a certificate that nothing trusts
	c := validate.Config{HTTP01Port: redirector(t, 301, fmt.Sprintf("https://b.test:%d/x", secure)), TLSALPN01Port: secure, Allow: everywhereHere}
	if result := prove(t, c, "a.test"); result.Problem != nil {
		t.Error(result.Problem)
	}
	for name, server := range map[string]struct {
		serve func(net.Conn)
		words string
	}{
		"speaks HTTP":    {func(conn net.Conn) { fmt.Fprint(conn, "HTTP/1.1 400 "+inner+"\r\n\r\n"); conn.Read(make([]byte, 4096)) }, "does not speak TLS"},
		"closes":         {func(net.Conn) {}, "closed the connection"},
		"sends an alert": {func(conn net.Conn) { conn.Read(make([]byte, 4096)); conn.Write([]byte{21, 3, 3, 0, 2, 2, 40}) }, "handshake failure"},
		"is silent":      {func(conn net.Conn) { <-t.Context().Done() }, "not finished in time"},
	} {
		t.Run(name, func(t *testing.T) {
			port := rawServer(t, server.serve)
			c := validate.Config{HTTP01Port: redirector(t, 301, fmt.Sprintf("https://b.test:%d/"+inner, port)), TLSALPN01Port: port,
				Allow: everywhereHere}
			if name == "is silent" {
				c.DialTimeout = 300 * time.Millisecond
			}
			wantProblem(t, prove(t, c, "a.test").Problem, acme.TypeTLS, server.words, "https://b.test:"+strconv.Itoa(port), "!"+inner)
		})
	}
}

func TestV09RedirectsRefused(t *testing.T) {
	for location, words := range map[string]string{
		"http://127.0.0.1:PORT/good":                "not a domain name",
		"http://[::1]:PORT/good":                    "not a domain name",
		"http://[::ffff:127.0.0.1]:PORT/good":       "not a domain name",
		"http://2130706433:PORT/good":               "not a domain name",
		"http://127.1:PORT/good":                    "not a domain name",
		"http://0x7f.1:PORT/good":                   "not a domain name",
		"http://*.b.test:PORT/good":                 "not a domain name",
		"http://b_.test:PORT/good":                  "not a domain name",
		"file:///etc/passwd":                        "file: URL",
		"gopher://b.test:70/":                       "gopher: URL",
		"javascript:alert(1)":                       "javascript: URL",
		"http://user@b.test:PORT/good":              "user name",
		"http://b.test@127.0.0.1:PORT/good":         "user name",
		"http://b.test:22/inner-secret-7f3a":        "port 22 of b.test",
		"http://b.test:99999/inner-secret-7f3a":     "port 99999",
		"http:opaque":                               "no host",
		"http:///good":                              "no host",
		"http://b.test:PORT/%zz":                    "not a URL",
		"":                                          "in a circle",
		"http://b.test/" + strings.Repeat("x", 3e3): "longer than",
		"http://a.test:PORT" + path:                 "in a circle",
		"#fragment":                                 "in a circle",
	} {
		t.Run(location[:min(len(location), 40)], func(t *testing.T) {
			c := validate.Config{HTTP01Port: redirector(t, 302, location), Allow: everywhereHere}
			result := prove(t, c, "a.test")
			wantProblem(t, result.Problem, acme.TypeConnection, words, "status 302", "!"+inner)
			if len(result.Evidence.Connections) != 1 {
				t.Errorf("connections are %+v", result.Evidence.Connections)
			}
		})
	}
}

func TestV09RedirectChains(t *testing.T) {
	chain := func(length int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := strconv.Atoi(r.URL.Query().Get("n"))
			if n == length {
				good(w, r)
				return
			}
			http.Redirect(w, r, fmt.Sprintf("?n=%d&s=%s", n+1, inner), http.StatusFound)
		})
	}
	if result := prove(t, validate.Config{HTTP01Port: newWeb(t, chain(10)), Allow: everywhereHere}, "a.test"); result.Problem != nil {
		t.Error(result.Problem)
	}
	result := prove(t, validate.Config{HTTP01Port: newWeb(t, chain(11)), Allow: everywhereHere}, "a.test")
	wantProblem(t, result.Problem, acme.TypeConnection, "the 11th in a row", "10 redirects led", "!"+inner)
	// A server that swings between two names.
	mux := http.NewServeMux()
	mux.HandleFunc("a.test/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+strings.Replace(r.Host, "a.", "b.", 1)+r.URL.Path, http.StatusMovedPermanently)
	})
	mux.HandleFunc("b.test/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+strings.Replace(r.Host, "b.", "a.", 1)+r.URL.Path, http.StatusMovedPermanently)
	})
	result = prove(t, validate.Config{HTTP01Port: newWeb(t, mux), Allow: everywhereHere}, "a.test")
	wantProblem(t, result.Problem, acme.TypeConnection, "in a circle")
}

func TestRedirectWithoutTarget(t *testing.T) {
	for name, locations := range map[string][]string{"none": nil, "two": {"/good", "/good"}} {
		port := newWeb(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Location"] = locations
			w.WriteHeader(301)
		}))
		result := prove(t, validate.Config{HTTP01Port: port, Allow: everywhereHere}, "a.test")
		t.Run(name, func(t *testing.T) { wantProblem(t, result.Problem, acme.TypeConnection, "Location header") })
	}
}

// What a page behind a redirect says stays inside, its URL included.
func TestRedirectLeaksNothing(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("a.test/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+strings.Replace(r.Host, "a.", "b.", 1)+"/x?session="+inner, http.StatusFound)
	})
	mux.HandleFunc("b.test/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, inner) })
	port := newWeb(t, mux)
	result := prove(t, validate.Config{HTTP01Port: port, Allow: everywhereHere}, "a.test")
	wantProblem(t, result.Problem, acme.TypeUnauthorized, fmt.Sprintf("http://b.test:%d (where one redirect led)", port), "!"+inner, "!session")
	if hop := result.Evidence.Hops[1]; hop.First != inner || !strings.Contains(hop.URL, "session") {
		t.Errorf("evidence is %+v", hop)
	}
}

// A redirect must not reach services of the authority's own machine, though
// localhost names and the hosts file do where they are the identifier.
func TestV14RedirectToOwnMachine(t *testing.T) {
	hosts := writeFile(t, "127.0.0.1 me.test\n127.0.0.1 other.test\n")
	server := newDNS(t, zone(t, "a.test. A 127.0.0.2"))
	for _, target := range []string{"localhost", "me.test", "x.localhost"} {
		port := redirector(t, 302, "http://"+target+":PORT/good")
		// 127.0.0.2 stands for another machine.
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		other := &http.Server{Handler: http.RedirectHandler(fmt.Sprintf("http://%s:%d/good", target, port), http.StatusFound)}
		go other.Serve(listener)
		c := validate.Config{HTTP01Port: port, Resolver: resolver(t, validate.ResolverConfig{HostsFile: hosts, Servers: []string{server}}),
			Allow: prefixes("127.0.0.2/32")}
		wantProblem(t, prove(t, c, "a.test").Problem, acme.TypeConnection, "a loopback address", "one redirect led")
		other.Close()
		// From one name of this machine to another is no gain to anybody.
		c.Allow = nil
		if result := prove(t, c, "other.test"); result.Problem != nil {
			t.Error(result.Problem)
		}
	}
}

func TestRedirectTargetURL(t *testing.T) {
	from, err := url.Parse("http://a.test:5002" + path)
	if err != nil {
		t.Fatal(err)
	}
	for location, want := range map[string]string{
		"/x":                          "http://a.test:5002/x",
		"http://b.test/x?y=z#f":       "http://b.test/x?y=z",
		"http://b.test:/x":            "http://b.test/x",
		"http://b.test:80/x":          "http://b.test/x",
		"https://b.test:443/x":        "https://b.test/x",
		"https://b.test:80/x":         "https://b.test:80/x",
		"http://b.test:443/x":         "http://b.test:443/x",
		"https://B.Test.:5001/x":      "https://b.test:5001/x",
		"http://xn--bcher-kva.test/x": "http://xn--bcher-kva.test/x",
		"http://host/":                "http://host/",
	} {
		to, why := validate.RedirectTarget(validate.Config{HTTP01Port: 5002, TLSALPN01Port: 5001}, from, []string{location})
		if why != "" || to.String() != want {
			t.Errorf("%s leads to %v (%s), want %s", location, to, why, want)
		}
	}
	for _, ip := range []string{"http://10.0.0.1/", "http://[fd00::1]/"} {
		from, _ := url.Parse(ip)
		if to, why := validate.RedirectTarget(validate.Config{}, from, []string{"/x"}); why == "" {
			t.Errorf("from %s to %v", ip, to)
		}
	}
}
