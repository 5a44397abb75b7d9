package work

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// keyBatch is how many certificates one transaction of FollowKeys changes.
const keyBatch = 200

// followBack is how long before the last look the keys were blocked at most that are looked at again. No transaction is
// open for as long.
const followBack = 10 * time.Minute

// FollowKeys finishes what is left to do about the keys of certificates: it notes them where an older program
// did not, and revokes what is left of the certificates of compromised keys.
//
// Where no other process uses the database it returns then. Otherwise it goes on until ctx ends: while one process
// blocks a key, another may record a certificate for it, and neither sees what the other has not committed.
func (w *Worker) FollowKeys(ctx context.Context) {
	if err := w.noteKeys(ctx); err != nil && ctx.Err() == nil {
		w.Log.Error("noting the keys of older certificates failed", "error", err)
	}
	since := w.followBlocked(ctx, time.Time{})
	if !w.DB.Shared() {
		return
	}
	tick := time.NewTicker(w.Follow)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			since = w.followBlocked(ctx, since)
		}
	}
}

// followBlocked revokes what is left of the certificates of keys that were blocked at since or later, and returns since
// when it is to look the next time.
func (w *Worker) followBlocked(ctx context.Context, since time.Time) (next time.Time) {
	looked, err := w.revokeCompromised(ctx, since)
	if err != nil {
		if ctx.Err() == nil {
			w.Log.Error("revoking the certificates of compromised keys failed", "error", err)
		}
		return since
	}
	return looked.Add(-followBack)
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

// revokeCompromised revokes what a crash or a race left of the certificates of compromised keys: those that were blocked at
// since or later. It returns when, by the database's clock, it began.
func (w *Worker) revokeCompromised(ctx context.Context, since time.Time) (began time.Time, err error) {
	after := []byte{}
	for {
		var keys [][]byte
		var now time.Time
		if err := w.DB.View(ctx, func(tx *store.Tx) (err error) {
			now = tx.Now
			keys, err = tx.BlockedKeys(since, after, keyBatch)
			return err
		}); err != nil {
			return began, err
		}
		if began.IsZero() {
			began = now
		}
		for _, key := range keys {
			if err := w.revokeSiblings(ctx, key); err != nil {
				return began, fmt.Errorf("key %x: %w", key, err)
			}
			after = key
		}
		if len(keys) < keyBatch {
			return began, nil
		}
	}
}

// revokeSiblings revokes the certificates for a key.
func (w *Worker) revokeSiblings(ctx context.Context, key []byte) error {
	for n := keyBatch; n == keyBatch; {
		if err := w.DB.Update(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.RevokeSiblings(key, keyBatch)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}
