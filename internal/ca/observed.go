package ca

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/crl"
	"github.com/cairn-ca/cairn/internal/ca/health"
	"github.com/cairn-ca/cairn/internal/ca/metrics"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/trace"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// state measures what metrics show.
func (o *observer) state() metrics.State {
	s := metrics.State{Checks: make(map[string]bool)}
	s.Connections, s.Refused = o.limit.count()
	if o.ca.isReady() {
		o.stateOfRoles(&s)
	}
	for kind, checks := range map[string]*health.Checks{"health": o.healthy, "ready": o.ready} {
		states, all := checks.Ask(context.Background())
		s.Checks[kind] = all
		for _, state := range states {
			s.Checks[kind+"/"+state.Name] = state.Error == ""
		}
	}
	return s
}

// listsTime bounds how long the state waits for lists that are read from the database.
const listsTime = time.Second

// stateOfRoles measures what this process has by its roles. Before it has started, these are about to be made.
func (o *observer) stateOfRoles(s *metrics.State) {
	s.Transaction, s.Commits = o.ca.db.Load(), o.ca.db.Commits()
	s.Overdue = map[metrics.Stage]time.Duration{
		metrics.Validation: time.Duration(o.overdue[0].Load()), metrics.Issuance: time.Duration(o.overdue[1].Load()),
	}
	if o.ca.acme != nil {
		s.Requests, s.Nonces = o.ca.acme.Load(), o.ca.acme.NoncesIssued()
	}
	if o.ca.worker != nil {
		s.Work = o.ca.worker.Load()
	}
	ctx, cancel := context.WithTimeout(context.Background(), listsTime)
	defer cancel()
	for _, list := range o.newestLists(ctx) {
		s.Lists = append(s.Lists, metrics.List{Issuer: list.Issuer, Number: list.Number, Entries: o.entriesOf(list),
			ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate})
	}
	known := o.ca.known.Load()
	for _, root := range known.roots {
		s.Expiries = append(s.Expiries, metrics.Expiry{Owner: metrics.Root, ID: root.id, At: root.certificate.NotAfter})
	}
	for _, issuer := range known.issuers {
		s.Expiries = append(s.Expiries, metrics.Expiry{Owner: metrics.Issuer, ID: issuer.id, At: issuer.certificate.NotAfter})
	}
	if o.ca.own == nil {
		return
	}
	if own := o.ca.own.current.Load(); own != nil {
		s.Expiries = append(s.Expiries, metrics.Expiry{Owner: metrics.Server, ID: "https", At: own.Leaf.NotAfter})
	}
}

// transaction is told of each transaction of the database.
func (o *observer) transaction(ctx context.Context, t store.Transaction) {
	kind, name := metrics.View, "database view"
	if t.Update {
		kind, name = metrics.Update, "database update"
	}
	fault, err := faultOf(t), t.Err
	if fault == metrics.NoFault {
		err = nil
	}
	o.metrics.Transacted(kind, fault, t.Runs, t.Took)
	o.tracer.Past(ctx, name, t.Began, t.Took, err)
}

// faultOf tells what is wrong with the database from what a transaction decided.
func faultOf(t store.Transaction) metrics.Fault {
	switch err := t.Err; {
	case err == nil:
		return metrics.NoFault
	case errors.Is(err, store.ErrBusy):
		return metrics.Busy
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed):
		return metrics.Unavailable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return metrics.TooLate
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrExists):
		return metrics.Conflict
	case t.Decided:
		return metrics.NoFault
	}
	return metrics.Failed
}

// watchedVantage counts what is asked of a vantage.
type watchedVantage struct {
	validate.Vantage
	perspective string
	observer    *observer
}

// perspective watches a vantage.
func (o *observer) perspective(name string, v validate.Vantage) validate.Vantage {
	return watchedVantage{v, name, o}
}

// Prove implements validate.Vantage.
func (v watchedVantage) Prove(ctx context.Context, r validate.Request) (validate.Result, error) {
	return v.watch(ctx, metrics.MethodOf(r.Type), r.Identifier.Value, func(ctx context.Context) (validate.Result, error) { return v.Vantage.Prove(ctx, r) })
}

// CAA implements validate.Vantage.
func (v watchedVantage) CAA(ctx context.Context, r validate.CAARequest) (validate.Result, error) {
	return v.watch(ctx, metrics.CAA, r.Identifier.Value, func(ctx context.Context) (validate.Result, error) { return v.Vantage.CAA(ctx, r) })
}

