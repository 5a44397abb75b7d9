package renew

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// AuthorizationError says which names the CA found no proof for, and why.
type AuthorizationError struct {
	Failures []Failure // at least one
}

// Failure is what the CA said about one name.
type Failure struct {
	Identifier acme.Identifier
	Problem    *acme.Problem
}

func (e *AuthorizationError) Error() string {
	parts := make([]string, len(e.Failures))
	for i, f := range e.Failures {
		parts[i] = fmt.Sprintf("%s: %v", f.Identifier, f.Problem)
	}
	return "proving control failed: " + strings.Join(parts, "; ")
}

// pending is an authorization that still needs a proof.
type pending struct {
	url       string
	challenge acme.Challenge
	proof     Challenge
}

const (
	cleanUpTimeout       = 30 * time.Second // also after an interrupt
	authorizationTimeout = 10 * time.Minute // CAs look several times, over minutes
	proofTimeout         = 12 * time.Hour   // a person may be asked to show a proof; a solver bounds what it does by itself
)

// prove gives the proofs that an order waits for, and takes them back once the CA has looked.
func (o *Obtainer) prove(ctx context.Context, names []acme.Identifier, order *acme.Order) (err error) {
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	todo, err := o.pending(ctx, names, order)
	if err != nil || len(todo) == 0 {
		return err
	}
	presented := 0
	defer func() { o.cleanUp(ctx, todo[:presented]) }()
	for _, p := range todo {
		if err := o.config.Solver.Present(ctx, p.proof); err != nil {
			return err
		}
		presented++
	}
	if waiter, ok := o.config.Solver.(Waiter); ok {
		if err := waiter.Wait(ctx, proofs(todo)); err != nil {
			return err
		}
	}
	for _, p := range todo {
		if p.challenge.Status != acme.StatusPending {
			continue // an earlier run has asked for it already
		}
		if _, err := o.config.Client.Respond(ctx, p.challenge); err != nil {
			return err
		}
	}
	return o.settle(ctx, todo)
}

// pending lists the authorizations of order that need a proof, each with the challenge to answer.
func (o *Obtainer) pending(ctx context.Context, names []acme.Identifier, order *acme.Order) ([]pending, error) {
	var todo []pending
	for _, url := range order.Authorizations {
		authorization, err := o.config.Client.Authorization(ctx, url)
		if err != nil {
			return nil, err
		}
		if !needed(names, authorization) {
			return nil, fmt.Errorf("an authorization of the order: %w: it is for %.256q", acme.ErrNotRequested, authorization.Identifier.Value)
		}
		switch authorization.Status {
		case acme.StatusValid:
			continue
		case acme.StatusPending:
		default:
			return nil, &AuthorizationError{Failures: []Failure{failure(authorization)}}
		}
		challenge, err := o.choose(authorization)
		if err != nil {
			return nil, err
		}
		proof := o.proof(authorization, challenge)
		if err := o.name(ctx, &proof); err != nil {
			return nil, err
		}
		todo = append(todo, pending{url: url, challenge: challenge, proof: proof})
	}
	inOrder(todo, names)
	all, wildcard := make([]acme.Identifier, len(todo)), make([]bool, len(todo))
	for i := range todo {
		all[i], wildcard[i] = todo[i].proof.Identifier, todo[i].proof.Wildcard
	}
	for i := range todo {
		todo[i].proof.All, todo[i].proof.AllWildcard, todo[i].proof.Index = all, wildcard, i
	}
	return todo, nil
}

// inOrder sorts proofs as the certificate has the names, since a CA lists them as it likes: a person, and a hook, are asked in an
// order that makes sense.
func inOrder(todo []pending, names []acme.Identifier) {
	place := func(p pending) int {
		return slices.IndexFunc(names, func(id acme.Identifier) bool {
			base, wildcard := id.Base()
			return base == p.proof.Identifier && wildcard == p.proof.Wildcard
		})
	}
	slices.SortStableFunc(todo, func(a, b pending) int { return cmp.Compare(place(a), place(b)) })
}

// proof says what has to be shown for a challenge.
func (o *Obtainer) proof(a *acme.Authorization, c acme.Challenge) Challenge {
	p := Challenge{
		Type: c.Type, Identifier: a.Identifier, Wildcard: a.Wildcard, Token: c.Token,
		Account: o.config.Client.AccountURL(), IssuerDomains: c.IssuerDomains,
	}
	if len(p.IssuerDomains) == 0 {
		p.IssuerDomains = c.IssuerDomainNames
	}
	if c.Token != "" {
		p.KeyAuthorization = o.config.Client.KeyAuthorization(c.Token)
	}
	return p
}

// name says how a record of dns-persist-01 names the account, where it does by a hash (draft-ietf-acme-dns-persist-02 §4.1).
func (o *Obtainer) name(ctx context.Context, p *Challenge) error {
	if p.Type != acme.DNSPersist01 {
		return nil
	}
	directory, err := o.config.Client.Directory(ctx)
	if err != nil || directory.Meta == nil || directory.Meta.AccountHashPrefix == "" {
		return err
	}
	p.AccountHashPrefix = directory.Meta.AccountHashPrefix
	p.Thumbprint = strings.TrimPrefix(o.config.Client.KeyAuthorization(""), ".")
	return nil
}

