package ca_test

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/ca/crl"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// The steps of an issuance that cross a border, and what can happen there. Those between are
// commits of the store, and a crash before or after one is a crash at the border beside it
// (numbers are rows of docs/issuance.md):
//
//	prove        killed before: the challenge's answer is committed, nobody has looked
//	             killed after: before the authorization is settled
//	certificate  killed before: after 1, finalize's commit
//	             killed after: after 7
//	lookup       killed before or after: before or after 2. The first attempt does not look, so it loses its
//	             reservation, and the fault is at the second one
//	reserve      killed before: after 3; killed after: after 4
//	settle       killed before: after 5; killed after: after 6
var (
	steps  = []string{"prove", "certificate", "lookup", "reserve", "settle"}
	faults = []string{"lost", "done but reported failed", "killed before", "killed after"}
)

// moments are answers that the client was given, each after a commit. A crash right after
// one loses nothing of it: the order, the settled authorization, finalize's commit and
// issuance (row 1, or 6 if it was quick), the valid order (row 6), the certificate.
var moments = []string{"ordered", "proven", "finalized", "valid", "fetched"}

// TestFailureTable lets every step of an issuance go wrong once in every way. The client's
// order must lead to one certificate all the same, and the authority keep its promises.
func TestFailureTable(t *testing.T) {
	for _, step := range steps {
		for _, fault := range faults {
			t.Run(step+" "+fault, func(t *testing.T) {
				t.Parallel()
				f := &failure{step: step, fault: fault}
				responder := catest.NewResponder(t)
				issueThrough(t, f, newPlace(t, responder.Port), responder)
			})
		}
	}
}

// TestKilledAfterAnAnswer kills the authority once the client has an answer: what it
// says is true in the next life, and the order leads to one certificate.
func TestKilledAfterAnAnswer(t *testing.T) {
	for _, moment := range moments {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			responder := catest.NewResponder(t)
			issueThrough(t, &failure{fault: "killed", moment: moment}, newPlace(t, responder.Port), responder)
		})
	}
}

// place is where an authority is, so that its next life is at the same.
type place struct {
	dir, listen, http string
	http01Port        int
}

func newPlace(t testing.TB, http01Port int) place {
	t.Helper()
	listen, http := freeAddresses(t)
	return place{dir: filepath.Join(t.TempDir(), "ca"), listen: listen, http: http, http01Port: http01Port}
}

func (p place) config(t testing.TB, f *failure) ca.Config {
	c := catest.Config(t, p.dir, p.http01Port)
	c.Listen, c.HTTP = p.listen, p.http
	c.Seams = f.seams()
	return c
}

// start starts an authority at p in this process.
func (p place) start(t testing.TB, f *failure) *catest.Authority {
	t.Helper()
	return catest.Start(t, p.dir, func(c *ca.Config) { *c = p.config(t, f) })
}

// issueThrough obtains a certificate from an authority in which f happens once.
func issueThrough(t *testing.T, f *failure, p place, responder *catest.Responder) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dies := strings.HasPrefix(f.fault, "killed")
	// The first life makes the directory, so that the root is known.
	first := p.start(t, &failure{})
	root, directory := first.Page().Root, first.Page().Directory
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	var second *catest.Authority
	answered := func(string) {}
	var died <-chan struct{}
	if dies {
		died, answered = startDying(t, p, f)
	} else {
		second = p.start(t, f)
	}
	client := catest.NewClient(t, directory, root)
	if _, err := client.Register(ctx, acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		got *catest.Obtained
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		got, err := obtainPatiently(ctx, client, responder, answered)
		done <- outcome{got, err}
	}()
	if dies {
		select {
		case <-died:
		case <-ctx.Done():
			t.Fatal("the child did not die")
		}
		second = p.start(t, &failure{})
	}
	end := <-done
	if end.err != nil {
		t.Fatal(end.err)
	}
	if !dies && !f.happened() {
		t.Fatal("the fault did not happen")
	}
	again, err := client.Order(ctx, end.got.Order.URL)
	if err != nil || again.Status != acme.StatusValid || again.Certificate != end.got.Order.Certificate {
		t.Errorf("the order afterwards: %+v, %v", again, err)
	}
	if err := second.Stop(); err != nil {
		t.Error(err)
	}
	catest.CheckCA(t, p.dir, end.got.Chain.Certificates[0])
}

// startDying starts a child that f kills: at a step by itself, or once the client says that it
// has the answer of f's moment. died is closed when it is dead.
func startDying(t *testing.T, p place, f *failure) (died <-chan struct{}, answered func(moment string)) {
	t.Helper()
	c := startChild(t, p, f)
	c.waitUntilReady(t)
	dead := make(chan struct{})
	var err error
	go func() { err = c.Wait(); close(dead) }()
	t.Cleanup(func() {
		_ = c.Process.Kill() // which does nothing, unless the test has failed
		if <-dead; err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("the child ended otherwise: %v", err)
		}
	})
	return dead, func(moment string) {
		if moment == f.moment {
			_ = c.Process.Kill()
			<-dead // a dying process answers nothing more
		}
	}
}

