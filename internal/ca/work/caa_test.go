package work_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// seams answer for the validator and the signer.
type seams struct {
	proof func() validate.Result
	caa   func(asked int) (validate.Result, error)
	asked int // for CAA
}

func (s *seams) Prove(context.Context, validate.Request) (validate.Result, error) {
	return s.proof(), nil
}

func (s *seams) CAA(_ context.Context, r validate.CAARequest) (validate.Result, error) {
	if s.asked++; r.Identifier.Value != "a.test" || len(r.Issuers) != 1 || r.Method != acme.HTTP01 {
		return validate.Result{}, errors.New("asked for something else")
	}
	return s.caa(s.asked)
}

func (b *bench) caaWorker(s *seams, certify signFunc) *work.Worker {
	return work.New(work.Config{DB: b.db, Validator: s, Signer: certify, Log: slog.New(slog.DiscardHandler),
		CAA: rules.CAA{Identities: []string{"ca.example"}}})
}

var (
	forbids = validate.Result{Problem: acme.Problemf(acme.TypeCAA, "CAA forbids it")}
	silent  = validate.Result{Problem: acme.Problemf(acme.TypeDNS, "SERVFAIL"), Temporary: true}
)

// TestCAABesideTheProof: what is final counts before what may go away.
func TestCAABesideTheProof(t *testing.T) {
	ok, wrong := validate.Result{}, validate.Result{Problem: acme.Problemf(acme.TypeUnauthorized, "another page")}
	down := validate.Result{Problem: refused, Temporary: true}
	for _, test := range []struct {
		name       string
		proof, caa validate.Result
		want       acme.Status
		problem    acme.ProblemType // shown by the challenge
	}{
		{"both", ok, ok, acme.StatusValid, ""},
		{"CAA forbids", ok, forbids, acme.StatusInvalid, acme.TypeCAA},
		{"CAA cannot be had", ok, silent, acme.StatusPending, acme.TypeDNS},
		{"wrong page", wrong, ok, acme.StatusInvalid, acme.TypeUnauthorized},
		{"wrong page, CAA cannot be had", wrong, silent, acme.StatusInvalid, acme.TypeUnauthorized},
		{"down, CAA forbids", down, forbids, acme.StatusInvalid, acme.TypeCAA},
		{"down, CAA cannot be had", down, silent, acme.StatusPending, acme.TypeConnection},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s := &seams{proof: func() validate.Result { return test.proof }, caa: func(int) (validate.Result, error) { return test.caa, nil }}
				w := b.caaWorker(s, nil)
				_, a := b.attempted(w)
				<-w.Validate(a)
				got := b.authz(a.ID)
				shown := got.Challenges[0].Error
				if got.Status != test.want || (shown == nil) != (test.problem == "") || shown != nil && shown.Type != test.problem {
					t.Errorf("%s with %v", got.Status, shown)
				}
				if (test.want == acme.StatusValid) != !got.CAAChecked.IsZero() {
					t.Errorf("CAA checked at %v", got.CAAChecked)
				}
				_ = w.Stop(t.Context())
			})
		})
	}
}

// TestCAAIsAskedAgainBeforeIssuance: an answer is good for seven hours (BR §4.2.2.1 allows eight).
func TestCAAIsAskedAgainBeforeIssuance(t *testing.T) {
	for _, test := range []struct {
		name    string
		age     time.Duration // of the first answer
		again   func(int) (validate.Result, error)
		asked   int // again
		problem string
	}{
		{"fresh", time.Hour, nil, 0, ""},
		{"old, permitted", 8 * time.Hour, func(int) (validate.Result, error) { return validate.Result{}, nil }, 1, ""},
		{"old, forbidden", 8 * time.Hour, func(int) (validate.Result, error) { return forbids, nil }, 1, "caa: CAA forbids it"},
		{"old, at the third try", 8 * time.Hour, func(n int) (validate.Result, error) {
			if n < 4 { // the first look was before
				return silent, nil
			}
			return validate.Result{}, nil
		}, 3, ""},
		{"old, never to be had", 8 * time.Hour, func(int) (validate.Result, error) { return silent, nil }, 3, "dns: SERVFAIL"},
		{"old, our own fault at first", 8 * time.Hour, func(n int) (validate.Result, error) {
			if n == 2 {
				return validate.Result{}, errors.New("no socket")
			}
			return validate.Result{}, nil
		}, 2, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s := &seams{proof: func() validate.Result { return validate.Result{} }}
				s.caa = func(n int) (validate.Result, error) {
					if n == 1 {
						return validate.Result{}, nil
					}
					return test.again(n)
				}
				w := b.caaWorker(s, func(_ context.Context, r sign.Request) (sign.Certificate, error) {
					return sign.Certificate{Serial: "01"}, nil
				})
				running(w, func() {
					o, a := b.attempted(w)
					<-w.Validate(a)
					time.Sleep(test.age)
					<-w.Issue(b.finalize(w, o, b.authz(a.ID)), rules.CSR{})
					time.Sleep(time.Minute)
					got := b.order(o.ID)
					if s.asked-1 != test.asked {
						t.Errorf("asked %d times again, want %d", s.asked-1, test.asked)
					}
					if test.problem == "" && got.Serial != "01" || test.problem != "" && (got.Error == nil || !strings.Contains(got.Error.Error(), test.problem)) {
						t.Errorf("the order: serial %q, error %v", got.Serial, got.Error)
					}
				})
			})
		})
	}
}

// TestSlowCAAEndsTheOrder: a server that uses up the time of the work, and then fails, is looked at less often; but the
// order comes to an end, and is not put off again and again.
func TestSlowCAAEndsTheOrder(t *testing.T) {
	for _, test := range []struct {
		name  string
		takes time.Duration // of each look
		looks int
	}{
		{"at once", 0, 3},
		{"slow", 10 * time.Second, 2},      // 10 + 3 + 10, and no time for a pause of 6
		{"very slow", 20 * time.Second, 2}, // the second is broken off
		{"too slow for another", 26 * time.Second, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s := &slowCAA{}
				w := work.New(work.Config{DB: b.db, Validator: s, Signer: signFunc(nil), Log: slog.New(slog.DiscardHandler),
					CAA: rules.CAA{Identities: []string{"ca.example"}}})
				running(w, func() {
					o, a := b.attempted(w)
					<-w.Validate(a)
					time.Sleep(8 * time.Hour)
					s.fails, s.asked, s.takes = true, 0, test.takes
					<-w.Issue(b.finalize(w, o, b.authz(a.ID)), rules.CSR{})
					got := b.order(o.ID)
					if got.Error == nil || !strings.Contains(got.Error.Error(), "SERVFAIL") || !got.Lease.Due.IsZero() {
						t.Errorf("error %v, lease %+v", got.Error, got.Lease)
					}
					if s.asked != test.looks {
						t.Errorf("asked %d times, want %d", s.asked, test.looks)
					}
				})
			})
		})
	}
}

// slowCAA permits at first, and then fails after a while.
type slowCAA struct {
	fails bool
	takes time.Duration
	asked int
}

func (*slowCAA) Prove(context.Context, validate.Request) (validate.Result, error) {
	return validate.Result{}, nil
}

func (s *slowCAA) CAA(ctx context.Context, _ validate.CAARequest) (validate.Result, error) {
	if s.asked++; !s.fails {
		return validate.Result{}, nil
	}
	select {
	case <-time.After(s.takes):
		return silent, nil
	case <-ctx.Done():
		return validate.Result{}, ctx.Err()
	}
}
