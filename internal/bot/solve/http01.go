package solve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// files answers http-01 challenges with an HTTP server (RFC 8555 §8.3).
type files struct {
	log    *slog.Logger
	server *http.Server

	mu    sync.Mutex
	known map[string]*file // by token; guarded by mu
}

// file is one answer. A CA may give the same challenge to several orders.
type file struct {
	text  string
	users int
}

func newFiles(log *slog.Logger) *files {
	f := &files{log: log, known: make(map[string]*file)}
	f.server = &http.Server{
		Handler:           f,
		ReadTimeout:       10 * time.Second, // a challenge is one small request
		WriteTimeout:      10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second,
	}
	return f
}

func (f *files) serve(_ context.Context, listener net.Listener) {
	err := f.server.Serve(listener)
	if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		f.log.Error("http-01 server stopped", "address", listener.Addr(), "error", err)
	}
}

func (f *files) close(ctx context.Context) {
	grace, cancel := context.WithTimeout(ctx, closeGrace)
	defer cancel()
	if f.server.Shutdown(grace) != nil {
		_ = f.server.Close()
	}
}

func (f *files) add(token, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known[token] == nil {
		f.known[token] = &file{text: text}
	}
	f.known[token].users++
}

func (f *files) remove(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if file := f.known[token]; file != nil {
		if file.users--; file.users == 0 {
			delete(f.known, token)
		}
	}
}

// ServeHTTP answers the tokens that have been presented, and nothing else.
func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.URL.Path, acme.HTTP01Path)
	f.mu.Lock()
	answer, known := f.known[token]
	f.mu.Unlock()
	f.log.Debug("challenge request", "from", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "known", known)
	switch {
	case !ok || !known:
		http.NotFound(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
	default:
		w.Header().Set("Content-Type", "application/octet-stream") // RFC 8555 §8.3
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = io.WriteString(w, answer.text) // who hangs up has no use for the error
	}
}
