package front

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// challengePause is what a client is told to wait before it asks for a processing challenge again (RFC 8555 §7.5.1).
const challengePause = time.Second

// authorization shows an authorization, or gives it up (RFC 8555 §7.5, §7.5.2).
func (f *Front) authorization(ctx context.Context, r accountRequest) (reply, error) {
	if len(r.payload) > 0 {
		if err := f.deactivateAuthorization(ctx, r); err != nil {
			return reply{}, err
		}
	}
	var answer reply
	err := f.DB.Look(ctx, func(tx *store.Tx) error {
		answer = reply{status: http.StatusOK}
		authz, err := ownAuthz(tx, r)
		if err != nil {
			return err
		}
		if c := authz.Attempted(); c != nil && c.Status == acme.StatusProcessing {
			answer.retryAfter = pause(f.Manners.AuthzPause, pauseFor(authz, tx.Now))
		}
		answer.body = f.showAuthorization(r, authz, tx.Now)
		return nil
	})
	if err != nil {
		return reply{}, fmt.Errorf("showing authorization %s: %w", r.ids[0], err)
	}
	return answer, nil
}

// pauseFor is what a client is told to wait while a is validated: until the next
// try, where one has failed (RFC 8555 §8.2).
func pauseFor(a rules.Authz, now time.Time) time.Duration {
	return max(challengePause, a.Lease.Due.Sub(now))
}

func (f *Front) deactivateAuthorization(ctx context.Context, r accountRequest) error {
	req, problem := decode[acme.Deactivation](r.payload)
	if problem != nil {
		return problem
	}
	err := f.change(ctx, func(tx *store.Tx) error {
		if _, err := actor(tx, r); err != nil {
			return err
		}
		before, err := ownAuthz(tx, r)
		if err != nil {
			return err
		}
		after, problem := before.Update(req, tx.Now)
		if problem != nil {
			return problem
		}
		if after.Status == before.Status {
			return nil
		}
		return tx.UpdateAuthz(before, after)
	})
	if err != nil {
		return fmt.Errorf("deactivating authorization %s: %w", r.ids[0], err)
	}
	return nil
}

// ownAuthz loads the authorization that r is about, if it is the account's own.
func ownAuthz(tx *store.Tx, r accountRequest) (rules.Authz, error) {
	authz, err := tx.Authz(r.ids[0])
	switch {
	case errors.Is(err, store.ErrNotFound):
		return authz, notFound("there is no such authorization")
	case err != nil:
		return authz, err
	case authz.Account != r.account.ID:
		return rules.Authz{}, notYours("authorization")
	}
	return authz, nil
}

// ownChallenge loads the authorization of the challenge that r is about, and makes sure that it has it.
func ownChallenge(tx *store.Tx, r accountRequest) (rules.Authz, acme.ChallengeType, error) {
	kind := acme.ChallengeType(r.ids[1])
	authz, err := ownAuthz(tx, r)
	if err == nil && authz.Challenge(kind) == nil {
		err = notFound("the authorization has no such challenge")
	}
	return authz, kind, err
}

// challenge shows a challenge or, with a payload, takes the client's word that it has
// prepared its answer (RFC 8555 §7.5.1). What is in the payload is for the rules to
// look at: of most types, nothing.
//
// A crash after the commit leaves the challenge processing under a lease, and
// whoever finds that lapsed validates it.
func (f *Front) challenge(ctx context.Context, r accountRequest) (reply, error) {
	if len(r.payload) > 0 {
		if _, problem := decode[struct{}](r.payload); problem != nil {
			return reply{}, problem
		}
		settled, known, later, err := f.respond(ctx, r)
		if err != nil {
			return reply{}, err
		}
		defer later()
		if known {
			return f.challengeReply(r, settled, acme.ChallengeType(r.ids[1]), time.Now()), nil
		}
	}
	var answer reply
	err := f.DB.View(ctx, func(tx *store.Tx) error {
		authz, kind, err := ownChallenge(tx, r)
		if err == nil {
			answer = f.challengeReply(r, authz, kind, tx.Now)
		}
		return err
	})
	if err != nil {
		return reply{}, fmt.Errorf("showing a challenge of authorization %s: %w", r.ids[0], err)
	}
	return answer, nil
}

// challengeReply shows the challenge of a type, which a has.
func (f *Front) challengeReply(r accountRequest, a rules.Authz, kind acme.ChallengeType, now time.Time) reply {
	challenge := a.Challenge(kind)
	answer := reply{status: http.StatusOK, links: []string{link(r.base.authorization(r.ids[0]), "up")}, body: f.showChallenge(r, a, *challenge)}
	if challenge.Status == acme.StatusProcessing {
		answer.retryAfter = pause(f.Manners.AuthzPause, pauseFor(a, now))
	}
	return answer
}

// respond starts the validation of a challenge, once, and returns the authorization if it is known what became
// of it. The caller calls later when it knows its answer.
func (f *Front) respond(ctx context.Context, r accountRequest) (settled rules.Authz, known bool, later func(), err error) {
	if problem := f.checkResponse(r.payload); problem != nil {
		return settled, false, nil, problem
	}
	begun, err := f.attempt(ctx, r)
	if err != nil {
		return settled, false, nil, fmt.Errorf("responding to a challenge of authorization %s: %w", r.ids[0], err)
	}
	if begun == nil {
		return settled, false, func() {}, nil
	}
	settled, known, later = takeUp(ctx, f, func() <-chan rules.Authz { return f.Worker.Validate(*begun) }, f.ChallengeWait)
	return settled, known, later, nil
}

// attempt saves that the client has responded to a challenge, and returns the authorization if that makes work.
func (f *Front) attempt(ctx context.Context, r accountRequest) (begun *rules.Authz, err error) {
	err = f.change(ctx, func(tx *store.Tx) error {
		begun = nil
		tx.Ahead(r.loadAccount, r.loadAuthz)
		account, err := actor(tx, r)
		if err != nil {
			return err
		}
		before, kind, err := ownChallenge(tx, r)
		if err != nil {
			return err
		}
		after, problem := before.Attempt(rules.Answer{
			Type: kind, Key: account.Key, AccountURL: r.kid, URL: r.url, Payload: r.payload,
		}, f.Worker.Lease(tx.Now), tx.Now)
		if problem != nil {
			return problem
		}
		if after.Lease == before.Lease && f.Manners.Once {
			return acme.Problemf(acme.TypeMalformed, "the challenge has been responded to")
		}
		if after.Lease == before.Lease {
			return nil // under way or final
		}
		begun = &after
		return tx.UpdateAuthz(before, after)
	})
	return begun, err
}
