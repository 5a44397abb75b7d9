package work

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// Journal is the signer's journal in the store: an entry of it is the row of the certificate. With
// the certificate, its order ends, in one transaction.
type Journal struct {
	DB *store.DB
	// Named says that certificates are to be found by their names, since their keys may be asked for later (proof-of-possession-01).
	Named bool
}

var _ sign.Journal = Journal{}

// Lookup finds what was reserved or issued for an order; see sign.Journal.
func (j Journal) Lookup(ctx context.Context, order string) (entry sign.Entry, found bool, err error) {
	err = j.DB.Look(ctx, func(tx *store.Tx) error { // most have none
		entry, found = sign.Entry{}, false
		c, err := tx.CertificateOf(order)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		entry, found = entryOf(c), err == nil
		return err
	})
	return entry, found, err
}

// Reserve records the intent to sign, and gives up the serial replaces if it is not ""; see sign.Journal.
func (j Journal) Reserve(ctx context.Context, e sign.Entry, replaces string) error {
	return conflict(j.DB.Update(ctx, func(tx *store.Tx) error {
		if replaces != "" {
			old, err := tx.Certificate(replaces)
			if err != nil {
				return fmt.Errorf("finding the reservation of serial %s: %w", replaces, err)
			}
			if old.State != rules.Reserved || old.Order != e.Order {
				return store.ErrConflict
			}
			if err := tx.UpdateCertificate(old, old.Abandon(tx.Now)); err != nil {
				return err
			}
		}
		account := ""
		switch order, err := tx.Order(e.Order); {
		case err == nil && order.CSR == nil:
			return store.ErrConflict // it has ended: whoever asks was stopped for longer than its lease
		case err == nil:
			account = order.Account
		case !errors.Is(err, store.ErrNotFound): // the CA's own certificates have no order
			return err
		}
		return tx.InsertCertificate(rules.Certificate{
			Serial: e.Serial, Issuer: e.Issuer, Order: e.Order, Account: account, Profile: e.Profile,
			State: rules.Reserved, Digest: e.Digest[:], NotBefore: e.NotBefore, NotAfter: e.NotAfter, Created: tx.Now,
		})
	}))
}

// Settle records the signed certificate, and that it is its order's; see sign.Journal. Whoever has a lease on
// the order, there is nothing left to do.
func (j Journal) Settle(ctx context.Context, e sign.Entry) error {
	key, err := keyIn(e.DER)
	if err != nil {
		return fmt.Errorf("reading the key of serial %s: %w", e.Serial, err)
	}
	return conflict(j.DB.Update(ctx, func(tx *store.Tx) error {
		tx.Ahead(
			func(tx *store.Tx) error { _, err := tx.Certificate(e.Serial); return err },
			func(tx *store.Tx) error { _, err := tx.KeyBlocked(key); return err },
			func(tx *store.Tx) error { _, err := tx.Order(e.Order); return err },
		)
		reserved, err := tx.Certificate(e.Serial)
		if errors.Is(err, store.ErrNotFound) {
			return store.ErrConflict
		}
		if err != nil {
			return fmt.Errorf("finding the reservation of serial %s: %w", e.Serial, err)
		}
		if reserved.State != rules.Reserved || reserved.Order != e.Order || reserved.Issuer != e.Issuer || !bytes.Equal(reserved.Digest, e.Digest[:]) {
			return store.ErrConflict
		}
		settled := reserved
		settled.State, settled.DER = rules.Issued, e.DER
		if settled, err = withKey(tx, settled, key); err != nil {
			return err
		}
		return j.issued(tx, reserved, settled)
	}))
}

// issued saves a certificate that has been issued, and ends its order.
func (j Journal) issued(tx *store.Tx, reserved, settled rules.Certificate) error {
	order, err := tx.Order(settled.Order)
	if errors.Is(err, store.ErrNotFound) { // the CA's own certificates have none
		return tx.UpdateCertificate(reserved, settled)
	}
	if err != nil {
		return fmt.Errorf("finding the order of serial %s: %w", settled.Serial, err)
	}
	if order.Serial != "" || order.Error != nil {
		return store.ErrConflict // it has ended otherwise, and then the reservation has been given up
	}
	if err := tx.AtOnce(func(tx *store.Tx) error {
		return errors.Join(tx.UpdateCertificate(reserved, settled), tx.UpdateOrder(order, order.Issued(settled.Serial)))
	}); err != nil {
		return fmt.Errorf("ending order %s with serial %s: %w", order.ID, settled.Serial, err)
	}
	if !j.Named {
		return nil
	}
	return tx.NameCertificate(settled, order.Identifiers)
}

func entryOf(c rules.Certificate) sign.Entry {
	e := sign.Entry{
		Order: c.Order, Serial: c.Serial, Issuer: c.Issuer, Profile: c.Profile,
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, DER: c.DER,
	}
	copy(e.Digest[:], c.Digest)
	return e
}

// conflict says in the signer's words that somebody else was faster.
func conflict(err error) error {
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrExists) {
		return fmt.Errorf("%w: %w", sign.ErrConflict, err)
	}
	return err
}
