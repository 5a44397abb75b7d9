package front

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// renewalPause is when a client should ask again for the renewal information of a certificate (RFC 9773 §4.3.1).
// What a client makes of it it adds to the time in which a mass revocation can be done.
const renewalPause = 6 * time.Hour

// renewalInfo says when a certificate should be renewed, to whoever asks (RFC 9773 §4.1).
func (f *Front) renewalInfo(v *visit) (reply, error) {
	id, problem := acme.ParseCertID(v.ids[0])
	if problem != nil {
		return reply{}, problem
	}
	var answer reply
	err := f.DB.View(v.Context(), func(tx *store.Tx) error {
		answer = reply{status: http.StatusOK, retryAfter: pause(f.Manners.RenewalPause, spread(renewalPause))}
		certificate, err := f.certificateOf(tx, id)
		if err != nil {
			return err
		}
		asked, err := tx.Renewal(certificate.Serial)
		if err != nil {
			return err
		}
		if f.Manners.Renewal != nil {
			if body, ok := f.Manners.Renewal(certificate.Serial); ok {
				answer.raw, answer.mediaType = body, acme.MediaJSON
				return nil
			}
		}
		answer.body = rules.SuggestRenewal(certificate, asked, tx.Now)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return reply{}, notFound("this CA has not issued a certificate %.128s", v.ids[0])
	}
	if err != nil {
		return reply{}, fmt.Errorf("showing when certificate %s is to be renewed: %w", id, err)
	}
	return answer, nil
}

// spread is pause give or take a fifth, so that clients which ask at the same time do not do so again.
func spread(pause time.Duration) time.Duration {
	return pause - pause/5 + rand.N(pause*2/5)
}

// certificateOf finds the certificate that an ACME identifier names; store.ErrNotFound if this CA has not issued it.
func (f *Front) certificateOf(tx *store.Tx, id acme.CertID) (rules.Certificate, error) {
	issuer, ok := f.Issuer(id.KeyID)
	if !ok {
		return rules.Certificate{}, store.ErrNotFound
	}
	certificate, err := tx.Certificate(id.Serial())
	if err == nil && (certificate.Issuer != issuer || certificate.State != rules.Issued) {
		err = store.ErrNotFound
	}
	return certificate, err
}

// predecessor loads the certificate that an order is to replace; nil if this CA has not issued it.
func (f *Front) predecessor(tx *store.Tx, id acme.CertID) (*rules.Predecessor, error) {
	certificate, err := f.certificateOf(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	by, err := tx.Replacement(certificate.Serial)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &rules.Predecessor{Certificate: certificate}, nil
	case err != nil:
		return nil, err
	}
	return &rules.Predecessor{Certificate: certificate, By: &by}, nil
}
