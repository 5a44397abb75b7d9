package rehearsal_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/crypto/acme"

	words "github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rehearsal"
)

// start runs a CA whose names lead to loopback, and somebody else's client for it.
func start(t *testing.T, c rehearsal.Config) (*rehearsal.Server, *acme.Client) {
	t.Helper()
	s, err := rehearsal.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.Root()) {
		t.Fatal("the root is no certificate")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	client := &acme.Client{Key: key, DirectoryURL: s.Directory(),
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}}
	if _, err := client.Register(t.Context(), &acme.Account{}, acme.AcceptTOS); err != nil {
		t.Fatal(err)
	}
	return s, client
}

// obtain goes through a whole order, with present for each challenge of a type.
func obtain(t *testing.T, client *acme.Client, kind string, present func(z *acme.Authorization, c *acme.Challenge), names ...acme.AuthzID) ([][]byte, error) {
	t.Helper()
	ctx := t.Context()
	order, err := client.AuthorizeOrder(ctx, names)
	if err != nil {
		return nil, err
	}
	for _, address := range order.AuthzURLs {
		z, err := client.GetAuthorization(ctx, address)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range z.Challenges {
			if c.Type != kind {
				continue
			}
			present(z, c)
			if _, err := client.Accept(ctx, c); err != nil {
				return nil, err
			}
			if _, err := client.WaitAuthorization(ctx, address); err != nil {
				return nil, err
			}
		}
	}
	if order, err = client.WaitOrder(ctx, order.URI); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := new(x509.CertificateRequest)
	for _, name := range names {
		if name.Type == "ip" {
			template.IPAddresses = append(template.IPAddresses, net.ParseIP(name.Value))
		} else {
			template.DNSNames = append(template.DNSNames, name.Value)
		}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	chain, _, err := client.CreateOrderCert(ctx, order.FinalizeURL, csr, true)
	return chain, err
}

// verify checks that a chain leads to the root, for a name.
func verify(t *testing.T, s *rehearsal.Server, chain [][]byte, name string) {
	t.Helper()
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Root())
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, der := range chain[1:] {
		above, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		between.AddCert(above)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name}); err != nil {
		t.Error(err)
	}
}

// serveHTTP answers challenges on a port of loopback.
func serveHTTP(t *testing.T, answers *sync.Map) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer, ok := answers.Load(r.URL.Path); ok {
			fmt.Fprint(w, answer)
		}
	})}
	go func() { _ = server.Serve(listener) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}

func TestHTTP01(t *testing.T) {
	answers := new(sync.Map)
	port := serveHTTP(t, answers)
	s, client := start(t, rehearsal.Config{HTTPPort: func(words.Identifier) int { return port }})
	present := func(_ *acme.Authorization, c *acme.Challenge) {
		answer, err := client.HTTP01ChallengeResponse(c.Token)
		if err != nil {
			t.Fatal(err)
		}
		answers.Store(client.HTTP01ChallengePath(c.Token), answer)
	}
	chain, err := obtain(t, client, "http-01", present, acme.DomainIDs("a.example", "b.example")...)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, s, chain, "b.example")
	if chain, err = obtain(t, client, "http-01", present, acme.IPIDs("127.0.0.1")...); err != nil {
		t.Fatal(err)
	}
	verify(t, s, chain, "127.0.0.1")
	_, err = obtain(t, client, "http-01", func(*acme.Authorization, *acme.Challenge) {}, acme.DomainIDs("c.example")...)
	if err == nil || !strings.Contains(err.Error(), "invalid") && !strings.Contains(err.Error(), "unauthorized") {
		t.Errorf("without an answer: %v", err)
	}
}

func TestTLSALPN01(t *testing.T) {
	var certificate atomic.Pointer[tls.Certificate]
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{NextProtos: []string{acme.ALPNProto},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate.Load(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).HandshakeContext(context.Background()) // the CA judges it
			_ = conn.Close()
		}
	}()
	s, client := start(t, rehearsal.Config{TLSPort: func(words.Identifier) int { return listener.Addr().(*net.TCPAddr).Port }})
	chain, err := obtain(t, client, "tls-alpn-01", func(z *acme.Authorization, c *acme.Challenge) {
		made, err := client.TLSALPN01ChallengeCert(c.Token, z.Identifier.Value)
		if err != nil {
			t.Fatal(err)
		}
		certificate.Store(&made)
	}, acme.DomainIDs("a.example")...)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, s, chain, "a.example")
}

func TestDNS01(t *testing.T) {
	records := new(sync.Map)
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		if value, ok := records.Load(query.Question[0].Name); ok && query.Question[0].Qtype == dns.TypeTXT {
			reply.Answer = append(reply.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{value.(string)}})
		}
		_ = w.WriteMsg(reply) // the CA notices
	})}
	go func() { _ = server.ActivateAndServe() }() // ends with Close
	t.Cleanup(func() { _ = packets.Close() })
	s, client := start(t, rehearsal.Config{Resolvers: []string{packets.LocalAddr().String()}})
	chain, err := obtain(t, client, "dns-01", func(z *acme.Authorization, c *acme.Challenge) {
		value, err := client.DNS01ChallengeRecord(c.Token)
		if err != nil {
			t.Fatal(err)
		}
		records.Store("_acme-challenge."+z.Identifier.Value+".", value)
	}, acme.DomainIDs("*.a.example")...)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, s, chain, "x.a.example")
}
