package front

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// revocation is what a revokeCert request asks for (RFC 8555 §7.6).
type revocation struct {
	certificate *x509.Certificate
	reason      *int // nil if none was given
}

// revokeByAccount revokes a certificate for the account that it was issued to, or for one that
// holds authorizations for all that it is for (RFC 8555 §7.6).
func (f *Front) revokeByAccount(ctx context.Context, r accountRequest) (reply, error) {
	asked, problem := readRevocation(r.payload)
	if problem != nil {
		return reply{}, problem
	}
	err := f.change(ctx, func(tx *store.Tx) error {
		account, err := actor(tx, r)
		if err != nil {
			return err
		}
		before, err := certificateFor(tx, asked.certificate)
		if err != nil {
			return err
		}
		if before.Account != account.ID {
			if err := holdsAll(tx, account, asked.certificate); err != nil {
				return err
			}
		}
		after, problem := before.Revoke(asked.reason, false, tx.Now)
		if problem != nil {
			return problem
		}
		return tx.UpdateCertificate(before, after)
	})
	if err != nil {
		return reply{}, fmt.Errorf("revoking a certificate of account %s: %w", r.account.ID, err)
	}
	return reply{status: http.StatusOK}, nil
}

// holdsAll refuses an account that may not act for every name in a certificate.
func holdsAll(tx *store.Tx, account rules.Account, certificate *x509.Certificate) error {
	names := make([]acme.Identifier, 0, len(certificate.DNSNames)+len(certificate.IPAddresses))
	for _, name := range certificate.DNSNames {
		names = append(names, acme.Identifier{Type: acme.DNS, Value: name})
	}
	for _, ip := range certificate.IPAddresses {
		names = append(names, acme.IdentifierFor(ip.String()))
	}
	standing, err := tx.Standing(account.ID, maxStanding)
	if err != nil {
		return err
	}
	for _, id := range names {
		held, err := tx.Holds(account.ID, id)
		if err != nil {
			return err
		}
		if !held && !slices.ContainsFunc(standing, func(a rules.Authz) bool { return a.CoversSubdomain(id) }) {
			return acme.Problemf(acme.TypeUnauthorized, "the certificate is another account's, and this one has no valid authorization for %s: "+
				"prove control of all its names with a new order, or sign with the certificate's own key", id.Value)
		}
	}
	return nil
}

// revokeByKey revokes a certificate for whoever has its key. If they say that the key
// is compromised, they have proven it: the key is never certified again (BR §6.1.1.3 (4)), and
// all other certificates for it are revoked, too (BR §4.9.1.1 (3)).
func (f *Front) revokeByKey(ctx context.Context, r keyRequest) (reply, error) {
	asked, problem := readRevocation(r.payload)
	if problem != nil {
		return reply{}, problem
	}
	key, err := acme.NewKey(asked.certificate.PublicKey)
	if err != nil || !key.Equal(r.key) {
		return reply{}, acme.Problemf(acme.TypeUnauthorized,
			"the request is signed neither by the account that got the certificate nor with the certificate's own key")
	}
	compromised := asked.reason != nil && *asked.reason == rules.KeyCompromise
	var refused *acme.Problem
	err = f.change(ctx, func(tx *store.Tx) error {
		before, err := certificateFor(tx, asked.certificate)
		if err != nil {
			return err
		}
		after, problem := before.Revoke(asked.reason, true, tx.Now)
		refused = problem
		switch {
		case problem != nil && !(compromised && problem.Type == acme.TypeAlreadyRevoked):
			return problem
		case problem == nil:
			if err := tx.UpdateCertificate(before, after); err != nil {
				return err
			}
		}
		// The account may have said the same before, without proof: that blocked nothing.
		if compromised {
			return blockKey(tx, key.Public())
		}
		return nil
	})
	if err == nil && compromised {
		err = f.revokeSiblings(ctx, key.Public())
	}
	if err != nil {
		return reply{}, fmt.Errorf("revoking a certificate by its key: %w", err)
	}
	if refused != nil {
		return reply{}, refused
	}
	return reply{status: http.StatusOK}, nil
}

// siblingBatch is how many certificates of a compromised key one transaction revokes.
const siblingBatch = 200

// revokeSiblings revokes all other certificates of a key that is blocked (BR §4.9.1.1 (3)). A crash on the
// way leaves some of them: the next start goes on, and so does the same request again.
func (f *Front) revokeSiblings(ctx context.Context, public crypto.PublicKey) error {
	digest, err := rules.KeyDigest(public)
	for n := siblingBatch; err == nil && n == siblingBatch; {
		err = f.change(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.RevokeSiblings(digest, siblingBatch)
			return err
		})
	}
	return err
}

func blockKey(tx *store.Tx, public crypto.PublicKey) error {
	digest, err := rules.KeyDigest(public)
	if err != nil {
		return err
	}
	if err := tx.BlockKey(digest); err != nil {
		return fmt.Errorf("blocking a key: %w", err)
	}
	return nil
}

// readRevocation reads the payload of a revokeCert request.
func readRevocation(payload []byte) (revocation, *acme.Problem) {
	req, problem := decode[struct {
		Certificate string          `json:"certificate"`
		Reason      json.RawMessage `json:"reason"`
	}](payload)
	if problem != nil {
		return revocation{}, problem
	}
	der, problem := acme.DecodeBase64URL("certificate", req.Certificate)
	if problem != nil {
		return revocation{}, problem
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil || certificate.SerialNumber.Sign() <= 0 {
		return revocation{}, acme.Problemf(acme.TypeMalformed, `"certificate" is not the base64url of one certificate in DER`)
	}
	asked := revocation{certificate: certificate}
	if len(req.Reason) > 0 {
		// RFC 8555 §7.6: whatever is no reason that can be given is a bad one.
		if err := json.Unmarshal(req.Reason, &asked.reason); err != nil {
			return revocation{}, acme.Problemf(acme.TypeBadRevocationReason, "the reason is not a number: use 0, 1, 3, 4 or 5, or none")
		}
	}
	return asked, nil
}

// certificateFor finds the record of a certificate that this CA issued.
func certificateFor(tx *store.Tx, certificate *x509.Certificate) (rules.Certificate, error) {
	found, err := tx.Certificate(fmt.Sprintf("%x", certificate.SerialNumber.Bytes()))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return found, err
	}
	if err != nil || !found.IsFor(certificate.Raw) {
		return rules.Certificate{}, notFound("this CA did not issue the certificate")
	}
	return found, nil
}
