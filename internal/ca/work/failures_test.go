package work_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

var failureLimits = rules.Limits{
	rules.FailedAuthorizations: {Count: 2, Period: time.Hour},
	rules.ConsecutiveFailures:  {Count: 1, Period: 24 * time.Hour, Burst: 3},
}

// limitedWorker makes a worker that counts failures.
func (b *bench) limitedWorker(prove proveFunc) *work.Worker {
	return work.New(work.Config{DB: b.db, Validator: prove, Log: slog.New(slog.DiscardHandler), Limits: failureLimits, Pause: time.Hour})
}

// left is what is left of the two limits on failures for a.test, and whether it is paused.
func (b *bench) left() string {
	b.t.Helper()
	text := ""
	err := b.db.View(context.Background(), func(tx *store.Tx) error {
		text = ""
		a := rules.Authz{Account: b.account.ID}
		a.Identifier.Type, a.Identifier.Value = "dns", "a.test"
		charges, err := tx.Charges(failureLimits, failureLimits.ForFailure(a.Account, a.Identifier))
		if err != nil {
			return err
		}
		for _, q := range rules.Look(charges, tx.Now) {
			text += fmt.Sprintf("%d ", q.Left)
		}
		paused, err := tx.PausedOf(a.Account, "", 10)
		for _, p := range paused {
			text += p.Identifier + ": " + p.Reason
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// TestFailuresCount: each failed authorization counts, in the transaction that records it; what is tried again
// and what was the authority's own fault does not; a success ends the row; the third in a row pauses the name.
func TestFailuresCount(t *testing.T) {
	var answer validate.Result
	var fault error
	prove := func(context.Context, validate.Request) (validate.Result, error) { return answer, fault }
	failed, proven := validate.Result{Problem: refused}, validate.Result{}
	for _, test := range []struct {
		name    string
		answers []validate.Result
		faults  int
		want    string
	}{
		{"none", nil, 0, "2 3 "},
		{"one", []validate.Result{failed}, 0, "1 2 "},
		{"two", []validate.Result{failed, failed}, 0, "0 1 "},
		{"a success between", []validate.Result{failed, failed, proven, failed}, 0, "0 2 "},
		{"three in a row", []validate.Result{failed, failed, failed}, 0, "0 0 a.test: connection: connection refused"},
		{"four in a row", []validate.Result{failed, failed, failed, failed}, 0, "0 0 a.test: connection: connection refused"},
		{"to be tried again", []validate.Result{{Problem: refused, Temporary: true}}, 0, "2 3 "},
		{"the authority's own faults", nil, 5, "2 3 "},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				w := b.limitedWorker(prove)
				for _, answer = range test.answers {
					_, a := b.attempted(w)
					<-w.Validate(a)
				}
				for range test.faults {
					fault = errors.New("no way out")
					_, a := b.attempted(w)
					<-w.Validate(a)
				}
				fault = nil
				if err := w.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				if got := b.left(); got != test.want {
					t.Errorf("left %q, want %q", got, test.want)
				}
			})
		})
	}
}

// TestBucketsAreCleanedUp: what is as good as new is deleted, and nothing else.
func TestBucketsAreCleanedUp(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		count := func(names ...string) {
			b.update(func(tx *store.Tx) error {
				for _, name := range names {
					charges, err := tx.Charges(failureLimits, []rules.Bucket{{Limit: rules.FailedAuthorizations, Subject: "account/" + name}})
					if err != nil {
						return err
					}
					spent := rules.Spend(charges, tx.Now)
					if err := tx.SaveCharges(spent.Before, spent.Charges); err != nil {
						return err
					}
				}
				return nil
			})
		}
		for i := range 1200 {
			count(fmt.Sprintf("%04d.test", i))
		}
		time.Sleep(2 * time.Hour)
		count("0007.test", "1199.test", "young.test")
		w := b.limitedWorker(nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.CleanUp(ctx); close(ended) }()
		time.Sleep(time.Minute)
		cancel()
		<-ended
		var left []store.StoredBucket
		if err := b.db.View(t.Context(), func(tx *store.Tx) (err error) { left, err = tx.Buckets("", "", 2000); return err }); err != nil {
			t.Fatal(err)
		}
		if len(left) != 3 || left[0].Subject != "account/0007.test" || left[2].Subject != "account/young.test" {
			t.Errorf("%d buckets are left: %+v", len(left), left[:min(len(left), 5)])
		}
	})
}
