package work

import (
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

// Load is how much work this process has taken up, by stage; Oldest is how long it has been waiting for its turn.
func (w *Worker) Load() map[metrics.Stage]load.Level {
	return map[metrics.Stage]load.Level{metrics.Validation: w.validating.level(), metrics.Issuance: w.issuing.level()}
}

// Behind is for how long work that this process has taken up has been waiting for its turn.
func (w *Worker) Behind() time.Duration {
	return max(w.validating.level().Oldest, w.issuing.level().Oldest)
}

// counted is the outcome of an order that has come to an end.
func counted(o rules.Order) metrics.Outcome {
	if o.Error != nil {
		return metrics.Refused
	}
	return metrics.OK
}