func (v watchedVantage) watch(ctx context.Context, method metrics.Method, name string, ask func(context.Context) (validate.Result, error)) (validate.Result, error) {
	began := time.Now()
	ctx, span := v.observer.tracer.Start(ctx, "look for "+string(method))
	result, err := ask(ctx)
	outcome := outcomeOf(ctx, result, err)
	v.observer.metrics.Validated(method, v.perspective, outcome, time.Since(began))
	span.Tell(trace.Method, string(method))
	span.Tell(trace.Perspective, v.perspective)
	span.Tell(trace.Identifier, name)
	span.Tell(trace.Outcome, outcome.String())
	if outcome == metrics.Cancelled {
		span.End(nil)
	} else {
		span.End(err)
	}
	return result, err
}

func outcomeOf(ctx context.Context, result validate.Result, err error) metrics.Outcome {
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return metrics.Cancelled // others had made the outcome clear
	case err != nil:
		return metrics.Error
	case result.Problem == nil:
		return metrics.OK
	case result.Temporary:
		return metrics.Temporary
	}
	return metrics.Refused
}

// signerState remembers how the signer did lately.
type signerState struct {
	mu     sync.Mutex // guards what follows
	failed int        // in a row
	last   time.Time
	err    error
}

// A signer that failed so often in a row, and so lately, does not answer. After that time there is
// another try: no requests would come that could show it to be well again.
const (
	signerFailures = 3
	signerPause    = 30 * time.Second
)

// note notes what came of a call: outcome is Error for what is no fault of the request.
func (s *signerState) note(outcome metrics.Outcome, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch outcome {
	case metrics.Cancelled: // which says nothing about the signer
	case metrics.Error:
		s.failed++
		s.last, s.err = time.Now(), err
	default:
		s.failed = 0
	}
}

// check fails if the signer does not answer.
func (s *signerState) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed >= signerFailures && time.Since(s.last) < signerPause {
		return fmt.Errorf("it failed %d times in a row: %w", s.failed, s.err)
	}
	return nil
}

// watchedSigner counts what is asked of the signer of certificates.
type watchedSigner struct {
	work.Signer
	observer *observer
}

func (o *observer) certificates(s work.Signer) work.Signer { return watchedSigner{s, o} }

// Certificate implements work.Signer.
func (s watchedSigner) Certificate(ctx context.Context, r sign.Request) (sign.Certificate, error) {
	began := time.Now()
	ctx, span := s.observer.tracer.Start(ctx, "sign certificate")
	span.Tell(trace.Order, r.Order)
	span.Tell(trace.Profile, r.Profile)
	c, err := s.Signer.Certificate(ctx, r)
	span.End(err)
	s.observer.signed(ctx, metrics.Certificate, err, time.Since(began))
	return c, err
}

// watchedLists counts what is asked of the signer of lists.
type watchedLists struct {
	crl.Signer
	observer *observer
}

func (o *observer) lists(s crl.Signer) crl.Signer { return watchedLists{s, o} }

// CRL implements crl.Signer.
func (s watchedLists) CRL(ctx context.Context, r sign.CRLRequest) ([]byte, error) {
	began := time.Now()
	ctx, span := s.observer.tracer.Start(ctx, "sign CRL")
	span.Tell(trace.Issuer, r.Issuer)
	der, err := s.Signer.CRL(ctx, r)
	span.End(err)
	s.observer.signed(ctx, metrics.CRL, err, time.Since(began))
	return der, err
}

// servedSigner counts what other processes ask the signer here.
type servedSigner struct {
	watchedSigner
	watchedLists
}

func (o *observer) served(s *sign.Signer) sign.Served {
	return servedSigner{watchedSigner{s, o}, watchedLists{s, o}}
}

func (o *observer) signed(ctx context.Context, kind metrics.Kind, err error, took time.Duration) {
	outcome := metrics.OK
	switch {
	case err == nil:
	case errors.Is(err, sign.ErrRefused), errors.Is(err, sign.ErrValidity):
		outcome = metrics.Refused
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, sign.ErrConflict):
		outcome = metrics.Cancelled
	default:
		outcome = metrics.Error
	}
	o.metrics.Signed(kind, outcome, took)
	o.signer.note(outcome, err)
}
