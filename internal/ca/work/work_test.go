package work_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// The seams of these tests are functions: what a validator or a signer does next.
type (
	proveFunc func(context.Context, validate.Request) (validate.Result, error)
	signFunc  func(context.Context, sign.Request) (sign.Certificate, error)
)

// CAA must not be asked of it: policy names nothing public.
func (f proveFunc) CAA(context.Context, validate.CAARequest) (validate.Result, error) {
	return validate.Result{}, errors.New("CAA was asked for")
}

func (f proveFunc) Prove(ctx context.Context, r validate.Request) (validate.Result, error) {
	return f(ctx, r)
}

func (f signFunc) Certificate(ctx context.Context, r sign.Request) (sign.Certificate, error) {
	return f(ctx, r)
}

func proven(context.Context, validate.Request) (validate.Result, error) {
	return validate.Result{}, nil
}

func hang(ctx context.Context, _ validate.Request) (validate.Result, error) {
	<-ctx.Done()
	return validate.Result{}, ctx.Err()
}

// bench is a store with one account, in a bubble of its own time.
type bench struct {
	t       *testing.T
	db      *store.DB
	file    string // of db
	key     *acme.Key
	account rules.Account
}

// inBubble runs test in a bubble, where waiting costs nothing.
func inBubble(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.db.Close()
		test(t, b)
	})
}

// newBench makes a bench, whose store the caller closes.
func newBench(t *testing.T) *bench {
	t.Helper()
	file := filepath.Join(t.TempDir(), "db")
	db, err := store.Open(t.Context(), store.Config{Path: file, Twice: true})
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := acme.NewKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, db: db, file: file, key: key}
	account, problem := rules.NewAccount(policy(t), key, acme.NewAccount{}, time.Now())
	if problem != nil {
		t.Fatal(problem)
	}
	b.account = account
	b.update(func(tx *store.Tx) error { return tx.InsertAccount(account) })
	return b
}

// leaser is a Worker, or what a front has in place of one.
type leaser interface {
	Lease(now time.Time) rules.Lease
}

func policy(t *testing.T) rules.Policy {
	names, err := acme.ParseSubtrees([]string{"test"})
	if err != nil {
		t.Fatal(err)
	}
	return rules.Policy{Names: names, Profiles: []rules.Profile{rules.Classic()}}
}

func (b *bench) update(fn func(*store.Tx) error) {
	b.t.Helper()
	if err := b.db.Update(context.Background(), fn); err != nil {
		b.t.Fatal(err)
	}
}

// worker makes a worker of these seams; nil stands for one that must not be used.
func (b *bench) worker(prove proveFunc, certify signFunc) *work.Worker {
	if prove == nil {
		prove = func(context.Context, validate.Request) (validate.Result, error) {
			b.t.Error("the validator was asked")
			return validate.Result{}, errors.New("not here")
		}
	}
	return work.New(work.Config{DB: b.db, Validator: prove, Signer: certify, Log: slog.New(slog.DiscardHandler)})
}

// attempted saves an order whose challenge was just responded to, under a lease of w.
func (b *bench) attempted(w leaser) (order rules.Order, authz rules.Authz) {
	b.t.Helper()
	b.update(func(tx *store.Tx) error {
		wanted, problem := rules.ReadNewOrder(policy(b.t), acme.NewOrder{Identifiers: []acme.Identifier{{Type: acme.DNS, Value: "a.test"}}})
		if problem != nil {
			return problem
		}
		placed, problem := rules.NewOrder(wanted, rules.Held{Account: b.account}, tx.Now)
		if problem != nil {
			return problem
		}
		o, authzs := placed.Order, placed.New
		if err := tx.InsertOrder(o, authzs); err != nil {
			return err
		}
		a, problem := authzs[0].Attempt(rules.Answer{Type: acme.HTTP01, Key: b.key}, w.Lease(tx.Now), tx.Now)
		if problem != nil {
			return problem
		}
		order, authz = o, a
		return tx.UpdateAuthz(authzs[0], a)
	})
	return order, authz
}

func (b *bench) authz(id string) (a rules.Authz) {
	b.t.Helper()
	if err := b.db.View(context.Background(), func(tx *store.Tx) (err error) { a, err = tx.Authz(id); return err }); err != nil {
		b.t.Fatal(err)
	}
	return a
}

