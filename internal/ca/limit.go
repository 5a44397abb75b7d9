package ca

import (
	"net"
	"net/netip"
	"sync"
)

// How many connections there may be at once. Each takes a descriptor, and the
// process needs others: for the database, for validation. One client alone, which
// for IPv6 is a network of /64, must not take them all. Loopback is exempt from
// that: a proxy there speaks for many.
const (
	maxConnections       = 4096
	maxConnectionsClient = 256
)

// limit counts the connections of all listeners together.
type limit struct {
	mu     sync.Mutex
	all    int
	client map[netip.Prefix]int
	closed int64 // at once, since there were too many
}

// count is how many connections there are, and how many were closed at once.
func (m *limit) count() (open int, closed int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all, m.closed
}

func newLimit() *limit { return &limit{client: make(map[netip.Prefix]int)} }

// on returns l with its connections limited: what is too much is closed at once.
func (m *limit) on(l net.Listener) net.Listener { return limitedListener{l, m} }

type limitedListener struct {
	net.Listener
	limit *limit
}

func (l limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		client := clientOf(conn.RemoteAddr())
		if l.limit.take(client) {
			return &limitedConn{Conn: conn, free: sync.OnceFunc(func() { l.limit.free(client) })}, nil
		}
		_ = conn.Close()
	}
}

// limitedConn gives its place back when it is closed.
type limitedConn struct {
	net.Conn
	free func()
}

func (c *limitedConn) Close() error {
	c.free()
	return c.Conn.Close()
}

func (m *limit) take(client netip.Prefix) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all >= maxConnections || m.client[client] >= maxConnectionsClient && !client.Addr().IsLoopback() {
		m.closed++
		return false
	}
	m.all++
	m.client[client]++
	return true
}

func (m *limit) free(client netip.Prefix) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all--
	if m.client[client]--; m.client[client] == 0 {
		delete(m.client, client)
	}
}

// clientOf is the network that a peer stands for.
func clientOf(remote net.Addr) netip.Prefix {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if addr.Is6() && !addr.IsLoopback() {
		bits = 64
	} else if addr.Is6() {
		bits = 128
	}
	prefix, _ := addr.Prefix(bits) // the bits fit the address
	return prefix
}
