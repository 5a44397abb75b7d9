package validate

import (
	"crypto/ed25519"
	"crypto/subtle"
	"crypto/x509"
	"errors"

	"github.com/cairn-ca/cairn/acme"
)

// Offline reports whether a proof by a challenge of a type looks at the request alone: all places see
// the same then, and there is no reason to ask more than one (BR §3.2.2.4.19 exempts onion names).
func Offline(kind acme.ChallengeType) bool {
	return kind == acme.OnionCSR01 || kind == acme.ProofOfPossession01
}

// minNonce is the length of a nonce of 64 bits (RFC 9799 §3.2).
const minNonce = 8

func checkOnionRequest(req Request) error {
	if len(req.Nonce) < minNonce || len(req.Response) == 0 {
		return errors.New("onion-csr-01 needs a nonce and a response")
	}
	return nil
}

// onionCSR01 checks the CSR that the client sent (RFC 9799 §3.2). The name of an onion service is
// its key, so who signs with that key controls the name and all below it. Nothing is asked on the network.
func (a *attempt) onionCSR01() error {
	key, err := acme.OnionKey(a.request.Identifier.Value)
	if err != nil {
		return acme.Problemf(acme.TypeRejectedIdentifier, "%s", err)
	}
	der, problem := acme.ReadOnionCSRResponse(a.request.Response)
	if problem != nil {
		return problem
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return acme.Problemf(acme.TypeBadCSR, "the CSR of the response is not a PKCS #10 request in DER")
	}
	public, ok := csr.PublicKey.(ed25519.PublicKey)
	if !ok || !public.Equal(key) {
		return acme.Problemf(acme.TypeUnauthorized, "the key of the CSR is not the one that %s is made of", a.request.Identifier.Value)
	}
	if err := csr.CheckSignature(); err != nil {
		return acme.Problemf(acme.TypeUnauthorized, "the signature of the CSR does not verify under the key of %s", a.request.Identifier.Value)
	}
	nonce, applicant, err := acme.OnionNonces(csr.RawTBSCertificateRequest)
	switch {
	case err != nil:
		return acme.Problemf(acme.TypeBadCSR, "%s", err)
	case nonce == nil:
		return acme.Problemf(acme.TypeBadCSR, "the CSR has no attribute caSigningNonce (2.23.140.41)")
	case subtle.ConstantTimeCompare(nonce, a.request.Nonce) != 1:
		return acme.Problemf(acme.TypeUnauthorized, "the caSigningNonce of the CSR is not the nonce of this challenge: it must hold the octets that the base64 stands for")
	case len(applicant) < minNonce:
		return acme.Problemf(acme.TypeBadCSR, "the CSR has no attribute applicantSigningNonce (2.23.140.42) of at least 8 octets")
	}
	return nil
}
