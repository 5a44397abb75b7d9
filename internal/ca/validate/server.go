package validate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// server is an upstream with what is kept from one question to the next. Any
// number of goroutines may use one.
type server struct {
	upstream
	text string        // as it stands in the evidence
	tls  *tls.Config   // of DNS over TLS
	idle chan idleConn // of DNS over TLS: connections that wait for another question
	http *http.Client  // of DNS over HTTPS
}

// idleConn is a connection on which everything that was asked is answered.
type idleConn struct {
	net.Conn
	since time.Time
}

const (
	maxIdle  = 4                // connections kept for each server
	idleTime = 20 * time.Second // how long one is kept; servers close them after 20 to 30 s
	tlsBegin = 5 * time.Second  // for the handshake, as part of an attempt
)

// newServer makes ready to ask an upstream. roots verify its certificate; nil means the machine's.
func newServer(u upstream, roots *x509.CertPool) *server {
	s := &server{upstream: u, text: u.String()}
	config := &tls.Config{ServerName: u.name, RootCAs: roots, MinVersion: tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(maxIdle)}
	switch u.transport {
	case overTLS:
		s.tls, s.idle = config, make(chan idleConn, maxIdle)
	case overHTTP:
		s.http = newDoHClient(u.at, config)
	}
	return s
}

// newDoHClient makes a client that goes to one address whatever the URL says,
// follows no redirect and uses no proxy.
func newDoHClient(at netip.AddrPort, config *tls.Config) *http.Client {
	var dialer net.Dialer
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", at.String())
			},
			TLSClientConfig: config, TLSHandshakeTimeout: tlsBegin, ForceAttemptHTTP2: true, DisableCompression: true,
			MaxIdleConns: maxIdle, IdleConnTimeout: idleTime, MaxResponseHeaderBytes: maxHeader,
			HTTP2: &http.HTTP2Config{SendPingTimeout: idleTime, PingTimeout: tlsBegin},
		},
	}
}

// exchange sends one question and waits for its answer, until ctx ends.
func (s *server) exchange(ctx context.Context, query *dns.Msg) (answer *dns.Msg, tcp bool, err error) {
	if s.transport == overHTTP {
		query.Id = 0 // RFC 8484 §4.1
	}
	packed, err := query.Pack()
	if err != nil {
		return nil, false, fmt.Errorf("packing the question: %w", err)
	}
	switch s.transport {
	case overHTTP:
		answer, err = s.askHTTP(ctx, query, packed)
		return answer, true, err
	case overTLS:
		answer, err = s.askTLS(ctx, query, packed)
		return answer, true, err
	case overTCP:
		answer, err = s.askOnce(ctx, "tcp", query, packed)
		return answer, true, err
	}
	answer, err = s.askOnce(ctx, "udp", query, packed)
	return answer, false, err
}

// askOnce asks on a connection of its own.
func (s *server) askOnce(ctx context.Context, network string, query *dns.Msg, packed []byte) (*dns.Msg, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, s.at.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// One deadline covers the time limit and a caller who gives up.
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if network == "tcp" {
		return askStream(conn, query, packed)
	}
	return askDatagram(conn, query, packed)
}

// askTLS asks on a connection that is there already, or else on a new one. A
// server may close what it finds idle, so a failure of an old connection says
// nothing, and a new one decides (RFC 7858 §3.4).
func (s *server) askTLS(ctx context.Context, query *dns.Msg, packed []byte) (*dns.Msg, error) {
	if conn, ok := s.waiting(); ok {
		answer, err := s.askOn(ctx, conn, query, packed)
		if err == nil || ctx.Err() != nil {
			return answer, err
		}
	}
	dialer := tls.Dialer{Config: s.tls}
	conn, err := dialer.DialContext(ctx, "tcp", s.at.String())
	if err != nil {
		return nil, err
	}
	return s.askOn(ctx, conn, query, packed)
}

// waiting returns a connection that waits and is not too old.
func (s *server) waiting() (net.Conn, bool) {
	for {
		select {
		case conn := <-s.idle:
			if time.Since(conn.since) < idleTime {
				return conn.Conn, true
			}
			conn.Close()
		default:
			return nil, false
		}
	}
}

// askOn asks on conn, and keeps it if the answer came whole; else it closes it.
func (s *server) askOn(ctx context.Context, conn net.Conn, query *dns.Msg, packed []byte) (*dns.Msg, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	answer, err := askStream(conn, query, packed)
	if !stop() || err != nil {
		conn.Close()
		return answer, err
	}
	select {
	case s.idle <- idleConn{conn, time.Now()}:
	default:
		conn.Close()
	}
	return answer, nil
}

// errHTTPStatus is an answer of a DNS-over-HTTPS server that is none.
var errHTTPStatus = errors.New("the HTTP answer is not a DNS message")

const dnsMessage = "application/dns-message" // RFC 8484 §6

// askHTTP asks by POST (RFC 8484 §4.1).
func (s *server) askHTTP(ctx context.Context, query *dns.Msg, packed []byte) (*dns.Msg, error) {
	host := s.name
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		host = "[" + host + "]"
	}
	if s.at.Port() != 443 {
		host = fmt.Sprintf("%s:%d", host, s.at.Port())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host+s.path, bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Content-Type", dnsMessage)
	req.Header.Set("Accept", dnsMessage)
	req.Header.Set("User-Agent", "cairn")
	response, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || mediaType(response.Header.Get("Content-Type")) != "type "+dnsMessage {
		return nil, fmt.Errorf("%w: status %d, %s", errHTTPStatus, response.StatusCode, mediaType(response.Header.Get("Content-Type")))
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, dns.MaxMsgSize+1))
	if err != nil {
		return nil, err
	}
	if len(body) > dns.MaxMsgSize {
		return nil, errUnreadable
	}
	answer, ours := readAnswer(body, query)
	if !ours || answer == nil {
		return nil, errUnreadable
	}
	return answer, nil
}

// askStream asks over TCP or TLS, where each message has its length before it (RFC 1035 §4.2.2).
func askStream(conn net.Conn, query *dns.Msg, packed []byte) (*dns.Msg, error) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(packed)))
	if _, err := conn.Write(append(framed, packed...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	answer, ours := readAnswer(body, query)
	if !ours || answer == nil {
		return nil, errUnreadable
	}
	return answer, nil
}

// askDatagram waits for the answer to query and passes over what others send: a
// datagram that does not repeat the ID and the question may be forged (RFC 5452 §9.1).
func askDatagram(conn net.Conn, query *dns.Msg, packed []byte) (*dns.Msg, error) {
	if _, err := conn.Write(packed); err != nil {
		return nil, err
	}
	unreadable := false
	buffer := make([]byte, dns.MaxMsgSize)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			if unreadable {
				return nil, errUnreadable
			}
			return nil, err
		}
		answer, ours := readAnswer(buffer[:n], query)
		if ours && answer != nil {
			return answer, nil
		}
		unreadable = unreadable || ours
	}
}
