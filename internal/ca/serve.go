package ca

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// drain is how long Serve takes at most, once told to end, to finish what is in hand.
const drain = 10 * time.Second

// Serve answers requests and does the work until ctx ends or a listener fails. Then
// it accepts nothing more, finishes what is in hand or hands it back, and closes
// the data directory. A nil error means that it was told to end and did.
func (c *CA) Serve(ctx context.Context) error {
	ctx, cancel := c.observe.drained(ctx)
	defer cancel()
	servers := c.servers()
	failed := make(chan error, len(servers)+1+len(c.cluster.stations))
	var loops, calls sync.WaitGroup
	for _, s := range servers {
		loops.Go(func() { failed <- s.serve() })
	}
	loops.Go(func() { c.observe.run(ctx) })
	loops.Go(func() {
		if err := c.becomeReady(ctx); err != nil {
			failed <- err
			return
		}
		for _, loop := range c.loops() {
			loops.Go(func() { loop(ctx) })
		}
		calls.Go(func() { c.answerCalls(ctx, failed) })
	})
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer stop()
	// Requests first: they wait for the work that the worker is still doing.
	shutdown(end, servers)
	if c.isReady() && c.worker != nil {
		err = errors.Join(err, c.worker.Stop(end))
	}
	loops.Wait()
	calls.Wait()
	if c.workers != nil {
		c.workers.Close()
	}
	return errors.Join(err, c.Close())
}

// lookAgain is how often a process looks whether what it waits for is there.
const lookAgain = 2 * time.Second

// becomeReady takes the steps that Open could not take, as often as there is hope. It returns nil too where ctx ends.
func (c *CA) becomeReady(ctx context.Context) error {
	if c.isReady() {
		return nil
	}
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := c.proceed(ctx)
		switch {
		case err == nil:
			c.log.Info("this process has what it waited for")
			return nil
		case ctx.Err() != nil:
			return nil
		case !c.mayComeBack(err):
			return err
		default:
			c.observe.waits(err)
		}
	}
}

func (c *CA) isReady() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

// loops is what this process does beside answering, if it has become ready.
func (c *CA) loops() (loops []func(context.Context)) {
	if !c.isReady() {
		return nil
	}
	if !c.config.Roles.Has(RoleSigner) {
		loops = append(loops, c.keepLearning)
	}
	loops = append(loops, c.clusterLoops()...)
	for _, p := range c.parts {
		if c.config.Roles.Has(p.role) {
			loops = append(loops, p.loops()...)
		}
	}
	return loops
}

// listening is a server with what it listens on.
type listening struct {
	*http.Server
	listener net.Listener
}

func (l listening) serve() error {
	if l.TLSConfig != nil {
		return l.ServeTLS(l.listener, "", "")
	}
	return l.Serve(l.listener)
}

// servers are those of this process.
func (c *CA) servers() (servers []listening) {
	limit := c.observe.limit
	if c.https != nil {
		https := c.server(c.observe.public(c.whenReady(func() http.Handler { return c.acme })))
		https.TLSConfig = &tls.Config{GetCertificate: c.own.get, MinVersion: tls.VersionTLS12}
		if c.config.Roles.Has(RoleSigner) {
			https.Handler = split(c.whenReady(c.enrolment), https.Handler)
			https.TLSConfig.GetConfigForClient = c.roles.configFor
		}
		plain := c.server(c.whenReady(func() http.Handler { return http.HandlerFunc(c.public) }))
		servers = append(servers, listening{https, limit.on(c.https)}, listening{plain, limit.on(c.http)})
	}
	return servers
}

// enrolment answers those who join.
func (c *CA) enrolment() http.Handler { return c.newEnrolment().handler(&rpc.Server{Log: c.log}) }

func (c *CA) newEnrolment() *enrolment {
	return &enrolment{db: c.db, roles: c.roles, added: c.remote.joined}
}

// answerCalls answers those of other processes until ctx ends.
func (c *CA) answerCalls(ctx context.Context, failed chan<- error) {
	var servers []listening
	var all sync.WaitGroup
	for _, s := range c.cluster.stations {
		if s.listener == nil {
			continue
		}
		server := c.callServer(s)
		servers = append(servers, server)
		all.Go(func() { failed <- server.serve() })
	}
	<-ctx.Done()
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer stop()
	shutdown(end, servers)
	all.Wait()
}

// shutdown ends servers side by side, by force where end ends first.
func shutdown(end context.Context, servers []listening) {
	var all sync.WaitGroup
	for _, s := range servers {
		all.Go(func() {
			if s.Shutdown(end) != nil {
				_ = s.Close()
			}
		})
	}
	all.Wait()
}

// server is an HTTP server that no peer can hold up.
func (c *CA) server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 64},
		ErrorLog:          slog.NewLogLogger(c.log.Handler(), slog.LevelDebug), // failed handshakes and the like
	}
}

// Close frees what Open took. Serve calls it; only who does not Serve needs to.
func (c *CA) Close() error {
	var err error
	if c.https != nil {
		_ = c.https.Close() // closed by its server, as a rule
	}
	if c.http != nil {
		_ = c.http.Close()
	}
	for _, s := range c.cluster.stations {
		if s.listener != nil {
			_ = s.listener.Close()
		}
	}
	if c.db != nil {
		err = c.db.Close()
	}
	c.observe.close()
	if c.dir != nil {
		err = errors.Join(err, c.dir.Close())
	}
	return err
}

// every calls do once in each period until ctx ends.
func every(ctx context.Context, period time.Duration, do func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}
