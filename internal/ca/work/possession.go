package work

import (
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// confirmPossession decides whether the certificate whose key answered a challenge counts: it must be this
// CA's own and neither revoked nor its key known to be compromised; or, where it need
// not be enough alone, of another CA that the operator named.
func confirmPossession(tx *store.Tx, a rules.Authz, c rules.Challenge, p *validate.Possessed) (*acme.Problem, error) {
	if p == nil {
		return nil, errors.New("a proof of possession came without its certificate")
	}
	leaf, err := x509.ParseCertificate(p.Certificate)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate of a proof of possession: %w", err)
	}
	digest, err := rules.KeyDigest(leaf.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("reading the key of a proof of possession: %w", err)
	}
	blocked, err := tx.KeyBlocked(digest)
	if err != nil {
		return nil, err
	}
	if blocked {
		return acme.Problemf(acme.TypeUnauthorized, "the key of that certificate has been reported as compromised"), nil
	}
	own, err := tx.Certificate(fmt.Sprintf("%x", leaf.SerialNumber.Bytes()))
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, err
	case err == nil && own.IsFor(p.Certificate):
	case p.Foreign && c.Within == 0:
		return nil, nil
	case p.Foreign:
		return acme.Problemf(acme.TypeUnauthorized, "that certificate is another CA's, and it is not known on what proof it was issued"), nil
	default:
		return acme.Problemf(acme.TypeUnauthorized, "that certificate is neither of this CA nor of another one that counts here"), nil
	}
	if !own.Revoked.IsZero() {
		return acme.Problemf(acme.TypeUnauthorized, "that certificate has been revoked"), nil
	}
	if c.Within == 0 {
		return nil, nil
	}
	return issuedLately(tx, a, c, own)
}

// issuedLately decides whether an own certificate was issued on a proof that makes its key enough alone.
func issuedLately(tx *store.Tx, a rules.Authz, c rules.Challenge, own rules.Certificate) (*acme.Problem, error) {
	order, err := tx.Order(own.Order)
	if errors.Is(err, store.ErrNotFound) { // the CA's own HTTPS certificate has none
		return a.PossessionSuffices(c.Within, nil, tx.Now), nil
	}
	if err != nil {
		return nil, err
	}
	authzs, err := tx.Authzs(order.Authzs)
	if err != nil {
		return nil, err
	}
	return a.PossessionSuffices(c.Within, authzs, tx.Now), nil
}

// nameCertificate makes the certificate of an order findable by its names, if its key may be asked for later.
func (w *Worker) nameCertificate(tx *store.Tx, o rules.Order) error {
	if !w.Proving.Offers(acme.ProofOfPossession01) || o.Serial == "" {
		return nil
	}
	c, err := tx.Certificate(o.Serial)
	if err != nil {
		return err
	}
	return tx.NameCertificate(c, o.Identifiers)
}
