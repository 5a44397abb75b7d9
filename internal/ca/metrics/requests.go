package metrics

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// Reason says why a request was put off before anything was done for it.
type Reason string

// The reasons, which the label "reason" has as they are.
const (
	ReasonRequests Reason = "requests" // too many in progress
	ReasonDatabase Reason = "database" // updates wait for too long
	ReasonWork     Reason = "work"     // validation or issuance is behind
)

// problemTypes lists those of package acme; a test compares.
func problemTypes() []acme.ProblemType {
	return []acme.ProblemType{
		acme.TypeAccountDoesNotExist, acme.TypeAlreadyReplaced, acme.TypeAlreadyRevoked, acme.TypeBadCSR, acme.TypeBadNonce,
		acme.TypeBadPublicKey, acme.TypeBadRevocationReason, acme.TypeBadSignatureAlgorithm, acme.TypeCAA, acme.TypeCompound,
		acme.TypeConnection, acme.TypeDNS, acme.TypeExternalAccountRequired, acme.TypeIncorrectResponse, acme.TypeInvalidContact,
		acme.TypeInvalidProfile, acme.TypeMalformed, acme.TypeOnionCAARequired, acme.TypeOrderNotReady, acme.TypeRateLimited,
		acme.TypeRejectedIdentifier, acme.TypeServerInternal, acme.TypeTLS, acme.TypeUnauthorized, acme.TypeUnsupportedContact,
		acme.TypeUnsupportedIdentifier, acme.TypeUserActionRequired,
	}
}

func (m *Metrics) makeRequests() {
	m.requests = m.counter("requests_total", "ACME requests answered, by kind of resource, method and class of the status.", "resource", "method", "status")
	m.requestSeconds = m.histogram("request_seconds", "How long it took to answer a request, waits for validation and issuance included.", fastBuckets, "resource")
	shed := m.counter("requests_shed_total", "Requests that were put off with 503 because the server was behind, by what was behind.", "reason")
	m.shed = make(map[Reason]prometheus.Counter)
	for _, reason := range []Reason{ReasonRequests, ReasonDatabase, ReasonWork} {
		m.shed[reason] = shed.WithLabelValues(string(reason))
	}
	problems := m.counter("problems_total", "Problems that clients were told of, by type (RFC 8555 §6.7).", "type")
	m.problems = make(map[acme.ProblemType]prometheus.Counter)
	for _, kind := range problemTypes() {
		m.problems[kind] = problems.WithLabelValues(kind.Name())
	}
	m.otherProblem = problems.WithLabelValues(other)
	limits := m.counter("rate_limited_total", "Requests that a rate limit refused, by limit.", "limit")
	m.limits = make(map[rules.LimitName]prometheus.Counter)
	for _, name := range rules.LimitNames() {
		m.limits[name] = limits.WithLabelValues(string(name))
	}
	nonces := m.counter("nonces_redeemed_total", "Nonces that came with requests, by whether they were good.", "good")
	m.redeemed = [2]prometheus.Counter{nonces.WithLabelValues("false"), nonces.WithLabelValues("true")}
}

// Resource counts the requests to one kind of resource.
type Resource struct {
	name    string
	parent  *Metrics
	seconds prometheus.Observer
	counts  [len(methods)][6]atomic.Pointer[prometheus.Counter]
}

// methods are those that are told apart; the last one stands for all others.
var methods = [...]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions, other}

// Resource makes the counter of a kind of resource; name is a path of the server's, not of a request.
func (m *Metrics) Resource(name string) *Resource {
	if m == nil {
		return nil
	}
	return &Resource{name: name, parent: m, seconds: m.requestSeconds.WithLabelValues(name)}
}

// Answered counts a request that was answered with status.
func (r *Resource) Answered(method string, status int, took time.Duration) {
	if r == nil {
		return
	}
	i := 0
	for i < len(methods)-1 && methods[i] != method {
		i++
	}
	class := status / 100
	if class < 1 || class > 5 {
		class = 0
	}
	place := &r.counts[i][class]
	count := place.Load()
	if count == nil { // a series begins with its first request, so that there are only those that are in use
		made := r.parent.requests.WithLabelValues(r.name, methods[i], [...]string{other, "1xx", "2xx", "3xx", "4xx", "5xx"}[class])
		place.Store(&made)
		count = &made
	}
	(*count).Inc()
	r.seconds.Observe(took.Seconds())
}

// Problem counts a problem that a client was told of.
func (m *Metrics) Problem(kind acme.ProblemType) {
	if m == nil {
		return
	}
	if c, ok := m.problems[kind]; ok {
		c.Inc()
		return
	}
	m.otherProblem.Inc()
}

// Shed counts a request that was put off.
func (m *Metrics) Shed(reason Reason) {
	if m == nil {
		return
	}
	if c, ok := m.shed[reason]; ok {
		c.Inc()
	}
}

// Limited counts a request that a rate limit refused.
func (m *Metrics) Limited(name rules.LimitName) {
	if m == nil {
		return
	}
	if c, ok := m.limits[name]; ok {
		c.Inc()
	}
}

// Redeemed counts a nonce that came with a request.
func (m *Metrics) Redeemed(good bool) {
	switch {
	case m == nil:
	case good:
		m.redeemed[1].Inc()
	default:
		m.redeemed[0].Inc()
	}
}
