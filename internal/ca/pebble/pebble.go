// Package pebble is the test personality: the same front, rules, store, worker and signer as `cairn up`,
// put together so that whoever starts Let's Encrypt's Pebble in tests can start this instead. It certifies
// any name, has paths, defaults and a management interface as Pebble has them, and forgets
// everything at its end unless told otherwise. docs/pebble.md says what is the same and what is more.
//
// It is for tests alone: its management interface hands out the keys of its roots.
package pebble

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/crl"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// Config says what a Server does. Listen, Certificate, PrivateKey and Log are required.
type Config struct {
	Listen                  string // of ACME, over HTTPS
	Management              string // of the management interface, over HTTPS; "" for none
	CRLs                    string // of CRLs and the issuer's certificate, over plain HTTP; "" for none, and certificates point to none
	Certificate, PrivateKey string // PEM files for HTTPS

	HTTPPort, TLSPort int    // where http-01 and tls-alpn-01 challenges are looked at; 0 means 80 and 443
	DNSServer         string // ADDRESS:PORT that is asked for everything; "" means that names are resolved as the machine does
	OCSPURL           string // goes into certificates; "" for none
	KeyAlgorithm      string // of the CA's keys: rsa or ecdsa; "" means rsa
	AlternateRoots    int    // how many roots there are beside the first one
	ChainLength       int    // how many intermediates stand below a root; less than 1 means 1

	ExternalRequired bool              // no account without an external account binding
	ExternalKeys     map[string][]byte // MAC keys by identifier
	CAAIdentities    []string
	CheckCAA         bool // CAA records are looked at, for all names
	Blocked          []string
	Profiles         map[string]Profile // by name; none means one, "default"

	AuthzPause, OrderPause time.Duration // Retry-After of what is processing; 0 for none
	Strict                 bool
	RejectNonces           int           // of a hundred good nonces, how many are refused
	ReuseProofs            int           // of a hundred valid authorizations that could serve a new order, how many do
	PageSize               int           // orders on a page of the list; 0 means 3
	Sleep                  time.Duration // at most, before a challenge is looked at
	AlwaysValid            bool          // challenges are valid without a look

	Dir string // what holds the state, and keeps it; "" means a temporary directory, which is removed
	Log *slog.Logger
}

// Profile is a kind of certificate.
type Profile struct {
	Description       string
	PromoteCommonName bool          // the subject names the first name
	Validity          time.Duration // 0 means 90 days
}

// Server is a test CA that listens, once Serve runs.
type Server struct {
	config Config
	log    *slog.Logger
	clock  *Clock
	faults *faults
	chains []chain

	dir      string // "" once it is removed
	db       *store.DB
	worker   *work.Worker
	lists    *crl.Publisher
	front    *front.Front
	renewals renewals

	certificate      tls.Certificate
	acme, management net.Listener
	crls             net.Listener
}

