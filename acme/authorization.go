package acme

import "time"

// Authorization says that an account may act for an identifier (RFC 8555 §7.1.4).
// Its status is pending, valid, invalid, deactivated, expired or revoked.
type Authorization struct {
	Identifier Identifier  `json:"identifier"`
	Status     Status      `json:"status"`
	Expires    *time.Time  `json:"expires,omitempty"`
	Challenges []Challenge `json:"challenges"`
	// Wildcard is set where the order asked for "*." and Identifier, and absent otherwise.
	Wildcard bool `json:"wildcard,omitempty"`
}

// Deactivation is the payload that ends an account (RFC 8555 §7.3.6) or an authorization (§7.5.2).
type Deactivation struct {
	Status Status `json:"status"`
}
