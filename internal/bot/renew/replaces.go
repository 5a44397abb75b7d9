package renew

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/cairn-ca/cairn/acme"
)

// newOrder places an order that says which certificate it is to replace, where the CA can be told that (RFC 9773
// §5): it lets such orders pass its limits. One that does not want to hear it gets the order without.
func (o *Obtainer) newOrder(ctx context.Context, request acme.NewOrder) (*acme.Order, error) {
	if o.config.Replaces != "" {
		directory, err := o.config.Client.Directory(ctx)
		if err != nil {
			return nil, err
		}
		if directory.RenewalInfo != "" { // RFC 9773 §5: only where the server offers renewal information
			request.Replaces = o.config.Replaces
		}
	}
	order, err := o.config.Client.NewOrder(ctx, request)
	if request.Replaces != "" && refusesReplaces(err, request.Replaces) {
		o.config.Log.Info("the CA does not take the order as a replacement: ordering without that", "replaces", request.Replaces, "error", err)
		request.Replaces = ""
		order, err = o.config.Client.NewOrder(ctx, request)
	}
	return order, err
}

// refusesReplaces reports whether err may be about "replaces". It need not: an order without that is refused
// for the true reason then. What says to come later is not about it; an internal error may be, as Pebble shows,
// which does not find the order of every certificate.
func refusesReplaces(err error, id string) bool {
	var problem *acme.Problem
	if !errors.As(err, &problem) || problem.Status == http.StatusTooManyRequests || problem.RetryAfter > 0 {
		return false
	}
	if problem.Status >= 500 {
		return problem.Type == acme.TypeServerInternal
	}
	said := strings.ToLower(problem.Error())
	return problem.Type == acme.TypeAlreadyReplaced || problem.Status == http.StatusConflict || problem.Type == acme.TypeMalformed ||
		strings.Contains(said, "replac") || strings.Contains(said, "renewalinfo") || strings.Contains(said, strings.ToLower(id))
}
