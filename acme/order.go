package acme

import "time"

// Order is a client's request for a certificate (RFC 8555 §7.1.3).
// Its status is pending, ready, processing, valid or invalid.
type Order struct {
	Status         Status       `json:"status"`
	Expires        *time.Time   `json:"expires,omitempty"`
	Identifiers    []Identifier `json:"identifiers"`
	Profile        string       `json:"profile,omitempty"`  // draft-ietf-acme-profiles §4
	Replaces       string       `json:"replaces,omitempty"` // RFC 9773 §5
	NotBefore      *time.Time   `json:"notBefore,omitempty"`
	NotAfter       *time.Time   `json:"notAfter,omitempty"`
	Error          *Problem     `json:"error,omitempty"`
	Authorizations []string     `json:"authorizations"`        // URLs
	Finalize       string       `json:"finalize"`              // a URL
	Certificate    string       `json:"certificate,omitempty"` // a URL, once the order is valid

	// URL is where the order is. It is not part of the object: a Client takes it from the Location header.
	URL string `json:"-"`
	// retryAfter is when a Client should look again.
	retryAfter time.Duration
}

// NewOrder is the payload of a newOrder request (RFC 8555 §7.4).
type NewOrder struct {
	Identifiers []Identifier `json:"identifiers"`
	NotBefore   string       `json:"notBefore,omitempty"` // RFC 3339
	NotAfter    string       `json:"notAfter,omitempty"`  // RFC 3339
	Profile     string       `json:"profile,omitempty"`   // draft-ietf-acme-profiles §4
	Replaces    string       `json:"replaces,omitempty"`  // RFC 9773 §5

	// Ancestors has, for the value of an identifier, the "ancestorDomain" that the client can
	// prove control of in its place (RFC 9444 §4.3). In JSON it is a member of the identifier.
	Ancestors map[string]string `json:"-"`
}

// Finalize is the payload of a finalize request (RFC 8555 §7.4).
type Finalize struct {
	CSR string `json:"csr"` // base64url of the DER, without padding
	// OnionCAA has the CAA records of each onion service in the order, by its name (RFC 9799 §6.4).
	OnionCAA map[string]OnionCAA `json:"onionCAA,omitempty"`
}

// Revocation is the payload of a revokeCert request (RFC 8555 §7.6).
type Revocation struct {
	Certificate string `json:"certificate"`      // base64url of the DER, without padding
	Reason      *int   `json:"reason,omitempty"` // RFC 5280 §5.3.1
}
