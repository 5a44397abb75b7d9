package validate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

func TestCheckServer(t *testing.T) {
	for text, want := range map[string]string{ // the full form, with + if its AD counts; or else !part of the error
		"10.0.0.53:53":                            "10.0.0.53:53",
		"127.0.0.1:53":                            "+127.0.0.1:53",
		"[::1]:5353":                              "+[::1]:5353",
		"0.0.0.0:53":                              "0.0.0.0:53",
		"tcp://10.0.0.53":                         "tcp://10.0.0.53:53",
		"tcp://[fd00::53]:54":                     "tcp://[fd00::53]:54",
		"tcp://127.0.0.53":                        "+tcp://127.0.0.53:53",
		"tls://dns.example@192.0.2.1":             "+tls://dns.example@192.0.2.1:853",
		"TLS://DNS.Example.@192.0.2.1:8853":       "+tls://dns.example@192.0.2.1:8853",
		"tls://dns.example@2001:db8::1":           "+tls://dns.example@[2001:db8::1]:853",
		"tls://dns.example@[2001:db8::1]":         "+tls://dns.example@[2001:db8::1]:853",
		"tls://192.0.2.1":                         "+tls://192.0.2.1:853",
		"tls://[2001:db8::1]:853":                 "+tls://[2001:db8::1]:853",
		"https://dns.example@192.0.2.1":           "+https://dns.example@192.0.2.1:443/dns-query",
		"https://dns.example@192.0.2.1:8443/q/%7": "+https://dns.example@192.0.2.1:8443/q/%7",
		"https://192.0.2.1/":                      "+https://192.0.2.1:443/dns-query",
		"10.0.0.53":                               "!it is not ADDRESS:PORT",
		"ns.lan:53":                               "!the host must be an address",
		"tcp://ns.lan":                            "!the host must be an address",
		"tcp://ns.lan@10.0.0.53":                  "!without TLS",
		"tls://dns.example":                       "!for example tls://dns.example@192.0.2.53",
		"https://dns.example/dns-query":           "!for example https://dns.example@192.0.2.53/dns-query",
		"tls://dns.example@ns.lan":                "!after the @ belongs an address",
		"tls://-x@192.0.2.1":                      "!before the @",
		"tls://dns.example@192.0.2.1:0":           "!the port must be",
		"tls://dns.example@192.0.2.1:66000":       "!the port must be",
		"tls://dns.example@192.0.2.1/x":           "!after the @",
		"https://192.0.2.1/q{?dns}":               "!the path must be plain",
		"quic://192.0.2.1":                        "!the ways to ask are",
		"tls://":                                  "!it needs an address",
		"":                                        "!it is not ADDRESS:PORT",
		"tls://" + strings.Repeat("x", 600):       "!too long",
	} {
		full, trusted, err := validate.TrustsAD(text)
		if trusted {
			full = "+" + full
		}
		if err != nil {
			full = "!" + err.Error()
		}
		if failed, ok := strings.CutPrefix(want, "!"); ok && (err == nil || !strings.Contains(err.Error(), failed)) || !ok && full != want {
			t.Errorf("%s is %s, want %s", text, full, want)
		}
	}
}

// serverCertificate is one for 127.0.0.1 and example.com, and its key, in PEM, with the root that verifies it.
func serverCertificate(t *testing.T) (certificate, key string, root *x509.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template(), template(), private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	if root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", pkcs8), root
}

func template() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"example.com"}, IPAddresses: []net.IP{{127, 0, 0, 1}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
}

// counted counts the connections that a listener accepts, and can close them.
type counted struct {
	net.Listener
	n    atomic.Int32
	last atomic.Value // net.Conn
}

func (c *counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
		c.last.Store(conn)
	}
	return conn, err
}

