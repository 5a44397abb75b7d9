package validate

import (
	"crypto"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Possession is what the proof of proof-of-possession-01 is compared with.
type Possession struct {
	Certificates [][]byte `json:"certificates,omitempty"` // that the challenge lists, in DER
	// Authorities are other CAs whose certificates count, in DER. Those of this CA
	// itself are looked up by whoever has its database.
	Authorities [][]byte `json:"authorities,omitempty"`
}

// Possessed is the certificate whose key a proof-of-possession-01 response was signed with.
type Possessed struct {
	Certificate []byte `json:"certificate"`       // in DER
	Foreign     bool   `json:"foreign,omitempty"` // issued by one of the Authorities
}

func checkPossessionRequest(req Request) error {
	if req.Possession == nil || len(req.Response) == 0 || req.ChallengeURL == "" {
		return errors.New("proof-of-possession-01 needs certificates, a response and the challenge's URL")
	}
	return nil
}

// maxRSABits bounds what it costs to verify a signature under a key that somebody else made.
const maxRSABits = 8192

// oversized reports whether a signature under public costs more to verify than anybody needs it to.
func oversized(public crypto.PublicKey) bool {
	key, ok := public.(*rsa.PublicKey)
	return ok && key.N.BitLen() > maxRSABits
}

// proofOfPossession01 checks that the key of a certificate for the identifier speaks for the account. Nothing is
// asked on the network. Whether this CA issued that certificate, whether it is revoked, and
// what it was issued on, is not known here: see Result.Possessed.
func (a *attempt) proofOfPossession01(now time.Time) error {
	jws, sent, problem := acme.ReadPossessionResponse(a.request.Response)
	if problem != nil {
		return problem
	}
	switch {
	case jws.Header.Key == nil:
		return acme.Problemf(acme.TypeMalformed, `the JWS in "authorization" has "kid": it must have the certificate's key in "jwk"`)
	case jws.Header.Nonce != "":
		return acme.Problemf(acme.TypeMalformed, `the JWS in "authorization" has "nonce": leave it out`)
	case jws.Header.URL != a.request.ChallengeURL:
		return acme.Problemf(acme.TypeUnauthorized, `the JWS in "authorization" has another "url" than that of the challenge`)
	}
	certificate := a.holder(jws.Header.Key, sent)
	if certificate == nil {
		return acme.Problemf(acme.TypeUnauthorized, "the key that signed is not that of a certificate which the challenge lists, nor of the first one in the response")
	}
	if oversized(jws.Header.Key.Public()) {
		return acme.Problemf(acme.TypeBadPublicKey, "the key of the certificate has more than %d bits", maxRSABits)
	}
	if problem := jws.Verify(jws.Header.Key); problem != nil {
		problem.Detail = `"authorization": ` + problem.Detail
		return problem
	}
	if problem := a.checkClaim(jws.Payload); problem != nil {
		return problem
	}
	switch {
	case now.Before(certificate.NotBefore) || now.After(certificate.NotAfter):
		return acme.Problemf(acme.TypeUnauthorized, "the certificate is valid from %s to %s, and so not now",
			certificate.NotBefore.UTC().Format(time.RFC3339), certificate.NotAfter.UTC().Format(time.RFC3339))
	case !covers(certificate, a.request.Identifier, a.request.Wildcard):
		return acme.Problemf(acme.TypeUnauthorized, "the certificate is not for %s", asked(a.request))
	}
	a.possessed = &Possessed{Certificate: certificate.Raw, Foreign: a.isForeign(certificate, sent, now)}
	return nil
}

// holder finds the certificate that has key, among those that the challenge lists and the first one in the response.
func (a *attempt) holder(key *acme.Key, sent [][]byte) *x509.Certificate {
	candidates := slices.Concat(a.request.Possession.Certificates, sent[:min(len(sent), 1)])
	for _, der := range candidates {
		certificate, err := x509.ParseCertificate(der)
		if err != nil || certificate.IsCA {
			continue
		}
		if public, err := acme.NewKey(certificate.PublicKey); err == nil && public.Equal(key) {
			return certificate
		}
	}
	return nil
}

// checkClaim checks what the key signed.
func (a *attempt) checkClaim(payload []byte) *acme.Problem {
	claim, account, problem := acme.ReadPossessionClaim(payload)
	if problem != nil {
		return problem
	}
	_, thumbprint, _ := strings.Cut(a.request.KeyAuthorization, ".")
	switch {
	case claim.Type != acme.ProofOfPossession01:
		return acme.Problemf(acme.TypeUnauthorized, `the "type" that was signed is not proof-of-possession-01`)
	case subtle.ConstantTimeCompare([]byte(claim.Token), []byte(a.request.Token)) != 1:
		return acme.Problemf(acme.TypeUnauthorized, "the token that was signed is not that of this challenge")
	case !slices.Contains(claim.Identifiers, a.request.Identifier) && !slices.Contains(claim.Identifiers, acme.Identifier{Type: acme.DNS, Value: asked(a.request)}):
		return acme.Problemf(acme.TypeUnauthorized, `the "identifiers" that were signed do not include %s`, asked(a.request))
	case account.Thumbprint() != thumbprint:
		return acme.Problemf(acme.TypeUnauthorized, `the "accountKey" that was signed is not the key of this account`)
	}
	return nil
}

// asked is the identifier as the order has it.
func asked(r Request) string {
	if r.Wildcard {
		return "*." + r.Identifier.Value
	}
	return r.Identifier.Value
}

// covers reports whether a certificate is for an identifier: by its name, or by a wildcard that
// stands for it. Only a wildcard covers a wildcard.
func covers(c *x509.Certificate, id acme.Identifier, wildcard bool) bool {
	if id.Type == acme.IP {
		addr, err := netip.ParseAddr(id.Value)
		return err == nil && slices.ContainsFunc(c.IPAddresses, func(ip net.IP) bool {
			got, ok := netip.AddrFromSlice(ip)
			return ok && got.Unmap() == addr
		})
	}
	_, parent, _ := strings.Cut(id.Value, ".")
	return slices.ContainsFunc(c.DNSNames, func(name string) bool {
		name = strings.ToLower(name)
		if wildcard {
			return name == "*."+id.Value
		}
		return name == id.Value || name == "*."+parent
	})
}

// isForeign reports whether one of the other CAs issued a certificate, by those that came with it.
func (a *attempt) isForeign(certificate *x509.Certificate, sent [][]byte, now time.Time) bool {
	if len(a.request.Possession.Authorities) == 0 {
		return false
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, der := range a.request.Possession.Authorities {
		if authority, err := x509.ParseCertificate(der); err == nil {
			roots.AddCert(authority)
		}
	}
	for _, der := range sent[min(len(sent), 1):] {
		if issuer, err := x509.ParseCertificate(der); err == nil && !oversized(issuer.PublicKey) {
			between.AddCert(issuer)
		}
	}
	_, err := certificate.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}