// obtainPatiently obtains a certificate with one order and one CSR, repeating each
// request whose connection broke, as RFC 8555 lets a client do. answered is called at
// each of moments.
func obtainPatiently(ctx context.Context, client *acme.Client, responder *catest.Responder, answered func(string)) (*catest.Obtained, error) {
	ids := []acme.Identifier{acme.IdentifierFor("a.test")}
	key, err := sign.NewKey(elliptic.P256())
	if err != nil {
		return nil, err
	}
	csr, err := catest.CSR(key, ids)
	if err != nil {
		return nil, err
	}
	got := &catest.Obtained{Key: key}
	for i, step := range []func() error{
		func() (err error) {
			got.Order, err = client.NewOrder(ctx, acme.NewOrder{Identifiers: ids})
			return err
		},
		func() error { return catest.Prove(ctx, client, responder, got.Order) },
		func() error { _, err := client.Finalize(ctx, got.Order, csr); return err },
		func() (err error) { got.Order, err = client.WaitOrder(ctx, got.Order, acme.StatusValid); return err },
		func() (err error) {
			got.Chain, err = client.Certificate(ctx, got.Order.Certificate, acme.CertificateRequest{PublicKey: key.Public(), Identifiers: ids})
			return err
		},
	} {
		if err := untilAnswered(ctx, step); err != nil {
			return nil, err
		}
		answered(moments[i])
	}
	return got, nil
}

// untilAnswered repeats a step until the server answers, well or ill.
func untilAnswered(ctx context.Context, step func() error) error {
	for {
		err := step()
		var problem *acme.Problem
		if err == nil || errors.As(err, &problem) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// failure is one fault at one step, once.
type failure struct {
	step, fault string
	own         bool   // at the authority's own HTTPS certificate, not at a client's
	moment      string // instead of a step: an answer, after which the process is killed
	mu          sync.Mutex
	done        bool
	led         bool // the attempt before the one at which it is to happen has failed
}

var errInjected = errors.New("injected failure")

func (f *failure) happened() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}

// at runs a step, or lets it go wrong.
func (f *failure) at(step string, do func() error) error {
	f.mu.Lock()
	now := f.step == step && !f.done
	f.done = f.done || now
	f.mu.Unlock()
	if !now {
		return do()
	}
	switch f.fault {
	case "lost":
		return errInjected
	case "done but reported failed":
		return errors.Join(do(), errInjected)
	case "killed before":
		die()
	case "killed after":
		_ = do()
		die()
	}
	return fmt.Errorf("unknown fault %q", f.fault)
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

// seams puts f at every border.
func (f *failure) seams() ca.Seams {
	if f.step == "" {
		return ca.Seams{Pause: 50 * time.Millisecond}
	}
	return ca.Seams{
		Pause:     50 * time.Millisecond,
		Journal:   func(j sign.Journal) sign.Journal { return failingJournal{j, f} },
		Signer:    func(s work.Signer) work.Signer { return failingSigner{s, f} },
		Validator: func(v work.Validator) work.Validator { return failingValidator{v, f} },
		CRL:       func(s crl.Signer) crl.Signer { return failingCRL{s, f} },
	}
}

type failingJournal struct {
	sign.Journal
	*failure
}

func (j failingJournal) Lookup(ctx context.Context, order string) (e sign.Entry, found bool, err error) {
	err = j.of(order, "lookup", func() error { e, found, err = j.Journal.Lookup(ctx, order); return err })
	return e, found, err
}

func (j failingJournal) Reserve(ctx context.Context, e sign.Entry, replaces string) error {
	if strings.HasPrefix(e.Order, "https-") == j.own && j.leads() {
		return errInjected
	}
	return j.of(e.Order, "reserve", func() error { return j.Journal.Reserve(ctx, e, replaces) })
}

func (j failingJournal) Settle(ctx context.Context, e sign.Entry) error {
	return j.of(e.Order, "settle", func() error { return j.Journal.Settle(ctx, e) })
}

// leads reports whether an attempt is to fail so that there is another, which looks the order up.
func (f *failure) leads() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.step == "lookup" && !f.own && !f.led
	f.led = f.led || now
	return now
}

// of runs a step of the kind of order that the failure is for, and leaves the other kind alone.
func (j failingJournal) of(order, step string, do func() error) error {
	if strings.HasPrefix(order, "https-") != j.own {
		return do()
	}
	return j.at(step, do)
}

type failingSigner struct {
	work.Signer
	*failure
}

func (s failingSigner) Certificate(ctx context.Context, r sign.Request) (c sign.Certificate, err error) {
	err = s.at("certificate", func() error { c, err = s.Signer.Certificate(ctx, r); return err })
	return c, err
}

type failingValidator struct {
	work.Validator
	*failure
}

func (v failingValidator) Prove(ctx context.Context, r validate.Request) (result validate.Result, err error) {
	err = v.at("prove", func() error { result, err = v.Validator.Prove(ctx, r); return err })
	return result, err
}

type failingCRL struct {
	crl.Signer
	*failure
}

func (s failingCRL) CRL(ctx context.Context, r sign.CRLRequest) (der []byte, err error) {
	if strings.HasPrefix(r.Issuer, "root-") {
		return s.Signer.CRL(ctx, r)
	}
	err = s.at("crl", func() error { der, err = s.Signer.CRL(ctx, r); return err })
	return der, err
}
