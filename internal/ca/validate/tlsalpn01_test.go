package validate_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

var (
	oidACMEIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// acmeIdentifier is the extension that answers the challenge of keyAuthorization.
func acmeIdentifier(t testing.TB, keyAuthorization string) pkix.Extension {
	t.Helper()
	digest := sha256.Sum256([]byte(keyAuthorization))
	value, err := asn1.Marshal(digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oidACMEIdentifier, Critical: true, Value: value}
}

// altNames is a subjectAltName extension of raw GeneralNames.
func altNames(names ...string) pkix.Extension {
	all := strings.Join(names, "")
	return pkix.Extension{Id: oidSubjectAltName, Value: append([]byte{0x30, byte(len(all))}, all...)}
}

// dnsName and otherKind are GeneralNames (RFC 5280 §4.2.1.6).
func dnsName(name string) string { return "\x82" + string(rune(len(name))) + name }

const otherKind = "\xa0\x0b\x06\x03\x2a\x03\x04\xa0\x04\x0c\x02hi" // an otherName

// answer is the certificate that proves control of name.
func answer(t testing.TB, name string) x509.Certificate {
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{acmeIdentifier(t, keyAuth)},
	}
	if id := acme.IdentifierFor(name); id.Type == acme.IP {
		template.IPAddresses = []net.IP{net.ParseIP(name)}
	} else {
		template.DNSNames = []string{name}
	}
	return template
}

// selfSigned signs template with a key of its own.
func selfSigned(t testing.TB, template x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signedBy(t, template, key)
}

func signedBy(t testing.TB, template x509.Certificate, key crypto.Signer) tls.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// alpnServer shows certificate to who speaks acme-tls/1, unless change says otherwise, and returns its port.
func alpnServer(t *testing.T, certificate tls.Certificate, change func(*tls.Config)) int {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"acme-tls/1"}}
	if change != nil {
		change(config)
	}
	return rawServer(t, func(conn net.Conn) { _ = tls.Server(conn, config).Handshake() })
}

// proveALPN runs one tls-alpn-01 proof.
func proveALPN(t *testing.T, c validate.Config, name string) validate.Result {
	t.Helper()
	req := request(name)
	req.Type = acme.TLSALPN01
	if c.Resolver == nil {
		c.Resolver = newResolver(t, zone(t, "a.test. A 127.0.0.1"))
	}
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second // long enough for a busy machine
	}
	result, err := validate.New(c).Prove(t.Context(), req)
	if err != nil {
		t.Fatalf("Prove: %v", err)
	}
	return result
}

