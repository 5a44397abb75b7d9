package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// server is what is loaded.
type server struct {
	host      string // as in URLs
	address   string // HOST:PORT
	addrs     []netip.Addr
	port      string
	tls       *tls.Config
	userAgent string
	http2     bool
	directory acme.Directory
}

// Errors of the first contact, about which a person can do something.
var (
	// ErrElsewhere says that the server is neither on this machine nor at a private address.
	ErrElsewhere = errors.New("the server is not on this machine nor at a private address")
	// ErrNoDirectory says that what is at the URL is not the directory of an ACME server.
	ErrNoDirectory = errors.New("that is not the directory of an ACME server")
)

// reach finds the server, makes sure that it may be loaded, and reads its directory.
func reach(ctx context.Context, c Config) (*server, error) {
	u, err := url.Parse(c.Directory)
	if err != nil {
		return nil, err
	}
	s := &server{host: u.Host, port: u.Port(), userAgent: c.UserAgent, http2: c.HTTP2}
	fill(&s.port, "443")
	fill(&s.userAgent, "cairn-bench")
	s.address = net.JoinHostPort(u.Hostname(), s.port)
	s.tls = &tls.Config{RootCAs: c.Roots, ServerName: u.Hostname(), NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	if c.HTTP2 {
		s.tls.NextProtos = []string{"h2"}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if s.addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname()); err != nil {
		return nil, fmt.Errorf("finding the address of %s: %w", u.Hostname(), err)
	}
	for i, addr := range s.addrs {
		s.addrs[i] = addr.Unmap()
		if !near(s.addrs[i]) && !c.Anywhere {
			return nil, fmt.Errorf("%s has the address %s: %w", u.Hostname(), s.addrs[i], ErrElsewhere)
		}
	}
	return s, s.readDirectory(ctx, c.Directory)
}

// carrier is the range that providers give to networks of their customers (RFC 6598).
var carrier = netip.MustParsePrefix("100.64.0.0/10")

// near reports whether an address is of this machine or of a network of the user's.
func near(addr netip.Addr) bool {
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || carrier.Contains(addr)
}

// readDirectory fetches the directory (RFC 8555 §7.1.1).
func (s *server) readDirectory(ctx context.Context, address string) error {
	link := s.newLink()
	defer link.close()
	answer, err := link.exchange(ctx, "GET", address, nil)
	if err != nil {
		return fmt.Errorf("reading the directory %s: %w", address, err)
	}
	if answer.status != 200 || json.Unmarshal(answer.body, &s.directory) != nil {
		return fmt.Errorf("reading the directory %s: %w: it answered %d", address, ErrNoDirectory, answer.status)
	}
	for _, resource := range []string{s.directory.NewNonce, s.directory.NewAccount, s.directory.NewOrder} {
		if u, err := url.Parse(resource); err != nil || u.Scheme != "https" {
			return fmt.Errorf("reading the directory %s: %w", address, ErrNoDirectory)
		}
		// What the directory leads to must be the host that may be loaded.
		if u, _ := url.Parse(resource); u.Host != s.host {
			return fmt.Errorf("the directory %s leads to %s: give the URL of the directory on that host", address, u.Host)
		}
	}
	return nil
}

// newLink makes a link; it connects when it is first used.
func (s *server) newLink() link {
	if s.http2 {
		return newMultiplexed(s)
	}
	return &plain{server: s}
}

// dial connects to one of the addresses that were looked at.
func (s *server) dial(ctx context.Context) (*tls.Conn, error) {
	var dialer net.Dialer
	var errs []error
	for _, addr := range s.addrs {
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(addr.String(), s.port))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		secure := tls.Client(conn, s.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("connecting to %s: %w", s.address, err)
		}
		return secure, nil
	}
	return nil, fmt.Errorf("connecting to %s: %w", s.address, errors.Join(errs...))
}

// Distrusted reports whether err is that of a server whose certificate is not believed.
func Distrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &verification) || errors.As(err, &unknown)
}
