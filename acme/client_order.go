package acme

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
)

// ErrOrderChanged says that an order is no longer for what it was made for. RFC 8555
// §7.1.3 has a client treat such an order as invalid.
var ErrOrderChanged = errors.New("the server has changed the identifiers or authorizations of an order")

// ErrNotRequested says that a server has made something other than what it was asked for.
var ErrNotRequested = errors.New("what the server gave is not what was asked for")

// NewOrder asks for a certificate (RFC 8555 §7.4). The order's URL is set.
func (c *Client) NewOrder(ctx context.Context, request NewOrder) (*Order, error) {
	directory, err := c.Directory(ctx)
	if err != nil {
		return nil, err
	}
	order := new(Order)
	answer, err := c.call(ctx, signed{url: directory.NewOrder, payload: request}, order)
	if err != nil {
		return nil, fmt.Errorf("placing an order: %w", err)
	}
	order.URL = answer.location()
	if err := c.checkURL(order.URL); err != nil {
		return nil, fmt.Errorf("placing an order: the answer's Location: %w", err)
	}
	if !sameSet(order.Identifiers, request.Identifiers, compareIdentifiers) {
		return nil, fmt.Errorf("placing an order: %w: it is for %v", ErrNotRequested, order.Identifiers)
	}
	return order, order.check()
}

// Order reads the order at url (RFC 8555 §7.1.3).
func (c *Client) Order(ctx context.Context, url string) (*Order, error) {
	order := &Order{URL: url}
	if err := c.read(ctx, url, order); err != nil {
		return nil, fmt.Errorf("reading the order: %w", err)
	}
	return order, order.check()
}

// check bounds what a client does for an order: it mostly needs one authorization for each identifier, and
// two where a CA asks for two kinds of proof (RFC 8555 §7.1.3 leaves that open).
func (o *Order) check() error {
	if o.Error != nil {
		o.Error.clean()
	}
	if len(o.Authorizations) > 2*len(o.Identifiers) {
		return fmt.Errorf("the order: %w: it has %d authorizations for %d identifiers", ErrNotRequested, len(o.Authorizations), len(o.Identifiers))
	}
	return nil
}

// Authorization reads the authorization at url (RFC 8555 §7.5).
func (c *Client) Authorization(ctx context.Context, url string) (*Authorization, error) {
	authorization := new(Authorization)
	if err := c.read(ctx, url, authorization); err != nil {
		return nil, fmt.Errorf("reading an authorization: %w", err)
	}
	authorization.clean()
	return authorization, nil
}

// DeactivateAuthorization gives up the authorization at url: the next order for its identifier needs a new proof (RFC 8555 §7.5.2).
func (c *Client) DeactivateAuthorization(ctx context.Context, url string) error {
	request := signed{url: url, payload: Deactivation{Status: StatusDeactivated}}
	if _, err := c.call(ctx, request, new(Authorization)); err != nil {
		return fmt.Errorf("deactivating an authorization: %w", err)
	}
	return nil
}

// Respond tells the server that a challenge can be checked now (RFC 8555 §7.5.1).
func (c *Client) Respond(ctx context.Context, challenge Challenge) (*Challenge, error) {
	updated := new(Challenge)
	if _, err := c.call(ctx, signed{url: challenge.URL, payload: struct{}{}}, updated); err != nil {
		return nil, fmt.Errorf("responding to the %s challenge: %w", challenge.Type, err)
	}
	return updated, nil
}

// Finalize asks for the certificate of a ready order (RFC 8555 §7.4). csr is the
// DER of a certificate request with exactly the order's identifiers. The order
// returned is valid, invalid or, most often, processing: see WaitOrder.
func (c *Client) Finalize(ctx context.Context, order *Order, csr []byte) (*Order, error) {
	updated := &Order{URL: order.URL}
	payload := Finalize{CSR: base64.RawURLEncoding.EncodeToString(csr)}
	answer, err := c.call(ctx, signed{url: order.Finalize, payload: payload}, updated)
	if err != nil {
		return nil, fmt.Errorf("finalizing the order: %w", err)
	}
	updated.retryAfter = answer.retryAfter()
	return updated, order.unchanged(updated)
}

// unchanged compares what RFC 8555 §7.1.3 says is fixed when an order is made.
func (o *Order) unchanged(later *Order) error {
	if later.Error != nil {
		later.Error.clean()
	}
	if !sameSet(o.Identifiers, later.Identifiers, compareIdentifiers) ||
		!sameSet(o.Authorizations, later.Authorizations, cmp.Compare) {
		return fmt.Errorf("%w: %s", ErrOrderChanged, o.URL)
	}
	return nil
}

// clean makes what came from the server fit to be shown.
func (a *Authorization) clean() {
	for _, challenge := range a.Challenges {
		if challenge.Error != nil {
			challenge.Error.clean()
		}
	}
}

func compareIdentifiers(a, b Identifier) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value))
}

// sameSet compares two lists without regard to order, which RFC 8555 §7.1.3 leaves to the server.
func sameSet[T comparable](a, b []T, compare func(T, T) int) bool {
	unique := func(list []T) []T {
		return slices.Compact(slices.SortedFunc(slices.Values(list), compare))
	}
	return slices.Equal(unique(a), unique(b))
}
