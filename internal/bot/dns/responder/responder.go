// Package responder is a name server for zones that are delegated to this machine for proofs alone:
// _acme-challenge.NAME itself, or a zone that such names are aliases into. It answers while there are
// records to show, and does not listen otherwise.
//
// It is open to the whole network. Whoever asks gets what a CA would; answers are small, go out at a limited
// rate, and beyond it ask for TCP, so that it is of no use for attacks on others.
package responder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	wire "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/bot/dns"
)

// Config says where a Responder listens.
type Config struct {
	// Addresses are ADDRESS or ADDRESS:PORT each. None means port 53 of all addresses.
	Addresses []string
	Log       *slog.Logger // nil discards
}

// Responder is a name server. It is a Provider.
type Responder struct {
	addresses []string
	log       *slog.Logger
	limit     limiter

	// changing is held by Add and Remove to their end: ports are free before they are wanted again. It guards running,
	// and is taken before mu.
	changing sync.Mutex
	running  []*server // none while there is nothing to show

	// mu guards zones, which Add and Remove alone change. No server is started or ended under it, as answers wait for it.
	mu    sync.Mutex
	zones map[string]*zone // by their names
}

// zone is what there is of a zone at the moment.
type zone struct {
	name    string
	servers []string
	serial  uint32
	records map[string][]string // a name → TXT values
}

// Bounds for records, of which there are one or two for each name of a certificate.
const (
	maxZones   = 1000
	maxRecords = 10000 // at one name, into which aliases of many can lead
)

// ErrPortTaken says that another program listens there.
var ErrPortTaken = errors.New("the port is already in use by another name server on this machine")

// ErrPortForbidden says that listening there takes more rights.
var ErrPortForbidden = errors.New("this user may not listen there")

// New checks c. It does not listen yet.
func New(c Config) (*Responder, error) {
	r := &Responder{log: c.Log, zones: make(map[string]*zone), limit: limiter{rate: rate}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	for _, address := range c.Addresses {
		server, err := dns.ParseServer(address)
		if err != nil {
			return nil, err
		}
		r.addresses = append(r.addresses, server.String())
	}
	if len(r.addresses) == 0 {
		r.addresses = []string{":53"}
	}
	return r, nil
}

// Entry is the row of the registry.
func Entry() dns.Entry {
	return dns.Entry{
		Name: "responder", Title: "a name server of our own", Aliases: []string{"standalone"},
		Keys:     []dns.Key{{Name: "address", Help: "where to listen: ADDRESS or ADDRESS:PORT, several separated by commas; port 53 of all addresses"}},
		Optional: true, AnyValue: true, Propagation: 30 * time.Second, TTL: ttl * time.Second,
		Docs: "https://github.com/cairn-ca/cairn/blob/main/docs/dns.md#the-responder",
		New: func(s dns.Settings) (dns.Provider, error) {
			var addresses []string
			for address := range strings.SplitSeq(s.Values["address"], ",") {
				if address = strings.TrimSpace(address); address != "" {
					addresses = append(addresses, address)
				}
			}
			return New(Config{Addresses: addresses, Log: s.Log})
		},
	}
}

// Add shows a record, and listens if there was none before.
func (r *Responder) Add(ctx context.Context, record dns.Record) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	name := wire.CanonicalName(record.Name)
	apex := wire.CanonicalName(record.Zone)
	if record.Zone == "" {
		apex = name
	}
	if !wire.IsSubDomain(apex, name) {
		return fmt.Errorf("%s is not in the zone %s", record.Name, record.Zone)
	}
	z := r.zones[apex]
	if z == nil && len(r.zones) >= maxZones {
		return fmt.Errorf("there are %d zones already", maxZones)
	}
	if z != nil && len(z.records[name]) >= maxRecords {
		return fmt.Errorf("there are %d records at %s already", maxRecords, record.Name)
	}
	if len(r.running) == 0 {
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if z == nil {
		z = &zone{name: apex, records: make(map[string][]string)}
		r.zones[apex] = z
	}
	z.servers = record.Servers
	z.serial++
	if values := z.records[name]; !slices.Contains(values, record.Value) {
		z.records[name] = append(values, record.Value)
	}
	return nil
}

// Remove takes a record away. With the last one the ports are free again.
func (r *Responder) Remove(_ context.Context, record dns.Record) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	r.mu.Lock()
	name := wire.CanonicalName(record.Name)
	for apex, z := range r.zones {
		z.serial++
		values := slices.DeleteFunc(slices.Clone(z.records[name]), func(v string) bool { return v == record.Value })
		if z.records[name] = values; len(values) == 0 {
			delete(z.records, name)
		}
		if len(z.records) == 0 {
			delete(r.zones, apex)
		}
	}
	var stop []*server
	if len(r.zones) == 0 {
		stop, r.running = r.running, nil
	}
	r.mu.Unlock()
	for _, s := range stop {
		if err := s.stop(); err != nil {
			r.log.Debug("ending a name server", "error", err)
		}
	}
	return nil
}

