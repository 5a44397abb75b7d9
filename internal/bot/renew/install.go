package renew

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// Placement says where a certificate goes.
type Placement struct {
	Store   *lineage.Store
	Lineage *lineage.Lineage // nil makes a new one
	Name    string           // of the new one
	Params  lineage.Params   // what a renewal repeats
	Own     map[string]string
	Log     *slog.Logger
}

// Place puts a certificate into its lineage and makes it live. Each step leaves a
// whole state behind: the version before stays live until Deploy, and doing it all
// again after a crash gives the same version.
func (p Placement) Place(issued *Issued) (*lineage.Lineage, error) {
	material, err := lineage.NewMaterial(issued.KeyPEM, issued.Chain.PEM(0))
	if err != nil {
		return nil, err
	}
	l := p.Lineage
	if l == nil {
		if l, err = p.Store.Create(p.Name, material, lineage.Setup{Params: p.Params, Own: p.Own}); err != nil {
			return nil, fmt.Errorf("making %s: %w", p.Name, err)
		}
		return l, nil
	}
	version, err := l.AddVersion(material)
	if err != nil {
		return nil, fmt.Errorf("writing a new version of %s: %w", l.Name, err)
	}
	if err := p.configure(l); err != nil {
		return nil, err
	}
	if err := l.Deploy(version); err != nil {
		return nil, fmt.Errorf("making version %d of %s live: %w", version, l.Name, err)
	}
	if err := l.Prune(); err != nil {
		p.Log.Warn("old versions stay", "lineage", l.Name, "error", err)
	}
	return l, nil
}

// configure writes down what the next renewal needs.
func (p Placement) configure(l *lineage.Lineage) error {
	if err := l.Conf.SetParams(p.Params); err != nil {
		return fmt.Errorf("configuring the renewal of %s: %w", l.Name, err)
	}
	for key, value := range p.Own {
		if err := l.Conf.SetOwn(key, value); err != nil {
			return fmt.Errorf("configuring the renewal of %s: %w", l.Name, err)
		}
	}
	if err := l.Save(); err != nil {
		return fmt.Errorf("configuring the renewal of %s: %w", l.Name, err)
	}
	return nil
}

// Outcome is what became of one lineage in a round of renewals.
type Outcome struct {
	Lineage *lineage.Lineage
	Expires time.Time // of what is live afterwards, where that is known
	Renewed bool      // if neither this nor Err is set, it was not due
	Err     error
}

// Round is one look at all lineages.
type Round struct {
	Now   time.Time
	Force bool // renew all, due or not
	// Renew renews one lineage.
	Renew func(ctx context.Context, l *lineage.Lineage) error
	// Begun, Judged and Failed are told how it goes: of each lineage before it is
	// looked at, when it is due and why, and what went wrong.
	Begun  func(l *lineage.Lineage)
	Judged func(l *lineage.Lineage, at time.Time, why string)
	Failed func(l *lineage.Lineage, err error)
}

// Run renews what is due, one after the other. A failure never stops the others; an interrupt does.
func (r Round) Run(ctx context.Context, all []*lineage.Lineage) []Outcome {
	outcomes := make([]Outcome, len(all))
	for i, l := range all {
		outcomes[i] = Outcome{Lineage: l, Err: context.Cause(ctx)}
		if outcomes[i].Err != nil {
			continue
		}
		r.Begun(l)
		outcomes[i] = r.one(ctx, l)
		if outcomes[i].Err != nil {
			r.Failed(l, outcomes[i].Err)
		}
	}
	return outcomes
}

func (r Round) one(ctx context.Context, l *lineage.Lineage) Outcome {
	at, why, expires, err := DueOf(l, r.Force, r.Now)
	if err != nil {
		return Outcome{Lineage: l, Err: err}
	}
	r.Judged(l, at, why)
	if at.After(r.Now) {
		return Outcome{Lineage: l, Expires: expires}
	}
	if err := r.Renew(ctx, l); err != nil {
		return Outcome{Lineage: l, Expires: expires, Err: err}
	}
	return Outcome{Lineage: l, Renewed: true}
}

// DueOf applies Due to what is live, under the lineage's own configuration.
func DueOf(l *lineage.Lineage, force bool, now time.Time) (at time.Time, why string, expires time.Time, err error) {
	params, err := l.Conf.Params()
	if err != nil {
		return never, "", time.Time{}, err
	}
	policy := Policy{Force: force, Off: params.NoAutoRenew}
	if text := l.Conf.RenewBeforeExpiry(); text != "" {
		if policy.Before, err = ParseBefore(text); err != nil {
			return never, "", time.Time{}, err
		}
	}
	leaf, err := l.Leaf()
	if err != nil {
		return never, "", time.Time{}, err
	}
	at, why = Due(leaf, policy, now)
	return at, why, leaf.NotAfter, nil
}