func TestTLSALPN01Proves(t *testing.T) {
	upper, expired, constrained := answer(t, "A.Test"), answer(t, "a.test"), answer(t, "a.test")
	expired.NotAfter = time.Now().Add(-time.Minute)
	constrained.ExtraExtensions = append(constrained.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
	chain := selfSigned(t, answer(t, "a.test"))
	chain.Certificate = append(chain.Certificate, selfSigned(t, answer(t, "b.test")).Certificate...)
	for name, c := range map[string]struct {
		certificate tls.Certificate
		change      func(*tls.Config)
		version     string
	}{
		"TLS 1.3":                    {selfSigned(t, answer(t, "a.test")), nil, "TLS 1.3"},
		"TLS 1.2":                    {selfSigned(t, answer(t, "a.test")), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, "TLS 1.2"},
		"name in upper case":         {selfSigned(t, upper), nil, "TLS 1.3"},
		"expired":                    {selfSigned(t, expired), nil, "TLS 1.3"},
		"unknown critical extension": {selfSigned(t, constrained), nil, "TLS 1.3"},
		"with a chain":               {chain, nil, "TLS 1.3"},
		"serves others too":          {selfSigned(t, answer(t, "a.test")), func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1", "acme-tls/1"} }, "TLS 1.3"},
		"asks for a certificate":     {selfSigned(t, answer(t, "a.test")), func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert }, "TLS 1.3"},
	} {
		t.Run(name, func(t *testing.T) {
			result := proveALPN(t, validate.Config{TLSALPN01Port: alpnServer(t, c.certificate, c.change), Allow: everywhereHere}, "a.test")
			if result.Problem != nil {
				t.Fatal(result.Problem)
			}
			seen := result.Evidence.Handshakes
			if len(seen) != 1 || seen[0].Version != c.version || seen[0].Protocol != "acme-tls/1" || seen[0].ServerName != "a.test" ||
				len(seen[0].Certificate) != 64 || !strings.EqualFold(strings.Join(seen[0].Names, ","), "a.test") || len(result.Evidence.Lookups) != 1 {
				t.Errorf("evidence is %+v", result.Evidence)
			}
		})
	}
}

// What the authority says: one protocol, the server name, TLS 1.2 at least, and nothing after the handshake (RFC 8737 §3, §4).
func TestTLSALPN01OnTheWire(t *testing.T) {
	for _, c := range []struct{ name, listen, serverName string }{
		{"a.test", "127.0.0.1:0", "a.test"},
		// RFC 8738 §6, without the dot that RFC 6066 §3 forbids.
		{"127.0.0.1", "127.0.0.1:0", "1.0.0.127.in-addr.arpa"},
		{"::1", "[::1]:0", "1." + strings.Repeat("0.", 31) + "ip6.arpa"},
	} {
		t.Run(c.name, func(t *testing.T) {
			listener, err := net.Listen("tcp", c.listen)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			certificate := selfSigned(t, answer(t, c.name))
			var hello *tls.ClientHelloInfo
			said := make(chan string, 1)
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					said <- err.Error()
					return
				}
				defer conn.Close()
				config := &tls.Config{
					Certificates: []tls.Certificate{certificate}, NextProtos: []string{"acme-tls/1"},
					GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { hello = h; return nil, nil },
				}
				text, err := io.ReadAll(tls.Server(conn, config))
				said <- fmt.Sprintf("%q %v", text, err)
			}()
			config := validate.Config{TLSALPN01Port: listener.Addr().(*net.TCPAddr).Port}
			if acme.IdentifierFor(c.name).Type == acme.DNS {
				config.Allow = everywhereHere
			}
			if result := proveALPN(t, config, c.name); result.Problem != nil {
				t.Fatal(result.Problem)
			}
			if got := <-said; got != `"" <nil>` {
				t.Errorf("after the handshake came %s", got)
			}
			if !slices.Equal(hello.SupportedProtos, []string{"acme-tls/1"}) || hello.ServerName != c.serverName || slices.Min(hello.SupportedVersions) != tls.VersionTLS12 {
				t.Errorf("the hello has protocols %q, server name %q, versions %x", hello.SupportedProtos, hello.ServerName, hello.SupportedVersions)
			}
		})
	}
}

func TestTLSALPN01WrongCertificates(t *testing.T) {
	with := func(change func(c *x509.Certificate)) tls.Certificate {
		template := answer(t, "a.test")
		change(&template)
		return selfSigned(t, template)
	}
	raw := func(names ...string) tls.Certificate {
		return with(func(c *x509.Certificate) {
			c.DNSNames, c.ExtraExtensions = nil, append(c.ExtraExtensions, altNames(names...))
		})
	}
	identifier := func(change func(*pkix.Extension)) tls.Certificate {
		return with(func(c *x509.Certificate) { change(&c.ExtraExtensions[0]) })
	}
	digest := string(acmeIdentifier(t, keyAuth).Value)
	for name, c := range map[string]struct {
		certificate tls.Certificate
		word        string
	}{
		"an ordinary one":       {with(func(c *x509.Certificate) { c.ExtraExtensions, c.DNSNames = nil, []string{inner} }), "no acmeIdentifier extension"},
		"not critical":          {identifier(func(e *pkix.Extension) { e.Critical = false }), "not marked as critical"},
		"another digest":        {identifier(func(e *pkix.Extension) { e.Value = acmeIdentifier(t, token+"."+inner).Value }), "another digest"},
		"bare digest":           {identifier(func(e *pkix.Extension) { e.Value = []byte(digest[2:]) }), "OCTET STRING of 32 octets"},
		"digest and more":       {identifier(func(e *pkix.Extension) { e.Value = []byte(digest + "\x00") }), "OCTET STRING of 32 octets"},
		"short digest":          {identifier(func(e *pkix.Extension) { e.Value = []byte("\x04\x1f" + digest[3:]) }), "OCTET STRING of 32 octets"},
		"long form of length":   {identifier(func(e *pkix.Extension) { e.Value = []byte("\x04\x81\x20" + digest[2:]) }), "OCTET STRING of 32 octets"},
		"bit string":            {identifier(func(e *pkix.Extension) { e.Value = []byte("\x03" + digest[1:]) }), "OCTET STRING of 32 octets"},
		"empty extension":       {identifier(func(e *pkix.Extension) { e.Value = nil }), "OCTET STRING of 32 octets"},
		"another name":          {with(func(c *x509.Certificate) { c.DNSNames = []string{inner + ".test"} }), "another one"},
		"wildcard":              {with(func(c *x509.Certificate) { c.DNSNames = []string{"*.test"} }), "another one"},
		"two names":             {with(func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, inner) }), "more than this one name"},
		"the same name twice":   {with(func(c *x509.Certificate) { c.DNSNames = []string{"a.test", "a.test"} }), "more than this one name"},
		"name and address":      {with(func(c *x509.Certificate) { c.IPAddresses = []net.IP{{127, 0, 0, 1}} }), "more than this one name"},
		"name and e-mail":       {with(func(c *x509.Certificate) { c.EmailAddresses = []string{"a@a.test"} }), "more than this one name"},
		"name and another kind": {raw(dnsName("a.test"), otherKind), "more than this one name"},
		"another kind":          {raw(otherKind), "another one"},
		"final dot":             {raw(dnsName("a.test.")), "another one"},
		"common name alone":     {with(func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, "a.test" }), "no subjectAltName"},
	} {
		t.Run(name, func(t *testing.T) {
			result := proveALPN(t, validate.Config{TLSALPN01Port: alpnServer(t, c.certificate, nil), Allow: everywhereHere}, "a.test")
			wantProblem(t, result.Problem, acme.TypeUnauthorized, c.word, "a.test at 127.0.0.1 port", "from DNS server 127.0.0.1:", "!"+inner)
			if len(result.Evidence.Handshakes) != 1 || result.Evidence.Handshakes[0].Certificate == "" {
				t.Errorf("evidence is %+v", result.Evidence)
			}
		})
	}
}