// newDoT serves handler over TLS.
func newDoT(t *testing.T, handler dns.HandlerFunc) (server string, roots *x509.CertPool, accepted *counted) {
	t.Helper()
	certificate, key, root := serverCertificate(t)
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted = &counted{Listener: listener}
	s := &dns.Server{Listener: tls.NewListener(accepted, &tls.Config{Certificates: []tls.Certificate{pair}}), Handler: handler}
	started := make(chan struct{})
	s.NotifyStartedFunc = func() { close(started) }
	go s.ActivateAndServe()
	<-started
	t.Cleanup(func() { s.Shutdown() })
	roots = x509.NewCertPool()
	roots.AddCert(root)
	return "tls://" + listener.Addr().String(), roots, accepted
}

// A connection is used again, and one that the server has closed meanwhile costs nothing but another one.
func TestDoTConnections(t *testing.T) {
	server, roots, accepted := newDoT(t, zone(t, "_acme-challenge.a.test. TXT x"))
	r := resolver(t, validate.ResolverConfig{Servers: []string{server}, Roots: roots})
	ask := func() {
		t.Helper()
		found, err := r.TXT(t.Context(), "_acme-challenge.a.test")
		if err != nil || len(found.Values) != 1 || len(found.Questions) != 1 || !found.Questions[0].TCP {
			t.Fatalf("%+v, %v", found, err)
		}
	}
	for range 5 {
		ask()
	}
	if n := accepted.n.Load(); n != 1 {
		t.Errorf("5 questions took %d connections", n)
	}
	accepted.last.Load().(net.Conn).Close()
	ask()
	if n := accepted.n.Load(); n != 2 {
		t.Errorf("after the server closed: %d connections", n)
	}
}

// A server with another's certificate is not believed; that is nobody's fault but the authority's.
func TestUnverifiedServer(t *testing.T) {
	server, roots, _ := newDoT(t, zone(t, "a.test. A 10.0.0.1"))
	_, _, other := serverCertificate(t)
	others := x509.NewCertPool()
	others.AddCert(other)
	for name, c := range map[string]validate.ResolverConfig{
		"another root": {Servers: []string{server}, Roots: others},
		"another name": {Servers: []string{strings.Replace(server, "//", "//other.example@", 1)}, Roots: roots},
	} {
		_, err := resolver(t, c).Lookup(t.Context(), "a.test")
		var problem *acme.Problem
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || errors.As(err, &problem) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Where another server knows, it is asked.
	r := resolver(t, validate.ResolverConfig{Servers: []string{server, newDNS(t, zone(t, "a.test. A 10.0.0.7"))}, Roots: others})
	if got := addresses(lookup(t, r, "a.test")); len(got) != 1 || got[0] != "10.0.0.7 dns" {
		t.Error(got)
	}
}

// newDoH serves handler over HTTPS.
func newDoH(t *testing.T, handler http.HandlerFunc) (server string, roots *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return "https://" + s.Listener.Addr().String() + "/q", roots
}

func TestDoHRequest(t *testing.T) {
	server, roots := newDoH(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		query := new(dns.Msg)
		if err := query.Unpack(body); err != nil || r.Method != http.MethodPost || r.ProtoMajor != 2 || r.URL.Path != "/q" ||
			r.Header.Get("Content-Type") != "application/dns-message" || query.Id != 0 {
			t.Errorf("%v: %s %s %s %v %v", err, r.Proto, r.Method, r.URL, r.Header, query)
		}
		if opt := query.IsEdns0(); opt == nil || !opt.Do() || query.CheckingDisabled || !query.RecursionDesired {
			t.Errorf("query is %v", query)
		}
		reply := new(dns.Msg).SetReply(query)
		reply.AuthenticatedData = true
		rr, _ := dns.NewRR("a.test. TXT x")
		reply.Answer = []dns.RR{rr}
		w.Header().Set("Content-Type", "application/dns-message")
		w.Write(packed(reply))
	})
	r := resolver(t, validate.ResolverConfig{Servers: []string{server}, Roots: roots})
	found, err := r.TXT(t.Context(), "a.test")
	if err != nil || len(found.Values) != 1 || found.DNSSEC != validate.Secure || found.Server != server {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestDoHFaults(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "did not answer in DNS over HTTPS"},
		"type":   {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }, "did not answer in DNS over HTTPS"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusPermanentRedirect)
		}, "did not answer in DNS over HTTPS"},
		"rubbish": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/dns-message")
			w.Write([]byte("0123456789abcdef"))
		}, "cannot be read"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/dns-message")
			for r.Context().Err() == nil {
				w.Write(make([]byte, 4096))
			}
		}, "cannot be read"},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "did not answer in time"},
	} {
		server, roots := newDoH(t, test.handler)
		r := resolver(t, validate.ResolverConfig{Servers: []string{server}, Roots: roots, Attempt: 300 * time.Millisecond})
		_, err := r.TXT(t.Context(), "a.test")
		if problem := asProblem(t, err); problem.Type != acme.TypeDNS || !strings.Contains(problem.Detail, test.want) {
			t.Errorf("%s: %v", name, problem)
		}
	}
}

