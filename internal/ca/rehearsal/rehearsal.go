// Package rehearsal is a CA that lives inside another program for one run: cairnbot --rehearse gets certificates from it
// before it asks a real CA. It speaks RFC 8555, looks for proofs with the same prober as the authority, and reads signing requests
// by the same rules. It keeps everything in memory, has no rate limits, and nobody trusts its root.
//
// Every name leads to one address, this machine's: what is rehearsed is whether the right answer is served here. Records
// other than addresses are looked up as this machine does.
//
// It imports neither the store, the signer nor the front: databases, linters and metrics would cost their host
// milliseconds at every start.
package rehearsal

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// Config says what a Server takes for the network. Its zero value is useful.
type Config struct {
	// Address is where every name leads; the zero value is 127.0.0.1.
	Address netip.Addr
	// HTTPPort is where http-01 challenges of a name are looked at; nil, or 0, means 80. TLSPort is the same for tls-alpn-01 and 443.
	HTTPPort func(acme.Identifier) int
	TLSPort  func(acme.Identifier) int
	// Resolvers (HOST:PORT) are asked for all records but addresses; none means those of /etc/resolv.conf.
	Resolvers []string
	Profiles  []string      // names that orders can have
	Lifetime  time.Duration // of certificates; 0 means 90 days
	Log       *slog.Logger  // nil discards
}

// Server is a CA that answers.
type Server struct {
	config    Config
	authority *authority
	names     *names
	resolver  *validate.Resolver
	listener  net.Listener
	http      *http.Server
	base      string // of URLs: https://127.0.0.1:PORT

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup // the server, and looks at challenges

	mu       sync.Mutex
	nonces   map[string]bool     // guarded by mu
	accounts map[string]*account // by URL; guarded by mu
	orders   map[string]*order   // by number; guarded by mu
	authzs   map[string]*authz   // by number; guarded by mu
}

// Start makes a CA and has it answer on a port of loopback, until Close.
func Start(ctx context.Context, c Config) (*Server, error) {
	if !c.Address.IsValid() {
		c.Address = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if c.Lifetime <= 0 {
		c.Lifetime = 90 * 24 * time.Hour
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: c, nonces: make(map[string]bool), accounts: make(map[string]*account),
		orders: make(map[string]*order), authzs: make(map[string]*authz)}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a CA to rehearse with: %w", err), s.Close())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) (err error) {
	if s.authority, err = newAuthority(time.Now()); err != nil {
		return err
	}
	if s.names, err = serveNames(ctx, s.config); err != nil {
		return err
	}
	if s.resolver, err = validate.NewResolver(validate.ResolverConfig{
		HostsFile: os.DevNull, Servers: []string{"tcp://" + s.names.address()}, Multicast: []netip.AddrPort{},
	}); err != nil {
		return err
	}
	if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	certificate, err := s.authority.server()
	if err != nil {
		return err
	}
	s.base = "https://" + s.listener.Addr().String()
	s.http = &http.Server{
		Handler: s.door(), TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
	s.work.Go(func() {
		if err := s.http.ServeTLS(s.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			s.config.Log.Error("the CA to rehearse with has ended", "error", err)
		}
	})
	return nil
}

// Close ends it. Nothing of it is left.
func (s *Server) Close() (err error) {
	s.cancel()
	if s.http != nil {
		err = s.http.Close()
	} else if s.listener != nil {
		err = s.listener.Close()
	}
	s.work.Wait()
	if s.names != nil {
		err = errors.Join(err, s.names.close())
	}
	return err
}

// Directory is its URL.
func (s *Server) Directory() string { return s.base + "/directory" }

// Root is the certificate that its own certificate, and all that it issues, lead to, in PEM.
func (s *Server) Root() []byte { return s.authority.rootPEM() }

// prober looks for the proof of one identifier. It may look at every address: the operator said which.
func (s *Server) prober(id acme.Identifier) *validate.Prober {
	port := func(of func(acme.Identifier) int) int {
		if of == nil {
			return 0
		}
		return of(id)
	}
	return validate.New(validate.Config{
		Resolver: s.resolver, HTTP01Port: port(s.config.HTTPPort), TLSALPN01Port: port(s.config.TLSPort),
		Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, AnyPort: true, Log: s.config.Log,
	})
}
