package bench

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Kind is a kind of request.
type Kind string

// The kinds of requests, in the order of an issuance.
const (
	NewNonce      Kind = "newNonce"
	NewAccount    Kind = "newAccount"
	NewOrder      Kind = "newOrder"
	Authorization Kind = "authorization"
	Challenge     Kind = "challenge"
	Poll          Kind = "poll"
	Finalize      Kind = "finalize"
	Certificate   Kind = "certificate"
	Revoke        Kind = "revoke"
)

var kinds = []Kind{NewNonce, NewAccount, NewOrder, Authorization, Challenge, Poll, Finalize, Certificate, Revoke}

// record collects what is measured. A nil record takes everything and keeps nothing: the warm-up has none.
type record struct {
	mu        sync.Mutex
	requests  map[Kind]*histogram
	issuances histogram
	errors    map[string]int
	first     map[string]string // an example of each kind of error
	badNonces int
	renewed   int
	polls     int // of issuances that came to a certificate
}

// maxErrorKinds is how many kinds of errors are told apart: a server can invent any number.
const maxErrorKinds = 50

func newRecord() *record {
	r := &record{requests: map[Kind]*histogram{}, errors: map[string]int{}, first: map[string]string{}}
	for _, kind := range kinds {
		r.requests[kind] = new(histogram)
	}
	return r
}

// request counts one exchange.
func (r *record) request(kind Kind, took time.Duration) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests[kind].add(took)
}

func (r *record) badNonce() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.badNonces++
}

// issued counts a certificate and returns how many there are.
func (r *record) issued(took time.Duration, made issuance) int {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.issuances.add(took)
	r.polls += made.polls
	if made.renewed {
		r.renewed++
	}
	return r.issuances.total
}

// failed counts what came to no certificate.
func (r *record) failed(err error) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name := errorName(err)
	if _, known := r.errors[name]; !known {
		if len(r.errors) >= maxErrorKinds {
			name = "other"
		}
		r.first[name] = cmp.Or(r.first[name], err.Error())
	}
	r.errors[name]++
}

// errorName is the type of the problem that err is, or what is said of errors without one.
func errorName(err error) string {
	var problem *acme.Problem
	var network net.Error
	switch {
	case errors.As(err, &problem):
		return problem.Type.Name()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "timeout"
	case errors.As(err, &network):
		return "network"
	default:
		return "answer"
	}
}