// authenticated is a server that says of everything that it has verified it.
func authenticated(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg).SetReply(query)
	reply.AuthenticatedData = true
	if query.Question[0].Qtype == dns.TypeTXT {
		rr, _ := dns.NewRR(query.Question[0].Name + " TXT x")
		reply.Answer = []dns.RR{rr}
	}
	w.WriteMsg(reply)
}

// What anybody on the way could have written counts for nothing. 0.0.0.0 leads to this machine
// and is not a loopback address, so it stands for a server on the network.
func TestADFromTheNetwork(t *testing.T) {
	here := newDNS(t, authenticated)
	network := strings.Replace(here, "127.0.0.1", "0.0.0.0", 1)
	for server, want := range map[string]validate.Security{here: validate.Secure, network: validate.Unknown, "tcp://" + network: validate.Unknown} {
		found, err := resolver(t, validate.ResolverConfig{Servers: []string{server}}).TXT(t.Context(), "a.test")
		if err != nil || found.DNSSEC != want || found.Questions[0].DNSSEC != want {
			t.Errorf("%s: %+v, %v", server, found, err)
		}
	}
	for server, want := range map[string]string{
		here:    "",
		network: "anybody on the way from DNS server " + network,
		newDNS(t, zone(t, "a.test. A 10.0.0.1", ". SOA a. b. 1 2 3 4 5")): "does not vouch for the SOA record of ., which is signed (NOERROR, without AD)",
		"127.0.0.1:1": "no DNS server can be asked whether it validates",
	} {
		r := resolver(t, validate.ResolverConfig{Servers: []string{server}, RequireDNSSEC: true})
		err := r.Check(t.Context())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", server, err)
		}
		_, err = r.TXT(t.Context(), "a.test")
		var problem *acme.Problem
		if (err == nil) != (want == "") || server != "127.0.0.1:1" && errors.As(err, &problem) {
			t.Errorf("%s: %v", server, err)
		}
	}
	// A server that is away does not keep the authority from starting if another is fit, and is not used unseen.
	r := resolver(t, validate.ResolverConfig{Servers: []string{"127.0.0.1:1", here}, RequireDNSSEC: true})
	if err := r.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if found, err := r.TXT(t.Context(), "a.test"); err != nil || found.DNSSEC != validate.Secure {
		t.Errorf("%+v, %v", found, err)
	}
	if err := resolver(t, validate.ResolverConfig{Servers: []string{network}}).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// The words about a failure are ours; what the server wrote is in the evidence, clipped.
func TestExtendedErrors(t *testing.T) {
	r := newResolver(t, func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetRcode(query, dns.RcodeServerFailure)
		opt := reply.SetEdns0(1232, true).IsEdns0()
		for _, code := range []uint16{22, 22, 23, 4711, 7, 6} {
			opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: "secret\n" + strings.Repeat("x", 500)})
		}
		w.WriteMsg(reply)
	})
	found, err := r.TXT(t.Context(), "a.test")
	wantProblem(t, asProblem(t, err), acme.TypeDNS, "could not answer (SERVFAIL): the zone's own servers could not be reached (extended error 22); ",
		"extended error 4711", "!secret", "!error 7")
	q := found.Questions[0]
	if len(q.Extended) != 4 || q.Extended[0].Code != 22 || !strings.HasPrefix(q.Extended[0].Text, `secret\n`) || len(q.Extended[0].Text) > 300 {
		t.Errorf("%+v", q.Extended)
	}
}

