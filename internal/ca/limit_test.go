package ca

import (
	"net"
	"net/netip"
	"testing"
)

func TestOneClientCannotTakeAllConnections(t *testing.T) {
	m := newLimit()
	greedy := clientOf(&net.TCPAddr{IP: net.ParseIP("2001:db8::1")})
	if same := clientOf(&net.TCPAddr{IP: net.ParseIP("2001:db8::ffff:1")}); same != greedy {
		t.Errorf("%s and %s are one client's", same, greedy)
	}
	for range maxConnectionsClient {
		if !m.take(greedy) {
			t.Fatal("refused too early")
		}
	}
	if m.take(greedy) {
		t.Error("one client got more than its share")
	}
	other := netip.MustParsePrefix("192.0.2.1/32")
	if !m.take(other) {
		t.Error("another client is refused")
	}
	m.free(greedy)
	if !m.take(greedy) {
		t.Error("a place given back is not free")
	}
	loopback := clientOf(&net.TCPAddr{IP: net.IPv6loopback})
	for m.all < maxConnections {
		if !m.take(loopback) {
			t.Fatal("loopback is refused before the limit of all")
		}
	}
	if m.take(loopback) || m.take(netip.MustParsePrefix("192.0.2.2/32")) {
		t.Error("there is no limit of all")
	}
}

func TestLimitedListenerClosesWhatIsTooMuch(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := newLimit()
	l := m.on(inner)
	defer l.Close()
	for m.all < maxConnections-1 {
		m.take(netip.MustParsePrefix("127.0.0.1/32"))
	}
	accepted := make(chan net.Conn, 2)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	dial()
	first := <-accepted
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("a connection too many is served")
	}
	_ = first.Close()
	_ = first.Close() // twice: its place is given back once
	dial()
	(<-accepted).Close()
	if m.all != maxConnections-1 {
		t.Errorf("%d connections are counted", m.all)
	}
}
