package acme

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// ProblemType names a kind of error: a URN that IANA has registered (RFC 8555 §9.7.3).
type ProblemType string

const typePrefix = "urn:ietf:params:acme:error:"

// The error types of RFC 8555 §6.7, and those that later documents registered.
const (
	TypeAccountDoesNotExist     ProblemType = typePrefix + "accountDoesNotExist"
	TypeAlreadyReplaced         ProblemType = typePrefix + "alreadyReplaced" // RFC 9773 §7.4
	TypeAlreadyRevoked          ProblemType = typePrefix + "alreadyRevoked"
	TypeBadCSR                  ProblemType = typePrefix + "badCSR"
	TypeBadNonce                ProblemType = typePrefix + "badNonce"
	TypeBadPublicKey            ProblemType = typePrefix + "badPublicKey"
	TypeBadRevocationReason     ProblemType = typePrefix + "badRevocationReason"
	TypeBadSignatureAlgorithm   ProblemType = typePrefix + "badSignatureAlgorithm"
	TypeCAA                     ProblemType = typePrefix + "caa"
	TypeCompound                ProblemType = typePrefix + "compound"
	TypeConnection              ProblemType = typePrefix + "connection"
	TypeDNS                     ProblemType = typePrefix + "dns"
	TypeExternalAccountRequired ProblemType = typePrefix + "externalAccountRequired"
	TypeIncorrectResponse       ProblemType = typePrefix + "incorrectResponse"
	TypeInvalidContact          ProblemType = typePrefix + "invalidContact"
	TypeInvalidProfile          ProblemType = typePrefix + "invalidProfile" // draft-ietf-acme-profiles
	TypeMalformed               ProblemType = typePrefix + "malformed"
	TypeOnionCAARequired        ProblemType = typePrefix + "onionCAARequired" // RFC 9799 §6.4.1
	TypeOrderNotReady           ProblemType = typePrefix + "orderNotReady"
	TypeRateLimited             ProblemType = typePrefix + "rateLimited"
	TypeRejectedIdentifier      ProblemType = typePrefix + "rejectedIdentifier"
	TypeServerInternal          ProblemType = typePrefix + "serverInternal"
	TypeTLS                     ProblemType = typePrefix + "tls"
	TypeUnauthorized            ProblemType = typePrefix + "unauthorized"
	TypeUnsupportedContact      ProblemType = typePrefix + "unsupportedContact"
	TypeUnsupportedIdentifier   ProblemType = typePrefix + "unsupportedIdentifier"
	TypeUserActionRequired      ProblemType = typePrefix + "userActionRequired"
)

// statuses gives the HTTP status of a type where it is not 400 Bad Request.
var statuses = map[ProblemType]int{
	TypeAlreadyReplaced:    http.StatusConflict,
	TypeOrderNotReady:      http.StatusForbidden,
	TypeRateLimited:        http.StatusTooManyRequests,
	TypeServerInternal:     http.StatusInternalServerError,
	TypeUnauthorized:       http.StatusForbidden,
	TypeUserActionRequired: http.StatusForbidden,
	TypeRejectedIdentifier: http.StatusForbidden,
}

// Problem is an error that a peer is told of: an RFC 7807 document with the
// members that RFC 8555 §6.7 adds. Its detail says what the peer can do about it.
type Problem struct {
	Type     ProblemType `json:"type"`
	Detail   string      `json:"detail,omitempty"`
	Status   int         `json:"status,omitempty"`   // the HTTP status
	Instance string      `json:"instance,omitempty"` // a URL for a person to visit (RFC 8555 §7.3.3)

	// Identifier is the name that a subproblem is about; never set at the top level (RFC 8555 §6.7.1).
	Identifier  *Identifier `json:"identifier,omitempty"`
	Subproblems []*Problem  `json:"subproblems,omitempty"`

	// Algorithms lists what the server verifies; part of badSignatureAlgorithm (RFC 8555 §6.2).
	Algorithms []string `json:"algorithms,omitempty"`

	// Location is sent as a header where the protocol asks for it (RFC 8555 §7.3.5).
	Location string `json:"-"`
	// Terms is the URL of the terms of service, sent as a link where the client must agree to them (RFC 8555 §7.3.3).
	Terms string `json:"-"`
	// RetryAfter is how long to wait before the same request can succeed; 0 if unknown.
	RetryAfter time.Duration `json:"-"`
	// Rule is the rule that was broken, where somebody tells its problem otherwise than the RFC; 0 for all others.
	Rule Rule `json:"-"`
}

// Rule is a rule whose problem other servers have under another type.
type Rule uint8

// The rules that a Problem names.
const (
	_            Rule = iota
	RuleURL           // "url" is where the request goes (RFC 8555 §6.4)
	RuleKeyID         // "kid" is the URL of an account (RFC 8555 §6.2)
	RuleCSRForm       // a CSR is one (RFC 8555 §7.4)
	RuleCSRNames      // a CSR is for the names of its order (RFC 8555 §7.4)
)

// Breaking says which rule was broken, and returns p.
func (p *Problem) Breaking(r Rule) *Problem {
	p.Rule = r
	return p
}

// Problemf makes a Problem of type t with the HTTP status that is customary for it.
func Problemf(t ProblemType, format string, args ...any) *Problem {
	status, ok := statuses[t]
	if !ok {
		status = http.StatusBadRequest
	}
	return &Problem{Type: t, Detail: fmt.Sprintf(format, args...), Status: status}
}

// WithStatus returns a copy of p that is answered with another HTTP status.
func (p Problem) WithStatus(status int) *Problem {
	p.Status = status
	return &p
}

// About returns a copy of p as a subproblem about id (RFC 8555 §6.7.1).
func (p Problem) About(id Identifier) *Problem {
	p.Identifier, p.Status = &id, 0
	return &p
}

// Name is the type without its prefix, for people and for metric labels.
func (t ProblemType) Name() string { return strings.TrimPrefix(string(t), typePrefix) }

// Error gives the problem and its subproblems in one line.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", p.Type.Name(), p.Detail)
	for _, sub := range p.Subproblems {
		b.WriteString("; ")
		if sub.Identifier != nil {
			fmt.Fprintf(&b, "%s: ", sub.Identifier.Value)
		}
		fmt.Fprintf(&b, "%s: %s", sub.Type.Name(), sub.Detail)
	}
	return b.String()
}
