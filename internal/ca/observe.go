package ca

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/health"
	"github.com/cairn-ca/cairn/internal/ca/metrics"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/trace"
	"github.com/cairn-ca/cairn/internal/ca/trace/collector"
)

// Observe says how an operator watches a process of the authority. The zero value: by its log alone.
type Observe struct {
	Listen     string        // of plain HTTP for /metrics, /healthz and /readyz, as CheckOps wants it; "" means nowhere
	DrainDelay time.Duration // how long the process goes on, without being ready, once it is told to end
	Collector  string        // of OpenTelemetry, as collector.CheckEndpoint wants it; "" traces nothing
	TraceRatio float64       // of traces that are kept, from 0 to 1
}

// CheckOps checks an address to serve the operator's pages at. They have no authentication, so an address
// that others can reach must be written as such.
func CheckOps(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("it is not of the form ADDRESS:PORT")
	}
	if host == "localhost" {
		return nil
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return errors.New("these pages have no authentication, so say who can reach them: 127.0.0.1:PORT for this machine alone, " +
			"an address of this machine, or 0.0.0.0:PORT for everybody")
	}
	return nil
}

// observer is what one process is watched by.
type observer struct {
	config   Observe
	ca       *CA
	metrics  *metrics.Metrics
	tracer   *trace.Tracer // nil for none
	listener net.Listener  // nil for none

	healthy, ready *health.Checks
	working        *health.Pulse // of the worker's loop
	publishing     *health.Pulse // of the loop that keeps CRLs fresh
	signer         signerState
	signers        remoteRole // with work or crl, without signer
	workers        remoteRole // with front, without work
	draining       atomic.Bool
	waiting        atomic.Pointer[string] // why the process cannot start yet; nil once it has
	limit          *limit

	overdue [2]atomic.Int64 // validations and issuances that nobody has taken up: for how long, in nanoseconds
	entries sync.Map        // of a listKey: how many entries it has
}

// stuck is after what time without a sign of life a loop is taken to be stuck. The slowest of them waits
// for the signer and for the database, both of which give up much earlier.
const stuck = 2 * time.Minute

// openObserver makes what c is watched by, and listens.
func (c *CA) openObserver(ctx context.Context) (err error) {
	o := &observer{config: c.config.Observe, ca: c, limit: newLimit(),
		working: health.NewPulse("work", stuck), publishing: health.NewPulse("crl", stuck)}
	var profiles []string
	for _, p := range c.config.Profiles {
		profiles = append(profiles, p.Name)
	}
	o.metrics = metrics.New(metrics.Config{Version: c.config.Version, Profiles: profiles, State: o.state})
	o.openChecks()
	c.observe = o
	if o.config.Collector != "" {
		if o.tracer, err = collector.New(ctx, collector.Config{Endpoint: o.config.Collector, Ratio: o.config.TraceRatio, Version: c.config.Version, Log: c.log}); err != nil {
			return err
		}
	}
	if o.config.Listen == "" {
		return nil
	}
	if o.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", o.config.Listen); err != nil {
		return fmt.Errorf("listening for the operator (--ops): %w", err)
	}
	c.log.Info("metrics, health and readiness are served", "address", c.OpsAddress())
	return nil
}

// lastTraces is how long a process that ends waits for the collector.
const lastTraces = 2 * time.Second

// close frees the listener and sends the last traces.
func (o *observer) close() {
	if o == nil {
		return
	}
	if o.listener != nil {
		_ = o.listener.Close() // closed by its server, as a rule
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastTraces)
	defer cancel()
	if err := o.tracer.Close(ctx); err != nil {
		o.ca.log.Warn("the last traces are lost", "error", err)
	}
}

// OpsAddress is where the operator's pages are; "" if they are nowhere.
func (c *CA) OpsAddress() string {
	if c.observe.listener == nil {
		return ""
	}
	return c.observe.listener.Addr().String()
}

// run serves the operator's pages from the start, and once there is work looks how old it is, until ctx ends.
func (o *observer) run(ctx context.Context) {
	var all sync.WaitGroup
	if has := o.ca.config.Roles.Has; has(RoleFront) || has(RoleWork) { // others may not read it in a database that is shared
		all.Go(func() { o.watchQueue(ctx) })
	}
	if o.listener != nil {
		server := o.ca.server(o.pages())
		all.Go(func() {
			if err := server.Serve(o.listener); !errors.Is(err, http.ErrServerClosed) {
				o.ca.log.Error("the pages for the operator cannot be served any more", "error", err)
			}
		})
		<-ctx.Done()
		_ = server.Close() // whoever scrapes comes again
	}
	all.Wait()
}

// pages are what the operator can look at.
func (o *observer) pages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", o.metrics.Handler())
	mux.Handle("GET /healthz", o.healthy.Handler())
	mux.Handle("GET /readyz", o.ready.Handler())
	return mux
}

// public adds to the ACME server what load balancers ask: /healthz, which says whether
// to send requests here, and not why not.
func (o *observer) public(acme http.Handler) http.Handler {
	brief := o.ready.Brief()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			brief.ServeHTTP(w, r)
			return
		}
		acme.ServeHTTP(w, r)
	})
}

// drained returns a context that ends some time after ctx: until then the process says that it is not
// ready, and whoever sends it requests has time to notice.
func (o *observer) drained(ctx context.Context) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		defer cancel()
		o.draining.Store(true)
		if o.config.DrainDelay == 0 || !o.ca.isReady() {
			return
		}
		o.ca.log.Info("told to end: not ready any more", "goes_on_for", o.config.DrainDelay)
		select {
		case <-time.After(o.config.DrainDelay):
		case <-later.Done():
		}
	})
	return later, func() { stop(); cancel() }
}

// lookEvery is how often the age of the work is looked up.
const lookEvery = 2 * time.Second

// watchQueue looks how old the work is that nobody has taken up, as soon as the process has started.
func (o *observer) watchQueue(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-o.ca.ready:
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		// What cannot be looked up shows elsewhere: the database does not answer.
		_ = o.ca.db.View(ctx, func(tx *store.Tx) error {
			for i, look := range []func() (time.Duration, error){tx.OverdueAuthz, tx.OverdueOrder} {
				age, err := look()
				if err != nil {
					return err
				}
				o.overdue[i].Store(int64(age))
			}
			return nil
		})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// backlog is for how long work has been waiting for its turn, here or for anybody to take it up.
func (o *observer) backlog() time.Duration {
	longest := max(time.Duration(o.overdue[0].Load()), time.Duration(o.overdue[1].Load()))
	if o.ca.worker != nil {
		longest = max(longest, o.ca.worker.Behind())
	}
	return longest
}
