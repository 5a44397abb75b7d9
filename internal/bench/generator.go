package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// generator makes the load.
type generator struct {
	config     Config
	run        string // in all names of this run, so that none has an authorization from before
	server     *server
	responders *responders
	keys       *keyPool

	accounts []*account
	sessions []*session
	prepared []*request
	next     atomic.Int64 // the number of the next issuance, over warm-up and measurement
	failures atomic.Int64 // since the last success
}

// newRunName makes a label that no other run has.
func newRunName() string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	return hex.EncodeToString(random[:])
}

// begin makes what is to be ready before the clock starts: accounts, connections, keys and CSRs.
func (g *generator) begin(ctx context.Context) error {
	for range g.config.Parallel {
		g.sessions = append(g.sessions, &session{server: g.server, link: g.server.newLink()})
	}
	if !g.config.NewAccounts {
		for i := range g.config.Accounts {
			a, err := newAccountKey()
			if err != nil {
				return err
			}
			if err := g.withTimeout(ctx, func(ctx context.Context) error { return g.sessions[i%len(g.sessions)].register(ctx, a) }); err != nil {
				return fmt.Errorf("registering account %d of %d: %w", i+1, g.config.Accounts, err)
			}
			g.accounts = append(g.accounts, a)
		}
	}
	return g.prepare(ctx)
}

// prepare makes the CSRs of the first requests, on all processors.
func (g *generator) prepare(ctx context.Context) error {
	ready := make([]*request, g.config.ahead())
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, runtime.GOMAXPROCS(0))
	for i := range errs {
		all.Go(func() {
			for n := int(next.Add(1) - 1); n < len(ready) && errs[i] == nil; n = int(next.Add(1) - 1) {
				if ready[n], errs[i] = g.request(n); errs[i] == nil {
					errs[i] = ctx.Err()
				}
			}
		})
	}
	all.Wait()
	g.prepared = ready
	return errors.Join(errs...)
}

func (g *generator) close() {
	for _, s := range g.sessions {
		s.link.close()
	}
}

func (g *generator) withTimeout(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, g.config.Timeout)
	defer cancel()
	return do(ctx)
}

// request makes what issuance number n asks for.
func (g *generator) request(n int) (*request, error) {
	if n < len(g.prepared) {
		return g.prepared[n], nil
	}
	r := new(request)
	for i := range g.config.Names {
		name := fmt.Sprintf("%s-%d-%d.%s", g.run, n, i, g.config.Suffix)
		if g.config.Wildcard {
			name = "*." + name
		}
		r.identifiers = append(r.identifiers, acme.Identifier{Type: acme.DNS, Value: name})
	}
	return r, g.keys.sign(n, r)
}

// warmUp obtains certificates that do not count: the first one alone, so that what is wrong with
// the whole setup is told as one error, then as many as the configuration asks for.
func (g *generator) warmUp(ctx context.Context) error {
	if err := g.one(ctx, 0, time.Now()); err != nil {
		return fmt.Errorf("the first certificate, before the load: %w", err)
	}
	if _, err := g.load(ctx, schedule{count: g.config.Warmup}); err != nil {
		return fmt.Errorf("warming up: %w", err)
	}
	return nil
}

// measurement is what is known of a run beside its record.
type measurement struct {
	took      time.Duration
	own       time.Duration // CPU time of this process
	usage     *Usage        // of the processes that are watched
	unstarted int
	stopped   error // why it ended early, or nil
}

// measure makes the load that counts.
func (g *generator) measure(ctx context.Context, watch *watch) *Report {
	record := newRecord()
	for _, s := range g.sessions {
		s.record = record
	}
	plan := schedule{count: g.config.Count, duration: g.config.Duration, rate: g.config.Rate}
	before := ownCPU()
	watch.start()
	plan.begun = time.Now()
	begun, stopped := g.load(ctx, plan)
	m := measurement{took: time.Since(plan.begun), stopped: stopped, unstarted: max(plan.size()-begun, 0)}
	m.usage, m.own = watch.stop(), ownCPU()-before
	return g.report(record, m)
}

