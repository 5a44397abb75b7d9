package work_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// machines is a store that several processes share, and the CA for their roles.
type machines struct {
	*bench
	roles *roles.Authority
}

func newMachines(t *testing.T) *machines {
	t.Helper()
	b := newBench(t)
	t.Cleanup(func() { _ = b.db.Close() })
	certificate, key, err := roles.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	authority, err := roles.LoadAuthority(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return &machines{bench: b, roles: authority}
}

// listen has handler answer fronts and publishers on loopback, as a worker.
func (m *machines) listen(handler http.Handler) (address string) {
	m.t.Helper()
	config := m.roles.Identity(rpc.Peer{Role: rpc.RoleWork, Node: "work1"}).
		ServerConfig(rpc.Expect{Role: rpc.RoleFront, Roles: []string{rpc.RoleCRL}})
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		m.t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() { _ = server.Serve(listener); close(done) }()
	m.t.Cleanup(func() { _ = server.Close(); <-done })
	return listener.Addr().String()
}

// serve has w answer calls.
func (m *machines) serve(w *work.Worker) (address string) {
	var server rpc.Server
	work.Serve(&server, w)
	m.t.Cleanup(func() { _ = w.Stop(context.Background()) })
	return m.listen(&server)
}

// remote is the workers at addresses, as a front sees them.
func (m *machines) remote(c work.RemoteConfig, addresses ...string) *work.Remote {
	clients := m.clients(rpc.RoleFront, addresses...)
	c.Workers = func(context.Context) ([]rpc.Client, error) { return clients, nil }
	c.Log = slog.New(slog.DiscardHandler)
	r := work.NewRemote(c)
	m.t.Cleanup(r.Close)
	return r
}

func (m *machines) clients(role string, addresses ...string) (clients []rpc.Client) {
	pool := rpc.NewPool(m.roles.Identity(rpc.Peer{Role: role, Node: "node1"}))
	m.t.Cleanup(pool.Close)
	for _, address := range addresses {
		clients = append(clients, pool.Client(address, rpc.Expect{Role: rpc.RoleWork}))
	}
	return clients
}

// soon waits for a channel to be closed, for longer than any test should take.
func soon[T any](t *testing.T, done <-chan T) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("it was never settled")
	}
}

func TestRemoteWorker(t *testing.T) {
	m := newMachines(t)
	certified := func(context.Context, sign.Request) (sign.Certificate, error) {
		return sign.Certificate{Serial: "0a"}, nil
	}
	r := m.remote(work.RemoteConfig{}, m.serve(m.worker(proven, certified)))
	order, a := m.attempted(r)
	soon(t, r.Validate(a))
	got := m.authz(a.ID)
	if got.Status != acme.StatusValid || !got.Lease.Due.IsZero() {
		t.Fatalf("the authorization is %s with lease %+v", got.Status, got.Lease)
	}
	order = m.finalize(r, order, got)
	soon(t, r.Issue(order, rules.CSR{}))
	if got := m.order(order.ID); got.Serial != "0a" {
		t.Errorf("the order has serial %q", got.Serial)
	}
}

// TestRemoteWorkerFails has workers that are not there, break off, and are silent, before the one that works.
func TestRemoteWorkerFails(t *testing.T) {
	m := newMachines(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	for name, address := range map[string]string{
		"gone":       gone.Addr().String(),
		"broken off": m.listen(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })),
		"silent":     m.listen(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })),
		"full":       m.serve(stopped(m.worker(nil, nil))),
	} {
		t.Run(name, func(t *testing.T) {
			r := m.remote(work.RemoteConfig{}, address, m.serve(m.worker(proven, nil)))
			for range 4 { // whichever is asked first
				_, a := m.attempted(r)
				began := time.Now()
				soon(t, r.Validate(a))
				if got := m.authz(a.ID); got.Status != acme.StatusValid {
					t.Errorf("%s after %s", got.Status, time.Since(began))
				}
			}
		})
	}
}

func stopped(w *work.Worker) *work.Worker {
	_ = w.Stop(context.Background())
	return w
}

// TestNoWorkerAnswers leaves the work to who looks for it: it is due, and nobody's.
func TestNoWorkerAnswers(t *testing.T) {
	m := newMachines(t)
	r := m.remote(work.RemoteConfig{})
	_, a := m.attempted(r)
	soon(t, r.Validate(a))
	if got := m.authz(a.ID); got.Status != acme.StatusPending {
		t.Fatalf("without a worker it is %s", got.Status)
	}
	w := m.worker(proven, nil)
	running(w, func() {
		for end := time.Now().Add(10 * time.Second); m.authz(a.ID).Status != acme.StatusValid; {
			if time.Now().After(end) {
				t.Fatal("nobody found it")
			}
		}
	})
}