// What no server on loopback can show, or no parser of today lets through.
func TestCheckALPNCertificate(t *testing.T) {
	for name, template := range map[string]x509.Certificate{
		"127.0.0.1": answer(t, "127.0.0.2"), // another address
		"::1":       answer(t, "127.0.0.1"),
	} {
		leaf, err := x509.ParseCertificate(selfSigned(t, template).Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := validate.CheckALPNCertificate(leaf, acme.IdentifierFor(name), keyAuth); !strings.Contains(got, "another one") {
			t.Errorf("%s: the finding is %q", name, got)
		}
	}
	// The parser of x509 refuses the following before it comes to this, and need not for ever.
	leaf, err := x509.ParseCertificate(selfSigned(t, answer(t, "a.test")).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	good := leaf.Extensions
	for _, e := range []pkix.Extension{altNames(dnsName("a.test")), acmeIdentifier(t, keyAuth)} {
		leaf.Extensions = append(slices.Clone(good), e)
		if got := validate.CheckALPNCertificate(leaf, acme.IdentifierFor("a.test"), keyAuth); !strings.Contains(got, "twice") {
			t.Errorf("the finding is %q", got)
		}
	}
	for _, value := range []string{"", "\x30", "\x30\x00", "\x30\x03\x82\x02a", "\x31\x08" + dnsName("a.test"), "\x30\x08" + dnsName("a.test") + "x"} {
		leaf.Extensions = []pkix.Extension{acmeIdentifier(t, keyAuth), {Id: oidSubjectAltName, Value: []byte(value)}}
		if got := validate.CheckALPNCertificate(leaf, acme.IdentifierFor("a.test"), keyAuth); !strings.Contains(got, "cannot be read") {
			t.Errorf("%q: the finding is %q", value, got)
		}
	}
}

func TestV16TLSALPN01Servers(t *testing.T) {
	proof := selfSigned(t, answer(t, "a.test"))
	broken := selfSigned(t, answer(t, "a.test"))
	broken.Certificate = [][]byte{[]byte(inner)}
	for name, c := range map[string]struct {
		port  int
		want  acme.ProblemType
		words []string
	}{
		"nobody there":        {closedPort(t), acme.TypeConnection, []string{"connection refused at 127.0.0.1 port", "the ACME client's TLS server listening there"}},
		"no ALPN":             {alpnServer(t, proof, func(c *tls.Config) { c.NextProtos = nil }), acme.TypeUnauthorized, []string{"did not agree to speak acme-tls/1"}},
		"another protocol":    {alpnServer(t, proof, func(c *tls.Config) { c.NextProtos = []string{"h2"} }), acme.TypeTLS, []string{"alert no application protocol"}},
		"TLS 1.1":             {alpnServer(t, proof, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), acme.TypeTLS, []string{"alert protocol version"}},
		"unreadable":          {alpnServer(t, broken, nil), acme.TypeTLS, []string{"the TLS handshake failed"}},
		"wants a certificate": {alpnServer(t, proof, func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }), acme.TypeTLS, []string{"alert"}},
		"no certificate": {alpnServer(t, proof, func(c *tls.Config) {
			c.Certificates, c.GetCertificate = nil, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, fmt.Errorf("%s", inner) }
		}), acme.TypeTLS, []string{"alert internal error"}},
		"plain HTTP": {rawServer(t, func(conn net.Conn) {
			conn.Read(make([]byte, 1))
			io.WriteString(conn, "HTTP/1.1 400 "+inner+"\r\n\r\n")
		}), acme.TypeTLS, []string{"does not speak TLS"}},
		"closes at once": {rawServer(t, func(conn net.Conn) { conn.Read(make([]byte, 4096)) }), acme.TypeTLS, []string{"closed the connection during the TLS handshake"}},
		"silent":         {rawServer(t, func(net.Conn) { <-t.Context().Done() }), acme.TypeTLS, []string{"not finished in time"}},
		"drips": {rawServer(t, func(conn net.Conn) {
			io.WriteString(conn, "\x16\x03\x03\x40\x00")
			for every(conn, 5*time.Millisecond, "\x02") {
			}
		}), acme.TypeTLS, []string{"not finished in time"}},
		"endless": {rawServer(t, func(conn net.Conn) { // one handshake message without end
			for every(conn, 0, "\x16\x03\x03\x40\x00"+strings.Repeat("\x0b\xff\xff\xff", 4096)) {
			}
		}), acme.TypeTLS, nil},
	} {
		t.Run(name, func(t *testing.T) {
			config := validate.Config{TLSALPN01Port: c.port, Allow: everywhereHere}
			if slices.Contains(c.words, "not finished in time") {
				config.DialTimeout = 300 * time.Millisecond // it ends only thus
			}
			result := proveALPN(t, config, "a.test")
			wantProblem(t, result.Problem, c.want, append(c.words, "!"+inner)...)
			if len(result.Evidence.Connections) != 1 {
				t.Errorf("evidence is %+v", result.Evidence)
			}
		})
	}
}

