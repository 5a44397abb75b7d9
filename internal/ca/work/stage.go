package work

import (
	"context"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/load"
	"github.com/cairn-ca/cairn/internal/ca/metrics"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/trace"
)

// about says what a piece of work is about, as its lines in the log and its span do.
type about struct {
	what    string // "authorization" or "order"
	key     trace.Key
	id      string
	account string
}

func aboutAuthz(a rules.Authz) about {
	return about{"authorization", trace.Authorization, a.ID, a.Account}
}

func aboutOrder(o rules.Order) about { return about{"order", trace.Order, o.ID, o.Account} }

func (a about) tell(span trace.Span) {
	span.Tell(a.key, a.id)
	span.Tell(trace.Account, a.account)
}

// stage is one kind of work: so much of it runs at once, and the rest waits for its turn.
type stage struct {
	tokens  chan struct{} // one for each piece that runs
	waiting load.Gauge
}

func newStage(parallel int) *stage { return &stage{tokens: make(chan struct{}, parallel)} }

// enter waits for a turn. It reports false if ctx ends before that.
func (s *stage) enter(ctx context.Context) bool {
	turn := s.waiting.Begin()
	defer s.waiting.End(turn)
	select {
	case s.tokens <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *stage) leave() { <-s.tokens }

// Load is how much work this process has taken up, by stage; Oldest is how long it has been waiting for its turn.
func (w *Worker) Load() map[metrics.Stage]load.Level {
	levels := make(map[metrics.Stage]load.Level)
	for name, s := range map[metrics.Stage]*stage{metrics.Validation: w.validating, metrics.Issuance: w.issuing} {
		level := s.waiting.Level()
		level.Count += len(s.tokens)
		levels[name] = level
	}
	return levels
}

// Behind is for how long work that this process has taken up has been waiting for its turn.
func (w *Worker) Behind() time.Duration {
	return max(w.validating.waiting.Level().Oldest, w.issuing.waiting.Level().Oldest)
}

// counted is the outcome of an order that has come to an end.
func counted(o rules.Order) metrics.Outcome {
	if o.Error != nil {
		return metrics.Refused
	}
	return metrics.OK
}