// server is one that runs.
type server struct {
	wire  *wire.Server
	ended chan struct{} // closed when it has ended
}

// stop ends it, and returns when its port is free: Shutdown alone may return while the server closes its socket.
func (s *server) stop() error {
	err := s.wire.Shutdown()
	<-s.ended
	return err
}

// start listens on all addresses, or on none. r.changing is held.
func (r *Responder) start(ctx context.Context) error {
	var servers []*server
	undo := func() {
		for _, s := range servers {
			_ = s.stop()
		}
	}
	for _, address := range r.addresses {
		var listen net.ListenConfig
		packets, err := listen.ListenPacket(ctx, "udp", address)
		if err != nil {
			undo()
			return refused(address, err)
		}
		streams, err := listen.Listen(ctx, "tcp", address)
		if err != nil {
			_ = packets.Close()
			undo()
			return refused(address, err)
		}
		servers = append(servers,
			r.serve(&wire.Server{PacketConn: packets, UDPSize: udpSize}),
			r.serve(&wire.Server{Listener: &few{Listener: streams, slots: make(chan struct{}, maxConnections)}}))
		r.log.Debug("a name server of our own listens", "address", packets.LocalAddr())
	}
	r.running = servers
	return nil
}

// Timeouts of connections: whoever asks has a question ready.
const (
	readTimeout    = 3 * time.Second
	maxConnections = 50
	maxQuestions   = 4 // on one connection
)

// serve starts a server, and returns when it answers.
func (r *Responder) serve(s *wire.Server) *server {
	started, ended := make(chan struct{}), make(chan struct{})
	s.Handler = wire.HandlerFunc(r.handle)
	s.NotifyStartedFunc = func() { close(started) }
	s.ReadTimeout, s.WriteTimeout = readTimeout, readTimeout
	s.IdleTimeout = func() time.Duration { return readTimeout }
	s.MaxTCPQueries = maxQuestions
	go func() {
		defer close(ended)
		if err := s.ActivateAndServe(); err != nil && !errors.Is(err, net.ErrClosed) {
			r.log.Warn("a name server of our own ended", "error", err)
		}
	}()
	<-started
	return &server{s, ended}
}

// refused puts the usual reasons into words that callers can tell apart.
func refused(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		err = ErrPortTaken
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		err = ErrPortForbidden
	}
	return fmt.Errorf("listening for questions on %s: %w", strconv.Quote(address), err)
}

// few is a listener that accepts so many connections at a time.
type few struct {
	net.Listener
	slots chan struct{}
}

func (f *few) Accept() (net.Conn, error) {
	f.slots <- struct{}{}
	conn, err := f.Listener.Accept()
	if err != nil {
		<-f.slots
		return nil, err
	}
	return &counted{Conn: conn, free: sync.OnceFunc(func() { <-f.slots })}, nil
}

type counted struct {
	net.Conn
	free func()
}

func (c *counted) Close() error {
	defer c.free()
	return c.Conn.Close()
}
