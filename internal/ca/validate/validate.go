// Package validate proves that a client controls an identifier: the
// validations of RFC 8555 §8. It is the one part of the authority that connects
// to places a stranger names, so it owns the rules about where it may connect.
//
// A Prober looks from one place on the network. Each challenge type has a file
// of its own (http01.go, dns01.go, tlsalpn01.go), to which prove hands the requests.
// docs/validation.md describes for people what happens here.
package validate

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Request asks for one proof. It goes to other machines as JSON.
type Request struct {
	Type             acme.ChallengeType `json:"type"`
	Identifier       acme.Identifier    `json:"identifier"`                 // in canonical form, without a wildcard label
	Wildcard         bool               `json:"wildcard,omitempty"`         // whether the order has a wildcard label before Identifier
	Token            string             `json:"token,omitempty"`            // of types that have one
	KeyAuthorization string             `json:"keyAuthorization,omitempty"` // RFC 8555 §8.1
	AccountURL       string             `json:"accountURL,omitempty"`       // as the client wrote it in its response
	ChallengeURL     string             `json:"challengeURL,omitempty"`     // likewise; of types whose response has members
	Response         []byte             `json:"response,omitempty"`         // what the client sent: a JSON object
	Nonce            []byte             `json:"nonce,omitempty"`            // of onion-csr-01
	Persist          *Persist           `json:"persist,omitempty"`          // of dns-persist-01
	Possession       *Possession        `json:"possession,omitempty"`       // of proof-of-possession-01
}

// Result is the outcome of one proof.
type Result struct {
	// Problem is nil where control is proven. It goes to the client, so it never
	// holds what a page on an inner network said.
	Problem *acme.Problem `json:"problem,omitempty"`
	// Until is when the proof ends by its own terms; zero if it has none. Who relies on it relies on it no longer.
	Until time.Time `json:"until,omitzero"`
	// Temporary is set where the problem may be gone at the next try: no answer in
	// time, a refused connection, or a DNS server that failed (SERVFAIL).
	Temporary bool `json:"temporary,omitempty"`
	// Possessed is set by a proof of proof-of-possession-01, which counts only if what is in it bears examination.
	Possessed *Possessed `json:"possessed,omitempty"`
	// Seen tells one proof from another where control is proven: perspectives that
	// corroborate one another have seen the same (BR §3.2.2.4.19).
	Seen string `json:"seen,omitempty"`
	// Evidence is for the operator alone.
	Evidence Evidence `json:"evidence"`
}

// Config says how a Prober looks at the network. The zero value of each field
// but Resolver is useful.
type Config struct {
	Resolver      *Resolver
	HTTP01Port    int            // 0 means 80 (RFC 8555 §8.3)
	TLSALPN01Port int            // 0 means 443 (RFC 8737 §3); a redirect may lead here too
	AnyPort       bool           // a redirect may lead to any port: for tests
	Allow         []netip.Prefix // opened against every rule about targets
	Timeout       time.Duration  // for one whole proof; 0 means 10 s
	DialTimeout   time.Duration  // for one connection, and for one TLS handshake; 0 means 3 s
	Log           *slog.Logger   // nil discards
}

// Prober proves control from the place where it runs. It holds no state, so
// any number of goroutines may use one.
type Prober struct {
	config  Config
	targets targets
}

