package front

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// orderPause is what a client is told to wait before it asks for a processing order
// again (RFC 8555 §7.4): finalize has already waited for as long as issuance usually takes.
const orderPause = 3 * time.Second

// order shows an order (RFC 8555 §7.1.3).
func (f *Front) order(ctx context.Context, r accountRequest) (reply, error) {
	if problem := asGet(r.payload); problem != nil {
		return reply{}, problem
	}
	if ended, ok := f.ended.find(r.ids[0]); ok && ended.Order.Account == r.account.ID {
		return f.endedReply(r, ended.Order), nil
	}
	return f.showOrder(ctx, r)
}

// endedReply shows an order that is final: what its authorizations are makes no difference any more.
func (f *Front) endedReply(r accountRequest, ended rules.Order) reply {
	return f.orderReply(r, f.shuffled(r.base.wireOrder(ended, nil, time.Now())))
}

// showOrder answers with the order as it is now.
func (f *Front) showOrder(ctx context.Context, r accountRequest) (reply, error) {
	var wire acme.Order
	err := f.DB.View(ctx, func(tx *store.Tx) error {
		order, authzs, err := ownOrder(tx, r)
		if err != nil {
			return err
		}
		wire = f.shuffled(r.base.wireOrder(order, authzs, tx.Now))
		return nil
	})
	if err != nil {
		return reply{}, fmt.Errorf("showing order %s: %w", r.ids[0], err)
	}
	return f.orderReply(r, wire), nil
}

func (f *Front) orderReply(r accountRequest, wire acme.Order) reply {
	answer := reply{status: http.StatusOK, location: r.base.order(r.ids[0]), body: wire}
	if wire.Status == acme.StatusProcessing {
		answer.retryAfter = pause(f.Manners.OrderPause, orderPause)
	}
	return answer
}

// ownOrder loads the order that r is about, if it is the account's own, with its authorizations if its status depends on them.
func ownOrder(tx *store.Tx, r accountRequest) (rules.Order, []rules.Authz, error) {
	order, err := ownOrderAlone(tx, r)
	if err != nil || order.Serial != "" || order.Error != nil { // final, whatever they are by now
		return order, nil, err
	}
	authzs, err := tx.Authzs(order.Authzs)
	return order, authzs, err
}

// ownOrderAlone loads the order that r is about, if it is the account's own.
func ownOrderAlone(tx *store.Tx, r accountRequest) (rules.Order, error) {
	order, err := tx.Order(r.ids[0])
	switch {
	case errors.Is(err, store.ErrNotFound):
		return order, notFound("there is no such order")
	case err == nil && order.Account != r.account.ID:
		return rules.Order{}, notYours("order")
	}
	return order, err
}

// finalize has a ready order turned into a certificate (RFC 8555 §7.4).
//
// A crash before the commit leaves the order ready. One after it leaves the order
// processing under a lease, and whoever finds that lapsed issues the certificate.
func (f *Front) finalize(ctx context.Context, r accountRequest) (reply, error) {
	req, csr, problem := f.readFinalize(r.payload)
	if problem != nil {
		return reply{}, problem
	}
	var begun *rules.Order
	var limits limited
	err := f.change(ctx, func(tx *store.Tx) error {
		begun = nil
		if _, err := actor(tx, r); err != nil {
			return err
		}
		before, authzs, err := ownOrder(tx, r)
		if err != nil {
			return err
		}
		after, problem := before.Finalize(authzs, csr, f.Worker.Lease(tx.Now), tx.Now)
		if problem != nil {
			return problem
		}
		if before.CSRDigest != nil && f.Manners.Once {
			return acme.Problemf(acme.TypeOrderNotReady, "the order has been finalized")
		}
		if before.CSRDigest != nil {
			return nil // the same request again: it was taken up the first time
		}
		if problem := f.Policy.Offers(before, csr); problem != nil {
			return problem
		}
		if problem := rules.CheckOnions(before, csr, f.onions(r, req, tx.Now)); problem != nil {
			return problem
		}
		if err := refuseCertificateKey(tx, csr.PublicKey); err != nil {
			return err
		}
		if err := f.chargeCertificate(tx, before, &limits); err != nil {
			return err
		}
		begun = &after
		return tx.UpdateOrder(before, after)
	})
	if err := f.tell(r.request, limits, err); err != nil {
		return reply{}, fmt.Errorf("finalizing order %s: %w", r.ids[0], err)
	}
	if begun != nil {
		ended, known, later := takeUp(ctx, f, func() <-chan rules.Ended { return f.Worker.Issue(*begun, csr) }, f.FinalizeWait)
		defer later()
		if known {
			f.ended.note(ended)
			return f.endedReply(r, ended.Order), nil
		}
	}
	return f.showOrder(ctx, r)
}

// readFinalize reads the payload of a finalize request, and the CSR in it.
func (f *Front) readFinalize(payload []byte) (req acme.Finalize, csr rules.CSR, problem *acme.Problem) {
	if req, problem = decode[acme.Finalize](payload); problem != nil {
		return req, csr, problem
	}
	if req.CSR == "" {
		return req, csr, acme.Problemf(acme.TypeMalformed, `the payload has no "csr"`)
	}
	der, problem := acme.DecodeBase64URL("csr", req.CSR)
	if problem != nil {
		return req, csr, problem
	}
	csr, problem = f.Policy.CSR.Parse(der)
	return req, csr, problem
}

// onions is what a finalize request says about onion services (RFC 9799 §6.4).
func (f *Front) onions(r accountRequest, req acme.Finalize, now time.Time) rules.OnionClaim {
	return rules.OnionClaim{AccountURL: r.kid, Sets: req.OnionCAA, Now: now, Issuers: f.Policy.Proving.Issuers}
}

// refuseCertificateKey refuses to certify a key that any account has (RFC 8555 §11.1) or
// that is known to be compromised (BR §6.1.1.3 (4)).
func refuseCertificateKey(tx *store.Tx, public crypto.PublicKey) error {
	key, err := acme.NewKey(public)
	if err != nil {
		return fmt.Errorf("reading the key of a CSR that was checked: %w", err)
	}
	switch _, err := tx.AccountByKey(key.Thumbprint()); {
	case err == nil:
		return acme.Problemf(acme.TypeBadCSR, "the key of the CSR is the key of an account: make another one (RFC 8555 §11.1)")
	case !errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("finding the account of a key: %w", err)
	}
	return refuseBlocked(tx, public, acme.TypeBadCSR)
}
