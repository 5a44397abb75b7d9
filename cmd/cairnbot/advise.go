package main

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// adviceTimeout is how long a CA may take to say when to renew: nobody waits for that.
const adviceTimeout = 10 * time.Second

// advise asks the CA when to renew (RFC 9773) if it is time to ask, and gives the state with what it said. That a CA
// does not answer changes nothing.
func (a *app) advise(ctx context.Context, l *lineage.Lineage, leaf *x509.Certificate, id acme.CertID, server string, state renew.State) renew.State {
	life := renew.Life{NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter}
	switch again := l.Conf.AskAgain(); {
	case !state.Advice.Asks(now()):
		return state
	case state.Advice == nil && again.After(now()) && again.Before(now().Add(24*time.Hour)): // certbot has asked
		return state
	}
	info, after, err := a.askAdvice(ctx, l, id, server)
	switch {
	case errors.Is(err, errNotAsked), ctx.Err() != nil:
		return state
	case err == nil:
		var advice *renew.Advice
		if advice, err = renew.Advise(state.Advice, id, server, life, info, after, now()); err == nil {
			a.newAdvice(l.Name, state.Advice, advice)
			state.Advice = advice
		}
	}
	if err != nil {
		a.log.Warn("the CA does not say when to renew", "name", l.Name, "error", err)
		state.Advice = renew.Unadvised(state.Advice, id, server, err, after, now())
	}
	if err := a.shared.memory.Save(l.Name, state); err != nil {
		a.log.Warn("what the CA said could not be kept", "name", l.Name, "error", err)
	}
	// Certbot, if it takes over, asks no earlier either.
	if err := l.Conf.SetAskAgain(state.Advice.Next); err == nil {
		if err := l.Save(); err != nil {
			a.log.Warn("what the CA said could not be kept", "name", l.Name, "error", err)
		}
	}
	return state
}

// newAdvice writes down a window that is new, and what the CA says about it.
func (a *app) newAdvice(name string, before, advice *renew.Advice) {
	if before != nil && before.Moment.Equal(advice.Moment) {
		return
	}
	a.log.Info("the CA suggests when to renew", "name", name, "from", advice.Start, "to", advice.End, "chosen", advice.Moment, "explanation", advice.Explanation)
}

// errNotAsked says that a CA is not asked at all, which is no news.
var errNotAsked = errors.New("the CA is not asked")

// askAdvice asks. A CA that is out of reach is asked once in a run, and one without renewal information once a day.
func (a *app) askAdvice(ctx context.Context, l *lineage.Lineage, id acme.CertID, server string) (*acme.RenewalInfo, time.Duration, error) {
	known := a.shared.memory.Server(server)
	if known.NoAdvice.After(now()) && known.NoAdvice.Before(now().Add(48*time.Hour)) || known.Trouble.Cooling().After(now()) {
		return nil, 0, errNotAsked
	}
	client, err := a.adviser(ctx, l.Conf.Own(ownBundle), server)
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, adviceTimeout)
	defer cancel()
	info, after, err := client.RenewalInfo(ctx, id)
	switch class, _ := renew.Classify(err); {
	case errors.Is(err, acme.ErrNoRenewalInfo):
		known.NoAdvice = now().Add(24 * time.Hour)
		if err := a.shared.memory.SaveServer(server, known); err != nil {
			a.log.Warn("what is known of a CA could not be kept", "server", server, "error", err)
		}
		return nil, 0, errNotAsked
	case err != nil && class == renew.ClassNetwork:
		a.shared.silence(server) // not another time-out for each certificate
	}
	return info, after, err
}

// adviser gives the client that asks a CA, with its directory read.
func (a *app) adviser(ctx context.Context, bundle, server string) (*acme.Client, error) {
	unlock, err := a.shared.locks.Lock(ctx, "adviser "+server)
	if err != nil {
		return nil, err
	}
	defer unlock()
	a.shared.mu.Lock()
	client, silent := a.shared.advice[bundle+"\n"+server], a.shared.silent[server]
	a.shared.mu.Unlock()
	if silent {
		return nil, errNotAsked
	}
	if client != nil {
		return client, nil
	}
	s := settings{bundle: bundle}
	s.params.Server = server
	config, err := a.clientConfig(&s)
	if err != nil {
		return nil, err
	}
	config.Tries = 1
	if client, err = acme.NewClient(config); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, adviceTimeout)
	defer cancel()
	if _, err := client.Directory(ctx); err != nil {
		a.log.Warn("the CA does not say when to renew", "server", server, "error", err)
		a.shared.silence(server)
		return nil, errNotAsked
	}
	a.shared.mu.Lock()
	defer a.shared.mu.Unlock()
	a.shared.advice[bundle+"\n"+server] = client
	return client, nil
}