func TestTLSALPN01Targets(t *testing.T) {
	port := alpnServer(t, selfSigned(t, answer(t, "a.test")), nil) // on 127.0.0.1 only
	both := newResolver(t, zone(t, "a.test. AAAA ::1", "a.test. A 127.0.0.1"))
	t.Run("IPv6 first, then IPv4", func(t *testing.T) {
		result := proveALPN(t, validate.Config{TLSALPN01Port: port, Allow: everywhereHere, Resolver: both}, "a.test")
		if result.Problem != nil {
			t.Fatal(result.Problem)
		}
		made := result.Evidence.Connections
		if len(made) != 2 || made[0].Target.Addr() != netip.IPv6Loopback() || made[1].Outcome != "connected" {
			t.Errorf("connections are %+v", made)
		}
	})
	t.Run("refused", func(t *testing.T) {
		result := proveALPN(t, validate.Config{TLSALPN01Port: port, Resolver: both}, "a.test")
		wantProblem(t, result.Problem, acme.TypeConnection, "::1 is a loopback address", "127.0.0.1 is a loopback address", "never connected to")
		if len(result.Evidence.Connections) != 0 {
			t.Errorf("connections are %+v", result.Evidence.Connections)
		}
	})
	t.Run("no address", func(t *testing.T) {
		wantProblem(t, proveALPN(t, validate.Config{TLSALPN01Port: port}, "none.test").Problem, acme.TypeDNS, "NXDOMAIN")
	})
}

// Only a certificate with these very extensions proves control, whatever else is in it.
func FuzzCheckALPNCertificate(f *testing.F) {
	good := acmeIdentifier(f, keyAuth).Value
	f.Add(true, good, altNames(dnsName("a.test")).Value)
	f.Add(true, good, altNames(dnsName("A.TEST")).Value)
	f.Add(false, good, altNames(dnsName("a.test")).Value)
	f.Add(true, good[2:], altNames(dnsName("a.test"), dnsName("a.test")).Value)
	f.Add(true, good, altNames(otherKind).Value)
	f.Add(true, good, altNames("\x87\x04\x7f\x00\x00\x01").Value)
	f.Add(true, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, critical bool, identifier, names []byte) {
		cert := &x509.Certificate{Extensions: []pkix.Extension{
			{Id: oidACMEIdentifier, Critical: critical, Value: identifier}, {Id: oidSubjectAltName, Value: names}}}
		right := critical && string(identifier) == string(good) && len(names) == 10 &&
			string(names[:4]) == "\x30\x08\x82\x06" && strings.ToLower(string(names[4:])) == "a.test"
		if found := validate.CheckALPNCertificate(cert, acme.IdentifierFor("a.test"), keyAuth); (found == "") != right {
			t.Errorf("critical %v, %x, %x: the finding is %q", critical, identifier, names, found)
		}
	})
}
