package work_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

var refused = acme.Problemf(acme.TypeConnection, "connection refused")

// failing fails the first n validations, in a way that may go away or not.
func failing(n int, temporary bool, looks *int) proveFunc {
	return func(context.Context, validate.Request) (validate.Result, error) {
		if *looks++; *looks <= n {
			return validate.Result{Problem: refused, Temporary: temporary}, nil
		}
		return validate.Result{}, nil
	}
}

// TestV05WhatMayGoAwayIsTriedAgain: RFC 8555 §8.2. Two more looks within ten seconds, the error shown meanwhile.
func TestV05WhatMayGoAwayIsTriedAgain(t *testing.T) {
	for _, test := range []struct {
		name     string
		failures int
		looks    int
		status   acme.Status
	}{
		{"once", 1, 2, acme.StatusValid},
		{"twice", 2, 3, acme.StatusValid},
		{"for ever", 100, 3, acme.StatusInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				looks := 0
				w := b.worker(failing(test.failures, true, &looks), nil)
				_, a := b.attempted(w)
				running(w, func() {
					began := time.Now()
					<-w.Validate(a)
					waiting := b.authz(a.ID)
					if c := waiting.Challenges[0]; c.Status != acme.StatusProcessing || c.Error == nil || time.Until(waiting.Lease.Due) != 3*time.Second {
						t.Errorf("while it waits: %+v, lease %+v", c, waiting.Lease)
					}
					time.Sleep(time.Until(began.Add(12 * time.Second)))
				})
				got := b.authz(a.ID)
				if got.Status != test.status || looks != test.looks || !got.Lease.Due.IsZero() {
					t.Errorf("%s after %d looks, want %s after %d; lease %+v", got.Status, looks, test.status, test.looks, got.Lease)
				}
				if c := got.Challenges[0]; (c.Error == nil) != (test.status == acme.StatusValid) {
					t.Errorf("the challenge: %+v", c)
				}
				attempts := []store.Attempt{}
				_ = b.db.View(t.Context(), func(tx *store.Tx) (err error) { attempts, err = tx.Attempts(got.ID, 100); return err })
				if len(attempts) != test.looks {
					t.Errorf("%d looks are in the evidence, want %d", len(attempts), test.looks)
				}
			})
		})
	}
}

// TestV05WrongContentIsFinal: there is no second look at what was wrong.
func TestV05WrongContentIsFinal(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		looks := 0
		w := b.worker(failing(100, false, &looks), nil)
		_, a := b.attempted(w)
		running(w, func() {
			<-w.Validate(a)
			time.Sleep(time.Minute)
		})
		if got := b.authz(a.ID); got.Status != acme.StatusInvalid || looks != 1 {
			t.Errorf("%s after %d looks", got.Status, looks)
		}
	})
}

// TestV05TheClientMaySayNow: a response while the next try is waited for starts it, and uses it up.
func TestV05TheClientMaySayNow(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		looks := 0
		w := b.worker(failing(100, true, &looks), nil)
		_, a := b.attempted(w)
		<-w.Validate(a)
		for range 2 {
			if again, ok := b.again(w, a.ID); !ok {
				t.Fatal("the response changed nothing")
			} else {
				<-w.Validate(again)
			}
		}
		if _, ok := b.again(w, a.ID); ok || looks != 3 || b.authz(a.ID).Status != acme.StatusInvalid {
			t.Errorf("%s after %d looks", b.authz(a.ID).Status, looks)
		}
		_ = w.Stop(t.Context())
	})
}

// TestV05OurOwnFaultIsNotHurried: what could not be asked counts as no try, so responses must not bring the next look
// forward; else a client could have somebody looked at without end.
func TestV05OurOwnFaultIsNotHurried(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		looks := 0
		w := b.worker(func(context.Context, validate.Request) (validate.Result, error) {
			if looks++; looks == 1 {
				return validate.Result{Problem: refused, Temporary: true}, nil
			}
			return validate.Result{}, errors.New("no socket")
		}, nil)
		_, a := b.attempted(w)
		<-w.Validate(a)
		hurried, ok := b.again(w, a.ID)
		if !ok {
			t.Fatal("the response changed nothing")
		}
		<-w.Validate(hurried)
		if _, ok := b.again(w, a.ID); ok {
			t.Error("a response brought forward what waits for us")
		}
		got := b.authz(a.ID)
		if c := got.Challenges[0]; c.Status != acme.StatusProcessing || c.Error != nil || time.Until(got.Lease.Due) != 10*time.Second || got.Tries != 1 {
			t.Errorf("challenge %+v, lease %+v, %d tries", c, got.Lease, got.Tries)
		}
		_ = w.Stop(t.Context())
	})
}

// again responds to the challenge once more; ok is false where that changes nothing.
func (b *bench) again(w *work.Worker, id string) (after rules.Authz, ok bool) {
	err := b.db.Update(context.Background(), func(tx *store.Tx) error {
		before, err := tx.Authz(id)
		if err != nil {
			return err
		}
		var problem *acme.Problem
		after, problem = before.Attempt(rules.Answer{Type: acme.HTTP01, Key: b.key}, w.Lease(tx.Now), tx.Now)
		if ok = problem == nil && after.Lease != before.Lease; !ok {
			return nil
		}
		return tx.UpdateAuthz(before, after)
	})
	return after, ok && err == nil
}
