package validate

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Bounds on what a web server can make us read.
const (
	maxBody   = 4 << 10  // a key authorization has less than 400 octets; the rest is slack
	maxHeader = 32 << 10 // generous for what real servers send
	maxFramed = 64 << 10 // a body of maxBody octets in chunks of one octet
)

// page is the answer of one hop.
type page struct {
	url         *url.URL
	redirected  int // redirects that led here
	target      netip.AddrPort
	source      Source
	status      int
	contentType string // for the client: "type text/html"
	length      string // for the client: "120 octets"
	location    []string
	body        []byte // at most maxBody octets; nothing for a redirect
}

// redirects reports whether the page is a redirect that is followed (BR §3.2.2.4.19).
func (p page) redirects() bool {
	switch p.status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// visit fetches one URL: it resolves the host anew, so that each hop is checked
// for itself, connects to an address that it has checked, and asks.
func (a *attempt) visit(ctx context.Context, at *url.URL, redirected int) (page, error) {
	p := page{url: at, redirected: redirected}
	link, err := a.connect(ctx, destination{at.Hostname(), portOf(at), redirected, "a web server"})
	if err != nil {
		return p, err
	}
	defer link.conn.Close()
	p.target, p.source = link.target, link.source
	a.inner = a.inner || isInner(a.request.Identifier, at.Hostname(), p.target.Addr())
	a.evidence.Hops = append(a.evidence.Hops, Hop{URL: clip(at.String(), maxEvidenceURL), Target: p.target, Length: -1})
	hop := &a.evidence.Hops[len(a.evidence.Hops)-1]
	conn := link.conn
	if at.Scheme == "https" {
		// It is the certificate that the client may still be lacking, so none is verified.
		conn, err = a.handshake(ctx, link, &tls.Config{ServerName: at.Hostname(), NextProtos: []string{"http/1.1"}})
		if err != nil {
			hop.Error = clip(err.Error(), maxEvidenceText)
			return p, since(err, acme.Problemf(acme.TypeTLS, "%s: %s", a.where(p), tellTLS(err)))
		}
	}
	return a.get(ctx, conn, p, hop)
}

// handshake speaks TLS 1.2 or later on a link. It leaves the server's certificate
// to the caller: who is to be proven has none yet that could be verified.
func (a *attempt) handshake(ctx context.Context, link link, config *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, a.config.DialTimeout)
	defer cancel()
	config.InsecureSkipVerify, config.MinVersion = true, tls.VersionTLS12
	conn := tls.Client(link.conn, config)
	return conn, conn.HandshakeContext(ctx)
}

// get asks for the page on a connection that is ready for it.
func (a *attempt) get(ctx context.Context, conn net.Conn, p page, hop *Hop) (page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url.String(), nil)
	if err != nil {
		return p, acme.Problemf(acme.TypeConnection, "%s cannot be asked for: the URL is not valid", a.where(p))
	}
	req.Header.Set("User-Agent", "cairn-validator")
	req.Header.Set("Accept", "*/*")
	req.Close = true
	response, err := exchange(ctx, conn, req)
	if err != nil {
		hop.Error = clip(err.Error(), maxEvidenceText)
		return p, since(err, acme.Problemf(acme.TypeConnection, "%s %s", a.where(p), tellHTTP(err)))
	}
	defer response.Body.Close()
	p.status, p.location = response.StatusCode, response.Header.Values("Location")
	p.contentType = mediaType(response.Header.Get("Content-Type"))
	hop.Status, hop.Length = response.StatusCode, response.ContentLength
	hop.ContentType = clip(response.Header.Get("Content-Type"), maxEvidenceText)
	hop.Encoding = clip(response.Header.Get("Content-Encoding"), maxEvidenceText)
	hop.Location = clip(response.Header.Get("Location"), maxEvidenceURL)
	if p.redirects() {
		return p, nil
	}
	err = p.read(response)
	hop.First = clip(string(p.body), maxEvidenceText)
	if err != nil {
		hop.Error = clip(err.Error(), maxEvidenceText)
		if p.status >= 200 && p.status <= 299 {
			return p, since(err, acme.Problemf(acme.TypeConnection, "%s began to answer (status %d, %s) and then %s", a.where(p), p.status, p.contentType, tellHTTP(err)))
		}
	}
	return p, nil
}

// read takes the body, up to a bound.
func (p *page) read(response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	switch {
	case response.ContentLength >= 0:
		p.length = strconv.FormatInt(response.ContentLength, 10) + " octets"
	case len(body) > maxBody:
		p.length = "more than " + strconv.Itoa(maxBody) + " octets"
	default:
		p.length = strconv.Itoa(len(body)) + " octets"
	}
	p.body = body // one octet too many makes it too long for any key authorization
	return err
}

