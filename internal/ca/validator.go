package ca

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// ValidatorConfig is what an operator can say to `cairn validator`: a remote perspective,
// without a database and without keys of a CA. Dir and Log are required.
type ValidatorConfig struct {
	Dir     string // where the host keeps who it is
	Listen  string // "" means ":9443"
	Version string // of the program

	Join      string // a token; "" means that the host has joined already
	URL       string // of the authority to join, https://HOST[:PORT]
	Node, RIR string // as which to join; "" leaves it to the token
	Advertise string // HOST:PORT at which the authority is to call; "" means where the request to join comes from

	Resolvers     []string       // as of `cairn up`; none means those of the machine
	ResolverRoots *x509.CertPool // for those over TLS and HTTPS; nil means the machine's
	HTTP01Port    int            // 0 means 80
	TLSALPN01Port int            // 0 means 443
	AllowTargets  []netip.Prefix // addresses to validate at although they are refused by default
	Limit         int            // questions in parallel; 0 means 256

	HostsFile, ResolvConf string // "" means those in /etc
	Log                   *slog.Logger
}

// Validator is a remote perspective that listens, once Serve runs.
type Validator struct {
	config   ValidatorConfig
	host     *roles.Host
	listener net.Listener
	prober   *validate.Prober

	called     chan struct{} // closed when the authority has called
	calledOnce sync.Once
}

// Health is how a remote perspective says that it is well.
type Health struct {
	Version string `json:"version"`
	// Renewal is a CSR where the certificate by which the authority knows it is due for renewal.
	Renewal []byte `json:"renewal,omitempty"`
}

// OpenValidator listens and, where a token says so, joins. The port is open first, so that the authority can call at once.
func OpenValidator(ctx context.Context, c ValidatorConfig) (*Validator, error) {
	host, err := roles.OpenHost(c.Dir)
	if err != nil {
		return nil, err
	}
	if c.Join == "" && !host.Joined() {
		return nil, fmt.Errorf("this host has not joined an authority yet (%s has none): run `cairn validator token` on the host of the authority, and here the command that it prints", c.Dir)
	}
	resolver, err := validate.NewResolver(validate.ResolverConfig{HostsFile: c.HostsFile, ResolvConf: c.ResolvConf, Servers: c.Resolvers, Roots: c.ResolverRoots})
	if err != nil {
		return nil, err
	}
	v := &Validator{config: c, host: host, called: make(chan struct{})}
	v.prober = validate.New(validate.Config{
		Resolver: resolver, HTTP01Port: c.HTTP01Port, TLSALPN01Port: c.TLSALPN01Port, Allow: c.AllowTargets, Log: c.Log,
	})
	if v.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", cmp.Or(c.Listen, ":9443")); err != nil {
		return nil, fmt.Errorf("listening for the authority's calls (--listen): %w", err)
	}
	if c.Join != "" {
		if err := v.join(ctx); err != nil {
			return nil, errors.Join(err, v.listener.Close())
		}
	}
	return v, nil
}

func (v *Validator) join(ctx context.Context) error {
	token, err := roles.ParseToken(v.config.Join)
	if err != nil {
		return fmt.Errorf("reading the token (--join): %w", err)
	}
	return v.host.Join(ctx, roles.JoinConfig{URL: v.config.URL, Token: token, Request: roles.EnrolRequest{
		Node: v.config.Node, RIR: v.config.RIR, Version: v.config.Version, Address: v.advertised(),
	}})
}

// advertised is where the authority is to call, with an empty host if only the authority can see which address that is.
func (v *Validator) advertised() string {
	if v.config.Advertise != "" {
		return v.config.Advertise
	}
	addr, _ := v.listener.Addr().(*net.TCPAddr)
	host := ""
	if !addr.IP.IsUnspecified() {
		host = addr.IP.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(addr.Port))
}

// Name is what the host is called, in which region it is, and where the authority calls it.
func (v *Validator) Name() (node, rir, address string) { return v.host.Name() }

// unreached is when a host says that it was not called yet.
const unreached = 30 * time.Second

// Serve answers the authority's calls until ctx ends. A nil error means that it was told to end and did.
func (v *Validator) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler:           v.handler(),
		TLSConfig:         v.host.Identity().ServerConfig(rpc.Expect{Role: rpc.RoleAuthority, Roles: []string{rpc.RoleWork}}),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(v.config.Log.Handler(), slog.LevelDebug), // failed handshakes and the like
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(tls.NewListener(newLimit().on(v.listener), server.TLSConfig)) }()
	go v.watchCalls(ctx)
	select {
	case <-ctx.Done():
	case err := <-failed:
		return fmt.Errorf("answering the authority: %w", err)
	}
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer stop()
	if err := server.Shutdown(end); err != nil {
		_ = server.Close()
	}
	return nil
}

// handler answers the calls. Whoever gets here is the authority, or one of its workers: those
// ask what this host sees, and no more.
func (v *Validator) handler() http.Handler {
	node, rir, _ := v.host.Name()
	server := &rpc.Server{Log: v.config.Log}
	validate.Serve(server, validate.ServeConfig{Vantage: v.prober, Place: validate.Place{Name: node, RIR: rir}, Limit: v.config.Limit})
	authority := []string{rpc.RoleAuthority}
	rpc.HandleMethod(server, rpc.Method{Name: "health", Roles: authority}, func(context.Context, struct{}) (Health, error) {
		csr, err := v.host.Renewal(time.Now())
		return Health{Version: v.config.Version, Renewal: csr}, err
	})
	rpc.HandleMethod(server, rpc.Method{Name: "renew", Roles: authority}, func(_ context.Context, der []byte) (struct{}, error) {
		if err := v.host.Renewed(der); err != nil {
			return struct{}{}, err
		}
		v.config.Log.Info("this host's certificate was renewed")
		return struct{}{}, nil
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.calledOnce.Do(func() { close(v.called) })
		server.ServeHTTP(w, r)
	})
}

// watchCalls says whether the authority reaches this host, which is what goes wrong most often.
func (v *Validator) watchCalls(ctx context.Context) {
	_, _, address := v.host.Name()
	timer := time.NewTimer(unreached)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.called:
			v.config.Log.Info("the authority has called: this perspective is in use")
			return
		case <-timer.C:
			v.config.Log.Warn("the authority has not called yet", "address", address,
				"remedy", "let it reach that address: open the port in firewalls, or join anew with --advertise HOST:PORT")
		}
	}
}
