package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/acme"
)

// Method is what was looked for: a kind of challenge, or CAA.
type Method string

// CAA is a look for CAA records (RFC 8659).
const CAA Method = "caa"

// The perspectives that every authority has. All others are called as their nodes are.
const (
	Local  = "local"  // this machine
	Quorum = "quorum" // what all perspectives together came to
)

// Outcome is what came of a piece of work.
type Outcome uint8

// The outcomes. Temporary ones are tried again; an Error is no fault of a client's.
const (
	OK Outcome = iota
	Refused
	Temporary
	Cancelled
	Error
	numOutcomes
)

// outcomes are the words for them, as the label "outcome" has them.
var outcomes = [numOutcomes]string{"ok", "refused", "temporary", "cancelled", "error"}

func (o Outcome) String() string { return outcomes[min(o, Error)] }

// Kind is what is signed.
type Kind uint8

// The kinds.
const (
	Certificate Kind = iota
	CRL
)

var kinds = [...]string{"certificate", "crl"}

// maxPerspectives bounds how many perspectives are told apart; an authority has seldom more than ten.
const maxPerspectives = 40

// challengeTypes are those that are told apart.
func challengeTypes() []acme.ChallengeType {
	return []acme.ChallengeType{acme.HTTP01, acme.DNS01, acme.TLSALPN01, acme.DNSAccount01, acme.DNSPersist01, acme.OnionCSR01, acme.ProofOfPossession01}
}

// MethodOf is the method of a challenge.
func MethodOf(t acme.ChallengeType) Method {
	for _, known := range challengeTypes() {
		if t == known {
			return Method(t)
		}
	}
	return other
}

func (m *Metrics) makeWork(profiles []string) {
	m.looks = m.counter("validations_total", `Looks at the network, by method (a challenge type or "caa"), perspective ("local", a node, or "quorum" for what they came to together) and outcome.`, "method", "perspective", "outcome")
	m.lookSeconds = m.histogram("validation_seconds", "How long a look at the network took.", slowBuckets, "method", "perspective")
	issuances := m.counter("issuances_total", "Finalized orders that came to an end, by profile and outcome.", "profile", "outcome")
	m.issuances = make(map[string][numOutcomes]prometheus.Counter)
	for _, profile := range append([]string{other}, profiles...) {
		var counts [numOutcomes]prometheus.Counter
		for _, outcome := range []Outcome{OK, Refused, Error} {
			counts[outcome] = issuances.WithLabelValues(profile, outcome.String())
		}
		m.issuances[profile] = counts
	}
	m.signatures = m.counter("signatures_total", "What the signer was asked for, by kind and outcome.", "kind", "outcome")
	seconds := m.histogram("sign_seconds", "How long the signer took: lints, journal and signature.", fastBuckets, "kind")
	for kind, name := range kinds {
		m.signSeconds[kind] = seconds.WithLabelValues(name)
	}
}

// lookKey is one method at one perspective.
type lookKey struct {
	method      Method
	perspective string
}

// look has the series of one method at one perspective.
type look struct {
	counts  [numOutcomes]prometheus.Counter
	seconds prometheus.Observer
}

// Validated counts a look at the network. An operator chooses the names of perspectives.
func (m *Metrics) Validated(method Method, perspective string, outcome Outcome, took time.Duration) {
	if m == nil {
		return
	}
	key := lookKey{method, perspective}
	m.mu.RLock()
	l := m.asked[key]
	m.mu.RUnlock()
	if l == nil {
		l = m.newLook(key)
	}
	l.counts[min(outcome, Error)].Inc()
	l.seconds.Observe(took.Seconds())
}

func (m *Metrics) newLook(key lookKey) *look {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.asked) >= maxPerspectives*(len(challengeTypes())+1) {
		key.perspective = other
	}
	if l := m.asked[key]; l != nil {
		return l
	}
	l := &look{seconds: m.lookSeconds.WithLabelValues(string(key.method), key.perspective)}
	for outcome, word := range outcomes {
		l.counts[outcome] = m.looks.WithLabelValues(string(key.method), key.perspective, word)
	}
	m.asked[key] = l
	return l
}

// Issued counts a finalized order that came to an end: with a certificate (OK), without one (Refused), or for now (Error).
func (m *Metrics) Issued(profile string, outcome Outcome) {
	if m == nil {
		return
	}
	counts, ok := m.issuances[profile]
	if !ok {
		counts = m.issuances[other]
	}
	if c := counts[min(outcome, Error)]; c != nil {
		c.Inc()
	}
}

// Signed counts what the signer was asked for.
func (m *Metrics) Signed(kind Kind, outcome Outcome, took time.Duration) {
	if m == nil {
		return
	}
	m.signatures.WithLabelValues(kinds[kind], outcome.String()).Inc()
	m.signSeconds[kind].Observe(took.Seconds())
}
