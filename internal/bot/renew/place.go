package renew

import (
	"context"

	"github.com/cairn-ca/cairn/acme"
)

// order places an order. Where proofs must be fresh, it gives up what the CA has accepted before, and orders again.
func (o *Obtainer) order(ctx context.Context, want Want, names []acme.Identifier) (*acme.Order, error) {
	request := acme.NewOrder{Identifiers: names, Profile: want.Profile}
	if request.Profile == "" && want.PreferredProfile != "" {
		directory, err := o.config.Client.Directory(ctx)
		if err != nil {
			return nil, err
		}
		if directory.Meta.HasProfile(want.PreferredProfile) {
			request.Profile = want.PreferredProfile
		} else {
			o.config.Log.Info("the CA does not have the preferred profile: its default is used", "profile", want.PreferredProfile)
		}
	}
	order, err := o.newOrder(ctx, request)
	if err != nil || !o.config.FreshProofs {
		return order, err
	}
	given, err := o.giveUpProofs(ctx, order)
	if err != nil || !given {
		return order, err
	}
	o.config.Log.Debug("Recreating order after authz deactivation") // certbot's words: its tests look for them
	return o.newOrder(ctx, request)
}

// giveUpProofs deactivates the authorizations of order that are valid already, and says whether there was one.
func (o *Obtainer) giveUpProofs(ctx context.Context, order *acme.Order) (bool, error) {
	given := false
	for _, url := range order.Authorizations {
		authorization, err := o.config.Client.Authorization(ctx, url)
		if err != nil {
			return given, err
		}
		if authorization.Status != acme.StatusValid {
			continue
		}
		if err := o.config.Client.DeactivateAuthorization(ctx, url); err != nil {
			return given, err
		}
		given = true
	}
	return given, nil
}