// Open listens, makes the keys and is ready to Serve.
func Open(ctx context.Context, c Config) (*Server, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	s := &Server{config: c, log: c.Log, clock: new(Clock), renewals: renewals{bodies: make(map[string][]byte)}}
	s.faults = new(faults)
	for _, step := range []func(context.Context) error{s.listen, s.openState, s.openRoles, s.openFront} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// complete fills in what c leaves out and checks the rest.
func (c *Config) complete() error {
	if c.KeyAlgorithm == "" {
		c.KeyAlgorithm = "rsa"
	}
	if c.KeyAlgorithm != "rsa" && c.KeyAlgorithm != "ecdsa" {
		return fmt.Errorf("the key algorithm %q is neither rsa nor ecdsa", c.KeyAlgorithm)
	}
	c.ChainLength = max(c.ChainLength, 1)
	if c.PageSize < 1 {
		c.PageSize = 3
	}
	if len(c.Profiles) == 0 {
		c.Profiles = map[string]Profile{"default": {Description: "The default profile"}}
	}
	if len(c.CAAIdentities) == 0 {
		c.CAAIdentities = []string{"pebble.letsencrypt.org"}
	}
	if c.AlternateRoots < 0 || c.AlternateRoots > 100 || c.ChainLength > 100 {
		return fmt.Errorf("%d more roots, %d intermediates: at most 100 of each are made", c.AlternateRoots, c.ChainLength)
	}
	return nil
}

func (s *Server) listen(ctx context.Context) (err error) {
	if s.config.Certificate == "" {
		return errors.New("loading the certificate of the HTTPS server: the configuration has no certificate")
	}
	if s.certificate, err = tls.LoadX509KeyPair(s.config.Certificate, s.config.PrivateKey); err != nil {
		return fmt.Errorf("loading the certificate of the HTTPS server: %w", err)
	}
	var l net.ListenConfig
	if s.acme, err = l.Listen(ctx, "tcp", s.config.Listen); err != nil {
		return fmt.Errorf("listening for ACME: %w", err)
	}
	if s.config.Management != "" {
		if s.management, err = l.Listen(ctx, "tcp", s.config.Management); err != nil {
			return fmt.Errorf("listening for the management interface: %w", err)
		}
	}
	if s.config.CRLs != "" {
		if s.crls, err = l.Listen(ctx, "tcp", s.config.CRLs); err != nil {
			return fmt.Errorf("listening for requests for CRLs: %w", err)
		}
	}
	return nil
}

// openState makes or opens the directory, the keys and the database.
func (s *Server) openState(ctx context.Context) (err error) {
	if s.dir = s.config.Dir; s.dir == "" {
		s.dir, err = os.MkdirTemp("", "cairn-pebble-")
	} else {
		err = os.MkdirAll(s.dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("making a directory for the state: %w", err)
	}
	if s.chains, err = openChains(s.config, s.dir, s.clock.Now()); err != nil {
		return err
	}
	s.db, err = store.Open(ctx, store.Config{
		Path: filepath.Join(s.dir, "cairn.db"), Log: s.log, Now: s.clock.Now, Volatile: s.config.Dir == "",
	})
	return err
}

// issuerID names the one issuer in the store.
const issuerID = "1"

// issuer is what signs certificates.
func (s *Server) issuer() sign.Issuer {
	a := s.chains[0].intermediates[0]
	i := sign.Issuer{ID: issuerID, Certificate: a.certificate, Key: a.key, Chain: s.chains[0].above(), OCSPURL: s.config.OCSPURL}
	if s.crls != nil {
		base := "http://" + reachable(s.crls.Addr())
		i.CRLURL, i.IssuerURL = base+"/crls/0", base+"/issuers/0"
	}
	return i
}

// reachable is how others reach a listener: one on all addresses, by the name that tests have for this machine.
func reachable(addr net.Addr) string {
	tcp := addr.(*net.TCPAddr) // nothing else is listened on
	if tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", fmt.Sprint(tcp.Port))
	}
	return tcp.String()
}

// Serve answers until ctx ends or a listener fails, and then forgets everything that is not to be kept.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	servers := map[net.Listener]*http.Server{s.acme: s.server(s.front)}
	if s.management != nil {
		servers[s.management] = s.server(s.manage())
	}
	if s.crls != nil {
		servers[s.crls] = s.server(s.publish())
	}
	var loops sync.WaitGroup
	for _, loop := range []func(context.Context){s.worker.Run, s.lists.Run} {
		loops.Go(func() { loop(ctx) })
	}
	failed := make(chan error, len(servers))
	for listener, server := range servers {
		loops.Go(func() {
			if listener == s.crls {
				failed <- server.Serve(listener)
				return
			}
			failed <- server.ServeTLS(listener, "", "")
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	for _, server := range servers {
		_ = server.Close() // a test that ends does not wait for its requests
	}
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer stop()
	err = errors.Join(err, s.worker.Stop(end))
	loops.Wait()
	return errors.Join(err, s.Close())
}

func (s *Server) server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{s.certificate}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// Close frees what Open took. Serve calls it.
func (s *Server) Close() (err error) {
	for _, l := range []net.Listener{s.acme, s.management, s.crls} {
		if l != nil {
			_ = l.Close() // closed by its server, as a rule
		}
	}
	if s.db != nil {
		err = s.db.Close()
	}
	if s.config.Dir == "" && s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}
