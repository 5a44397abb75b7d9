package acme

import (
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// ChallengeType is a way to prove control of an identifier (RFC 8555 §9.7.8).
type ChallengeType string

// The registered challenge types that Cairn knows.
const (
	HTTP01       ChallengeType = "http-01"        // RFC 8555 §8.3
	DNS01        ChallengeType = "dns-01"         // RFC 8555 §8.4
	TLSALPN01    ChallengeType = "tls-alpn-01"    // RFC 8737
	DNSAccount01 ChallengeType = "dns-account-01" // draft-ietf-acme-dns-account-label
	DNSPersist01 ChallengeType = "dns-persist-01" // draft-ietf-acme-dns-persist
	OnionCSR01   ChallengeType = "onion-csr-01"   // RFC 9799 §3.2
	// ProofOfPossession01 is ACME's challenge of 2015 (draft-barnes-acme-04), with a token. It is not registered.
	ProofOfPossession01 ChallengeType = "proof-of-possession-01"
)

// Challenge is one way to prove control of an authorization's identifier (RFC 8555 §8).
// Its status is pending, processing, valid or invalid.
type Challenge struct {
	Type      ChallengeType `json:"type"`
	URL       string        `json:"url"`
	Status    Status        `json:"status"`
	Token     string        `json:"token,omitempty"`
	Validated *time.Time    `json:"validated,omitempty"`
	Error     *Problem      `json:"error,omitempty"`

	// IssuerDomains are the names of the CA that a dns-persist-01 record can have. The
	// member's name changed between the drafts, so they stand in one of two.
	IssuerDomains     []string `json:"issuer-domain-names,omitempty"` // drafts -00 and -01
	IssuerDomainNames []string `json:"issuerDomainNames,omitempty"`   // from draft -02 on
	// AccountURI is what a dns-persist-01 record says of the account, in draft -01.
	AccountURI string `json:"accounturi,omitempty"`
	// Nonce is what the CSR of an onion-csr-01 response holds, in base64 with padding (RFC 9799 §3.2).
	Nonce string `json:"nonce,omitempty"`
	// Certs are certificates whose key may answer a proof-of-possession-01 challenge: base64url of the DER.
	Certs []string `json:"certs,omitempty"`
}

// HTTP01Path is the path, up to the token, at which an http-01 challenge is answered (RFC 8555 §8.3).
const HTTP01Path = "/.well-known/acme-challenge/"

// DNS01Label stands before the identifier in the name of the TXT record that answers a dns-01 challenge (RFC 8555 §8.4).
const DNS01Label = "_acme-challenge."

// ALPNProtocol is what client and server agree on, by ALPN, in a tls-alpn-01 challenge (RFC 8737 §6.2).
const ALPNProtocol = "acme-tls/1"

// KeyAuthorization binds a challenge's token to an account's key, given as its
// JWK thumbprint (RFC 8555 §8.1).
func KeyAuthorization(token, thumbprint string) string { return token + "." + thumbprint }

// DNS01Value is the TXT record that answers a dns-01 challenge (RFC 8555 §8.4).
func DNS01Value(keyAuthorization string) string {
	digest := sha256.Sum256([]byte(keyAuthorization))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// ValidToken reports whether token has the form that RFC 8555 §8.1 prescribes:
// base64url without padding. Who puts a token into a path or a page checks it first (§11.3).
func ValidToken(token string) bool {
	return len(token) > 0 && len(token) <= 256 && isBase64URL(token)
}

// isBase64URL reports whether s holds nothing but the characters of RFC 4648 §5.
func isBase64URL(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
