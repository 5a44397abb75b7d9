package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/ca/load"
)

// Stage is a step of what happens after a request.
type Stage string

// The stages.
const (
	Validation Stage = "validation"
	Issuance   Stage = "issuance"
)

// State is what is measured when somebody looks.
type State struct {
	Requests    load.Level // in progress
	Transaction load.Level // updates that have not been answered
	Commits     int64
	Nonces      uint64 // issued
	Connections int
	Refused     int64                // connections
	Work        map[Stage]load.Level // taken up by this process
	Overdue     map[Stage]time.Duration
	Lists       []List
	Expiries    []Expiry
	Checks      map[string]bool // of health and readiness
}

// List is a CRL, the newest of its issuer.
type List struct {
	Issuer                 string
	Number                 int64
	Entries                int
	ThisUpdate, NextUpdate time.Time
}

// Owner says whose certificate it is.
type Owner string

// The owners.
const (
	Root   Owner = "root"
	Issuer Owner = "issuer"
	Server Owner = "server" // the CA's own, for HTTPS
)

// Expiry is when a certificate of the authority itself ends.
type Expiry struct {
	Owner Owner
	ID    string
	At    time.Time
}

// stateAge is how long a State is good for.
const stateAge = time.Second

// stateCollector turns a State into metrics.
type stateCollector struct {
	ask func() State

	mu    sync.Mutex // guards what follows; held while it is asked
	state State
	at    time.Time
}

// gauge describes a metric of the state.
func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

// What the state is shown as. These are descriptions, and never change.
var (
	requestsNow  = gauge("requests_in_progress", "Requests that have not been answered yet.")
	updatesNow   = gauge("database_updates_in_progress", "Updates of the database that have not been answered yet.")
	updatesAge   = gauge("database_oldest_update_seconds", "How long the oldest of them has been waiting.")
	commits      = gauge("database_commits_total", "Transactions that were committed; several updates may share one.")
	noncesIssued = gauge("nonces_issued_total", "Nonces that were given out.")
	connections  = gauge("connections", "Open connections of clients.")
	refusals     = gauge("connections_refused_total", "Connections that were closed at once, since there were too many.")
	workNow      = gauge("work_in_progress", "Pieces of work that this process has taken up, by stage; those that wait for their turn included.", "stage")
	queueAge     = gauge("queue_age_seconds", "How long the oldest work has been due, by stage, whether taken up or not.", "stage")
	crlNumber    = gauge("crl_number", "Number of an issuer's newest CRL.", "issuer")
	crlEntries   = gauge("crl_entries", "Entries of an issuer's newest CRL.", "issuer")
	crlThis      = gauge("crl_this_update_timestamp_seconds", "thisUpdate of an issuer's newest CRL, in seconds since 1970.", "issuer")
	crlNext      = gauge("crl_next_update_timestamp_seconds", "nextUpdate of an issuer's newest CRL, in seconds since 1970.", "issuer")
	expiry       = gauge("certificate_expiry_timestamp_seconds", `notAfter of the authority's own certificates ("root", "issuer", "server"), in seconds since 1970.`, "owner", "id")
	check        = gauge("check_ok", "1 if a check of health or readiness is well, else 0.", "check")
)

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{requestsNow, updatesNow, updatesAge, commits, noncesIssued, connections, refusals,
		workNow, queueAge, crlNumber, crlEntries, crlThis, crlNext, expiry, check} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(to chan<- prometheus.Metric) {
	s := c.now()
	show := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	count := func(d *prometheus.Desc, value float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value)
	}
	show(requestsNow, float64(s.Requests.Count))
	show(updatesNow, float64(s.Transaction.Count))
	show(updatesAge, s.Transaction.Oldest.Seconds())
	count(commits, float64(s.Commits))
	count(noncesIssued, float64(s.Nonces))
	show(connections, float64(s.Connections))
	count(refusals, float64(s.Refused))
	for _, stage := range []Stage{Validation, Issuance} {
		show(workNow, float64(s.Work[stage].Count), string(stage))
		show(queueAge, max(s.Work[stage].Oldest, s.Overdue[stage]).Seconds(), string(stage))
	}
	for _, l := range s.Lists {
		show(crlNumber, float64(l.Number), l.Issuer)
		show(crlEntries, float64(l.Entries), l.Issuer)
		show(crlThis, float64(l.ThisUpdate.Unix()), l.Issuer)
		show(crlNext, float64(l.NextUpdate.Unix()), l.Issuer)
	}
	for _, e := range s.Expiries {
		show(expiry, float64(e.At.Unix()), string(e.Owner), e.ID)
	}
	for name, ok := range s.Checks {
		value := 0.0
		if ok {
			value = 1
		}
		show(check, value, name)
	}
}

// now asks for the state, unless it is known.
func (c *stateCollector) now() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || time.Since(c.at) >= stateAge {
		c.state, c.at = c.ask(), time.Now()
	}
	return c.state
}
