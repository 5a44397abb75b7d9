package bench

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// request is what one issuance asks for.
type request struct {
	identifiers []acme.Identifier
	csr         string // base64url of the DER (RFC 8555 §7.4)
	spki        []byte // the CSR's key, in DER
}

// issuance is what came of a request.
type issuance struct {
	der     []byte // the certificate
	polls   int
	renewed bool
}

// unproven is a challenge that the server did not find answered.
type unproven struct{ problem *acme.Problem }

func (u unproven) Error() string { return "the challenge was not met: " + u.problem.Error() }
func (u unproven) Unwrap() error { return u.problem }

// Unproven reports whether err is that of a server that did not find a challenge answered.
func Unproven(err error) bool {
	var u unproven
	return errors.As(err, &u)
}

// issue obtains one certificate: newOrder, then authorization, challenge and polls for each name, finalize,
// polls, certificate. It looks at nothing twice that an answer has said already.
func (g *generator) issue(ctx context.Context, s *session, a *account, r *request, replaces string) (made issuance, err error) {
	var order acme.Order
	payload := acme.NewOrder{Identifiers: r.identifiers, Profile: g.config.Profile, Replaces: replaces}
	answer, err := s.post(ctx, NewOrder, a, s.server.directory.NewOrder, payload, &order)
	if err != nil {
		return made, err
	}
	place := answer.header.Get("Location")
	if len(order.Authorizations) > 2*len(r.identifiers) {
		return made, fmt.Errorf("newOrder: %d authorizations for %d names", len(order.Authorizations), len(r.identifiers))
	}
	if order.Status != acme.StatusReady {
		for _, url := range order.Authorizations {
			if err := g.prove(ctx, s, a, url, &made.polls); err != nil {
				return made, err
			}
		}
	}
	finalize := func() error {
		_, err := s.post(ctx, Finalize, a, order.Finalize, acme.Finalize{CSR: r.csr}, &order)
		return err
	}
	err = finalize()
	var problem *acme.Problem
	if errors.As(err, &problem) && problem.Type == acme.TypeOrderNotReady {
		// Valid authorizations make an order ready (RFC 8555 §7.1.6); some servers notice it later.
		if err = g.await(ctx, s, a, place, &order, &made.polls); err == nil && order.Status == acme.StatusReady {
			err = finalize()
		}
	}
	if err != nil {
		return made, err
	}
	if order.Status == acme.StatusProcessing || order.Status == acme.StatusReady {
		if err := g.await(ctx, s, a, place, &order, &made.polls); err != nil {
			return made, err
		}
	}
	if order.Status != acme.StatusValid {
		return made, endedAs("order", order.Status, order.Error)
	}
	made.der, err = s.download(ctx, a, order.Certificate, r)
	return made, err
}

// await polls an order until it is no longer pending or processing.
func (g *generator) await(ctx context.Context, s *session, a *account, url string, order *acme.Order, polls *int) error {
	return g.poll(ctx, polls, func() (bool, error) {
		*order = acme.Order{Finalize: order.Finalize}
		_, err := s.post(ctx, Poll, a, url, nil, order)
		return order.Status != acme.StatusPending && order.Status != acme.StatusProcessing, err
	})
}

// poll looks until look is content. It does not wait for as long as Retry-After asks, whose least
// is a second: a load generator wants to see when things are done.
func (g *generator) poll(ctx context.Context, polls *int, look func() (bool, error)) error {
	for wait := g.config.Poll; ; wait = min(2*wait, 2*time.Second) {
		*polls++
		if done, err := look(); done || err != nil {
			return err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// sleep waits for d, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// prove answers the challenge of an authorization and waits for it to be valid.
func (g *generator) prove(ctx context.Context, s *session, a *account, url string, polls *int) error {
	var authorization acme.Authorization
	if _, err := s.post(ctx, Authorization, a, url, nil, &authorization); err != nil {
		return err
	}
	if authorization.Status == acme.StatusValid {
		return nil
	}
	challenge := pick(&authorization, g.config.Challenge)
	if challenge == nil || !acme.ValidToken(challenge.Token) {
		return fmt.Errorf("authorization: the server offers no %s for %.253q", g.config.Challenge, authorization.Identifier.Value)
	}
	withdraw := g.responders.publish(challenge.Type, authorization.Identifier.Value, challenge.Token, acme.KeyAuthorization(challenge.Token, a.thumbprint))
	defer withdraw()
	var answered acme.Challenge
	if _, err := s.post(ctx, Challenge, a, challenge.URL, struct{}{}, &answered); err != nil {
		return err
	}
	if answered.Status == acme.StatusValid {
		return nil
	}
	err := g.poll(ctx, polls, func() (bool, error) {
		authorization = acme.Authorization{}
		_, err := s.post(ctx, Poll, a, url, nil, &authorization)
		challenge = pick(&authorization, g.config.Challenge)
		// A server may try again, and show meanwhile why it failed (RFC 8555 §8.2): before the load, that is the answer.
		hopeless := s.record == nil && challenge != nil && challenge.Error != nil
		return hopeless || authorization.Status != acme.StatusPending && authorization.Status != acme.StatusProcessing, err
	})
	if err != nil || authorization.Status == acme.StatusValid {
		return err
	}
	if challenge != nil && challenge.Error != nil {
		challenge.Error.Detail = printable(challenge.Error.Detail, 500)
		return unproven{challenge.Error}
	}
	return endedAs("authorization", authorization.Status, nil)
}

// pick finds the challenge of a type, or nil.
func pick(authorization *acme.Authorization, kind acme.ChallengeType) *acme.Challenge {
	for i := range authorization.Challenges {
		if authorization.Challenges[i].Type == kind {
			return &authorization.Challenges[i]
		}
	}
	return nil
}

// endedAs is the error of something that ended otherwise than hoped for.
func endedAs(what string, status acme.Status, problem *acme.Problem) error {
	if problem != nil {
		problem.Detail = printable(problem.Detail, 500)
		return fmt.Errorf("the %s is %.20q: %w", what, status, problem)
	}
	return fmt.Errorf("the %s is %.20q", what, status)
}

// download fetches the chain and returns the first certificate of it, which must be for the CSR's key.
func (s *session) download(ctx context.Context, a *account, url string, r *request) ([]byte, error) {
	answer, err := s.post(ctx, Certificate, a, url, nil, nil)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(answer.body)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("certificate: the answer is no chain of certificates in PEM")
	}
	if !bytes.Contains(block.Bytes, r.spki) {
		return nil, errors.New("certificate: it is for another key")
	}
	return block.Bytes, nil
}

// revoke revokes a certificate (RFC 8555 §7.6).
func (s *session) revoke(ctx context.Context, a *account, der []byte) error {
	request := acme.Revocation{Certificate: base64.RawURLEncoding.EncodeToString(der)}
	_, err := s.post(ctx, Revoke, a, s.server.directory.RevokeCert, request, nil)
	return err
}

// certID is what an order says that replaces the certificate.
func certID(der []byte) (string, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return "", err
	}
	id, err := acme.CertIDOf(cert)
	return id.String(), err
}
