// Package ops is for the operator: what can be done to an authority by its owner
// and by nobody else.
//
// An Action is the same whether the authority runs or not. While it runs, the
// action is carried out in its process, asked for over a socket in the data directory
// that only the directory's owner can open; otherwise in the caller's process,
// which holds the data directory meanwhile.
//
// Each action that changes something leaves a row in the audit log, in the same transaction.
package ops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// Env is what an action works on.
type Env struct {
	DB  *store.DB
	Dir *datadir.Dir
	Log *slog.Logger
	// Limits are the rate limits that are on; nil where nobody serves the directory, so that nobody knows.
	Limits rules.Limits
	// JoinURL is where machines join, https://HOST[:PORT]; "" means at the authority's HTTPS port.
	JoinURL string
}

// Action is something that an operator can do. Name is a path segment. An error that
// is an *rpc.Refusal is for the operator's eyes as it stands: what was wrong with the request.
type Action[Request, Response any] struct {
	Name string
	Do   func(ctx context.Context, env Env, r Request) (Response, error)
}

// Server carries out actions for commands that are run beside it.
type Server struct {
	env  Env
	rpc  rpc.Server
	http http.Server
}

// NewServer makes a server of all actions.
func NewServer(env Env) *Server {
	s := &Server{env: env, rpc: rpc.Server{Log: env.Log}}
	offerAll(s)
	s.http = http.Server{Handler: &s.rpc, ReadTimeout: callTimeout, WriteTimeout: callTimeout, MaxHeaderBytes: 16 << 10}
	return s
}

// callTimeout bounds one call: an action is a transaction or a few.
const callTimeout = time.Minute

// offerAll is the list of actions.
func offerAll(s *Server) {
	offer(s, AuditLog)
	offer(s, Evidence)
	offer(s, CreateExternalKey)
	offer(s, ListExternalKeys)
	offer(s, RevokeExternalKey)
	offer(s, CreateValidatorToken)
	offer(s, ListValidators)
	offer(s, RemoveValidator)
	offer(s, CreateNodeToken)
	offer(s, ListNodes)
	offer(s, RemoveNode)
	offer(s, SetRenewals)
	offer(s, ClearRenewals)
	offerLimits(s)
}

func offer[Request, Response any](s *Server, a Action[Request, Response]) {
	rpc.Handle(&s.rpc, a.Name, func(ctx context.Context, r Request) (Response, error) { return a.Do(ctx, s.env, r) })
}

// Serve answers until ctx ends. Where the file system or the system has no
// sockets, that is an error, and the authority runs without.
func (s *Server) Serve(ctx context.Context) error {
	listener, err := listen(s.env.Dir.Path())
	if err != nil {
		return fmt.Errorf("listening for the operator's commands: %w", err)
	}
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(over)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		if s.http.Shutdown(end) != nil {
			_ = s.http.Close() // whoever asked hears nothing more
		}
	})
	if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return fmt.Errorf("answering the operator's commands: %w", err)
	}
	<-over // the database is closed when this returns: what is under way ends before
	return nil
}

// drain is how long Serve takes at most to finish what is under way.
const drain = 5 * time.Second

// Caller says on which authority Run works: the one of a data directory.
type Caller struct {
	Dir string
	Log *slog.Logger // of what happens here if no process serves Dir
}

// Run carries out an action in the process that serves the data directory, or here
// if none does.
func Run[Request, Response any](ctx context.Context, c Caller, a Action[Request, Response], r Request) (Response, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	patience := time.Now().Add(startTime)
	client := rpc.Client{URL: "http://operator", HTTP: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, c.Dir) },
	}}}
	defer client.HTTP.CloseIdleConnections()
	for {
		response, err := rpc.Call[Request, Response](ctx, client, a.Name, r)
		if !nobodyThere(err) {
			return response, err
		}
		response, err = alone(ctx, c, a, r)
		// A process that has the directory and does not listen yet has just been started, or is about to end.
		if !errors.Is(err, datadir.ErrLocked) || !pause(ctx, time.Until(patience)) {
			return response, err
		}
	}
}

// How long a process that has the data directory is given to listen, and how often one looks.
const (
	startTime = 5 * time.Second
	lookAgain = 50 * time.Millisecond
)

// pause waits a moment; it is false where there is no time left.
func pause(ctx context.Context, left time.Duration) bool {
	if left <= 0 {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(lookAgain):
		return true
	}
}

// nobodyThere reports whether a call failed because no process listens.
func nobodyThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errNoSockets)
}

// alone carries out an action with the data directory in hand.
func alone[Request, Response any](ctx context.Context, c Caller, a Action[Request, Response], r Request) (response Response, err error) {
	d, err := datadir.Open(datadir.Config{Dir: c.Dir})
	if err != nil {
		return response, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if d.FirstRun() {
		return response, fmt.Errorf("%s is %w yet: let `cairn up` finish its first start", d.Path(), datadir.ErrNotMade)
	}
	if addresses, err := d.Addresses(); err != nil {
		return response, err
	} else if addresses.Database != "" {
		return response, fmt.Errorf("no process with the role ops runs on %s, whose database is %s: start `cairn serve` first", d.Path(), addresses.Database)
	}
	db, err := store.Open(ctx, store.Config{Path: d.Database(), Log: c.Log})
	if err != nil {
		return response, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return a.Do(ctx, Env{DB: db, Dir: d, Log: c.Log}, r)
}
