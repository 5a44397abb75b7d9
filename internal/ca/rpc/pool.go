package rpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	dialTimeout      = 2 * time.Second // machines of one cluster are near each other
	handshakeTimeout = 3 * time.Second
	// maxConns bounds the connections to one server. A call beyond waits for one to be free.
	maxConns = 256
	// maxIdleConns is how many are kept: a handshake costs both sides more than ten calls do.
	maxIdleConns = 64
	idleTimeout  = time.Minute // less than servers keep one
	// maxTargets bounds how many servers connections are kept to. A cluster has tens.
	maxTargets = 256
)

// NewTransport makes the transport for calls with a ClientConfig.
func (i Identity) NewTransport(expected Expect) *http.Transport {
	return &http.Transport{
		TLSClientConfig: i.ClientConfig(expected), DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: handshakeTimeout, MaxConnsPerHost: maxConns, MaxIdleConnsPerHost: maxIdleConns,
		IdleConnTimeout: idleTimeout, MaxResponseHeaderBytes: 16 << 10, DisableCompression: true,
	}
}

// Pool keeps the connections of one role to others. It is safe for concurrent use.
type Pool struct {
	identity Identity

	mu      sync.Mutex
	clients map[string]*pooled // by what a connection depends on
}

type pooled struct {
	http *http.Client
	used time.Time
}

// NewPool makes a pool of connections of the role that i is.
func NewPool(i Identity) *Pool { return &Pool{identity: i, clients: make(map[string]*pooled)} }

// Client calls the server at address, HOST:PORT, which must be as expected.
func (p *Pool) Client(address string, expected Expect) Client {
	name := fmt.Sprintf("%s %s %q %s", address, expected.Role, expected.Roles, expected.Node)
	if expected.Key != nil {
		name += fmt.Sprintf(" %x", *expected.Key)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.clients[name]
	if c == nil {
		p.makeRoom()
		c = &pooled{http: &http.Client{
			Transport:     p.identity.NewTransport(expected),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
		p.clients[name] = c
	}
	c.used = time.Now()
	return Client{URL: "https://" + address, HTTP: c.http}
}

// makeRoom lets go of what was not used for longest, if there is no room for another. The caller holds p.mu.
func (p *Pool) makeRoom() {
	if len(p.clients) < maxTargets {
		return
	}
	oldest := ""
	for name, c := range p.clients {
		if oldest == "" || c.used.Before(p.clients[oldest].used) {
			oldest = name
		}
	}
	p.clients[oldest].http.CloseIdleConnections()
	delete(p.clients, oldest)
}

// Close closes the connections on which nothing is under way.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clients {
		c.http.CloseIdleConnections()
	}
}

// avoided is for how long a server that did not answer is tried after the others.
const avoided = 10 * time.Second

// Any calls one of several servers that do the same. The zero value is ready, and safe for concurrent use.
type Any struct {
	Timeout time.Duration // for one server; 0 means 10 s

	mu     sync.Mutex
	failed map[string]time.Time // when a server last did not answer, by URL
}

// ErrNoServer means that there is none to call.
var ErrNoServer = errors.New("no server of the role is known")

// CallAny calls method at one of servers after the other, at random and those last that did not answer of late, until one
// answers, be it with a *Refusal. So a call may be carried out more than once, at several of them.
func CallAny[Request, Response any](ctx context.Context, a *Any, servers []Client, method string, request Request) (response Response, err error) {
	timeout := a.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	err = ErrNoServer
	for _, server := range a.Order(servers) {
		response, err = callOne[Request, Response](ctx, timeout, server, method, request)
		var refusal *Refusal
		if err == nil || errors.As(err, &refusal) || ctx.Err() != nil {
			return response, err
		}
		a.Note(server)
	}
	return response, err
}

func callOne[Request, Response any](ctx context.Context, timeout time.Duration, server Client, method string, request Request) (Response, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return Call[Request, Response](ctx, server, method, request)
}

// Order is in which order servers are to be tried.
func (a *Any) Order(servers []Client) []Client {
	servers = slices.Clone(servers)
	rand.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(time.Now())
	slices.SortStableFunc(servers, func(x, y Client) int { return a.failed[x.URL].Compare(a.failed[y.URL]) })
	return servers
}

// Note remembers that a server did not answer.
func (a *Any) Note(server Client) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed == nil {
		a.failed = make(map[string]time.Time)
	}
	a.failed[server.URL] = time.Now()
}

// forget forgets which servers did not answer too long ago. The caller holds a.mu.
func (a *Any) forget(now time.Time) {
	for url, at := range a.failed {
		if now.Sub(at) > avoided {
			delete(a.failed, url)
		}
	}
}