// proofs are those of todo.
func proofs(todo []pending) []Challenge {
	list := make([]Challenge, len(todo))
	for i, p := range todo {
		list[i] = p.proof
	}
	return list
}

// needed reports whether an authorization is for one of names; it leaves out "*." (RFC 8555 §7.1.4).
func needed(names []acme.Identifier, a *acme.Authorization) bool {
	return slices.ContainsFunc(names, func(id acme.Identifier) bool {
		base, _ := id.Base()
		return base == a.Identifier
	})
}

// choose finds the challenge that the solver can answer.
func (o *Obtainer) choose(a *acme.Authorization) (acme.Challenge, error) {
	want := o.config.Solver.Types(a.Identifier, a.Wildcard)
	for _, kind := range want {
		for _, challenge := range a.Challenges {
			switch {
			case challenge.Type != kind:
			case kind == acme.DNSPersist01 && challenge.Token == "":
				return challenge, nil // it has no token (draft-ietf-acme-dns-persist §3)
			default:
				return challenge, CheckToken(a.Identifier, challenge.Token)
			}
		}
	}
	var answered, offered []string
	for _, kind := range want {
		answered = append(answered, string(kind))
	}
	for _, challenge := range a.Challenges {
		offered = append(offered, string(challenge.Type))
	}
	name := a.Identifier.Value
	if a.Wildcard {
		name = "*." + name
	}
	return acme.Challenge{}, &NoChallengeError{Name: name, Wildcard: a.Wildcard, text: fmt.Sprintf("the CA offers no %s challenge for %s, only %s",
		strings.Join(answered, " or "), name, strings.Join(offered, " and "))}
}

// NoChallengeError says that a method cannot prove control of a name in a way that the CA accepts.
type NoChallengeError struct {
	Name     string
	Wildcard bool
	text     string
}

func (e *NoChallengeError) Error() string { return e.text }

// minToken is how many characters of base64url the 128 bits of entropy take that RFC 8555
// §8.1 asks of a token. A shorter one may have been chosen to be the name of something else.
const minToken = 22

// errToken says that going on with the same challenge is pointless.
var errToken = errors.New("the CA's token")

// CheckToken refuses a CA's token for id that is not what RFC 8555 §8.1 says a token is.
func CheckToken(id acme.Identifier, token string) error {
	switch {
	case !acme.ValidToken(token):
		return fmt.Errorf("%w for %s is not base64url: %.40q", errToken, id, token)
	case len(token) < minToken:
		return fmt.Errorf("%w for %s is too short to be random (RFC 8555 §8.1): %q", errToken, id, token)
	}
	return nil
}

// settle waits for the CA's verdict on each name.
func (o *Obtainer) settle(ctx context.Context, todo []pending) error {
	ctx, cancel := context.WithTimeout(ctx, authorizationTimeout)
	defer cancel()
	var failed AuthorizationError
	for _, p := range todo {
		authorization, err := o.verdict(ctx, p)
		if err != nil {
			return err
		}
		if authorization.Status != acme.StatusValid {
			failed.Failures = append(failed.Failures, failure(authorization))
		}
	}
	if len(failed.Failures) > 0 {
		return &failed
	}
	return nil
}

// Some servers do not end a challenge that failed, and look again when they are asked (RFC 8555 §8.2).
const (
	maxRetries = 2               // after the first look
	retryPause = 5 * time.Second // what is not yet seen everywhere may be by then
)

// verdict waits for what the CA says of one name.
func (o *Obtainer) verdict(ctx context.Context, p pending) (*acme.Authorization, error) {
	for retry := 0; ; retry++ {
		authorization, err := o.config.Client.WaitAuthorization(ctx, p.url)
		if err != nil || authorization.Status != acme.StatusPending || retry == maxRetries {
			return authorization, err
		}
		o.config.Log.Info("asking the CA to look again", "identifier", p.proof.Identifier.Value, "error", authorization.Unproven().Error)
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if _, err := o.config.Client.Respond(ctx, p.challenge); err != nil {
			return nil, err
		}
	}
}

// failure finds the reason for an authorization that will not become valid.
func failure(a *acme.Authorization) Failure {
	for _, challenge := range a.Challenges {
		if challenge.Error != nil {
			return Failure{Identifier: a.Identifier, Problem: challenge.Error}
		}
	}
	return Failure{Identifier: a.Identifier, Problem: acme.Problemf(acme.TypeUnauthorized, "the authorization is %s", a.Status)}
}

// cleanUp takes proofs back, even when ctx is done already. What cannot be taken back does no harm.
func (o *Obtainer) cleanUp(ctx context.Context, presented []pending) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	for _, p := range presented {
		if err := o.config.Solver.CleanUp(ctx, p.proof); err != nil {
			o.config.Log.Warn("taking back a proof failed", "identifier", p.proof.Identifier.Value, "error", err)
		}
	}
}
