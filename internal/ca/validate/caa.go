package validate

import "github.com/cairn-ca/cairn/acme"

// CAARequest asks whether the records of RFC 8659 permit a certificate.
type CAARequest struct {
	Identifier acme.Identifier    `json:"identifier"` // a domain, without a wildcard label
	Wildcard   bool               `json:"wildcard,omitempty"`
	Method     acme.ChallengeType `json:"method"`
	AccountURL string             `json:"accountURL"` // as the client knows it
	Issuers    []string           `json:"issuers"`    // the authority's own CAA identities, lower case
}
