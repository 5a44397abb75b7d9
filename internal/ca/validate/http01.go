package validate

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/cairn-ca/cairn/acme"
)

// maxRedirects is how many redirects one http-01 proof follows.
const maxRedirects = 10

// http01 asks the identifier's web server for the key authorization (RFC 8555 §8.3;
// for addresses RFC 8738 §4 and §5). It starts with plain HTTP, never HTTPS.
func (a *attempt) http01(ctx context.Context) error {
	at := a.firstURL()
	seen := map[string]bool{at.String(): true}
	for redirects := 0; ; redirects++ {
		page, err := a.visit(ctx, at, redirects)
		if err != nil {
			return err
		}
		if !page.redirects() {
			return a.judgePage(page)
		}
		if redirects == maxRedirects {
			return a.refuseRedirect(page, fmt.Sprintf("it is the %dth in a row, and %d are followed", redirects+1, maxRedirects))
		}
		next, why := a.redirectTarget(at, page.location)
		if why == "" && seen[next.String()] {
			why = "it leads in a circle"
		}
		if why != "" {
			return a.refuseRedirect(page, why)
		}
		seen[next.String()] = true
		at = next
	}
}

// firstURL is where RFC 8555 §8.3 says that the answer is. The host is the
// identifier as RFC 8738 §5 wants it: an IPv6 address stands in brackets.
func (a *attempt) firstURL() *url.URL {
	host := a.request.Identifier.Value
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := a.config.HTTP01Port; port != 80 {
		host += ":" + strconv.Itoa(port)
	}
	return &url.URL{Scheme: "http", Host: host, Path: acme.HTTP01Path + a.request.Token}
}

// judgePage compares the page at the end of the redirects with the key authorization.
func (a *attempt) judgePage(p page) error {
	if p.status < 200 || p.status > 299 { // BR §3.2.2.4.19
		hint := ""
		if p.status == 404 {
			hint = ": the file is not where this name's web server looks for it"
		}
		return a.unauthorized(p, fmt.Sprintf("answered with status %d where 200 was expected", p.status), hint)
	}
	found := compare(p.body, a.request.KeyAuthorization)
	if found == matches {
		return nil
	}
	return a.unauthorized(p, fmt.Sprintf("answered with status %d and, where the key authorization %s was expected, %s",
		p.status, short(a.request.KeyAuthorization), found), "")
}

// unauthorized is the problem of a page that does not prove control. Of what
// the page says it tells status, type and length, and its beginning only where
// anybody on the Internet could read it just the same.
func (a *attempt) unauthorized(p page, what, hint string) error {
	echo := ""
	if !a.inner && len(p.body) > 0 {
		echo = ", beginning " + strconv.QuoteToASCII(string(p.body[:min(len(p.body), maxEcho)]))
	}
	return acme.Problemf(acme.TypeUnauthorized, "%s %s (%s, %s%s)%s", a.where(p), what, p.contentType, p.length, echo, hint)
}

// maxEcho is how many octets of a public page a client is shown.
const maxEcho = 64

// isInner reports whether what host says at addr is to be kept from a client
// who may validate id: everything but a public page on the identifier itself.
func isInner(id acme.Identifier, host string, addr netip.Addr) bool {
	return host != id.Value || !isPublic(addr)
}

// refuseRedirect is the problem of a redirect that is not followed.
func (a *attempt) refuseRedirect(p page, why string) error {
	return acme.Problemf(acme.TypeConnection, "%s sent a redirect (status %d) that is not followed: %s", a.where(p), p.status, why)
}