// maxFailures in a row end a run: the server is not up to anything any more.
const maxFailures = 200

// Why a run ends before its time.
var (
	errGivenUp     = errors.New("too many failures in a row")
	errInterrupted = errors.New("interrupted")
)

// load begins issuances as plan says, in as many goroutines as there are sessions, and waits for
// them. It returns how many it began, and why it ended early, or nil.
func (g *generator) load(ctx context.Context, plan schedule) (int, error) {
	var taken, begun atomic.Int64
	var all sync.WaitGroup
	for i := range g.sessions {
		all.Go(func() {
			for ctx.Err() == nil && g.failures.Load() < maxFailures {
				start, more := plan.at(int(taken.Add(1) - 1))
				if !more || sleepUntil(ctx, start) != nil {
					return
				}
				if start.IsZero() {
					start = time.Now()
				}
				begun.Add(1)
				_ = g.one(ctx, i, start) // counted
			}
		})
	}
	all.Wait()
	switch {
	case ctx.Err() != nil:
		return int(begun.Load()), errInterrupted
	case g.failures.Load() >= maxFailures:
		return int(begun.Load()), errGivenUp
	}
	return int(begun.Load()), nil
}

// one makes one issuance in session i, which was to begin at start, and counts it.
func (g *generator) one(ctx context.Context, i int, start time.Time) error {
	s, n := g.sessions[i], int(g.next.Add(1)-1)
	err := g.withTimeout(ctx, func(ctx context.Context) error {
		a, err := g.account(ctx, s, n)
		if err != nil {
			return err
		}
		return g.obtain(ctx, s, a, n, start)
	})
	switch {
	case err == nil:
		g.failures.Store(0)
	case ctx.Err() != nil: // interrupted: neither a success nor a failure
	default:
		if problem := (*acme.Problem)(nil); !errors.As(err, &problem) {
			s.link.close() // what state the connection is in is not known
			s.nonce = ""
		}
		g.failures.Add(1)
		s.record.failed(err)
	}
	return err
}

// account is who makes issuance n.
func (g *generator) account(ctx context.Context, s *session, n int) (*account, error) {
	if !g.config.NewAccounts {
		return g.accounts[n%len(g.accounts)], nil
	}
	a, err := g.keys.newAccount()
	if err != nil {
		return nil, err
	}
	return a, s.register(ctx, a)
}

// obtain makes issuance n, or one that renews an earlier one of the account, and what comes after it.
func (g *generator) obtain(ctx context.Context, s *session, a *account, n int, start time.Time) error {
	var old *earlier
	if falls(n, g.config.Renewals) {
		old = a.oldest()
	}
	r, replaces, err := g.renewalOr(n, old)
	if err != nil {
		return err
	}
	made, err := g.issue(ctx, s, a, r, replaces)
	if err != nil {
		return err
	}
	made.renewed = old != nil
	if count := s.record.issued(time.Since(start), made); count > 0 && g.config.Progress != nil {
		g.config.Progress(count)
	}
	if g.config.Renewals > 0 {
		id, err := certID(made.der)
		if err != nil {
			return err
		}
		a.keep(&earlier{request: r, replaces: id})
	}
	if falls(n, g.config.Revoke) {
		return s.revoke(ctx, a, made.der)
	}
	return nil
}

// renewalOr makes the request that renews an earlier issuance, or that of number n if there is none.
func (g *generator) renewalOr(n int, old *earlier) (r *request, replaces string, err error) {
	switch {
	case old == nil:
		r, err = g.request(n)
		return r, "", err
	case g.config.Replaces:
		return old.request, old.replaces, nil
	default:
		return old.request, "", nil
	}
}

// falls spreads a share of all numbers evenly: it reports whether number n belongs to it.
func falls(n int, share float64) bool {
	return int(float64(n+1)*share) > int(float64(n)*share)
}
