package ca_test

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// The steps of an issuance that cross a border (docs/issuance.md), and what can happen there.
var (
	steps  = []string{"prove", "certificate", "lookup", "reserve", "settle"}
	faults = []string{"lost", "done but reported failed", "killed before", "killed after"}
)

// childVariable tells this test's own program to be an authority that dies; see authorityThatDies.
const childVariable = "CAIRN_TEST_CHILD"

func TestMain(m *testing.M) {
	if arguments := os.Getenv(childVariable); arguments != "" {
		authorityThatDies(strings.Split(arguments, "\n"))
	}
	os.Exit(m.Run())
}

// TestFailureTable lets every step of an issuance go wrong once in every way. The client's
// order must lead to one certificate all the same, and the authority keep its promises.
func TestFailureTable(t *testing.T) {
	for _, step := range steps {
		for _, fault := range faults {
			t.Run(step+" "+fault, func(t *testing.T) {
				t.Parallel()
				f := &failure{step: step, fault: fault}
				responder := catest.NewResponder(t)
				place := place{dir: filepath.Join(t.TempDir(), "ca"), listen: freeAddress(t), http: freeAddress(t), http01Port: responder.Port}
				issueThrough(t, f, place, responder)
			})
		}
	}
}

// place is where an authority is, so that its next life is at the same.
type place struct {
	dir, listen, http string
	http01Port        int
}

func (p place) config(t testing.TB, f *failure) ca.Config {
	c := catest.Config(t, p.dir, p.http01Port)
	c.Listen, c.HTTP = p.listen, p.http
	c.Seams = f.seams()
	return c
}

// issueThrough obtains a certificate from an authority in which f happens once.
func issueThrough(t *testing.T, f *failure, p place, responder *catest.Responder) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dies := strings.HasPrefix(f.fault, "killed")
	// The first life makes the directory, so that the root is known.
	first := catest.Start(t, p.dir, func(c *ca.Config) { *c = p.config(t, &failure{}) })
	root, directory := first.Page().Root, first.Page().Directory
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	var second *catest.Authority
	var child *exec.Cmd
	if dies {
		child = startChild(t, p, f)
	} else {
		second = catest.Start(t, p.dir, func(c *ca.Config) { *c = p.config(t, f) })
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
		got, err := obtainPatiently(ctx, client, responder, "a.test")
		done <- outcome{got, err}
	}()
	if dies {
		if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended otherwise: %v", err)
		}
		second = catest.Start(t, p.dir, func(c *ca.Config) { *c = p.config(t, &failure{}) })
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
	catest.CheckCA(t, p.dir, []*x509.Certificate{end.got.Chain.Certificates[0]}...)
}

// obtainPatiently obtains a certificate with one order and one CSR, repeating each
// request whose connection broke, as RFC 8555 lets a client do.
func obtainPatiently(ctx context.Context, client *acme.Client, responder *catest.Responder, name string) (*catest.Obtained, error) {
	ids := []acme.Identifier{acme.IdentifierFor(name)}
	key, err := sign.NewKey(elliptic.P256())
	if err != nil {
		return nil, err
	}
	csr, err := catest.CSR(key, ids)
	if err != nil {
		return nil, err
	}
	got := &catest.Obtained{Key: key}
	for _, step := range []func() error{
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
	mu          sync.Mutex
	done        bool
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

// seams puts f at every border. What an authority does for itself at its start is left alone.
func (f *failure) seams() ca.Seams {
	if f.step == "" {
		return ca.Seams{Pause: 50 * time.Millisecond}
	}
	return ca.Seams{
		Pause:     50 * time.Millisecond,
		Journal:   func(j sign.Journal) sign.Journal { return failingJournal{j, f} },
		Signer:    func(s work.Signer) work.Signer { return failingSigner{s, f} },
		Validator: func(v work.Validator) work.Validator { return failingValidator{v, f} },
	}
}

type failingJournal struct {
	sign.Journal
	*failure
}

func (j failingJournal) Lookup(ctx context.Context, order string) (e sign.Entry, found bool, err error) {
	err = j.unlessOwn(order, "lookup", func() error { e, found, err = j.Journal.Lookup(ctx, order); return err })
	return e, found, err
}

func (j failingJournal) Reserve(ctx context.Context, e sign.Entry, replaces string) error {
	return j.unlessOwn(e.Order, "reserve", func() error { return j.Journal.Reserve(ctx, e, replaces) })
}

func (j failingJournal) Settle(ctx context.Context, e sign.Entry) error {
	return j.unlessOwn(e.Order, "settle", func() error { return j.Journal.Settle(ctx, e) })
}

// unlessOwn leaves the authority's own HTTPS certificate alone.
func (j failingJournal) unlessOwn(order, step string, do func() error) error {
	if strings.HasPrefix(order, "https-") {
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

// startChild starts an authority at p, in a process of its own, that f kills. It returns once that listens.
func startChild(t *testing.T, p place, f *failure) *exec.Cmd {
	t.Helper()
	hosts := p.config(t, f).HostsFile
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+strings.Join([]string{p.dir, p.listen, p.http, strconv.Itoa(p.http01Port), f.step, f.fault, hosts}, "\n"))
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if n, err := stdout.Read(make([]byte, 1)); n != 1 {
		t.Fatalf("the child did not start: %v", err)
	}
	return cmd
}

// authorityThatDies is the child's program.
func authorityThatDies(arguments []string) {
	port, _ := strconv.Atoi(arguments[3])
	f := &failure{step: arguments[4], fault: arguments[5]}
	authority, err := ca.Open(context.Background(), ca.Config{
		Dir: arguments[0], Listen: arguments[1], HTTP: arguments[2], HTTP01Port: port,
		HostsFile: arguments[6], ResolvConf: os.DevNull, Machine: catest.Machine, Seams: f.seams(),
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(".")
	fmt.Fprintln(os.Stderr, authority.Serve(context.Background()))
	os.Exit(1)
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
