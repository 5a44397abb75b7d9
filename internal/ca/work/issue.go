package work

import (
	"bytes"
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
func (w *Worker) issue(ctx context.Context, o rules.Order, csr rules.CSR) (rules.Ended, error) {
	first := csr.DER != nil && bytes.Equal(csr.DER, o.CSR) // it has just been finalized here
	if !first {
		var problem *acme.Problem
		if csr, problem = w.CSR.Parse(o.CSR); problem != nil {
			return w.end(ctx, o, o.Fail(problem)) // checked before finalize; only a stricter program gets here
		}
	}
	// The key may have been reported as compromised since the order was finalized, which can be a while ago under load.
	blocked, outdated, err := w.beforeSigning(ctx, o, csr.PublicKey)
	switch {
	case err != nil:
		return rules.Ended{}, w.putOffOrder(o, err)
	case blocked:
		return w.end(ctx, o, o.Fail(acme.Problemf(acme.TypeBadCSR, "the key of the CSR has been reported as compromised: make a new one")))
	}
	switch problem, err := w.recheckCAA(ctx, o, outdated); {
	case err != nil && w.life.Err() != nil:
		return rules.Ended{}, err // handed back by Stop
	case err != nil:
		return rules.Ended{}, w.putOffOrder(o, err)
	case problem != nil:
		return w.end(ctx, o, o.Fail(problem))
	}
	return w.sign(ctx, o, csr, first)
}

// sign has the certificate for o signed, and ends o. first says that nobody can have tried to before.
func (w *Worker) sign(ctx context.Context, o rules.Order, csr rules.CSR, first bool) (rules.Ended, error) {
	certificate, err := w.Signer.Certificate(ctx, sign.Request{
		Order:       o.ID,
		Profile:     o.Profile,
		Identifiers: o.Identifiers,
		PublicKey:   csr.PublicKey,
		MustStaple:  csr.MustStaple,
		NotBefore:   o.Validity.NotBefore,
		NotAfter:    o.Validity.NotAfter,
		First:       first,
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
		return rules.Ended{}, err // handed back by Stop
	case err != nil:
		return rules.Ended{}, w.putOffOrder(o, fmt.Errorf("signing for order %s: %w", o.ID, err))
	}
	ended := rules.Ended{Order: o.Issued(certificate.Serial), Certificate: rules.Certificate{
		Serial: certificate.Serial, Issuer: certificate.Issuer, Order: o.ID, Account: o.Account, Profile: o.Profile,
		State: rules.Issued, DER: certificate.DER, NotBefore: certificate.NotBefore, NotAfter: certificate.NotAfter,
	}}
	if certificate.Made { // and the order ended with it: Journal.Settle
		w.permits.forget(o.ID)
		w.Metrics.Issued(o.Profile, metrics.OK)
	} else if _, err := w.end(ctx, o, ended.Order); err != nil { // an older program left the order processing
		return ended, err
	}
	w.Log.Info("certificate issued", "order", o.ID, "account", o.Account, "serial", certificate.Serial,
		"profile", o.Profile, "names", len(o.Identifiers))
	return ended, nil
}

// beforeSigning finds out whether the key of o must not be certified any more (BR §6.1.1.3 (4)), and for
// which names CAA must be asked again.
func (w *Worker) beforeSigning(ctx context.Context, o rules.Order, public crypto.PublicKey) (blocked bool, outdated []rules.Recheck, err error) {
	digest, err := rules.KeyDigest(public)
	if err != nil {
		return false, nil, err
	}
	err = w.DB.Look(ctx, func(tx *store.Tx) (err error) {
		if blocked, err = tx.KeyBlocked(digest); err != nil || blocked || !w.Config.CAA.AppliesToAny(o.Identifiers) {
			return err
		}
		authzs, err := tx.Authzs(o.Authzs)
		outdated = w.Config.CAA.Outdated(o, authzs, tx.Now)
		return err
	})
	return blocked, outdated, err
}

// end saves the end of o, unless its lease was lost, and returns it. If it ends without a
// certificate, a serial that was reserved for it is given up.
func (w *Worker) end(ctx context.Context, before, after rules.Order) (rules.Ended, error) {
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
	return rules.Ended{Order: after}, err
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
