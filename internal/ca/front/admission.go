package front

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/load"
	"github.com/cairn-ca/cairn/internal/ca/metrics"
)

// Overload. A certificate takes six requests and more. Where there is time for fewer than clients
// want, each request that begins something new takes it from one that would bring something to its end, and
// in the end nobody gets a certificate. So new accounts, orders and authorizations are put off first: with
// 503 and Retry-After (RFC 9110 §15.6.4), before anything of the request is read.
//
// Three things say that the server is behind. Below the first figure of each all is well. From
// there on some new requests are put off, by chance, and at the second one all of them.
const (
	requestsSome, requestsAll = maxRequests / 4, maxRequests / 2         // requests in progress
	databaseSome, databaseAll = time.Second / 2, 2 * time.Second         // how long an update of the database has been waiting
	workSome, workAll         = 2 * time.Second, 10 * time.Second        // how long a validation or an issuance waits for its turn
	maxRequests               = 1024                                     // in progress, of any kind: they bound the memory for bodies
	shedPause, shedSpread     = 5 * time.Second, int64(10 * time.Second) // Retry-After, so that not all come back at once
)

// situation is what the decision depends on.
type situation struct {
	requests int
	database time.Duration
	work     time.Duration
}

// shed decides on a request: whether it is put off, and why. dice is a random number below 1.
func shed(now situation, begins bool, dice float64) (metrics.Reason, bool) {
	switch {
	case now.requests >= maxRequests:
		return metrics.ReasonRequests, true
	case !begins:
		return "", false
	case dice < between(now.requests, requestsSome, requestsAll):
		return metrics.ReasonRequests, true
	case dice < between(now.database, databaseSome, databaseAll):
		return metrics.ReasonDatabase, true
	case dice < between(now.work, workSome, workAll):
		return metrics.ReasonWork, true
	}
	return "", false
}

// between is how far value is on the way from some to all: 0 before, 1 after it.
func between[T int | time.Duration](value, some, all T) float64 {
	return min(1, max(0, float64(value-some)/float64(all-some)))
}

// enter counts a request as in progress, unless it is put off. What is answered from memory alone is not counted.
func (f *Front) enter(v *visit) (*load.Entry, *acme.Problem) {
	if v.Method != http.MethodPost && v.resource.public == nil {
		return nil, nil
	}
	now := situation{requests: f.progress.Level().Count}
	if v.resource.begins {
		now.database = f.DB.Load().Oldest
		if f.Backlog != nil {
			now.work = f.Backlog()
		}
	}
	if why, put := shed(now, v.resource.begins, rand.Float64()); put {
		f.Metrics.Shed(why)
		problem := acme.Problemf(acme.TypeServerInternal, "the server has more to do than it can take on: send the request again after the time in Retry-After").
			WithStatus(http.StatusServiceUnavailable)
		problem.RetryAfter = shedPause + time.Duration(rand.Int64N(shedSpread))
		return nil, problem
	}
	return f.progress.Begin(), nil
}

// leave ends what enter counted.
func (f *Front) leave(entry *load.Entry) {
	if entry != nil {
		f.progress.End(entry)
	}
}

// Load is how many requests are in progress, and since when.
func (f *Front) Load() load.Level { return f.progress.Level() }
