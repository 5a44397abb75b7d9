package renew

import (
	"crypto/x509"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// Verdict is what is known of a certificate that may have to be renewed.
type Verdict struct {
	Life  Life
	At    time.Time // when it is due
	Why   string    // by which rule
	Waits time.Time // until when an earlier failure holds it back; zero if none does
	Holds string    // why
	State State     // what is remembered of it
}

// Due reports whether it is time.
func (v *Verdict) Due(now time.Time) bool { return !v.At.After(now) }

// Attempt is when a renewal will be tried; zero is not to be foreseen.
func (v *Verdict) Attempt() time.Time {
	at := v.At
	if v.Waits.After(at) {
		at = v.Waits
	}
	if !at.Before(never) {
		return time.Time{}
	}
	return at
}

// Judge puts together what is live, what the lineage's configuration says, and what is remembered. asked is a
// Fingerprint of what would be asked for.
func Judge(l *lineage.Lineage, leaf *x509.Certificate, force bool, state State, asked string, now time.Time) (*Verdict, error) {
	policy, err := policyOf(l, force)
	if err != nil {
		return nil, err
	}
	policy.Advice = state.Advice
	v := &Verdict{Life: Life{NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter}, State: state}
	v.At, v.Why = Due(leaf, policy, now)
	v.Waits, v.Holds = state.Trouble.Waits(asked, v.Life, now)
	return v, nil
}

// policyOf reads what a lineage's configuration says about when to renew.
func policyOf(l *lineage.Lineage, force bool) (Policy, error) {
	params, err := l.Conf.Params()
	if err != nil {
		return Policy{}, err
	}
	policy := Policy{Force: force, Off: params.NoAutoRenew}
	if text := l.Conf.RenewBeforeExpiry(); text != "" {
		policy.Before, err = ParseBefore(text)
	}
	return policy, err
}

// DueOf applies Due to what is live, under the lineage's own configuration.
func DueOf(l *lineage.Lineage, force bool, now time.Time) (at time.Time, why string, expires time.Time, err error) {
	policy, err := policyOf(l, force)
	if err != nil {
		return never, "", time.Time{}, err
	}
	leaf, err := l.Leaf()
	if err != nil {
		return never, "", time.Time{}, err
	}
	at, why = Due(leaf, policy, now)
	return at, why, leaf.NotAfter, nil
}