// New returns a Prober.
func New(c Config) *Prober {
	if c.HTTP01Port == 0 {
		c.HTTP01Port = 80
	}
	if c.TLSALPN01Port == 0 {
		c.TLSALPN01Port = 443
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 3 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Prober{config: c, targets: targets{allow: slices.Clone(c.Allow)}}
}

// Prove looks whether the client controls the identifier. A failed proof is a
// Result with a Problem; an error means that the question could not be asked,
// for a reason that is not the client's, and may be asked again. The evidence
// is filled in either case.
func (p *Prober) Prove(ctx context.Context, req Request) (Result, error) {
	if err := checkRequest(req); err != nil {
		return Result{}, fmt.Errorf("validating %.256q: %w", req.Identifier.Value, err)
	}
	inner, cancel := context.WithTimeout(ctx, p.config.Timeout)
	defer cancel()
	a := &attempt{Prober: p, request: req, evidence: Evidence{Started: time.Now()}}
	proven := a.prove(inner)
	result, err := a.evidence.conclude(ctx, req.Identifier, proven)
	if proven == nil {
		result.Until, result.Possessed = a.until, a.possessed
		result.Seen = a.seen()
	}
	return result, err
}

// conclude makes the Result of an err with which a look at id ended.
func (e Evidence) conclude(ctx context.Context, id acme.Identifier, err error) (Result, error) {
	e.Millis = time.Since(e.Started).Milliseconds()
	var problem *acme.Problem
	switch {
	case err == nil:
		return Result{Evidence: e}, nil
	case ctx.Err() != nil:
		// The caller gave up, so whatever failed says nothing about the client.
		err = context.Cause(ctx)
	case errors.As(err, &problem):
		_, again := errors.AsType[temporary](err)
		return Result{Problem: problem, Temporary: again, Evidence: e}, nil
	}
	return Result{Evidence: e}, fmt.Errorf("validating %s: %w", id, err)
}

// attempt is one proof under way. What goes wrong for the client comes back as
// an error that is an *acme.Problem; any other error is the authority's own.
type attempt struct {
	*Prober
	request  Request
	evidence Evidence
	// atLoopback is set when the identifier is a name of this machine and was
	// reached on a loopback address.
	atLoopback bool
	// inner is set when some hop led to another host than the identifier, or to
	// an address that not everybody can reach. It never goes back.
	inner bool
	// until is Result.Until.
	until time.Time
	// possessed is Result.Possessed.
	possessed *Possessed
	// accountURI is that of the record of dns-persist-01 that counts.
	accountURI string
}

// seen is Result.Seen of a proof: a digest of what was looked for and found. That is the account where the proof is
// not made for the order, and the key authorization otherwise.
func (a *attempt) seen() string {
	found := a.accountURI
	if found == "" {
		found = a.request.KeyAuthorization
	}
	digest := sha256.Sum256([]byte(string(a.request.Type) + " " + a.request.Identifier.String() + " " + found))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// prove dispatches on the challenge type.
func (a *attempt) prove(ctx context.Context) error {
	switch a.request.Type {
	case acme.HTTP01:
		return a.http01(ctx)
	case acme.DNS01:
		return a.dns01(ctx)
	case acme.TLSALPN01:
		return a.tlsALPN01(ctx)
	case acme.DNSAccount01:
		return a.dnsAccount01(ctx)
	case acme.DNSPersist01:
		return a.dnsPersist01(ctx)
	case acme.OnionCSR01:
		return a.onionCSR01()
	case acme.ProofOfPossession01:
		return a.proofOfPossession01(a.evidence.Started)
	default:
		return fmt.Errorf("challenge type %.32q is not validated here", a.request.Type)
	}
}

// checkRequest guards against a fault in the caller: the token becomes part of
// a URL (RFC 8555 §11.3), and a wildcard cannot be connected to.
func checkRequest(req Request) error {
	id, problem := req.Identifier.Normalize()
	switch _, wildcard := id.Base(); {
	case problem != nil:
		return problem
	case id != req.Identifier:
		return errors.New("the identifier is not in canonical form")
	case wildcard:
		return errors.New("a wildcard cannot be validated: give its base domain")
	case id.Type == acme.IP && req.Type != acme.HTTP01 && req.Type != acme.TLSALPN01 && req.Type != acme.ProofOfPossession01:
		return fmt.Errorf("%.32s is not for addresses (RFC 8738 §7)", req.Type)
	case req.Wildcard && (req.Type == acme.HTTP01 || req.Type == acme.TLSALPN01):
		return fmt.Errorf("%.32s is not for wildcards (RFC 8555 §7.1.3)", req.Type)
	case req.Type == acme.DNSAccount01 && (req.AccountURL == "" || len(req.AccountURL) > maxURL):
		return errors.New("the account's URL has an impossible length")
	case id.Type == acme.DNS && acme.IsOnion(id.Value) != (req.Type == acme.OnionCSR01):
		return errors.New("names under .onion are proven by onion-csr-01, and no others are (RFC 9799 §3)")
	case req.Type == acme.DNSPersist01:
		return req.Persist.check()
	case req.Type == acme.OnionCSR01:
		return checkOnionRequest(req)
	case !acme.ValidToken(req.Token):
		return errors.New("the token is not base64url")
	case req.Type == acme.ProofOfPossession01 && checkPossessionRequest(req) != nil:
		return checkPossessionRequest(req)
	case len(req.KeyAuthorization) <= len(req.Token) || len(req.KeyAuthorization) > maxKeyAuthorization:
		return errors.New("the key authorization has an impossible length")
	}
	return nil
}

// maxKeyAuthorization is ample: a token of at most 256 octets, a dot and the 43 of a SHA-256.
const maxKeyAuthorization = 512

// maxURL is ample for the URL of an account or a challenge, which the authority made itself.
const maxURL = 2048
