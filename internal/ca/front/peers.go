package front

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// Peers redeems nonces at the fronts that made them. Redeem reports whether a nonce was good, and is spent now: of
// any number of calls for one nonce at most one says so. An instance that is not known, or has ended, has no good nonces.
// An error means that its front did not answer. It may be called concurrently, and returns by the deadline of ctx.
type Peers interface {
	Redeem(ctx context.Context, instance, nonce string) (bool, error)
}

const (
	// redeemTime bounds the wait for another front. A client who gets badNonce tries again with a nonce of this one's.
	redeemTime = 1500 * time.Millisecond
	// maxRedeeming bounds how many nonces other fronts are asked about at once. What is beyond is badNonce.
	maxRedeeming = 256
)

// Instance is what the nonces of this front begin with: another one after each start.
func (f *Front) Instance() string { return hex.EncodeToString(f.nonces.instance[:]) }

// instanceOf is the instance that a nonce says it is from.
func instanceOf(nonce string) (string, bool) {
	if len(nonce) != nonceLength {
		return "", false
	}
	octets, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(octets) != nonceSize {
		return "", false
	}
	return hex.EncodeToString(octets[:instanceSize]), true
}

// spend spends a nonce, at the front that made it.
func (f *Front) spend(ctx context.Context, nonce string) bool {
	if f.nonces.redeem(nonce) {
		return true
	}
	instance, ok := instanceOf(nonce)
	if f.Peers == nil || !ok || instance == f.Instance() {
		return false
	}
	select {
	case f.redeeming <- struct{}{}:
		defer func() { <-f.redeeming }()
	default:
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, redeemTime)
	defer cancel()
	good, err := f.Peers.Redeem(ctx, instance, nonce)
	if err != nil {
		f.Log.Debug("another front did not redeem its nonce", "instance", instance, "error", err)
	}
	return good && err == nil
}

const (
	methodRedeem = "redeem"
	maxRedeem    = 256 // octets of a request
)

type redeemRequest struct {
	Nonce string `json:"nonce"`
}

type redeemResponse struct {
	Good bool `json:"good"`
}

// ServeNonces has f redeem its nonces for other fronts.
func ServeNonces(s *rpc.Server, f *Front) {
	rpc.HandleMethod(s, rpc.Method{Name: methodRedeem, Roles: []string{rpc.RoleFront}, Limit: maxRedeem},
		func(_ context.Context, r redeemRequest) (redeemResponse, error) {
			return redeemResponse{Good: f.nonces.redeem(r.Nonce)}, nil
		})
}

// RemotePeers are the fronts on other machines. Find must not wait: made-up instances are
// looked for as often as somebody makes them up.
type RemotePeers struct {
	Find func(instance string) (rpc.Client, bool)
}

// Redeem asks the front that made a nonce; see Peers.
func (p RemotePeers) Redeem(ctx context.Context, instance, nonce string) (bool, error) {
	client, found := p.Find(instance)
	if !found {
		return false, nil
	}
	client.Limit = maxRedeem
	response, err := rpc.Call[redeemRequest, redeemResponse](ctx, client, methodRedeem, redeemRequest{Nonce: nonce})
	if err != nil {
		return false, fmt.Errorf("redeeming a nonce of another front: %w", err)
	}
	return response.Good, nil
}
