package front

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// newAccount registers a key, or finds the account that it has (RFC 8555 §7.3, §7.3.1).
func (f *Front) newAccount(ctx context.Context, r keyRequest) (reply, error) {
	req, problem := decode[acme.NewAccount](r.payload)
	if problem != nil {
		return reply{}, problem
	}
	var account rules.Account
	var status int
	var limits limited
	err := f.change(ctx, func(tx *store.Tx) (err error) {
		status = http.StatusOK
		account, err = tx.AccountByKey(r.key.Thumbprint())
		if err == nil {
			if problem := account.Active(); problem != nil {
				return problem // RFC 8555 §7.3.6: its key is spent
			}
			return nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("finding the account of a key: %w", err)
		}
		if req.OnlyReturnExisting {
			return acme.Problemf(acme.TypeAccountDoesNotExist, "no account has this key")
		}
		status = http.StatusCreated
		if account, err = f.register(tx, r, req); err != nil {
			return err
		}
		return f.chargeAccount(tx, r.request, &limits)
	})
	if err := f.tell(r.request, limits, err); err != nil {
		return reply{}, fmt.Errorf("registering an account: %w", err)
	}
	return reply{status: status, location: r.base.account(account.ID), body: f.showAccount(r.base, account), links: f.limitsLink(r.base, account)}, nil
}

// register makes a new account.
func (f *Front) register(tx *store.Tx, r keyRequest, req acme.NewAccount) (rules.Account, error) {
	if err := refuseBlocked(tx, r.key.Public(), acme.TypeBadPublicKey); err != nil {
		return rules.Account{}, err
	}
	account, problem := rules.NewAccount(f.Policy, r.key, req, tx.Now)
	if problem != nil {
		return account, problem
	}
	account, err := f.bind(tx, r, req, account)
	if err != nil {
		return account, err
	}
	return account, tx.InsertAccount(account)
}

// account reads, updates or deactivates the account that asks (RFC 8555 §7.3.2, §7.3.6).
// Once it is deactivated all its requests are refused, so its pending orders are of no use to anyone.
func (f *Front) account(ctx context.Context, r accountRequest) (reply, error) {
	if r.ids[0] != r.account.ID {
		return reply{}, notYours("account")
	}
	account, err := f.known.load(ctx, r.account.ID) // what is shown is as it is now
	if err != nil {
		return reply{}, fmt.Errorf("showing account %s: %w", r.account.ID, err)
	}
	if len(r.payload) > 0 {
		defer f.known.forget(r.account.ID)
		req, problem := decode[acme.Account](r.payload)
		if problem != nil {
			return reply{}, problem
		}
		err := f.change(ctx, func(tx *store.Tx) error {
			before, err := actor(tx, r)
			if err != nil {
				return err
			}
			after, problem := before.Update(req)
			if problem != nil {
				return problem
			}
			account = after
			if after.Status == before.Status && slices.Equal(after.Contact, before.Contact) {
				return nil
			}
			return tx.UpdateAccount(before, after)
		})
		if err != nil {
			return reply{}, fmt.Errorf("updating account %s: %w", r.account.ID, err)
		}
	}
	return reply{status: http.StatusOK, body: f.showAccount(r.base, account), links: f.limitsLink(r.base, account)}, nil
}

// pageSize is how many orders a page of the list looks at (RFC 8555 §7.1.2.1).
const pageSize = 50

// maxPageAuthzs is from how many authorizations on a page ends. Each is loaded, since the status of an order follows
// from theirs, and whoever has 50 orders for 100 names could have 5,000 loaded with every request.
const maxPageAuthzs = 500

// firstOf cuts a page of orders after the one with which it has as many authorizations as that. whole says that nothing was cut off.
func firstOf(orders []rules.Order, authzs int) (first []rules.Order, whole bool) {
	count := 0
	for i, o := range orders {
		if count += len(o.Authzs); count >= authzs && i < len(orders)-1 {
			return orders[:i+1], false
		}
	}
	return orders, true
}

// orders lists the orders of the account that asks, newest first. Pages are found
// by the order they follow, so orders that come meanwhile neither repeat nor hide any.
func (f *Front) orders(ctx context.Context, r accountRequest) (reply, error) {
	if problem := asGet(r.payload); problem != nil {
		return reply{}, problem
	}
	if r.ids[0] != r.account.ID {
		return reply{}, notYours("list of orders")
	}
	after := r.query.Get("after")
	if after != "" && !acme.ValidToken(after) {
		return reply{}, notFound("there is no such page: begin at %s", r.base.orders(r.account.ID))
	}
	size := cmp.Or(f.Manners.PageSize, pageSize)
	var answer reply
	err := f.DB.View(ctx, func(tx *store.Tx) error {
		answer = reply{status: http.StatusOK}
		list := acme.OrderList{Orders: []string{}}
		orders, err := tx.OrdersOf(r.account.ID, after, size)
		if err != nil {
			return err
		}
		orders, whole := firstOf(orders, maxPageAuthzs)
		for _, o := range orders {
			authzs, err := tx.Authzs(o.Authzs)
			if err != nil {
				return err
			}
			if rules.OrderStatus(o, authzs, tx.Now) != acme.StatusInvalid { // §7.1.2.1: SHOULD NOT be in it
				list.Orders = append(list.Orders, r.base.order(o.ID))
			}
		}
		if len(orders) == size || !whole {
			next := r.base.orders(r.account.ID) + "?after=" + orders[len(orders)-1].ID
			answer.links = []string{link(next, "next")}
		}
		answer.body = list
		return nil
	})
	if err != nil {
		return reply{}, fmt.Errorf("listing the orders of account %s: %w", r.account.ID, err)
	}
	return answer, nil
}