// where says where a page was: the whole URL where the client knows it anyway,
// but only host and port behind a redirect, whose path may be a secret.
func (a *attempt) where(p page) string {
	place := ""
	if p.redirected == 0 {
		place = "http://" + p.url.Host + acme.HTTP01Path + short(a.request.Token)
	} else {
		place = fmt.Sprintf("%s://%s (where %s led)", p.url.Scheme, p.url.Host, count(p.redirected, "redirect"))
	}
	return fmt.Sprintf("%s at %s port %d (%s)", place, p.target.Addr(), p.target.Port(), p.source)
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// short cuts a long token or key authorization down to what a person compares.
func short(s string) string {
	token, thumbprint, found := strings.Cut(s, ".")
	cut := func(s string) string {
		if len(s) <= 12 {
			return s
		}
		return s[:8] + "…"
	}
	if !found {
		return cut(token)
	}
	return cut(token) + "." + cut(thumbprint)
}

// verdict is how a page compares with the key authorization. The words describe
// it to the client; they tell of the page only whether it holds what the
// client itself must know.
type verdict string

const (
	matches     verdict = ""
	empty       verdict = "an empty page"
	spaceBefore verdict = "the same after white space or a byte order mark: it must come first in the file"
	moreAfter   verdict = "the same and more after it: it must be alone in the file"
	otherKey    verdict = "the same token and another thumbprint: the file was made with another account's key"
	tokenOnly   verdict = "the token alone: the account key's thumbprint is missing"
	tooLong     verdict = "a page that is much too long"
	different   verdict = "another page"
)

// compare compares a page with what it should be. White space at the end does
// not count (RFC 8555 §8.3).
func compare(body []byte, want string) verdict {
	got := string(bytes.TrimRight(body, whiteSpace))
	token, _, _ := strings.Cut(want, ".")
	inner := strings.TrimLeft(strings.TrimPrefix(got, "\ufeff"), whiteSpace)
	switch {
	case len(body) > maxBody:
		return tooLong // the rest was not read
	case got == want:
		return matches
	case got == "":
		return empty
	case inner == want:
		return spaceBefore
	case strings.HasPrefix(got, want):
		return moreAfter
	case got == token:
		return tokenOnly
	case strings.HasPrefix(got, token+"."):
		return otherKey
	}
	return different
}

const whiteSpace = " \t\r\n\v\f"

// redirectTarget says where a Location header leads from a page, or why one
// does not go there (BR §3.2.2.4.19, and stricter: only to DNS names). The words
// for the client show host and port of the target at most, never path or query.
func (a *attempt) redirectTarget(from *url.URL, locations []string) (*url.URL, string) {
	if len(locations) != 1 {
		return nil, fmt.Sprintf("it has %s where one belongs", count(len(locations), "Location header"))
	}
	if len(locations[0]) > maxEvidenceURL {
		return nil, fmt.Sprintf("its target is longer than %d octets", maxEvidenceURL)
	}
	to, err := from.Parse(locations[0])
	switch {
	case err != nil:
		return nil, "its target is not a URL"
	case to.Scheme != "http" && to.Scheme != "https":
		return nil, fmt.Sprintf("it leads to a %s: URL, and only http and https are followed", clip(to.Scheme, 16))
	case to.User != nil:
		return nil, "its target carries a user name"
	case to.Opaque != "" || to.Hostname() == "":
		return nil, "its target has no host"
	}
	name := canonicalName(to.Hostname())
	id, problem := acme.Identifier{Type: acme.DNS, Value: name}.Normalize()
	if _, wildcard := id.Base(); problem != nil || wildcard {
		return nil, fmt.Sprintf("its host %s is not a domain name, and redirects go to domain names only", clip(to.Hostname(), 64))
	}
	port, ok := a.redirectPort(to)
	if !ok {
		return nil, fmt.Sprintf("it leads to port %s of %s, and redirects go to %s only", clip(to.Port(), 8), name, a.portsInWords())
	}
	to.Host = name
	if to.Scheme == "http" && port != 80 || to.Scheme == "https" && port != 443 {
		to.Host = net.JoinHostPort(name, strconv.Itoa(port))
	}
	to.Fragment, to.RawFragment = "", ""
	return to, ""
}

// redirectPort returns the port of a redirect's target, and whether redirects may lead there.
func (a *attempt) redirectPort(to *url.URL) (int, bool) {
	port := 80
	if to.Scheme == "https" {
		port = 443
	}
	if text := to.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return 0, false
		}
		port = int(n)
	}
	return port, a.config.AnyPort || port == 80 || port == 443 || port == a.config.HTTP01Port || port == a.config.TLSALPN01Port
}

// portsInWords lists the ports that redirects may lead to.
func (a *attempt) portsInWords() string {
	words := "ports 80 and 443"
	for _, port := range []int{a.config.HTTP01Port, a.config.TLSALPN01Port} {
		if port != 80 && port != 443 {
			words += fmt.Sprintf(" and %d", port)
		}
	}
	return words
}