// finalized saves an order that has just been finalized, under a lease of w.
func (b *bench) finalized(w leaser) rules.Order {
	b.t.Helper()
	o, a := b.attempted(w)
	valid := a.Settle(rules.Outcome{}, time.Now())
	b.update(func(tx *store.Tx) error { return tx.UpdateAuthz(a, valid) })
	return b.finalize(w, o, valid)
}

// finalize saves o, whose authorization is valid, as finalized, under a lease of w.
func (b *bench) finalize(w leaser, o rules.Order, valid rules.Authz) (order rules.Order) {
	b.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"a.test"}}, key)
	if err != nil {
		b.t.Fatal(err)
	}
	csr, problem := rules.ParseCSR(der)
	if problem != nil {
		b.t.Fatal(problem)
	}
	b.update(func(tx *store.Tx) error {
		after, problem := o.Finalize([]rules.Authz{valid}, csr, w.Lease(tx.Now), tx.Now)
		if problem != nil {
			return problem
		}
		order = after
		return tx.UpdateOrder(o, after)
	})
	return order
}

func (b *bench) order(id string) (o rules.Order) {
	b.t.Helper()
	if err := b.db.View(context.Background(), func(tx *store.Tx) (err error) { o, err = tx.Order(id); return err }); err != nil {
		b.t.Fatal(err)
	}
	return o
}

// running runs w's loop while do runs.
func running(w *work.Worker, do func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()
	do()
	cancel()
	<-ended
	_ = w.Stop(context.Background())
}

func TestOutcomeIsRecorded(t *testing.T) {
	for name, outcome := range map[acme.Status]*acme.Problem{
		acme.StatusValid:   nil,
		acme.StatusInvalid: acme.Problemf(acme.TypeConnection, "refused"),
	} {
		t.Run(string(name), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				var asked validate.Request
				w := b.worker(func(_ context.Context, r validate.Request) (validate.Result, error) {
					asked = r
					return validate.Result{Problem: outcome}, nil
				}, nil)
				_, a := b.attempted(w)
				<-w.Validate(a)
				got := b.authz(a.ID)
				if got.Status != name || !got.Lease.Due.IsZero() {
					t.Errorf("%s with lease %+v", got.Status, got.Lease)
				}
				if asked.KeyAuthorization != a.Challenges[0].KeyAuthorization || asked.Identifier != a.Identifier {
					t.Errorf("asked %+v", asked)
				}
				var attempts []store.Attempt
				_ = b.db.View(t.Context(), func(tx *store.Tx) (err error) { attempts, err = tx.Attempts(a.ID, 100); return err })
				if len(attempts) != 1 || attempts[0].OK != (outcome == nil) {
					t.Errorf("evidence: %+v", attempts)
				}
				_ = w.Stop(t.Context())
			})
		})
	}
}

// What a process that died had begun, another one takes up once the lease has lapsed, and not before.
func TestLapsedLeaseIsTakenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		dead := b.worker(nil, nil)
		_, a := b.attempted(dead)
		w := b.worker(proven, nil)
		running(w, func() {
			time.Sleep(29 * time.Second)
			if got := b.authz(a.ID); got.Status != acme.StatusPending {
				t.Errorf("before the lease has lapsed it is %s", got.Status)
			}
			time.Sleep(3 * time.Second)
			if got := b.authz(a.ID); got.Status != acme.StatusValid {
				t.Errorf("after the lease has lapsed it is %s", got.Status)
			}
		})
	})
}

// Whoever knows that it is alone need not wait.
func TestRecoverAll(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		dead := b.worker(nil, nil)
		_, a := b.attempted(dead)
		order := b.finalized(dead)
		w := b.worker(proven, func(context.Context, sign.Request) (sign.Certificate, error) {
			return sign.Certificate{Serial: "0a"}, nil
		})
		if err := w.RecoverAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		running(w, func() {
			time.Sleep(time.Second)
			if got := b.authz(a.ID); got.Status != acme.StatusValid {
				t.Errorf("the authorization is %s", got.Status)
			}
			if got := b.order(order.ID); got.Serial != "0a" || got.CSR != nil {
				t.Errorf("the order has serial %q", got.Serial)
			}
		})
	})
}