// TestTakenUpOnce asks workers about what one of them is at.
func TestTakenUpOnce(t *testing.T) {
	m := newMachines(t)
	release, begun := make(chan struct{}), make(chan struct{}, 8)
	slow := func(context.Context, validate.Request) (validate.Result, error) {
		begun <- struct{}{}
		<-release
		return validate.Result{}, nil
	}
	r := m.remote(work.RemoteConfig{}, m.serve(m.worker(slow, nil)), m.serve(m.worker(slow, nil)), m.serve(m.worker(slow, nil)))
	_, a := m.attempted(r)
	first := r.Validate(a)
	soon(t, begun)
	for range 8 {
		select {
		case <-r.Validate(a):
		case <-time.After(50 * time.Millisecond): // the one that is at it was asked
		}
	}
	close(release)
	soon(t, first)
	if got := m.authz(a.ID); got.Status != acme.StatusValid || len(begun) != 0 {
		t.Errorf("%s, and the validator was asked %d times more than once", got.Status, len(begun))
	}
}

// TestHintsAreBounded has more work than calls may be under way, and workers that never answer.
func TestHintsAreBounded(t *testing.T) {
	m := newMachines(t)
	silent := m.listen(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	r := m.remote(work.RemoteConfig{Hints: 2, Wait: time.Minute}, silent)
	first, second := r.Validate(rules.Authz{ID: "a"}), r.Validate(rules.Authz{ID: "b"})
	select {
	case <-r.Validate(rules.Authz{ID: "c"}):
	case <-time.After(10 * time.Second):
		t.Error("a third call is waited for")
	}
	r.Close()
	soon(t, first)
	soon(t, second)
}

func TestWhoMayAskAWorker(t *testing.T) {
	m := newMachines(t)
	address := m.serve(m.worker(proven, nil))
	r := m.remote(work.RemoteConfig{}, address)
	_, a := m.attempted(r)
	ask := func(role, kind, id string) error {
		_, err := rpc.Call[map[string]any, map[string]any](t.Context(), m.clients(role, address)[0], "take-up", map[string]any{"kind": kind, "id": id, "wait": 10000})
		return err
	}
	if err := ask(rpc.RoleCRL, "authorization", a.ID); err == nil {
		t.Error("a publisher of CRLs was answered")
	}
	var refused *rpc.Refusal
	if err := ask(rpc.RoleFront, "account", a.ID); !errors.As(err, &refused) {
		t.Errorf("an unknown kind: %v", err)
	}
	if err := ask(rpc.RoleFront, "order", "none"); err != nil {
		t.Errorf("an order that there is not: %v", err)
	}
	if got := m.authz(a.ID); got.Status != acme.StatusPending {
		t.Errorf("meanwhile the authorization became %s", got.Status)
	}
	if err := ask(rpc.RoleFront, "authorization", a.ID); err != nil || m.authz(a.ID).Status != acme.StatusValid {
		t.Errorf("a front: %v", err)
	}
}

// TestStoppedBeforeSigning stops a worker before it signs, for longer than its lease. Another one finds that the order must
// fail meanwhile. What the first does when it goes on is caught by the journal.
func TestStoppedBeforeSigning(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		release, late := make(chan struct{}), error(nil)
		slow := b.worker(nil, func(ctx context.Context, r sign.Request) (sign.Certificate, error) {
			<-release
			late = work.Journal{DB: b.db}.Reserve(context.WithoutCancel(ctx), sign.Entry{Order: r.Order, Serial: "0b", Issuer: "1"}, "")
			return sign.Certificate{}, late
		})
		order := b.finalized(slow)
		done := slow.Issue(order, rules.CSR{})
		running(b.worker(nil, func(context.Context, sign.Request) (sign.Certificate, error) {
			return sign.Certificate{}, sign.ErrRefused
		}), func() { time.Sleep(3 * 30 * time.Second) })
		close(release)
		<-done
		if !errors.Is(late, sign.ErrConflict) {
			t.Errorf("the late signature: %v", late)
		}
		if got := b.order(order.ID); got.Error == nil || got.Serial != "" {
			t.Errorf("the order: %+v", got)
		}
		_ = slow.Stop(t.Context())
	})
}

// TestRecover gives up what a crash left of the CA's own certificates, and nothing that somebody may be at.
func TestRecover(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		w := b.worker(nil, nil)
		journal, ctx := work.Journal{DB: b.db}, t.Context()
		order := b.finalized(w)
		for serial, name := range map[string]string{"0a": order.ID, "0b": "https-old"} {
			if err := journal.Reserve(ctx, sign.Entry{Order: name, Serial: serial, Issuer: "1"}, ""); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		if err := journal.Reserve(ctx, sign.Entry{Order: "https-new", Serial: "0c", Issuer: "1"}, ""); err != nil {
			t.Fatal(err)
		}
		if err := w.Recover(ctx); err != nil {
			t.Fatal(err)
		}
		for serial, want := range map[string]rules.State{"0a": rules.Reserved, "0b": rules.Abandoned, "0c": rules.Reserved} {
			err := b.db.View(ctx, func(tx *store.Tx) error {
				c, err := tx.Certificate(serial)
				if c.State != want {
					t.Errorf("%s is %s, not %s", serial, c.State, want)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		_ = w.Stop(ctx)
	})
}
