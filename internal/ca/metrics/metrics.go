// Package metrics counts what an authority does, for Prometheus.
//
// Labels are typed and bounded: what a peer invents becomes "other", so nobody outside
// can make more series. A recorder costs tens of nanoseconds and nothing of the heap, since its series were looked
// up before. A nil *Metrics records nothing. docs/monitoring.md lists every metric.
package metrics

import (
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// namespace begins the name of every metric of ours.
const namespace = "cairn"

// other stands for every value of a label that is not known beforehand.
const other = "other"

// Config says what is counted. The zero value is useful.
type Config struct {
	Version  string   // of the program
	Profiles []string // whose issuance is told apart
	// State is what is measured when somebody looks; nil for nothing. It is not called more often than each second.
	State func() State
}

// Metrics is all that is counted in one process. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	requests       *prometheus.CounterVec
	requestSeconds *prometheus.HistogramVec
	shed           map[Reason]prometheus.Counter
	problems       map[acme.ProblemType]prometheus.Counter
	otherProblem   prometheus.Counter
	limits         map[rules.LimitName]prometheus.Counter
	redeemed       [2]prometheus.Counter // nonces: refused, good

	looks       *prometheus.CounterVec
	lookSeconds *prometheus.HistogramVec
	mu          sync.RWMutex
	asked       map[lookKey]*look // guarded by mu

	issuances   map[string][numOutcomes]prometheus.Counter // by profile
	signatures  *prometheus.CounterVec
	signSeconds [2]prometheus.Observer

	database [2]databaseSeries
	retries  prometheus.Counter
}

// New makes metrics with a registry of their own.
func New(c Config) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), asked: make(map[lookKey]*look)}
	m.makeRequests()
	m.makeWork(c.Profiles)
	m.makeDatabase()
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info",
		Help:        "1; the labels say which program this is.",
		ConstLabels: prometheus.Labels{"version": c.Version, "go": runtime.Version()}})
	build.Set(1)
	m.registry.MustRegister(build)
	if c.State != nil {
		m.registry.MustRegister(&stateCollector{ask: c.State})
	}
	return m
}

// Handler serves the metrics. Scrapes are few: two at a time, and each comes to an end.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: 10 * time.Second})
}

// Describe tells which metrics there are.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) { m.registry.Describe(to) }

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(v)
	return v
}

// The upper ends of the buckets, in seconds: of what waits for other machines, and of what happens in ours.
var (
	slowBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20}
	fastBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)