// Who lost the lease cannot save what it found out.
func TestLostLeaseCannotSave(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		release := make(chan struct{})
		slow := b.worker(func(context.Context, validate.Request) (validate.Result, error) {
			<-release // deaf to its deadline, as a stopped process is
			return validate.Result{Problem: acme.Problemf(acme.TypeConnection, "refused")}, nil
		}, nil)
		_, a := b.attempted(slow)
		done := slow.Validate(a)
		running(b.worker(proven, nil), func() { time.Sleep(40 * time.Second) })
		close(release)
		<-done
		if got := b.authz(a.ID); got.Status != acme.StatusValid {
			t.Errorf("the slow one overwrote the outcome: %s", got.Status)
		}
		_ = slow.Stop(t.Context())
	})
}

// "Could not ask" is nobody's failure: it is asked again after a pause.
func TestInternalFaultIsPutOff(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var asked atomic.Int32
		w := b.worker(func(context.Context, validate.Request) (validate.Result, error) {
			if asked.Add(1) < 3 {
				return validate.Result{}, errors.New("no file descriptors")
			}
			return validate.Result{}, nil
		}, nil)
		_, a := b.attempted(w)
		running(w, func() {
			<-w.Validate(a)
			if got := b.authz(a.ID); got.Status != acme.StatusPending || got.Lease.Due.IsZero() {
				t.Errorf("after a fault it is %s, due %s", got.Status, got.Lease.Due)
			}
			time.Sleep(25 * time.Second)
		})
		if got := b.authz(a.ID); got.Status != acme.StatusValid || asked.Load() != 3 {
			t.Errorf("in the end it is %s after %d questions", got.Status, asked.Load())
		}
	})
}

// An end that cannot wait breaks work off and hands it back: the next process takes it up at once.
func TestStopHandsBack(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		w := b.worker(hang, nil)
		_, a := b.attempted(w)
		w.Validate(a)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		if err := w.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("it took %s", took)
		}
		if got := b.authz(a.ID); got.Status != acme.StatusPending || !got.Lease.Lapsed(time.Now()) {
			t.Errorf("it is %s with lease %+v", got.Status, got.Lease)
		}
		if done := w.Validate(a); !closed(done) {
			t.Error("a stopped worker takes up work")
		}
	})
}

func closed[T any](c <-chan T) bool {
	select {
	case _, open := <-c:
		return !open
	default:
		return false
	}
}

// An order that waited until its validity could not be given any more ends, and the client is told why.
func TestValidityThatCannotBeGivenAnyMore(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		w := b.worker(nil, func(_ context.Context, r sign.Request) (sign.Certificate, error) {
			if r.NotBefore.IsZero() {
				t.Error("the signer is not told the validity")
			}
			return sign.Certificate{}, fmt.Errorf("%w: %w: notBefore is out of the profile's range", sign.ErrRefused, sign.ErrValidity)
		})
		order := b.finalized(w)
		order.Validity.NotBefore = time.Now().Add(-2 * time.Hour)
		<-w.Issue(order, rules.CSR{})
		if got := b.order(order.ID); got.Error == nil || got.Error.Type != acme.TypeMalformed || !strings.Contains(got.Error.Detail, "notBefore") {
			t.Errorf("the order's error is %v", got.Error)
		}
		_ = w.Stop(t.Context())
	})
}

// What the signer refuses ends the order, and gives up a serial that was reserved for it.
func TestRefusedBySigner(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		w := b.worker(nil, func(ctx context.Context, r sign.Request) (sign.Certificate, error) {
			entry := sign.Entry{Order: r.Order, Serial: "0b", Issuer: "1", NotAfter: time.Now().Add(time.Hour)}
			if err := (work.Journal{DB: b.db}).Reserve(ctx, entry, ""); err != nil {
				t.Error(err)
			}
			return sign.Certificate{}, fmt.Errorf("%w: lint e_something", sign.ErrRefused)
		})
		order := b.finalized(w)
		<-w.Issue(order, rules.CSR{})
		got := b.order(order.ID)
		if got.Error == nil || got.Error.Type != acme.TypeServerInternal || got.CSR != nil {
			t.Errorf("the order's error is %v", got.Error)
		}
		var reserved rules.Certificate
		_ = b.db.View(t.Context(), func(tx *store.Tx) (err error) { reserved, err = tx.Certificate("0b"); return err })
		if reserved.State != rules.Abandoned || reserved.Revoked.IsZero() {
			t.Errorf("the reservation is %s", reserved.State)
		}
		_ = w.Stop(t.Context())
	})
}

