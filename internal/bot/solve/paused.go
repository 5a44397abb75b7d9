package solve

import (
	"context"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// PausedConfig says how a person is told, and waited for.
type PausedConfig struct {
	Solver  renew.Solver
	Details bool                                         // say what should be seen where
	Pause   func(ctx context.Context, text string) error // shows text and returns when the person has looked
}

// Paused has a person look at the proofs of another solver before the CA does (--debug-challenges).
type Paused struct{ config PausedConfig }

// NewPaused takes c as it is.
func NewPaused(c PausedConfig) *Paused { return &Paused{config: c} }

// Types are those of the solver.
func (p *Paused) Types(id acme.Identifier, wildcard bool) []acme.ChallengeType {
	return p.config.Solver.Types(id, wildcard)
}

// Present is the solver's.
func (p *Paused) Present(ctx context.Context, c renew.Challenge) error {
	return p.config.Solver.Present(ctx, c)
}

// CleanUp is the solver's.
func (p *Paused) CleanUp(ctx context.Context, c renew.Challenge) error {
	return p.config.Solver.CleanUp(ctx, c)
}

// Wait waits as the solver does, and then for the person.
func (p *Paused) Wait(ctx context.Context, challenges []renew.Challenge) error {
	if waiter, ok := p.config.Solver.(renew.Waiter); ok {
		if err := waiter.Wait(ctx, challenges); err != nil {
			return err
		}
	}
	var b strings.Builder
	b.WriteString("The challenges are set up, and the CA has not been told to look yet.")
	if !p.config.Details {
		b.WriteString(" (With -v, this shows what should be seen where.)")
	}
	b.WriteString("\n")
	if p.config.Details {
		for _, c := range challenges {
			detail(&b, c)
		}
	}
	return p.config.Pause(ctx, b.String())
}

// detail says what the CA will look for.
func detail(b *strings.Builder, c renew.Challenge) {
	t, err := newTask(c)
	switch {
	case err != nil:
		b.WriteString("\n" + err.Error() + "\n")
	case c.Type == acme.HTTP01:
		b.WriteString("\nURL: " + t.url() + "\nExpected value: " + t.validation + "\n")
	case c.Type == acme.TLSALPN01:
		b.WriteString("\nTLS server name: " + serverName(c.Identifier) + "\nExpected: a certificate for the protocol " + acme.ALPNProtocol + "\n")
	default:
		b.WriteString("\nFQDN: " + t.record + "\nExpected value: " + t.validation + "\n")
	}
}