// A server that holds zones and only points to others does not answer, so nothing follows from it.
func TestReferral(t *testing.T) {
	prober := validate.New(validate.Config{Resolver: newResolver(t, func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		rr, _ := dns.NewRR("test. NS ns.test.")
		reply.Ns = []dns.RR{rr}
		w.WriteMsg(reply)
	})})
	result, err := prober.CAA(t.Context(), caaRequest("a.test"))
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, result.Problem, acme.TypeDNS, "only refers to other servers")
}

// What may be gone at the next try is marked, and what was said is final.
func TestTemporary(t *testing.T) {
	silent := rawServer(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	server := newDNS(t, zone(t, "a.test. A 127.0.0.1", "refused.test. A 169.254.1.1"))
	failing := newDNS(t, func(w dns.ResponseWriter, query *dns.Msg) {
		w.WriteMsg(new(dns.Msg).SetRcode(query, dns.RcodeServerFailure))
	})
	refusing := newDNS(t, func(w dns.ResponseWriter, query *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(query, dns.RcodeRefused)) })
	wrong := newWeb(t, http.NotFoundHandler())
	for name, test := range map[string]struct {
		method acme.ChallengeType
		dns    string
		host   string
		port   int
		want   bool
	}{
		"http-01, refused connection": {acme.HTTP01, server, "a.test", closedPort(t), true},
		"http-01, no answer":          {acme.HTTP01, server, "a.test", silent, true},
		"http-01, wrong page":         {acme.HTTP01, server, "a.test", wrong, false},
		"http-01, no such name":       {acme.HTTP01, server, "b.test", wrong, false},
		"http-01, refused by a rule":  {acme.HTTP01, server, "refused.test", wrong, false},
		"http-01, SERVFAIL":           {acme.HTTP01, failing, "a.test", wrong, true},
		"tls-alpn-01, refused":        {acme.TLSALPN01, server, "a.test", closedPort(t), true},
		"tls-alpn-01, no handshake":   {acme.TLSALPN01, server, "a.test", silent, true},
		"tls-alpn-01, no TLS":         {acme.TLSALPN01, server, "a.test", wrong, false},
		"dns-01, SERVFAIL":            {acme.DNS01, failing, "a.test", 1, true},
		"dns-01, REFUSED":             {acme.DNS01, refusing, "a.test", 1, false},
		"dns-01, no server":           {acme.DNS01, "127.0.0.1:1", "a.test", 1, true},
		"dns-01, no such name":        {acme.DNS01, server, "b.test", 1, false},
	} {
		prober := validate.New(validate.Config{
			Resolver:   resolver(t, validate.ResolverConfig{Servers: []string{test.dns}}),
			HTTP01Port: test.port, TLSALPN01Port: test.port, Allow: everywhereHere,
			Timeout: 2 * time.Second, DialTimeout: 300 * time.Millisecond,
		})
		req := request(test.host)
		req.Type = test.method
		result, err := prober.Prove(t.Context(), req)
		if err != nil || result.Problem == nil || result.Temporary != test.want {
			t.Errorf("%s: %v, %v, %v", name, err, result.Problem, result.Temporary)
		}
	}
}

func TestMulticastIsNotAskedWhereDNSSECIsRequired(t *testing.T) {
	conf := writeFile(t, "nameserver 127.0.0.1\n")
	r, err := validate.NewResolver(validate.ResolverConfig{HostsFile: os.DevNull, ResolvConf: conf, RequireDNSSEC: true, Attempt: 50 * time.Millisecond, Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Lookup(t.Context(), "printer.local")
	if err == nil || strings.Contains(err.Error(), "multicast") {
		t.Error(err)
	}
}
