package ca

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// frontPart answers ACME, and serves what certificates point to.
func (c *CA) frontPart() part {
	return part{
		role: RoleFront,
		make: []func(context.Context) error{c.checkProfiles, c.openFront},
		open: []func(context.Context) error{func(ctx context.Context) error { return c.own.fit(ctx) }},
		loops: func() []func(context.Context) {
			return []func(context.Context){c.own.run}
		},
	}
}

// listen opens both ports, since certificates name them.
func (c *CA) listen(ctx context.Context) (err error) {
	var listener net.ListenConfig
	if c.https, err = listener.Listen(ctx, "tcp", c.config.Listen); err != nil {
		return fmt.Errorf("listening for ACME (--listen): %w", err)
	}
	if c.http, err = listener.Listen(ctx, "tcp", c.config.HTTP); err != nil {
		return fmt.Errorf("listening for requests for CRLs (--http): %w", err)
	}
	return nil
}

// openFront makes the ACME server.
func (c *CA) openFront(ctx context.Context) error {
	var linkKey []byte
	if err := c.db.Update(ctx, func(tx *store.Tx) (err error) { linkKey, err = tx.Secret("links"); return err }); err != nil {
		return err
	}
	handler, err := front.New(front.Config{
		Limits: c.config.Limits,
		DB:     c.db, Worker: c.frontWorker(), Peers: c.peers(), Log: c.log,
		Metrics: c.observe.metrics, Trace: c.observe.tracer, Backlog: c.observe.backlog,
		Policy: c.policy(), Issuing: c.issuing, ExternalKeys: c.config.EAB.Keys, LinkKey: linkKey,
		URL: c.url, OwnHost: c.own.owns, Page: http.HandlerFunc(c.page),
		Chains: func(certificate rules.Certificate) []front.Chain { return c.known.Load().chains(certificate) },
		Issuer: func(keyID []byte) (string, bool) { return c.known.Load().byKeyID(keyID) },
	})
	if err != nil {
		return err
	}
	c.acme = handler
	if s := c.stationOf(RoleFront); s != nil {
		front.ServeNonces(&s.server, handler)
	}
	return nil
}

// frontWorker is the worker in this process, or those in others.
func (c *CA) frontWorker() front.Worker {
	if c.worker != nil {
		return c.worker
	}
	if c.workers == nil { // this step may be taken again
		c.workers = work.NewRemote(work.RemoteConfig{Workers: c.clients(RoleFront, RoleWork), Log: c.log})
	}
	return c.workers
}

// peers are the other fronts, if there can be any.
func (c *CA) peers() front.Peers {
	s := c.stationOf(RoleFront)
	if s == nil {
		return nil
	}
	return front.RemotePeers{Find: func(instance string) (rpc.Client, bool) { return c.cluster.presence.Instance(s.pool, instance) }}
}

// issuing is for which names the newest issuer issues, and until when: another one may be known by now.
func (c *CA) issuing() (acme.Subtrees, time.Time) {
	known := c.known.Load()
	return known.names(), known.issuers[0].certificate.NotAfter
}

// retryAfter is when clients are to come again that come before this process is ready, in seconds (RFC 9110 §10.2.3).
const retryAfter = "5"

// whenReady hands requests to the handler that get returns once this process is ready, and puts them off before.
func (c *CA) whenReady(get func() http.Handler) http.Handler {
	problem := acme.Problemf(acme.TypeServerInternal, "this server waits for another part of the CA: try again soon")
	problem.Status = http.StatusServiceUnavailable
	body, err := json.Marshal(problem)
	if err != nil {
		panic(err) // it is a constant
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-c.ready:
			get().ServeHTTP(w, r)
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", retryAfter)
			w.WriteHeader(problem.Status)
			_, _ = w.Write(body) // a peer that went away gets nothing
		}
	})
}

var errNoCertificate = errors.New("there is no HTTPS certificate yet: the signer issues it")
