package work_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// permitting permits after a while.
type permitting struct {
	takes time.Duration
	asked int
}

func (*permitting) Prove(context.Context, validate.Request) (validate.Result, error) {
	return validate.Result{}, nil
}

func (p *permitting) CAA(context.Context, validate.CAARequest) (validate.Result, error) {
	p.asked++
	time.Sleep(p.takes) // less than the work may take
	return validate.Result{}, nil
}

// TestSlowCAAOfASubdomain: CAA of a name below the domain that was proven uses up the time of the work. What it said is
// remembered, so that the next time is for the signer.
func TestSlowCAAOfASubdomain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		p := &permitting{}
		w := work.New(work.Config{DB: b.db, Validator: p, Log: slog.New(slog.DiscardHandler), CAA: rules.CAA{Identities: []string{"ca.example"}},
			Signer: signFunc(func(ctx context.Context, _ sign.Request) (sign.Certificate, error) {
				select {
				case <-time.After(5 * time.Second):
					return sign.Certificate{Serial: "01"}, nil
				case <-ctx.Done():
					return sign.Certificate{}, ctx.Err()
				}
			})})
		running(w, func() {
			o, a := b.below(w)
			<-w.Validate(a)
			p.asked, p.takes = 0, 26*time.Second
			<-w.Issue(b.finalize(w, o, b.authz(a.ID)), rules.CSR{})
			time.Sleep(time.Minute)
			if got := b.order(o.ID); got.Serial != "01" || p.asked != 1 {
				t.Errorf("serial %q, error %v, asked %d times", got.Serial, got.Error, p.asked)
			}
		})
	})
}

// below saves an order for a.test whose authorization is for all below test; its challenge was just responded to.
func (b *bench) below(w *work.Worker) (order rules.Order, authz rules.Authz) {
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
		placed.New[0].Identifier.Value, placed.New[0].Subdomains = "test", true
		if err := tx.InsertOrder(placed.Order, placed.New); err != nil {
			return err
		}
		a, problem := placed.New[0].Attempt(rules.Answer{Type: acme.DNS01, Key: b.key}, w.Lease(tx.Now), tx.Now)
		if problem != nil {
			return problem
		}
		order, authz = placed.Order, a
		return tx.UpdateAuthz(placed.New[0], a)
	})
	return order, authz
}