// A key that is reported as compromised after the order was finalized is not certified.
func TestKeyBlockedMeanwhile(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		w := b.worker(nil, func(context.Context, sign.Request) (sign.Certificate, error) {
			t.Error("the signer was asked")
			return sign.Certificate{}, sign.ErrRefused
		})
		order := b.finalized(w)
		csr, problem := rules.ParseCSR(order.CSR)
		if problem != nil {
			t.Fatal(problem)
		}
		digest, err := rules.KeyDigest(csr.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		b.update(func(tx *store.Tx) error { return tx.BlockKey(digest) })
		<-w.Issue(order, rules.CSR{})
		if got := b.order(order.ID); got.Error == nil || got.Error.Type != acme.TypeBadCSR {
			t.Errorf("the order's error is %v", got.Error)
		}
		_ = w.Stop(t.Context())
	})
}

func TestSignerOutOfOrderIsPutOff(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var asked atomic.Int32
		w := b.worker(nil, func(context.Context, sign.Request) (sign.Certificate, error) {
			if asked.Add(1) == 1 {
				return sign.Certificate{}, sign.ErrConflict
			}
			return sign.Certificate{Serial: "0c"}, nil
		})
		order := b.finalized(w)
		running(w, func() {
			<-w.Issue(order, rules.CSR{})
			if got := b.order(order.ID); got.Error != nil || got.CSR == nil {
				t.Errorf("after a conflict: %+v", got)
			}
			time.Sleep(15 * time.Second)
		})
		if got := b.order(order.ID); got.Serial != "0c" {
			t.Errorf("in the end the serial is %q", got.Serial)
		}
	})
}

// The journal's contract (sign.Journal), where the signer's own tests do not reach: in the store.
func TestJournal(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		j := work.Journal{DB: b.db}
		entry := func(order, serial string) sign.Entry {
			return sign.Entry{Order: order, Serial: serial, Issuer: "1", Profile: "classic", NotAfter: time.Now().Add(time.Hour), Digest: [32]byte{1}}
		}
		if _, found, err := j.Lookup(ctx, "o1"); found || err != nil {
			t.Fatalf("an empty journal: %v, %v", found, err)
		}
		if err := j.Reserve(ctx, entry("o1", "01"), ""); err != nil {
			t.Fatal(err)
		}
		conflicts := map[string]error{
			"second reservation":      j.Reserve(ctx, entry("o1", "02"), ""),
			"serial of another order": j.Reserve(ctx, entry("o2", "01"), ""),
			"replaces another's":      j.Reserve(ctx, entry("o2", "02"), "01"),
			"settles the unknown":     j.Settle(ctx, entry("o1", "09")),
			"settles for another":     j.Settle(ctx, entry("o2", "01")),
		}
		other := entry("o1", "01")
		other.Digest = [32]byte{2}
		conflicts["settles another digest"] = j.Settle(ctx, other)
		if err := j.Reserve(ctx, entry("o1", "02"), "01"); err != nil {
			t.Fatal(err)
		}
		conflicts["settles the abandoned"] = j.Settle(ctx, entry("o1", "01"))
		conflicts["replaces the abandoned"] = j.Reserve(ctx, entry("o1", "03"), "01")
		settled := entry("o1", "02")
		settled.DER = []byte{0x30}
		if err := j.Settle(ctx, settled); err != nil {
			t.Fatal(err)
		}
		conflicts["settles twice"] = j.Settle(ctx, settled)
		conflicts["replaces the settled"] = j.Reserve(ctx, entry("o1", "04"), "02")
		for name, err := range conflicts {
			if !errors.Is(err, sign.ErrConflict) {
				t.Errorf("%s: %v", name, err)
			}
		}
		got, found, err := j.Lookup(ctx, "o1")
		if err != nil || !found || got.Serial != "02" || string(got.DER) != "\x30" || got.Digest != settled.Digest {
			t.Errorf("in the end: %+v, %v, %v", got, found, err)
		}
	})
}
