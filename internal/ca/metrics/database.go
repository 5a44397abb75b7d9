package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Fault is why a transaction did not come to its end.
type Fault uint8

// The faults. What a transaction decided itself is none.
const (
	NoFault     Fault = iota
	Busy              // too much waited already
	Unavailable       // it could not be reached
	TooLate           // whoever waited did not wait any longer
	Conflict          // somebody else was faster; it is decided anew
	Failed            // anything else
	numFaults
)

var faults = [numFaults]string{"", "busy", "unavailable", "late", "conflict", "failed"}

// Transaction is a kind of transaction.
type Transaction uint8

// The kinds.
const (
	View Transaction = iota
	Update
)

var transactions = [...]string{"view", "update"}

type databaseSeries struct {
	seconds prometheus.Observer
	faults  [numFaults]prometheus.Counter
}

func (m *Metrics) makeDatabase() {
	seconds := m.histogram("database_seconds", "How long a transaction took, the wait for its turn and for the disk included.", fastBuckets, "transaction")
	errors := m.counter("database_errors_total", "Transactions that did not come to their end, by kind and by why.", "transaction", "error")
	for kind, name := range transactions {
		m.database[kind].seconds = seconds.WithLabelValues(name)
		for fault := Busy; fault < numFaults; fault++ {
			m.database[kind].faults[fault] = errors.WithLabelValues(name, faults[fault])
		}
	}
	retries := m.counter("database_retries_total", "How often the function of a transaction had to run once more.")
	m.retries = retries.WithLabelValues()
}

// Transacted counts a transaction, whose function ran so many times.
func (m *Metrics) Transacted(kind Transaction, fault Fault, runs int, took time.Duration) {
	if m == nil {
		return
	}
	s := &m.database[kind]
	s.seconds.Observe(took.Seconds())
	if fault != NoFault {
		s.faults[min(fault, Failed)].Inc()
	}
	if runs > 1 {
		m.retries.Add(float64(runs - 1))
	}
}
