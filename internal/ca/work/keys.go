package work

import (
	"context"
	"crypto/x509"
	"fmt"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// keyBatch is how many certificates one transaction of FollowKeys changes.
const keyBatch = 200

// FollowKeys finishes what is left to do about the keys of certificates, and returns: it notes them where an
// older program did not, and revokes what is left of the certificates of compromised keys.
func (w *Worker) FollowKeys(ctx context.Context) {
	if err := w.noteKeys(ctx); err != nil && ctx.Err() == nil {
		w.Log.Error("noting the keys of older certificates failed", "error", err)
	}
	if err := w.revokeCompromised(ctx); err != nil && ctx.Err() == nil {
		w.Log.Error("revoking the certificates of compromised keys failed", "error", err)
	}
}

// noteKeys notes the keys of certificates that were issued before keys were noted.
func (w *Worker) noteKeys(ctx context.Context) error {
	for n := keyBatch; n == keyBatch; {
		if err := w.DB.Update(ctx, func(tx *store.Tx) error {
			list, err := tx.WithoutKey(keyBatch)
			n = len(list)
			for _, before := range list {
				if err := noteKey(tx, before); err != nil {
					return err
				}
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

func noteKey(tx *store.Tx, before rules.Certificate) error {
	key, err := keyIn(before.DER)
	if err != nil {
		return err
	}
	after, err := withKey(tx, before, key)
	if err != nil {
		return err
	}
	return tx.UpdateCertificate(before, after)
}

// keyIn is the digest of the key that a certificate is for.
func keyIn(der []byte) ([]byte, error) {
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return []byte{0}, nil // it has none that anybody could have; ours can be read
	}
	return rules.KeyDigest(parsed.PublicKey)
}

// withKey notes the key of a certificate that has been issued. If that was blocked meanwhile, the certificate
// is revoked from its beginning.
func withKey(tx *store.Tx, c rules.Certificate, key []byte) (rules.Certificate, error) {
	c.Key = key
	blocked, err := tx.KeyBlocked(key)
	if blocked {
		c, _ = c.RevokeSibling(tx.Now)
	}
	return c, err
}

// revokeCompromised revokes what a crash left of the certificates of compromised keys.
func (w *Worker) revokeCompromised(ctx context.Context) error {
	after := []byte{}
	for {
		var keys [][]byte
		if err := w.DB.View(ctx, func(tx *store.Tx) (err error) {
			keys, err = tx.BlockedKeys(after, keyBatch)
			return err
		}); err != nil {
			return err
		}
		for _, key := range keys {
			for n := keyBatch; n == keyBatch; {
				if err := w.DB.Update(ctx, func(tx *store.Tx) (err error) {
					n, err = tx.RevokeSiblings(key, keyBatch)
					return err
				}); err != nil {
					return fmt.Errorf("key %x: %w", key, err)
				}
			}
			after = key
		}
		if len(keys) < keyBatch {
			return nil
		}
	}
}
