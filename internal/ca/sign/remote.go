package sign

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
)

// The methods of a signer.
const (
	methodCertificate = "certificate"
	methodCRL         = "crl"
	methodOwn         = "own-certificate"
)

// Codes of refusals: of an error nothing else crosses the wire but its text.
const (
	codeRefused  = "refused"
	codeValidity = "validity"
	codeConflict = "conflict"
)

// maxReply bounds the answer of a signer, in octets: a CRL may be long.
const maxReply = 64 << 20

// wireRequest is a Request on its way.
type wireRequest struct {
	Order       string            `json:"order"`
	Profile     string            `json:"profile"`
	Identifiers []acme.Identifier `json:"identifiers"`
	PublicKey   []byte            `json:"key"` // SubjectPublicKeyInfo, DER
	MustStaple  bool              `json:"must_staple,omitempty"`
	NotBefore   time.Time         `json:"not_before,omitzero"`
	NotAfter    time.Time         `json:"not_after,omitzero"`
}

// wireOwn asks for the certificate of a front's own HTTPS server.
type wireOwn struct {
	Identifiers []acme.Identifier `json:"identifiers"`
	PublicKey   []byte            `json:"key"`
}

// wireCRL is a CRL on its way back.
type wireCRL struct {
	DER []byte `json:"der"`
}

// Remote is a signer on another machine, or one of several that share their keys and the journal.
// It is safe for concurrent use. A call may reach several signers: the journal makes one certificate of it.
type Remote struct {
	// Signers lists those that can be called now.
	Signers func(ctx context.Context) ([]rpc.Client, error)

	any rpc.Any
}

// Certificate asks for a certificate; see Signer.Certificate.
func (r *Remote) Certificate(ctx context.Context, request Request) (Certificate, error) {
	key, err := x509.MarshalPKIXPublicKey(request.PublicKey)
	if err != nil {
		return Certificate{}, fmt.Errorf("encoding the key of order %s: %w", request.Order, err)
	}
	return whole(ask[wireRequest, Certificate](ctx, r, methodCertificate, wireRequest{
		Order: request.Order, Profile: request.Profile, Identifiers: request.Identifiers, PublicKey: key,
		MustStaple: request.MustStaple, NotBefore: request.NotBefore, NotAfter: request.NotAfter,
	}))
}

// CRL asks for a CRL; see Signer.CRL.
func (r *Remote) CRL(ctx context.Context, request CRLRequest) ([]byte, error) {
	list, err := ask[CRLRequest, wireCRL](ctx, r, methodCRL, request)
	return list.DER, err
}

// Own asks for the certificate of the caller's own HTTPS server, as a front. For one key there is one certificate.
func (r *Remote) Own(ctx context.Context, key crypto.PublicKey, names []acme.Identifier) (Certificate, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Certificate{}, fmt.Errorf("encoding a key: %w", err)
	}
	return whole(ask[wireOwn, Certificate](ctx, r, methodOwn, wireOwn{Identifiers: names, PublicKey: der}))
}

// whole is the certificate of an answer that has one.
func whole(c Certificate, err error) (Certificate, error) {
	if err == nil && (c.Serial == "" || len(c.DER) == 0) {
		err = errors.New("the signer answered without a certificate")
	}
	if err != nil {
		return Certificate{}, err
	}
	return c, nil
}

// ask calls one signer after the other until one answers.
func ask[Req, Res any](ctx context.Context, r *Remote, method string, request Req) (none Res, err error) {
	signers, err := r.Signers(ctx)
	if err != nil {
		return none, fmt.Errorf("finding a signer: %w", err)
	}
	signers = slices.Clone(signers)
	for i := range signers {
		signers[i].Limit = maxReply
	}
	response, err := rpc.CallAny[Req, Res](ctx, &r.any, signers, method, request)
	if err != nil {
		return none, fmt.Errorf("the signer: %w", received(err))
	}
	return response, nil
}

// refusal is how an error of the signer crosses the wire: only what a caller tells apart does.
func refusal(err error) error {
	for _, known := range []struct {
		code string
		err  error
	}{{codeConflict, ErrConflict}, {codeValidity, ErrValidity}, {codeRefused, ErrRefused}} {
		if errors.Is(err, known.err) {
			return &rpc.Refusal{Code: known.code, Reason: fmt.Sprintf("%.1024v", err)}
		}
	}
	return err
}

// received is the error that refusal was given.
func received(err error) error {
	var refused *rpc.Refusal
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Code {
	case codeConflict:
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case codeValidity:
		return fmt.Errorf("%w: %w: %w", ErrRefused, ErrValidity, err)
	case codeRefused:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err // it did not like who was asking, or how: nobody's order is at fault
}
