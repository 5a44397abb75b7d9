package acme

import "encoding/json"

// Account is a client's registration (RFC 8555 §7.1.2).
// Its status is valid, deactivated (by the client) or revoked (by the server).
type Account struct {
	Status               Status          `json:"status,omitempty"`
	Contact              []string        `json:"contact,omitempty"` // URLs, "mailto:" in practice
	TermsOfServiceAgreed bool            `json:"termsOfServiceAgreed,omitempty"`
	ExternalAccount      json.RawMessage `json:"externalAccountBinding,omitempty"` // RFC 8555 §7.3.4
	Orders               string          `json:"orders,omitempty"`                 // the URL of an OrderList
}

// NewAccount is the payload of a newAccount request (RFC 8555 §7.3).
type NewAccount struct {
	Contact              []string        `json:"contact,omitempty"`
	TermsOfServiceAgreed bool            `json:"termsOfServiceAgreed,omitempty"`
	OnlyReturnExisting   bool            `json:"onlyReturnExisting,omitempty"`
	ExternalAccount      json.RawMessage `json:"externalAccountBinding,omitempty"`
}

// KeyChange is the payload of the inner JWS of a keyChange request (RFC 8555 §7.3.5).
type KeyChange struct {
	Account string          `json:"account"` // the account's URL
	OldKey  json.RawMessage `json:"oldKey"`  // the JWK to be replaced
}

// OrderList is one page of an account's orders (RFC 8555 §7.1.2.1).
type OrderList struct {
	Orders []string `json:"orders"` // URLs
}
