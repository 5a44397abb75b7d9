package served_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/served"
)

// certificate makes one that signs itself.
func certificate(t *testing.T, serial int64, key crypto.Signer, names ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// serve runs a TLS server, and says where.
func serve(t *testing.T, config *tls.Config) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
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
			go func() {
				defer conn.Close()
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func TestVerdicts(t *testing.T) {
	want, old, foreign := certificate(t, 0xabc, ecKey(t), "a.test"), certificate(t, 0x123, ecKey(t), "a.test"), certificate(t, 5, ecKey(t), "b.test")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	go func() {
		for {
			conn, err := plain.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "220 mail.test ESMTP\r\n")
			_ = conn.Close()
		}
	}()
	of := func(c tls.Certificate) string { return serve(t, &tls.Config{Certificates: []tls.Certificate{c}}) }
	targets := []served.Target{
		{Address: of(want), Name: "a.test"}, {Address: of(old), Name: "a.test"}, {Address: of(foreign), Name: "a.test"},
		{Address: of(foreign), Name: "a.test", Required: true}, {Address: of(old)},
		{Address: free.Addr().String(), Name: "a.test"}, {Address: free.Addr().String(), Name: "a.test", Required: true},
		{Address: plain.Addr().String(), Name: "a.test"},
	}
	wants := []struct {
		verdict served.Verdict
		wrong   bool
		text    string
	}{
		{served.Same, false, "shows the new certificate"}, {served.Other, true, "(a.test) still shows another certificate, with serial number 123"},
		{served.Foreign, false, "for other names, with serial number 5"}, {served.Foreign, true, ""}, {served.Other, true, ""},
		{served.Closed, false, "refused"}, {served.Closed, true, ""}, {served.Failed, false, ""},
	}
	for i, f := range served.Check(t.Context(), served.Config{Leaf: want.Leaf, Targets: targets, Tries: 1}) {
		if f.Verdict != wants[i].verdict || f.Wrong() != wants[i].wrong || !strings.Contains(f.String(), wants[i].text) {
			t.Errorf("%d: %s %v %q", i, f.Verdict, f.Wrong(), f)
		}
	}
}

// A server with a certificate of each kind of key for one name prefers one of them.
func TestASecondCertificateOfAnotherKindIsAskedFor(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	one, two := certificate(t, 1, ecKey(t), "a.test"), certificate(t, 2, rsaKey, "a.test")
	for _, order := range [][]tls.Certificate{{one, two}, {two, one}} {
		address := serve(t, &tls.Config{Certificates: order})
		for _, want := range order {
			f := served.Check(t.Context(), served.Config{Leaf: want.Leaf, Targets: []served.Target{{Address: address, Name: "a.test"}}, Tries: 1})
			if f[0].Verdict != served.Same {
				t.Errorf("%v: %s", want.Leaf.PublicKeyAlgorithm, f[0])
			}
		}
	}
}

func TestAServerGetsTimeToReload(t *testing.T) {
	key := ecKey(t)
	want, old := certificate(t, 2, key, "a.test"), certificate(t, 1, key, "a.test")
	for _, test := range []struct {
		reloads int32 // before this look
		verdict served.Verdict
		looks   int32
	}{{1, served.Same, 1}, {4, served.Same, 4}, {100, served.Other, 5}} {
		synctest.Test(t, func(t *testing.T) {
			var looks atomic.Int32
			dial := func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				shown := &old
				if looks.Load()/2+1 >= test.reloads { // an old one is looked at twice
					shown = &want
				}
				looks.Add(1)
				go func() {
					defer server.Close()
					_ = tls.Server(server, &tls.Config{Certificates: []tls.Certificate{*shown}}).Handshake()
				}()
				return client, nil
			}
			begun := time.Now()
			f := served.Check(t.Context(), served.Config{Leaf: want.Leaf, Targets: []served.Target{{Address: "x:443", Name: "a.test"}}, Dial: dial})
			if f[0].Verdict != test.verdict {
				t.Errorf("%+v: %s", test, f[0])
			}
			if waited := time.Since(begun); waited != time.Duration(test.looks-1)*2*time.Second {
				t.Errorf("%+v: waited %v", test, waited)
			}
		})
	}
}

// A server that says nothing, and one that is not there, cost a bounded time.
func TestSilenceIsBounded(t *testing.T) {
	leaf := certificate(t, 1, ecKey(t), "a.test").Leaf
	synctest.Test(t, func(t *testing.T) {
		dial := func(ctx context.Context, _, address string) (net.Conn, error) {
			if address == "gone:443" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			client, server := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, server) }()
			return client, nil
		}
		begun := time.Now()
		f := served.Check(t.Context(), served.Config{Leaf: leaf, Dial: dial, Targets: []served.Target{
			{Address: "mute:443", Name: "a.test", Required: true}, {Address: "gone:443", Name: "a.test", Required: true}}})
		if f[0].Verdict != served.Failed || f[1].Verdict != served.Closed || !errors.Is(f[1].Err, context.DeadlineExceeded) {
			t.Errorf("got %v", f)
		}
		if took := time.Since(begun); took > time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

func TestHere(t *testing.T) {
	leaf := certificate(t, 1, ecKey(t), "a.test", "*.a.test").Leaf
	network := func(text string) net.Addr {
		ip, n, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		n.IP = ip
		return n
	}
	got := served.Here(leaf, 8443, []net.Addr{network("127.0.0.1/8"), network("fe80::1/64"), network("192.0.2.1/24"), network("2001:db8::1/64")})
	want := []served.Target{
		{Address: "127.0.0.1:8443", Name: "a.test"}, {Address: "[::1]:8443", Name: "a.test"}, {Address: "192.0.2.1:8443", Name: "a.test"},
		{Address: "[2001:db8::1]:8443", Name: "a.test"}, {Address: "127.0.0.1:8443"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestParse(t *testing.T) {
	leaf := certificate(t, 1, ecKey(t), "a.test", "*.b.test", "c.test").Leaf
	for text, want := range map[string][]served.Target{
		"a.test:993":        {{Address: "a.test:993", Name: "a.test", Required: true}},
		"x.b.test:993":      {{Address: "x.b.test:993", Name: "x.b.test", Required: true}},
		"127.0.0.1:1":       {{Address: "127.0.0.1:1", Required: true}},
		"[2001:db8::1]:443": {{Address: "[2001:db8::1]:443", Name: "a.test", Required: true}, {Address: "[2001:db8::1]:443", Name: "c.test", Required: true}},
	} {
		if got, err := served.Parse(text, leaf); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "a.test", ":443", "a.test:https", "a.test:99999"} {
		if got, err := served.Parse(text, leaf); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
