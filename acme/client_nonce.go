package acme

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
)

const (
	// maxNonces is how many unused nonces are kept: no client has more requests under way at once.
	maxNonces = 16
	// maxNonceLength is far more than any server needs, and keeps headers small.
	maxNonceLength = 256
)

// nonces holds nonces that have been received and not been used (RFC 8555 §6.5).
type nonces struct {
	mu     sync.Mutex
	unused []string
}

// put keeps a nonce for later. One that is not of the form that RFC 8555 §6.5.1 prescribes is ignored.
func (n *nonces) put(nonce string) {
	if !validNonce(nonce) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.unused) == maxNonces {
		n.unused = n.unused[1:]
	}
	n.unused = append(n.unused, nonce)
}

// take returns the newest nonce, which is the least likely to have expired, or "". No nonce is returned twice.
func (n *nonces) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.unused) == 0 {
		return ""
	}
	last := len(n.unused) - 1
	nonce := n.unused[last]
	n.unused = n.unused[:last]
	return nonce
}

func validNonce(nonce string) bool {
	return nonce != "" && len(nonce) <= maxNonceLength && isBase64URL(nonce)
}

// nonce returns one from the pool, or asks the server for one.
func (c *Client) nonce(ctx context.Context) (string, error) {
	if nonce := c.nonces.take(); nonce != "" {
		return nonce, nil
	}
	return c.newNonce(ctx)
}

// newNonce asks for a fresh nonce (RFC 8555 §7.2). It goes to whoever asked, never
// to the pool: so it cannot be used twice.
func (c *Client) newNonce(ctx context.Context) (nonce string, err error) {
	directory, err := c.Directory(ctx)
	if err != nil {
		return "", err
	}
	err = c.retry(ctx, func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodHead, directory.NewNonce, nil)
		if err != nil {
			return err
		}
		answer, err := c.exchange(request)
		if err != nil {
			return err
		}
		if nonce = answer.header.Get("Replay-Nonce"); !validNonce(nonce) {
			return errors.New("the answer has no usable Replay-Nonce")
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("getting a nonce: %w", err)
	}
	return nonce, nil
}
