package front

import (
	"context"
	"fmt"
	"net/http"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// newOrder takes an order (RFC 8555 §7.4).
func (f *Front) newOrder(ctx context.Context, r accountRequest) (reply, error) {
	req, problem := decode[acme.NewOrder](r.payload)
	if problem != nil {
		return reply{}, problem
	}
	req.Profile = f.chooseProfile(req.Profile)
	wanted, problem := rules.ReadNewOrder(f.policy(), req)
	if problem != nil {
		return reply{}, problem
	}
	answer := reply{status: http.StatusCreated}
	var limits limited
	err := f.change(ctx, func(tx *store.Tx) error {
		account, err := actor(tx, r)
		if err == nil {
			err = f.mustHaveAgreed(r.base, account)
		}
		if err != nil {
			return err
		}
		held, err := f.hold(tx, account, wanted)
		if err != nil {
			return err
		}
		placed, problem := rules.NewOrder(wanted, held, tx.Now)
		if problem != nil {
			return problem
		}
		if err := listCertificates(tx, placed.New); err != nil {
			return err
		}
		if err := f.chargeOrder(tx, r, placed, held, &limits); err != nil {
			return err
		}
		answer.location = r.base.order(placed.Order.ID)
		answer.body = f.shuffled(r.base.wireOrder(placed.Order, placed.Authzs, tx.Now))
		return savePlaced(tx, placed, held)
	})
	if err := f.tell(r.request, limits, err); err != nil {
		return reply{}, fmt.Errorf("taking an order of account %s: %w", r.account.ID, err)
	}
	return answer, nil
}

// hold loads what it takes to decide on a newOrder request.
func (f *Front) hold(tx *store.Tx, account rules.Account, wanted rules.OrderRequest) (held rules.Held, err error) {
	held.Account = account
	if held.Standing, err = tx.Standing(account.ID, maxStanding); err != nil {
		return held, err
	}
	if wanted.Profile.Reuse > 0 {
		if held.Authzs, err = tx.ValidAuthzs(account.ID, wanted.Identifiers); err != nil {
			return held, err
		}
		held.Authzs = f.forget(held.Authzs)
	}
	if wanted.Profile.ReuseOrders {
		if held.Open, err = recentOrders(tx, account.ID, wanted); err != nil {
			return held, err
		}
	}
	if wanted.Replaces != nil {
		held.Replaced, err = f.predecessor(tx, *wanted.Replaces)
	}
	return held, err
}

// maxRecent is how many orders of an account are looked at for one that is like a new one.
const maxRecent = 20

// recentOrders loads the newest orders of an account that may still be open, of those for the names that are wanted.
func recentOrders(tx *store.Tx, account string, wanted rules.OrderRequest) (open []rules.OpenOrder, err error) {
	orders, err := tx.OrdersOf(account, "", maxRecent)
	if err != nil {
		return nil, err
	}
	names := rules.SetOf(wanted.Identifiers)
	for _, o := range orders {
		if o.Serial != "" || o.Error != nil || o.CSR != nil || !tx.Now.Before(o.Expires) || rules.SetOf(o.Identifiers) != names {
			continue
		}
		authzs, err := tx.Authzs(o.Authzs)
		if err != nil {
			return nil, err
		}
		open = append(open, rules.OpenOrder{Order: o, Authzs: authzs})
	}
	return open, nil
}

// savePlaced saves what has become of a newOrder request.
func savePlaced(tx *store.Tx, placed rules.Placed, held rules.Held) error {
	if placed.Again {
		return nil
	}
	if placed.Order.Replaces != "" {
		before := ""
		if held.Replaced.By != nil {
			before = held.Replaced.By.Order.ID
		}
		// One order alone: of two at the same time, one finds ErrConflict or ErrExists and decides anew.
		if err := tx.Replace(held.Replaced.Certificate.Serial, before, placed.Order.ID); err != nil {
			return err
		}
	}
	return tx.InsertOrder(placed.Order, placed.New)
}
