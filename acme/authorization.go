package acme

import (
	"time"

	"github.com/go-jose/go-jose/v4/json"
)

// Authorization says that an account may act for an identifier (RFC 8555 §7.1.4).
// Its status is pending, valid, invalid, deactivated, expired or revoked.
type Authorization struct {
	Identifier Identifier  `json:"identifier"`
	Status     Status      `json:"status"`
	Expires    *time.Time  `json:"expires,omitempty"`
	Challenges []Challenge `json:"challenges"`
	// Wildcard is set where the order asked for "*." and Identifier, and absent otherwise.
	Wildcard bool `json:"wildcard,omitempty"`
	// Subdomains says that the authorization is for all domains below Identifier, too (RFC 9444 §4.1).
	Subdomains bool `json:"subdomainAuthAllowed,omitempty"`
}

// NewAuthorization is the payload of a newAuthz request (RFC 8555 §7.4.1).
type NewAuthorization struct {
	Identifier Identifier
	Subdomains bool // all domains below Identifier are meant, too (RFC 9444 §4.2)
}

// newAuthorization is NewAuthorization as JSON.
type newAuthorization struct {
	Identifier struct {
		Identifier
		Subdomains bool `json:"subdomainAuthAllowed,omitempty"`
	} `json:"identifier"`
}

// MarshalJSON puts Subdomains into the identifier.
func (n NewAuthorization) MarshalJSON() ([]byte, error) {
	var wire newAuthorization
	wire.Identifier.Identifier, wire.Identifier.Subdomains = n.Identifier, n.Subdomains
	return json.Marshal(wire)
}

// UnmarshalJSON finds Subdomains in the identifier.
func (n *NewAuthorization) UnmarshalJSON(data []byte) error {
	var wire newAuthorization
	if err := json.Unmarshal(data, &wire); err != nil {
		return err
	}
	n.Identifier, n.Subdomains = wire.Identifier.Identifier, wire.Identifier.Subdomains
	return nil
}

// Deactivation is the payload that ends an account (RFC 8555 §7.3.6) or an authorization (§7.5.2).
type Deactivation struct {
	Status Status `json:"status"`
}

// Unproven gives the challenge of a pending authorization that the server has looked at in vain, and
// whose response it would take again (RFC 8555 §8.2); nil if there is none.
func (a *Authorization) Unproven() *Challenge {
	for i := range a.Challenges {
		if c := &a.Challenges[i]; c.Status == StatusPending && c.Error != nil {
			return c
		}
	}
	return nil
}
