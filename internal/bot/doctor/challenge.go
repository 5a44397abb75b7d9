package doctor

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// challenge has the method answer a challenge of our own, and looks at each address of the name whether the answer is seen.
func (d *doctor) challenge(ctx context.Context, s Subject, id acme.Identifier, addresses []string) []Finding {
	base, _ := id.Base()
	kind := s.first(id)
	switch {
	case kind == acme.DNS01 || kind == acme.DNSAccount01 || kind == acme.DNSPersist01:
		return []Finding{{Check: "challenge", Level: Note, Name: id.Value, Text: "whether the record can be made is not tried: that would change your zone",
			Remedy: "try it with --dry-run, which asks a CA for tests"}}
	case s.Method == "":
		return d.reach(ctx, s, id, addresses)
	case s.Solver == nil || kind != acme.HTTP01:
		return append([]Finding{{Check: "challenge", Level: Note, Name: id.Value, Text: fmt.Sprintf("%s is not tried out here", s.Method),
			Remedy: "try it with --rehearse"}}, d.reach(ctx, s, id, addresses)...)
	}
	c := renew.Challenge{Type: acme.HTTP01, Identifier: base, Token: "cairnbot-doctor-" + rand.Text(), All: []acme.Identifier{base}}
	c.KeyAuthorization = c.Token + "." + rand.Text()
	if err := s.Solver.Present(ctx, c); err != nil {
		return []Finding{{Check: "challenge", Level: Error, Name: id.Value, Text: fmt.Sprintf("%s cannot answer: %v", s.Method, err),
			Remedy: "stop what stands in the way, or choose another method"}}
	}
	var findings []Finding
	for _, address := range addresses {
		findings = append(findings, d.fetch(ctx, s, base, address, c))
	}
	if err := s.Solver.CleanUp(context.WithoutCancel(ctx), c); err != nil {
		findings = append(findings, Finding{Check: "challenge", Level: Warning, Name: id.Value, Text: "cleaning up failed: " + err.Error()})
	}
	return append(findings, outside(id))
}

// outside says what cannot be seen from here.
func outside(id acme.Identifier) Finding {
	return Finding{Check: "outside", Level: Note, Name: id.Value, Text: "whether it can be reached from outside cannot be seen from here, and ACME has no way to ask the CA without an order",
		Remedy: "--dry-run asks a CA for tests, which looks from outside"}
}

// port is where the CA looks.
func (s Subject) port() string {
	if s.PortHTTP == 0 {
		return "80"
	}
	return strconv.Itoa(s.PortHTTP)
}

// reach looks whether anything listens where the CA will connect to.
func (d *doctor) reach(ctx context.Context, s Subject, id acme.Identifier, addresses []string) []Finding {
	var findings []Finding
	for _, address := range addresses {
		at := net.JoinHostPort(address, s.port())
		inner, cancel := context.WithTimeout(ctx, d.config.Timeout)
		conn, err := new(net.Dialer).DialContext(inner, "tcp", at)
		cancel()
		switch {
		case err == nil:
			_ = conn.Close()
			findings = append(findings, Finding{Check: "address", Level: OK, Name: id.Value, Text: "something listens at " + at})
		case errors.Is(err, syscall.ECONNREFUSED):
			findings = append(findings, Finding{Check: "address", Level: Note, Name: id.Value, Text: "nothing listens at " + at + ": --standalone can"})
		default:
			findings = append(findings, unreached(id, address, at, err))
		}
	}
	return findings
}

// unreached is about an address to which no connection can be made.
func unreached(id acme.Identifier, address, at string, err error) Finding {
	f := Finding{Check: "address", Level: Warning, Name: id.Value, Text: fmt.Sprintf("%s cannot be reached from here: %v", at, err),
		Remedy: "look at firewall and port forwarding; some routers do not lead from inside back to their own address, and then this says nothing"}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return Finding{Check: "address", Level: Error, Name: id.Value, Text: "nothing listens at " + at,
			Remedy: "start the web server there, have it listen on this address, too, or forward the port to it"}
	}
	if ip, parseErr := netip.ParseAddr(address); parseErr == nil && ip.Is6() && !ip.Is4In6() {
		f.Level = Error
		f.Remedy = "CAs prefer IPv6: have this machine listen there, open the firewall for it, or remove the AAAA record"
	}
	return f
}

