package ca

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/ops"
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
	enrolment := &enrolment{db: c.db, roles: c.roles, added: c.remote.joined}
	https := c.server(split(enrolment.handler(&rpc.Server{Log: c.log}), c.front))
	https.TLSConfig = &tls.Config{GetCertificate: c.own.get, GetConfigForClient: c.roles.configFor, MinVersion: tls.VersionTLS12}
	plain := c.server(http.HandlerFunc(c.public))

	var loops sync.WaitGroup
	for _, loop := range []func(context.Context){
		c.worker.Run, c.worker.FollowKeys, c.worker.CleanUp, c.leafCRLs.Run, c.rootCRLs.Run, c.own.run, c.watchIssuer, c.operate,
		c.remote.run, c.observe.run,
	} {
		loops.Go(func() { loop(ctx) })
	}
	failed := make(chan error, 2)
	limit := c.observe.limit
	loops.Go(func() { failed <- https.ServeTLS(limit.on(c.https), "", "") })
	loops.Go(func() { failed <- plain.Serve(limit.on(c.http)) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer stop()
	// Requests first: they wait for the work that the worker is still doing.
	late := errors.Join(https.Shutdown(end), plain.Shutdown(end))
	if late != nil {
		_ = errors.Join(https.Close(), plain.Close())
	}
	err = errors.Join(err, c.worker.Stop(end))
	loops.Wait()
	return errors.Join(err, c.Close())
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
	c.observe.close()
	if c.https != nil {
		_ = c.https.Close() // closed by its server, as a rule
	}
	if c.http != nil {
		_ = c.http.Close()
	}
	if c.db != nil {
		err = c.db.Close()
	}
	if c.dir != nil {
		err = errors.Join(err, c.dir.Close())
	}
	return err
}

// operate answers the commands that the operator runs beside this process.
func (c *CA) operate(ctx context.Context) {
	server := ops.NewServer(ops.Env{DB: c.db, Dir: c.dir, Log: c.log, Limits: c.config.Limits})
	if err := server.Serve(ctx); err != nil {
		c.log.Error("commands beside this process do not work", "error", err)
	}
}

// watchIssuer says once a day when the issuer nears its end. The next one is made at a start.
func (c *CA) watchIssuer(ctx context.Context) {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if end := c.hierarchy.issuers[0].certificate.NotAfter; time.Until(end) < issuerReserve {
				c.log.Warn("the issuer's certificate ends within a year", "end", end, "remedy", "restart cairn with the root's key in place")
			}
		}
	}
}
