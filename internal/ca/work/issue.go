package work

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/metrics"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// issue turns a finalized order into a certificate: steps 3 to 6 of docs/issuance.md.
// It may be called any number of times for the same order, on any machine: the
// signer's journal makes one certificate of it.
func (w *Worker) issue(ctx context.Context, o rules.Order) error {
	csr, problem := w.CSR.Parse(o.CSR)
	if problem != nil {
		return w.end(ctx, o, o.Fail(problem)) // checked before finalize; only a stricter program gets here
	}
	// The key may have been reported as compromised since the order was finalized.
	blocked, err := w.blocked(ctx, csr.PublicKey)
	switch {
	case err != nil:
		return w.putOffOrder(o, err)
	case blocked:
		return w.end(ctx, o, o.Fail(acme.Problemf(acme.TypeBadCSR, "the key of the CSR has been reported as compromised: make a new one")))
	}
	switch problem, err := w.recheckCAA(ctx, o); {
	case err != nil && w.life.Err() != nil:
		return err // handed back by Stop
	case err != nil:
		return w.putOffOrder(o, err)
	case problem != nil:
		return w.end(ctx, o, o.Fail(problem))
	}
	certificate, err := w.Signer.Certificate(ctx, sign.Request{
		Order:       o.ID,
		Profile:     o.Profile,
		Identifiers: o.Identifiers,
		PublicKey:   csr.PublicKey,
		MustStaple:  csr.MustStaple,
		NotBefore:   o.Validity.NotBefore,
		NotAfter:    o.Validity.NotAfter,
	})
	switch {
	case errors.Is(err, sign.ErrValidity) && o.Validity != (rules.Validity{}):
		return w.end(ctx, o, o.Fail(acme.Problemf(acme.TypeMalformed,
			"the notBefore or notAfter of the order cannot be given any more, since it waited too long: place a new one")))
	case errors.Is(err, sign.ErrRefused):
		w.Log.Error("certificate refused by the signer", "order", o.ID, "account", o.Account, "error", err)
		return w.end(ctx, o, o.Fail(acme.Problemf(acme.TypeServerInternal,
			"a certificate for this order would break this CA's own rules: its operator finds the reason in the log under order %s", o.ID)))
	case err != nil && w.life.Err() != nil:
		return err // handed back by Stop
	case err != nil:
		return w.putOffOrder(o, fmt.Errorf("signing for order %s: %w", o.ID, err))
	}
	// A crash here leaves the certificate in the journal and the order processing:
	// the next worker gets the same certificate and comes to the same place.
	if err := w.end(ctx, o, o.Issued(certificate.Serial)); err != nil {
		return err
	}
	w.Log.Info("certificate issued", "order", o.ID, "account", o.Account, "serial", certificate.Serial,
		"profile", o.Profile, "names", len(o.Identifiers))
	return nil
}

// blocked reports whether a key must not be certified any more (BR §6.1.1.3 (4)).
func (w *Worker) blocked(ctx context.Context, public crypto.PublicKey) (blocked bool, err error) {
	digest, err := rules.KeyDigest(public)
	if err != nil {
		return false, err
	}
	err = w.DB.View(ctx, func(tx *store.Tx) error {
		blocked, err = tx.KeyBlocked(digest)
		return err
	})
	return blocked, err
}

// end saves the end of o, unless its lease was lost. If it ends without a
// certificate, a serial that was reserved for it is given up.
func (w *Worker) end(ctx context.Context, before, after rules.Order) error {
	w.permits.forget(before.ID)
	// The outcome is known: it is saved even if the deadline of the work has come.
	err := w.DB.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		if err := tx.UpdateOrder(before, after); err != nil {
			return fmt.Errorf("ending order %s: %w", before.ID, err)
		}
		if after.Error == nil {
			return w.nameCertificate(tx, after)
		}
		reserved, err := tx.CertificateOf(before.ID)
		if errors.Is(err, store.ErrNotFound) || err == nil && reserved.State != rules.Reserved {
			return nil
		}
		if err != nil {
			return fmt.Errorf("finding the reservation of order %s: %w", before.ID, err)
		}
		return tx.UpdateCertificate(reserved, reserved.Abandon(tx.Now))
	})
	if err == nil {
		w.Metrics.Issued(after.Profile, counted(after))
	}
	return err
}

// putOffOrder makes o due again after a pause, since cause is no fault of the client's.
func (w *Worker) putOffOrder(o rules.Order, cause error) error {
	w.Metrics.Issued(o.Profile, metrics.Error)
	err := w.DB.Update(context.Background(), func(tx *store.Tx) error {
		later := o
		later.Lease = rules.Lease{Due: tx.Now.Add(w.Pause)}
		return tx.UpdateOrder(o, later)
	})
	if err != nil {
		return fmt.Errorf("%w; putting it off: %w", cause, err)
	}
	return cause
}