// Bounds for a stranger's web server.
const (
	maxRedirects = 10
	maxBody      = 4 << 10
)

// fetch gets the answer as a CA does (RFC 8555 §8.3), from one address of the name.
func (d *doctor) fetch(ctx context.Context, s Subject, id acme.Identifier, address string, c renew.Challenge) Finding {
	ctx, cancel := context.WithTimeout(ctx, d.config.Timeout)
	defer cancel()
	at := net.JoinHostPort(address, s.port())
	away := ""
	transport := &http.Transport{
		DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // as CAs do after a redirect: the name has no certificate yet
		DialContext: func(ctx context.Context, network, target string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(target)
			if err == nil && strings.EqualFold(host, id.Value) {
				target = net.JoinHostPort(address, port)
			}
			return new(net.Dialer).DialContext(ctx, network, target)
		},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if !strings.EqualFold(next.URL.Hostname(), id.Value) {
			away = next.URL.Hostname()
		}
		if len(via) > maxRedirects {
			return errors.New("it redirects too often")
		}
		return nil
	}}
	target := url.URL{Scheme: "http", Host: id.Value, Path: acme.HTTP01Path + c.Token}
	if s.port() != "80" {
		target.Host = net.JoinHostPort(id.Value, s.port())
	} else if strings.Contains(id.Value, ":") {
		target.Host = "[" + id.Value + "]"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return Finding{Check: "challenge", Level: Error, Name: id.Value, Text: err.Error()}
	}
	response, err := client.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return unreached(id, address, at, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return Finding{Check: "challenge", Level: Error, Name: id.Value, Text: fmt.Sprintf("the answer at %s broke off: %v", at, err)}
	}
	return judge(id, at, s.Method, away, response, strings.TrimRight(string(body), " \t\r\n") == c.KeyAuthorization)
}

// judge says what an answer means.
func judge(id acme.Identifier, at, method, away string, response *http.Response, right bool) Finding {
	between := ""
	if who := middle(response.Header); who != "" {
		between = "; " + who + " stands between"
	}
	if right {
		f := Finding{Check: "challenge", Level: OK, Name: id.Value, Text: "the answer of " + method + " is seen at " + at + between}
		if away != "" {
			f.Level, f.Text = Warning, f.Text+", after a redirect to "+clean(away)
			f.Remedy = "have the redirect leave out " + acme.HTTP01Path + ": it is one more thing that must work at each renewal"
		}
		return f
	}
	f := Finding{Check: "challenge", Level: Error, Name: id.Value, Text: fmt.Sprintf("at %s there is another answer (%s)%s", at, clean(response.Status), between)}
	switch {
	case away != "":
		f.Text += ", after a redirect to " + clean(away)
		f.Remedy = "have the redirect leave out " + acme.HTTP01Path
	case between != "":
		f.Remedy = "have the proxy or CDN pass " + acme.HTTP01Path + " on to this machine, uncached; or prove control through the DNS"
	case method == "webroot":
		f.Remedy = "is -w the directory that this name serves, and does the server hide directories that begin with a dot?"
	default:
		f.Remedy = "another machine or program answers at that address: look at DNS and port forwarding"
	}
	return f
}

// middle names a proxy or CDN that answers in the place of a machine, as far as headers tell.
func middle(h http.Header) string {
	for header, who := range map[string]string{"CF-RAY": "Cloudflare", "X-Amz-Cf-Id": "Amazon CloudFront", "X-Served-By": "a cache (Fastly or Varnish)",
		"X-Azure-Ref": "Azure Front Door", "X-Sucuri-Id": "Sucuri", "X-Varnish": "Varnish", "Via": "a proxy", "X-Cache": "a cache"} {
		if h.Get(header) != "" {
			return who
		}
	}
	return ""
}

// clean makes a stranger's words one short line.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, text)
	return text[:min(len(text), 100)]
}
