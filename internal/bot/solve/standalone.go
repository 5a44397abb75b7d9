package solve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// StandaloneConfig says where a Standalone listens.
type StandaloneConfig struct {
	Address string // an IP address; "" is every address, of both families
	Port    int    // 1 to 65535; CAs look at port 80
	Log     *slog.Logger
}

// ErrPortTaken says that another program listens where a Standalone would.
var ErrPortTaken = errors.New("the port is already in use by another process on this system (such as a web server)")

// ErrPortForbidden says that listening there takes more rights.
var ErrPortForbidden = errors.New("this user may not listen there")

// Standalone answers http-01 challenges with an HTTP server that runs only while
// there are challenges to answer.
type Standalone struct {
	config StandaloneConfig

	mu      sync.Mutex
	answers map[string]string // token → key authorization; guarded by mu
	stop    func()            // nil while no server runs; used by Present and CleanUp alone
}

// NewStandalone checks c. It does not listen yet.
func NewStandalone(c StandaloneConfig) (*Standalone, error) {
	if c.Port < 1 || c.Port > 65535 {
		return nil, fmt.Errorf("%d is not a port: use 1 to 65535", c.Port)
	}
	if c.Address != "" && net.ParseIP(c.Address) == nil {
		return nil, fmt.Errorf("%q is not an IP address to listen on", c.Address)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Standalone{config: c, answers: make(map[string]string)}, nil
}

// Types is http-01.
func (s *Standalone) Types(acme.Identifier, bool) []acme.ChallengeType {
	return []acme.ChallengeType{acme.HTTP01}
}

// Present starts the server if it does not run, and has it answer c.
func (s *Standalone) Present(ctx context.Context, c renew.Challenge) error {
	if err := checkToken(c); err != nil {
		return err
	}
	if s.stop == nil {
		stop, err := s.start(ctx)
		if err != nil {
			return err
		}
		s.stop = stop
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[c.Token] = c.KeyAuthorization
	return nil
}

// CleanUp forgets c, and stops the server after the last one.
func (s *Standalone) CleanUp(_ context.Context, c renew.Challenge) error {
	s.mu.Lock()
	delete(s.answers, c.Token)
	left := len(s.answers)
	s.mu.Unlock()
	if left == 0 && s.stop != nil {
		s.stop()
		s.stop = nil
	}
	return nil
}

// start listens and serves. The function it returns ends both.
func (s *Standalone) start(ctx context.Context) (stop func(), err error) {
	listeners, err := s.listen(ctx)
	if err != nil {
		return nil, err
	}
	server := &http.Server{
		Handler:           s,
		ReadTimeout:       10 * time.Second, // a challenge is one small request
		WriteTimeout:      10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ReadHeaderTimeout: 5 * time.Second,
	}
	var serving sync.WaitGroup
	for _, listener := range listeners {
		serving.Go(func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				s.config.Log.Error("http-01 server stopped", "address", listener.Addr(), "error", err)
			}
		})
	}
	return func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close()
		}
		serving.Wait()
	}, nil
}

// listen opens a socket for each family, because CAs prefer IPv6 where a name has
// an address there. A machine may lack one family, but a port that is taken in
// either would make validation depend on which one the CA tries.
func (s *Standalone) listen(ctx context.Context) ([]net.Listener, error) {
	targets := map[string]string{"tcp6": "::", "tcp4": "0.0.0.0"}
	if s.config.Address != "" {
		targets = map[string]string{"tcp": s.config.Address}
	}
	var listeners []net.Listener
	var failures []error
	for network, host := range targets {
		address := net.JoinHostPort(host, strconv.Itoa(s.config.Port))
		listener, err := new(net.ListenConfig).Listen(ctx, network, address)
		if err != nil {
			failures = append(failures, listenError(address, err))
			continue
		}
		listeners = append(listeners, listener)
	}
	failure := errors.Join(failures...)
	if len(listeners) > 0 && !errors.Is(failure, ErrPortTaken) {
		return listeners, nil
	}
	for _, listener := range listeners {
		_ = listener.Close()
	}
	for _, err := range failures { // the reason that a person can do something about
		if errors.Is(err, ErrPortTaken) {
			return nil, err
		}
	}
	return nil, failures[0]
}

func listenError(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		err = ErrPortTaken
	case errors.Is(err, syscall.EACCES):
		err = ErrPortForbidden
	}
	return fmt.Errorf("listening on %s for the challenge: %w", address, err)
}

// ServeHTTP answers the tokens that have been presented, and nothing else.
func (s *Standalone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.URL.Path, acme.HTTP01Path)
	s.mu.Lock()
	answer, known := s.answers[token]
	s.mu.Unlock()
	s.config.Log.Debug("challenge request", "from", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "known", known)
	switch {
	case !ok || !known:
		http.NotFound(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
	default:
		w.Header().Set("Content-Type", "application/octet-stream") // RFC 8555 §8.3
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = io.WriteString(w, answer) // who hangs up has no use for the error
	}
}
