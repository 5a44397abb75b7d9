package renew

import (
	"crypto/x509"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// Verdict is what is known of a certificate that may have to be renewed.
type Verdict struct {
	Life Life
	At   time.Time // when it is due
	Why  string    // by which rule
	// Revoked says that the CA has revoked it, which is a rule of its own.
	Revoked bool
	Waits   time.Time // until when an earlier failure holds it back; zero if none does
	Holds   string    // why
	State   State     // what is remembered of it
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

// Subject is what is judged.
type Subject struct {
	Lineage *lineage.Lineage
	Leaf    *x509.Certificate // that is live
	Params  *lineage.Params   // of its configuration
	Force   bool              // renew it, due or not
	Asked   string            // a Fingerprint of what would be asked for; "" where nothing has failed
}

// Judge puts together what is live, what the lineage's configuration says, and what is remembered.
func Judge(s Subject, state State, now time.Time) (*Verdict, error) {
	policy, err := policyOf(s.Lineage, s.Params, s.Force)
	if err != nil {
		return nil, err
	}
	policy.Advice = state.Advice
	v := &Verdict{Life: Life{NotBefore: s.Leaf.NotBefore, NotAfter: s.Leaf.NotAfter}, State: state}
	v.At, v.Why = Due(s.Leaf, policy, now)
	v.Waits, v.Holds = state.Trouble.Waits(s.Asked, v.Life, now)
	return v, nil
}

// policyOf reads what a lineage's configuration says about when to renew.
func policyOf(l *lineage.Lineage, params *lineage.Params, force bool) (policy Policy, err error) {
	policy = Policy{Force: force, Off: params.NoAutoRenew}
	if text := l.Conf.RenewBeforeExpiry(); text != "" {
		policy.Before, err = ParseBefore(text)
	}
	return policy, err
}

// DueOf applies Due to what is live, under the lineage's own configuration.
func DueOf(l *lineage.Lineage, force bool, now time.Time) (at time.Time, why string, expires time.Time, err error) {
	params, err := l.Conf.Params()
	if err != nil {
		return never, "", time.Time{}, err
	}
	policy, err := policyOf(l, &params, force)
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
