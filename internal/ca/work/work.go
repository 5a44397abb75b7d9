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
	Follow      time.Duration // how often FollowKeys looks at keys that were blocked of late; 0 means 1 min

	Retention rules.Retention // what CleanUp leaves; a field that is 0 means that of rules.DefaultRetention
	Profiles  []rules.Profile // those that are offered: how long CleanUp expects records to last; none means rules.Classic

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

	validating *desk[rules.Authz]
	issuing    *desk[rules.Ended]
	permits    permits // what CAA permitted for orders that are being issued

	mu      sync.Mutex // guards what follows, and the desks
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
	setDefault(&c.Follow, time.Minute)
	if len(c.Profiles) == 0 {
		c.Profiles = []rules.Profile{rules.Classic()}
	}
	c.Retention = c.Retention.Complete(c.Profiles)
	w := &Worker{
		Config:     c,
		name:       rules.NewID(time.Now()),
		validating: newDesk[rules.Authz](c.Validations),
		issuing:    newDesk[rules.Ended](c.Issuances),
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

// Validate proves the attempted challenge of a, whose lease is this worker's. The channel yields
// a as it was settled and is closed; where none can be settled now, it is closed at once.
func (w *Worker) Validate(a rules.Authz) <-chan rules.Authz {
	return start(w, w.validating, aboutAuthz(a), func(ctx context.Context) (rules.Authz, error) { return w.validate(ctx, a) })
}

// Issue issues the certificate for o, whose lease is this worker's. csr is that of o, if it has been read here. The
// channel yields o as it ended, valid or invalid, and is closed; where it cannot end now, it is closed at once.
func (w *Worker) Issue(o rules.Order, csr rules.CSR) <-chan rules.Ended {
	return start(w, w.issuing, aboutOrder(o), func(ctx context.Context) (rules.Ended, error) { return w.issue(ctx, o, csr) })
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
