package front

import (
	"context"
	"fmt"
	"net/http"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// newAuthorization begins an authorization before there is an order for it (RFC 8555 §7.4.1).
func (f *Front) newAuthorization(ctx context.Context, r accountRequest) (reply, error) {
	req, problem := decode[acme.NewAuthorization](r.payload)
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
		authz, problem := rules.NewAuthorization(f.policy(), account, req, tx.Now)
		if problem != nil {
			return problem
		}
		if err := f.chargeAuthorization(tx, r, authz, &limits); err != nil {
			return err
		}
		answer.location = r.base.authorization(authz.ID)
		answer.body = f.showAuthorization(r, authz, tx.Now)
		return tx.InsertAuthz(authz)
	})
	if err := f.tell(r.request, limits, err); err != nil {
		return reply{}, fmt.Errorf("taking an authorization of account %s: %w", r.account.ID, err)
	}
	return answer, nil
}

// maxStanding is how many authorizations that serve several orders are looked at for a new order.
const maxStanding = 1000
