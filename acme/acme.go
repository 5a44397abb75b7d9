// Package acme is the vocabulary of the ACME protocol: RFC 8555 and its
// extensions, one file per resource. It holds the objects on the wire, their
// statuses, problem documents, the JWS that carries requests, key
// authorizations and identifiers, and Client, which does the plumbing of a
// client: nonces, POST-as-GET, retries.
//
// Server and client meet here and nowhere else.
package acme

// Status is the state of an account, order, authorization or challenge (RFC 8555 §7.1.6).
type Status string

// The states that RFC 8555 §7.1.6 names. Which object can have which is said at each object.
const (
	StatusPending     Status = "pending"
	StatusReady       Status = "ready"
	StatusProcessing  Status = "processing"
	StatusValid       Status = "valid"
	StatusInvalid     Status = "invalid"
	StatusDeactivated Status = "deactivated"
	StatusExpired     Status = "expired"
	StatusRevoked     Status = "revoked"
)

// Media types of the protocol.
const (
	MediaJOSE    = "application/jose+json"             // RFC 8555 §6.2
	MediaProblem = "application/problem+json"          // RFC 7807 §6.1
	MediaChain   = "application/pem-certificate-chain" // RFC 8555 §9.1
	MediaJSON    = "application/json"

	MediaCertificate = "application/pkix-cert"  // one certificate in DER (RFC 2585 §4.1)
	MediaPKCS7       = "application/pkcs7-mime" // certificates in PKCS #7 (RFC 8551 §3.2)
)