// exchange sends a request and reads the header of the answer. It is done by
// hand because http.Transport reads before it has asked, takes what a hasty
// server says then for unsolicited, and writes it to the program's log.
func exchange(ctx context.Context, conn net.Conn, req *http.Request) (*http.Response, error) {
	// One deadline covers the time limit and a caller who gives up. It is not
	// taken back: the body is read under it too.
	context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	bounded := &io.LimitedReader{R: conn, N: maxHeader}
	buffered := bufio.NewReader(bounded)
	for {
		response, err := http.ReadResponse(buffered, req)
		switch {
		case err != nil && bounded.N <= 0:
			return nil, errLongHeader
		case err != nil:
			return nil, err
		case response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols:
			bounded.N = maxFramed
			return response, nil
		}
		// RFC 9110 §15.2: other 1xx answers precede the one that counts.
	}
}

var errLongHeader = errors.New("the header is too long")

// mediaType is a content type as the client may see it: only the type itself.
func mediaType(header string) string {
	media, _, err := mime.ParseMediaType(header)
	switch {
	case header == "":
		return "no content type"
	case err != nil || len(media) > 64:
		return "a content type that is not valid"
	}
	return "type " + media
}

// link is an established connection.
type link struct {
	conn   net.Conn
	target netip.AddrPort
	source Source
}

// destination is where to connect to.
type destination struct {
	name       string // or an address, where the identifier is one
	port       uint16
	redirected int    // redirects that led here
	listener   string // what should listen there: "a web server"
}

// connect makes a connection: IPv6 first, then IPv4 where none could be made. It
// dials only addresses that it has checked.
func (a *attempt) connect(ctx context.Context, to destination) (link, error) {
	found, err := a.addresses(ctx, to.name)
	if err != nil {
		return link{}, err
	}
	// A redirect must not turn a proof against the machine it runs on.
	loopbackOK := to.redirected == 0 || a.atLoopback || to.name == a.request.Identifier.Value
	usable, failures := a.screen(to.name, found, loopbackOK)
	if more := len(failures) - maxTargets; more > 0 {
		failures = append(failures[:maxTargets], fmt.Sprintf("%d more are refused", more))
	}
	hint := ""
	var transient error
	for _, addr := range usable {
		if ctx.Err() != nil && len(failures) > 0 {
			break // the time is up; what was not tried is not reported
		}
		target := netip.AddrPortFrom(addr.Addr, to.port)
		conn, err := a.dial(ctx, target, addr.Source)
		if err == nil {
			a.atLoopback = a.atLoopback || to.redirected == 0 && addr.Addr.IsLoopback() && addr.Source.ownWord()
			return link{conn, target, addr.Source}, nil
		}
		if isOwnFault(err) {
			return link{}, fmt.Errorf("connecting to %s: %w", target, err)
		}
		if isTransient(err) {
			transient = err
		}
		failures = append(failures, fmt.Sprintf("%s (%s)", tellDial(target, err), addr.Source))
		hint = ": is " + to.listener + " listening there?"
		if isTimeout(err) {
			hint = ": is that the right address, and does a firewall let requests in?"
		}
	}
	behind := ""
	if to.redirected > 0 {
		behind = " (where " + count(to.redirected, "redirect") + " led)"
	}
	return link{}, since(transient, acme.Problemf(acme.TypeConnection, "could not connect to %s%s: %s%s", to.name, behind, strings.Join(failures, "; "), hint))
}

func portOf(at *url.URL) uint16 {
	if n, err := strconv.ParseUint(at.Port(), 10, 16); err == nil {
		return uint16(n)
	}
	if at.Scheme == "https" {
		return 443
	}
	return 80
}

// addresses finds where a host is. Only the identifier can be an address itself;
// redirects to addresses are refused before.
func (a *attempt) addresses(ctx context.Context, name string) ([]Address, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		lookup := Lookup{Name: name}
		lookup.add(Source{Kind: FromIdentifier}, []netip.Addr{addr})
		a.evidence.Lookups = append(a.evidence.Lookups, lookup)
		return lookup.Addresses, nil
	}
	lookup, err := a.config.Resolver.Lookup(ctx, name)
	a.evidence.Lookups = append(a.evidence.Lookups, lookup)
	return lookup.Addresses, err
}

// dial connects to one checked address and notes what came of it.
func (a *attempt) dial(ctx context.Context, target netip.AddrPort, source Source) (net.Conn, error) {
	started := time.Now()
	dialer := net.Dialer{Timeout: a.config.DialTimeout, KeepAlive: -1}
	// The text of an address needs no resolution, so nothing can come between the check and this.
	conn, err := dialer.DialContext(ctx, "tcp", target.String())
	noted := Connection{Target: target, Source: source, Outcome: "connected", Millis: time.Since(started).Milliseconds()}
	if err != nil {
		noted.Outcome = clip(err.Error(), maxEvidenceText)
	}
	a.evidence.Connections = append(a.evidence.Connections, noted)
	return conn, err
}
