package work

import (
	"context"
	"log/slog"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// RemoteConfig says how workers in other processes are asked. Workers and Log are required.
type RemoteConfig struct {
	// Workers lists those that can be asked now.
	Workers func(ctx context.Context) ([]rpc.Client, error)
	Wait    time.Duration // for the end of the work; 0 means 6 s, which is more than a front waits
	Hints   int           // calls under way; 0 means 1024
	Log     *slog.Logger
}

const (
	// maxHeld is how many calls wait for the end of the work. Beyond, workers are asked all the same, and answer at once.
	maxHeld = 256
	// impatience is how long one worker is waited for before another is asked as well: the first may be
	// stopped. If it is at the work, the second one finds its lease.
	impatience = 500 * time.Millisecond
	// maxAsked is how many workers are asked about one piece of work.
	maxAsked = 3
)

// Remote is the workers in other processes, to a front: it asks one to take up at once what the front has
// saved. That is a hint. What is due is in the database and has no lease, so where no worker
// answers, the first that looks finds it (Config.Poll). It is safe for concurrent use.
type Remote struct {
	RemoteConfig
	hints, held chan struct{} // an element for each call under way, and for each that waits
	any         rpc.Any
	life        context.Context
	die         context.CancelFunc
}

// NewRemote makes a Remote.
func NewRemote(c RemoteConfig) *Remote {
	setDefault(&c.Wait, 6*time.Second)
	setDefault(&c.Hints, 1024)
	r := &Remote{RemoteConfig: c, hints: make(chan struct{}, c.Hints), held: make(chan struct{}, maxHeld)}
	r.life, r.die = context.WithCancel(context.Background())
	return r
}

// Close breaks off what is under way. The work goes on without it.
func (r *Remote) Close() { r.die() }

// Lease is none: what is due now is for whoever takes it.
func (r *Remote) Lease(now time.Time) rules.Lease { return rules.Lease{Due: now} }

// Validate has a worker take up a, which is saved. The channel is closed when it has come
// to an end, or it is not known when it will.
func (r *Remote) Validate(a rules.Authz) <-chan rules.Authz {
	return hint[rules.Authz](r, kindAuthz, a.ID)
}

// Issue has a worker take up o, which is saved. The channel is closed when it has come to
// an end, or it is not known when it will.
func (r *Remote) Issue(o rules.Order, _ rules.CSR) <-chan rules.Ended {
	return hint[rules.Ended](r, kindOrder, o.ID)
}

func hint[T any](r *Remote, kind, id string) <-chan T {
	done := make(chan T)
	select {
	case r.hints <- struct{}{}:
	default: // those who look for work find it
		close(done)
		return done
	}
	go func() {
		defer close(done)
		defer func() { <-r.hints }()
		request := takeUpRequest{Kind: kind, ID: id}
		select {
		case r.held <- struct{}{}:
			request.Wait = r.Wait.Milliseconds()
			defer func() { <-r.held }()
		default:
		}
		r.ask(request)
	}()
	return done
}

// ask asks one worker, and another as well while the first is silent, until one says what became of it.
func (r *Remote) ask(request takeUpRequest) {
	ctx, cancel := context.WithTimeout(r.life, r.Wait+time.Second)
	defer cancel()
	workers, err := r.Workers(ctx)
	if err != nil {
		r.Log.Warn("no worker can be asked to begin at once", "error", err)
		return
	}
	workers = r.any.Order(workers)
	states := make(chan string, maxAsked)
	asked, silent := 0, 0
	next := func() {
		if asked == min(len(workers), maxAsked) {
			return
		}
		worker := workers[asked]
		asked, silent = asked+1, silent+1
		go func() { states <- r.askOne(ctx, worker, request) }()
	}
	next()
	timer := time.NewTicker(impatience)
	defer timer.Stop()
	for silent > 0 {
		select {
		case <-timer.C:
			next()
			continue
		case state := <-states:
			silent--
			switch state {
			case stateDone, stateRunning:
				return
			case stateElsewhere: // at the one that is silent, or at one that was not asked
			default:
				next()
			}
		}
	}
}

// askOne asks one worker; "" means that it did not answer.
func (r *Remote) askOne(ctx context.Context, worker rpc.Client, request takeUpRequest) string {
	worker.Limit = maxTakeUp
	response, err := rpc.Call[takeUpRequest, takeUpResponse](ctx, worker, methodTakeUp, request)
	if err != nil && ctx.Err() == nil {
		r.any.Note(worker)
		r.Log.Debug("a worker does not answer", "url", worker.URL, "error", err)
	}
	return response.State
}
