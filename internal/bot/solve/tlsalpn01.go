package solve

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// oidACMEIdentifier is id-pe-acmeIdentifier (RFC 8737 §6.1).
var oidACMEIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}

// ALPNCertificate makes the certificate that answers a tls-alpn-01 challenge for id (RFC 8737 §3): self-signed,
// for id alone, and with the digest of the key authorization in a critical extension. Its key is of no other use.
func ALPNCertificate(id acme.Identifier, keyAuthorization string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key for the challenge: %w", err)
	}
	digest := sha256.Sum256([]byte(keyAuthorization))
	value, err := asn1.Marshal(digest[:])
	if err != nil {
		return nil, fmt.Errorf("making the answer to the challenge: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:    big.NewInt(1),
		Subject:         pkix.Name{CommonName: "ACME challenge"},
		NotBefore:       now.Add(-24 * time.Hour), // nobody looks, but a clock may be wrong
		NotAfter:        now.Add(7 * 24 * time.Hour),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		ExtraExtensions: []pkix.Extension{{Id: oidACMEIdentifier, Critical: true, Value: value}},
	}
	if id.Type == acme.IP {
		template.IPAddresses = []net.IP{net.ParseIP(id.Value)} // RFC 8738 §6
	} else {
		template.DNSNames = []string{id.Value}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the answer to the challenge for %s: %w", id, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// serverName is what a CA asks for, by SNI, when it looks at id: a name itself, an address by its
// name in the reverse zone (RFC 8738 §6), without a final dot.
func serverName(id acme.Identifier) string {
	addr, err := netip.ParseAddr(id.Value)
	if id.Type != acme.IP || err != nil {
		return strings.ToLower(id.Value)
	}
	var labels []string
	for _, octet := range slices.Backward(addr.AsSlice()) {
		if addr.Is4() {
			labels = append(labels, fmt.Sprint(octet))
		} else {
			labels = append(labels, fmt.Sprintf("%x.%x", octet&15, octet>>4))
		}
	}
	if addr.Is4() {
		return strings.Join(labels, ".") + ".in-addr.arpa"
	}
	return strings.Join(labels, ".") + ".ip6.arpa"
}

// certificates answers tls-alpn-01 challenges with a TLS server (RFC 8737 §3).
type certificates struct {
	log    *slog.Logger
	config *tls.Config

	over  chan struct{}  // closed when nobody is waited for any more
	ended sync.WaitGroup // of connections

	mu    sync.Mutex
	known map[string]*shown // by server name; guarded by mu
}

// shown is what one server name is answered with. There is no place in a handshake that
// says for which challenge a CA comes, so a name answers one challenge at a time.
type shown struct {
	certificate *tls.Certificate
	token       string
	users       int
	gone        chan struct{} // closed when the last user is
}

func newCertificates(log *slog.Logger) *certificates {
	c := &certificates{log: log, over: make(chan struct{}), known: make(map[string]*shown)}
	c.config = &tls.Config{
		MinVersion:             tls.VersionTLS12, // RFC 8737 §3
		NextProtos:             []string{acme.ALPNProtocol},
		GetCertificate:         c.find,
		SessionTicketsDisabled: true,
	}
	return c
}

var errNoChallenge = errors.New("there is no challenge for this name")

// find gives the certificate for a handshake that speaks acme-tls/1, and nothing to others.
func (c *certificates) find(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	shown := c.known[strings.ToLower(hello.ServerName)]
	c.mu.Unlock()
	speaks := slices.Contains(hello.SupportedProtos, acme.ALPNProtocol)
	c.log.Debug("challenge handshake", "from", hello.Conn.RemoteAddr(), "name", hello.ServerName, "acme", speaks, "known", shown != nil)
	if shown == nil || !speaks {
		return nil, errNoChallenge
	}
	return shown.certificate, nil
}

// handshakeTimeout bounds what one connection may take. All there is to it is a handshake.
const handshakeTimeout = 10 * time.Second

func (c *certificates) serve(ctx context.Context, listener net.Listener) {
	for {
		conn, err := listener.Accept()
		var failure net.Error
		switch {
		case err == nil:
			c.ended.Go(func() { c.answer(ctx, conn) })
		case errors.As(err, &failure) && failure.Timeout():
		case errors.Is(err, net.ErrClosed):
			return
		default:
			c.log.Error("tls-alpn-01 server stopped", "address", listener.Addr(), "error", err)
			return
		}
	}
}

// answer shakes hands, and hangs up (RFC 8737 §3: no application data is exchanged).
func (c *certificates) answer(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-c.over:
			_ = conn.Close()
		case <-done:
		}
	}()
	server := tls.Server(conn, c.config)
	if err := server.HandshakeContext(ctx); err != nil {
		c.log.Debug("a handshake failed", "from", conn.RemoteAddr(), "error", err)
		return
	}
	_ = server.Close()
}

// close lets handshakes come to their end for a moment. Everybody else who wants a port waits meanwhile, and a stranger who
// says nothing must not decide for how long.
func (c *certificates) close(context.Context) {
	hangUp := time.AfterFunc(closeGrace, func() { close(c.over) })
	c.ended.Wait()
	hangUp.Stop()
}

// sameName is how long an order waits for another one that proves control of the same name. It is far
// more than a CA takes, and ends two orders that wait for each other.
const sameName = 3 * time.Minute

// add shows a certificate for id. If another challenge of the same name is under way, it waits for its end.
func (c *certificates) add(ctx context.Context, id acme.Identifier, token string, certificate *tls.Certificate) error {
	ctx, cancel := context.WithTimeout(ctx, sameName)
	defer cancel()
	name := serverName(id)
	for {
		c.mu.Lock()
		s := c.known[name]
		switch {
		case s == nil:
			c.known[name] = &shown{certificate: certificate, token: token, users: 1, gone: make(chan struct{})}
			c.mu.Unlock()
			return nil
		case s.token == token:
			s.users++
			c.mu.Unlock()
			return nil
		}
		c.mu.Unlock()
		select {
		case <-s.gone:
		case <-ctx.Done():
			return fmt.Errorf("another order proves control of %s at the same time, and did not come to an end: %w", id, context.Cause(ctx))
		}
	}
}

func (c *certificates) remove(id acme.Identifier, token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := serverName(id)
	if s := c.known[name]; s != nil && s.token == token {
		if s.users--; s.users == 0 {
			delete(c.known, name)
			close(s.gone)
		}
	}
}
