package bench

import (
	"bufio"
	"context"
	"crypto"
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
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
)

// responders answer challenges: a web server, a TLS server and a DNS server, as far as the configuration names addresses.
type responders struct {
	http01, tlsALPN01 net.Listener
	dns               []*dns.Server
	key               crypto.Signer // of the certificates that answer tls-alpn-01

	mu     sync.RWMutex
	tokens map[string]string   // http-01: token → key authorization
	alpn   map[string]string   // tls-alpn-01: name → key authorization
	txt    map[string][]string // dns-01: name → values
	hosts  sync.WaitGroup
}

const (
	maxConnections    = 1024             // of a responder, at once
	responderPatience = 10 * time.Second // with who connects to a responder
)

func startResponders(c Config) (*responders, error) {
	r := &responders{tokens: map[string]string{}, alpn: map[string]string{}, txt: map[string][]string{}}
	if err := r.start(c); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *responders) start(c Config) (err error) {
	switch c.Challenge {
	case acme.HTTP01:
		if r.http01, err = listen("http-01", c.HTTP01); err != nil {
			return err
		}
		r.serve(r.http01, r.answerHTTP)
	case acme.TLSALPN01:
		if r.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return err
		}
		if r.tlsALPN01, err = listen("tls-alpn-01", c.TLSALPN01); err != nil {
			return err
		}
		config := &tls.Config{NextProtos: []string{acme.ALPNProtocol}, GetCertificate: r.certificate}
		r.serve(r.tlsALPN01, func(conn net.Conn) { _ = tls.Server(conn, config).Handshake() })
	}
	if c.DNS != "" {
		return r.serveDNS(c)
	}
	return nil
}

func listen(what, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("starting the responder for %s: %w", what, err)
	}
	return l, nil
}

// serve hands each connection to answer, in a goroutine of its own.
func (r *responders) serve(l net.Listener, answer func(net.Conn)) {
	room := make(chan struct{}, maxConnections)
	r.hosts.Go(func() {
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(time.Millisecond) // no descriptors are left, for a moment
				continue
			}
			room <- struct{}{}
			go func() {
				defer func() { _ = conn.Close(); <-room }()
				_ = conn.SetDeadline(time.Now().Add(responderPatience))
				answer(conn)
			}()
		}
	})
}

// answerHTTP answers one request for a token (RFC 8555 §8.3) and closes the connection.
func (r *responders) answerHTTP(conn net.Conn) {
	request, err := http.ReadRequest(bufio.NewReaderSize(io.LimitReader(conn, 16<<10), 2<<10))
	if err != nil {
		return
	}
	token, _ := strings.CutPrefix(request.URL.Path, acme.HTTP01Path)
	r.mu.RLock()
	text, ok := r.tokens[token]
	r.mu.RUnlock()
	status := "200 OK"
	if !ok {
		status = "404 Not Found"
	}
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(text), text)
}

// acmeIdentifier is the extension of a certificate that answers tls-alpn-01 (RFC 8737 §3).
var acmeIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}

// certificate makes the certificate that answers a tls-alpn-01 challenge.
func (r *responders) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.mu.RLock()
	text, ok := r.alpn[hello.ServerName]
	r.mu.RUnlock()
	if !ok {
		return nil, errors.New("no challenge is under way for this name")
	}
	digest := sha256.Sum256([]byte(text))
	value, err := asn1.Marshal(digest[:])
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{hello.ServerName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: acmeIdentifier, Critical: true, Value: value}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, r.key.Public(), r.key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: r.key}, err
}

// publish answers a challenge until the function that it returns is called.
func (r *responders) publish(kind acme.ChallengeType, name, token, keyAuthorization string) (withdraw func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch kind {
	case acme.HTTP01:
		r.tokens[token] = keyAuthorization
	case acme.TLSALPN01:
		r.alpn[name] = keyAuthorization
	case acme.DNS01:
		owner := dns.CanonicalName(acme.DNS01Name(name))
		// Those that were there stay: a name and its wildcard are proven by two records (RFC 8555 §8.4).
		r.txt[owner] = append(r.txt[owner][:len(r.txt[owner]):len(r.txt[owner])], acme.DNS01Value(keyAuthorization))
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.tokens, token)
		delete(r.alpn, name)
		delete(r.txt, dns.CanonicalName(acme.DNS01Name(name)))
	}
}

func (r *responders) close() {
	for _, l := range []net.Listener{r.http01, r.tlsALPN01} {
		if l != nil {
			_ = l.Close()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range r.dns {
		_ = s.ShutdownContext(ctx)
	}
	r.hosts.Wait()
}
