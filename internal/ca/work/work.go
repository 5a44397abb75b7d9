// Package work does what happens after a request was answered: it validates
// challenges and issues certificates.
//
// The state is the queue. Work is an authorization or an order that is due and
// whose lease has lapsed; there is no other table of jobs. A request that makes
// work takes the lease in its own transaction and hands the record over, so
// that it starts at once; what a crash leaves behind is found by its lapsed
// lease and goes through the same functions.
package work

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/health"
	"github.com/cairn-ca/cairn/internal/ca/metrics"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/trace"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// Validator looks at the network from one place or from several: whether the client controls
// an identifier (Prove), and whether the domain's records permit the certificate (CAA). A failed
// validation is a Result with a Problem. An error means that it could not ask:
// the client is not blamed, and the question is asked again. Both return by
// the deadline of ctx and are safe for concurrent use.
type Validator interface {
	Prove(ctx context.Context, r validate.Request) (validate.Result, error)
	CAA(ctx context.Context, r validate.CAARequest) (validate.Result, error)
}

// Signer holds the private keys. Certificate is idempotent: the same order gives
// the same certificate, whatever happened to the calls before, and no bytes leave
// it that are not in its journal. A request that its profile forbids is an error
// that wraps sign.ErrRefused; any other error may go away.
type Signer interface {
	Certificate(ctx context.Context, r sign.Request) (sign.Certificate, error)
}

// Config says what a Worker works with. DB, Validator, Signer and Log are required.
type Config struct {
	DB        *store.DB
	Validator Validator
	Signer    Signer
	Log       *slog.Logger
	Proving   rules.Proving // what the challenges that the front offers are about
	// CAA says for which names the Validator is asked about CAA; the zero value: for none.
	CAA rules.CAA

	CSR rules.CSRRules // how the CSRs of orders are read, as the front reads them

	Limits rules.Limits // those that are on; failures count here

	Validations int           // in parallel; 0 means 512
	Issuances   int           // in parallel; 0 means 64
	Lease       time.Duration // how long one piece of work may take; 0 means 30 s
	Poll        time.Duration // how often lapsed leases are looked for; 0 means 1 s
	Pause       time.Duration // before work that failed for an internal reason is tried again; 0 means 10 s
	Again       time.Duration // before a validation that failed for now is tried again; doubled each time; 0 means 3 s
	// EvidenceKept is how long the evidence of validations is kept; 0 means 30 days.
	EvidenceKept time.Duration

	Metrics *metrics.Metrics // nil counts nothing
	Trace   *trace.Tracer    // nil traces nothing
	Pulse   *health.Pulse    // of Run; nil for nobody who listens
}

// backlog is how much work may wait in memory for its turn. What is beyond it
// is found again when its lease has lapsed.
const backlog = 8192

// Worker validates and issues. Its methods are safe for concurrent use.
type Worker struct {
	Config
	name string // in leases: no other process has it

	validating, issuing *stage
	permits             permits // what CAA permitted for orders that are being issued

	mu      sync.Mutex
	running map[string]chan struct{} // by ID of the authorization or order
	stopped bool
	all     sync.WaitGroup
	life    context.Context
	die     context.CancelFunc
}

// New makes a worker. It starts work only when told to by Validate, Issue or Run.
func New(c Config) *Worker {
	setDefault(&c.Validations, 512)
	setDefault(&c.Issuances, 64)
	setDefault(&c.Lease, 30*time.Second)
	setDefault(&c.Poll, time.Second)
	setDefault(&c.Pause, 10*time.Second)
	setDefault(&c.Again, 3*time.Second)
	setDefault(&c.EvidenceKept, 30*24*time.Hour)
	w := &Worker{
		Config:     c,
		name:       rules.NewID(time.Now()),
		validating: newStage(c.Validations),
		issuing:    newStage(c.Issuances),
		running:    make(map[string]chan struct{}),
	}
	w.life, w.die = context.WithCancel(context.Background())
	return w
}

func setDefault[T int | time.Duration](value *T, standard T) {
	if *value == 0 {
		*value = standard
	}
}

// Lease is a lease for work that is to start here and now.
func (w *Worker) Lease(now time.Time) rules.Lease {
	return rules.Lease{}.Taken(w.name, now, w.Config.Lease)
}

// Validate proves the attempted challenge of a, whose lease is this worker's. The
// channel is closed when there is an outcome, or none can be had now.
func (w *Worker) Validate(a rules.Authz) <-chan struct{} {
	return w.start(aboutAuthz(a), w.validating, func(ctx context.Context) error { return w.validate(ctx, a) })
}

// Issue issues the certificate for o, whose lease is this worker's. The channel is
// closed when the order is valid or invalid, or neither can be had now.
func (w *Worker) Issue(o rules.Order) <-chan struct{} {
	return w.start(aboutOrder(o), w.issuing, func(ctx context.Context) error { return w.issue(ctx, o) })
}

// start runs do once there is a token for it. Work that runs already is not started twice.
func (w *Worker) start(about about, stage *stage, do func(context.Context) error) <-chan struct{} {
	id := about.id
	w.mu.Lock()
	defer w.mu.Unlock()
	if done, ok := w.running[id]; ok {
		return done
	}
	done := make(chan struct{})
	if w.stopped || len(w.running) >= backlog {
		close(done)
		return done
	}
	w.running[id] = done
	// The lease runs from now, also while waiting for a token: work never goes on after its lease.
	ctx, cancel := context.WithTimeout(w.life, w.Config.Lease*9/10)
	w.all.Go(func() {
		defer cancel()
		defer w.finished(id, done)
		if !stage.enter(ctx) {
			return
		}
		defer stage.leave()
		ctx, span := w.Trace.Start(ctx, about.what)
		about.tell(span)
		err := do(ctx)
		span.End(err)
		// A lost lease is not a fault: somebody else does the work.
		if err != nil && !errors.Is(err, store.ErrConflict) && w.life.Err() == nil {
			w.Log.Error("work failed", about.what, id, "account", about.account, "error", err)
		}
	})
	return done
}

func (w *Worker) finished(id string, done chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, id)
	close(done)
}

// Stop accepts no more work and waits for what is under way. When ctx ends first,
// the rest is broken off and handed back: its leases end now.
func (w *Worker) Stop(ctx context.Context) error {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	idle := make(chan struct{})
	go func() { w.all.Wait(); close(idle) }()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		w.die()
		<-idle // what is broken off returns at once
		return w.handBack(context.WithoutCancel(ctx))
	}
}
