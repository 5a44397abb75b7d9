//go:build unix

package solve_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// shake does what a CA does for tls-alpn-01, and returns the certificate that is shown.
func shake(t *testing.T, port int, name string, protocols ...string) (*x509.Certificate, error) {
	t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{ServerName: name, NextProtos: protocols, InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	if state.NegotiatedProtocol != acme.ALPNProtocol {
		t.Errorf("%s: the protocol is %q", name, state.NegotiatedProtocol)
	}
	return state.PeerCertificates[0], nil
}

func TestStandaloneAnswersTLSALPN01(t *testing.T) {
	port := freePort(t)
	s, err := solve.NewStandalone(solve.StandaloneConfig{TLSPort: port, Challenges: []acme.ChallengeType{acme.TLSALPN01}})
	if err != nil {
		t.Fatal(err)
	}
	challenges := order(acme.TLSALPN01, "a.test", "192.0.2.7", "2001:db8::7")
	for _, c := range challenges {
		if err := s.Present(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{"A.test", "7.2.0.192.in-addr.arpa", "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"} {
		cert, err := shake(t, port, name, acme.ALPNProtocol)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkAnswer(t, cert, challenges[i])
	}
	for name, protocols := range map[string][]string{"b.test": {acme.ALPNProtocol}, "a.test": {"h2"}, "A.TEST": nil} {
		if cert, err := shake(t, port, name, protocols...); err == nil {
			t.Errorf("%s with %q got %v", name, protocols, cert.DNSNames)
		}
	}
	for _, c := range challenges {
		if err := s.CleanUp(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	if _, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
		t.Error("the server still listens after the last CleanUp")
	}
}

// checkAnswer checks what RFC 8737 §3 says of a certificate.
func checkAnswer(t *testing.T, cert *x509.Certificate, c renew.Challenge) {
	t.Helper()
	digest := sha256.Sum256([]byte(c.KeyAuthorization))
	found := false
	for _, e := range cert.Extensions {
		if e.Id.String() == "1.3.6.1.5.5.7.1.31" {
			found = e.Critical && string(e.Value) == "\x04\x20"+string(digest[:])
		}
	}
	names := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if !found || len(names) != 1 || names[0] != c.Identifier.Value || cert.Issuer.String() != cert.Subject.String() {
		t.Errorf("%s: names %q, issuer %s, identifier %v", c.Identifier, names, cert.Issuer, found)
	}
}

func TestSolversShareAPort(t *testing.T) {
	port := freePort(t)
	shared := solve.NewListeners(solve.ListenersConfig{})
	var solvers []*solve.Standalone
	for range 2 {
		s, err := solve.NewStandalone(solve.StandaloneConfig{Port: port, TLSPort: port, Listeners: shared})
		if err != nil {
			t.Fatal(err)
		}
		solvers = append(solvers, s)
	}
	one, two := challenge("a.test", "one"+padding), challenge("b.test", "two"+padding)
	for i, c := range []renew.Challenge{one, two} {
		if err := solvers[i].Present(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := solvers[1].Present(t.Context(), one); err != nil { // an authorization that two orders have in common
		t.Fatal(err)
	}
	err := solvers[1].Present(t.Context(), order(acme.TLSALPN01, "c.test")[0])
	if err == nil || !strings.Contains(err.Error(), "--tls-alpn-01-port") {
		t.Errorf("one port took two kinds: %v", err)
	}
	path := "/.well-known/acme-challenge/"
	get := func(token string, want int) {
		t.Helper()
		if status, _ := fetch(t, "GET", "127.0.0.1", port, path+token+padding); status != want {
			t.Errorf("%s: %d, want %d", token, status, want)
		}
	}
	get("one", 200)
	get("two", 200)
	_ = solvers[0].CleanUp(t.Context(), one)
	get("one", 200)
	_ = solvers[1].CleanUp(t.Context(), one)
	get("one", 404)
	get("two", 200)
	_ = solvers[1].CleanUp(t.Context(), two)
	if _, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
		t.Error("the port is open after the last CleanUp")
	}
}

// Two certificates for one name (RSA and ECDSA, say) are renewed at once. A handshake does not say which it is for.
func TestOneNameAnswersOneTLSALPN01ChallengeAtATime(t *testing.T) {
	port := freePort(t)
	s, err := solve.NewStandalone(solve.StandaloneConfig{TLSPort: port})
	if err != nil {
		t.Fatal(err)
	}
	one, two := order(acme.TLSALPN01, "a.test")[0], order(acme.TLSALPN01, "b.test", "a.test")[1]
	if err := s.Present(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	presented := make(chan error)
	go func() { presented <- s.Present(t.Context(), two) }()
	cert, err := shake(t, port, "a.test", acme.ALPNProtocol)
	if err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, cert, one)
	_ = s.CleanUp(t.Context(), one)
	if err := <-presented; err != nil {
		t.Fatal(err)
	}
	if cert, err = shake(t, port, "a.test", acme.ALPNProtocol); err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, cert, two)
	_ = s.CleanUp(t.Context(), two)
}

// A stranger who connects and says nothing keeps nobody from closing the port, and from opening it again.
func TestAStrangerDoesNotHoldThePort(t *testing.T) {
	for kind, answer := range map[acme.ChallengeType]renew.Challenge{
		acme.HTTP01: challenge("a.test", "one"+padding), acme.TLSALPN01: order(acme.TLSALPN01, "a.test")[0],
	} {
		port := freePort(t)
		s, err := solve.NewStandalone(solve.StandaloneConfig{Port: port, TLSPort: port})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Present(t.Context(), answer); err != nil {
			t.Fatal(err)
		}
		stranger, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Close()
		if kind == acme.TLSALPN01 { // connections are accepted in order: the stranger's is being served
			if _, err := shake(t, port, "a.test", acme.ALPNProtocol); err != nil {
				t.Fatal(err)
			}
		} else {
			fetch(t, "GET", "127.0.0.1", port, "/")
		}
		begun := time.Now()
		if err := s.CleanUp(t.Context(), answer); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s: the port was closed after %s", kind, took)
		}
	}
}

// pipeListener hands over connections without a network, for the bubble.
type pipeListener struct {
	address net.TCPAddr
	conns   chan net.Conn
	over    chan struct{}
}

func (l *pipeListener) Addr() net.Addr { return &l.address }
func (l *pipeListener) Close() error   { close(l.over); return nil }
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func TestTwoOrdersThatWaitForEachOtherComeToAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handed := &pipeListener{address: net.TCPAddr{Port: 443}, conns: make(chan net.Conn), over: make(chan struct{})}
		shared := solve.NewListeners(solve.ListenersConfig{Inherited: []net.Listener{handed}})
		s, err := solve.NewStandalone(solve.StandaloneConfig{Listeners: shared})
		if err != nil {
			t.Fatal(err)
		}
		one, two := order(acme.TLSALPN01, "a.test")[0], order(acme.TLSALPN01, "b.test", "a.test")[1]
		if err := s.Present(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if err := s.Present(t.Context(), two); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 10*time.Minute {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		_ = s.CleanUp(t.Context(), one)
		shared.Close()
	})
}

// systemd opens the port, so that no rights are needed here.
func TestInheritedSockets(t *testing.T) {
	handed, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := handed.Addr().(*net.TCPAddr).Port
	shared := solve.NewListeners(solve.ListenersConfig{Inherited: []net.Listener{handed}})
	defer shared.Close()
	sentAway := func() {
		t.Helper()
		conn, err := net.Dial("tcp", handed.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if text, _ := io.ReadAll(conn); len(text) > 0 {
			t.Errorf("got %q", text)
		}
	}
	s, err := solve.NewStandalone(solve.StandaloneConfig{Address: "192.0.2.1", Port: port, Listeners: shared})
	if err != nil {
		t.Fatal(err)
	}
	one := challenge("a.test", "one"+padding)
	for range 2 {
		sentAway()
		if err := s.Present(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		if status, _ := fetch(t, "GET", "127.0.0.1", port, "/.well-known/acme-challenge/one"+padding); status != 200 {
			t.Errorf("status %d", status)
		}
		_ = s.CleanUp(t.Context(), one)
	}
	sentAway()
}

// flooded is a socket that cannot accept for a while, because strangers have used up all that there is.
type flooded struct {
	net.Listener
	failures atomic.Int32
}

func (f *flooded) Accept() (net.Conn, error) {
	if f.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return f.Listener.Accept()
}

// TestInheritedSocketsOutliveAFlood: a daemon that stopped to accept would answer no challenge any more.
func TestInheritedSocketsOutliveAFlood(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handed := &flooded{Listener: listener}
	handed.failures.Store(2)
	port := handed.Addr().(*net.TCPAddr).Port
	shared := solve.NewListeners(solve.ListenersConfig{Inherited: []net.Listener{handed}})
	defer shared.Close()
	s, err := solve.NewStandalone(solve.StandaloneConfig{Port: port, Listeners: shared})
	if err != nil {
		t.Fatal(err)
	}
	one := challenge("a.test", "one"+padding)
	if err := s.Present(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.CleanUp(t.Context(), one) }()
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get("http://" + handed.Addr().String() + "/.well-known/acme-challenge/one" + padding)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("got %s", response.Status)
	}
}

func TestSitesAreShared(t *testing.T) {
	root := t.TempDir()
	shared := solve.NewSites()
	var solvers []*solve.Webroot
	for range 2 {
		w, err := solve.NewWebroot(solve.WebrootConfig{Roots: map[string]string{"a.test": root, "b.test": root}, Sites: shared})
		if err != nil {
			t.Fatal(err)
		}
		solvers = append(solvers, w)
	}
	one, two := challenge("a.test", "one"+padding), challenge("b.test", "two"+padding)
	for _, step := range []struct {
		w       *solve.Webroot
		c       renew.Challenge
		present bool
		want    int // files
	}{{solvers[0], one, true, 1}, {solvers[1], two, true, 2}, {solvers[1], one, true, 2}, {solvers[0], one, false, 2}, {solvers[1], one, false, 1}, {solvers[1], two, false, 0}} {
		do := step.w.CleanUp
		if step.present {
			do = step.w.Present
		}
		if err := do(t.Context(), step.c); err != nil {
			t.Fatal(err)
		}
		entries, _ := os.ReadDir(filepath.Join(root, ".well-known/acme-challenge"))
		if len(entries) != step.want {
			t.Errorf("%d files, want %d", len(entries), step.want)
		}
	}
	if entries, _ := os.ReadDir(root); len(entries) != 0 {
		t.Errorf("%v is left", entries)
	}
}
