package ca

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/datadir"
)

// findAddresses finds where the authority is. A process without the signer's keys learns it from the database where
// the configuration does not say.
func (c *CA) findAddresses(context.Context) error {
	if c.config.URL == "" && !c.config.Roles.Has(RoleSigner) {
		return nil
	}
	if c.config.URL == "" && c.https == nil {
		return errors.New("url: say https://HOST[:PORT] under which clients reach the fronts, since none is in this process")
	}
	machine, err := c.config.Machine()
	if err != nil {
		return err
	}
	url, err := c.findURL(machine)
	if err != nil {
		return err
	}
	if c.httpURL, err = c.findPublished(mustParse(url).Hostname()); err != nil {
		return err
	}
	return c.settle(url)
}

// findPublished finds where the fronts serve what certificates point to.
func (c *CA) findPublished(host string) (string, error) {
	if c.config.CRL.URL != "" {
		return c.config.CRL.URL, nil
	}
	if c.http != nil {
		return "http://" + net.JoinHostPort(host, port(c.http)), nil
	}
	_, port, err := net.SplitHostPort(c.config.HTTP)
	if err != nil {
		return "", fmt.Errorf("http: %w", err)
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// settle takes url for that of the CA, and derives what depends on it.
func (c *CA) settle(url string) (err error) {
	if c.proving, err = c.config.Challenges.proving(url, c.config.CAAIdentities); err != nil {
		return err
	}
	if c.caa, err = c.config.caa(url); err != nil {
		return err
	}
	c.url = url
	return nil
}

// findURL checks the configured URL, or makes one of the machine's name.
func (c *CA) findURL(machine Machine) (string, error) {
	if c.config.URL != "" {
		return ParseURL(c.config.URL)
	}
	host := c.host(machine)
	if host == "localhost" && !c.https.Addr().(*net.TCPAddr).IP.IsLoopback() {
		c.log.Warn("this machine has no name and no address that others could use: they cannot follow the URLs of this CA", "remedy", "--url https://HOST:PORT")
	}
	return ParseURL("https://" + net.JoinHostPort(host, port(c.https)))
}

// host is what others call this machine: its full name, if there is one, or else an address.
func (c *CA) host(machine Machine) string {
	bound := c.https.Addr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	switch {
	case bound.IsLoopback() && (bound == netip.IPv6Loopback() || bound == netip.AddrFrom4([4]byte{127, 0, 0, 1})):
		return "localhost"
	case bound.IsLoopback():
		return bound.String()
	case len(machine.Names) > 0:
		return machine.Names[len(machine.Names)-1]
	case !bound.IsUnspecified():
		return bound.String()
	}
	for _, addr := range machine.Addresses {
		if !addr.IsLoopback() {
			return addr.String()
		}
	}
	return "localhost"
}

// ParseURL checks the URL of a CA, https://HOST[:PORT], and returns it in its one form.
func ParseURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil || strings.HasSuffix(u.Host, ":") {
		return "", fmt.Errorf("%q is not of the form https://HOST[:PORT]", text)
	}
	id, problem := acme.IdentifierFor(u.Hostname()).Normalize()
	if problem != nil {
		return "", fmt.Errorf("%q: %s", text, problem.Detail)
	}
	if base, wildcard := id.Base(); wildcard {
		return "", fmt.Errorf("%q: *.%s is not one host", text, base.Value)
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("%q: a port is from 1 to 65535", text)
		}
		if p != "443" { // which browsers and clients leave out
			return "https://" + net.JoinHostPort(id.Value, p), nil
		}
	}
	if strings.Contains(id.Value, ":") {
		return "https://[" + id.Value + "]", nil
	}
	return "https://" + id.Value, nil
}

// keepPublished is how long a place that certificates pointed to is remembered: longer than they live.
const keepPublished = 100 * 24 * time.Hour

// maxPublished bounds the places that a CRL names.
const maxPublished = 32

// republish makes url the present place and forgets those that no certificate points to any more.
func republish(earlier []datadir.Published, url string, now time.Time) []datadir.Published {
	list := []datadir.Published{{URL: url}}
	for _, place := range earlier {
		if place.Last.IsZero() {
			place.Last = now
		}
		if place.URL != url && now.Sub(place.Last) < keepPublished && len(list) < maxPublished {
			list = append(list, place)
		}
	}
	return list
}

// mustParse parses a URL that was made here or checked before.
func mustParse(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}
