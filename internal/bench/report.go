package bench

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// Report is what a run measured. Times are in milliseconds, memory in octets.
type Report struct {
	Directory string  `json:"directory"`
	Challenge string  `json:"challenge"`
	Parallel  int     `json:"parallel"`
	Rate      float64 `json:"rate,omitempty"` // as asked for
	Names     int     `json:"namesPerOrder"`

	Seconds   float64 `json:"seconds"`
	Issued    int     `json:"issued"`
	Failed    int     `json:"failed"`
	Unstarted int     `json:"unstarted"` // of a fixed rate: what did not begin in time
	PerSecond float64 `json:"perSecond"`
	Renewed   int     `json:"renewed"`
	Stopped   string  `json:"stopped,omitempty"` // why the run ended early

	PollsEach float64            `json:"pollsPerCertificate"`
	BadNonces int                `json:"badNonces"` // requests that were signed anew
	Issuance  Latency            `json:"issuance"`
	Requests  map[Kind]Latency   `json:"requests"`
	Errors    map[string]Failure `json:"errors"`

	Server    *Usage  `json:"server,omitempty"`
	Generator float64 `json:"generatorCPUPerCertificate"` // what the load itself cost
}

// Latency says how long requests of one kind took.
type Latency struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// Failure is one kind of error: how often, and what it said at first.
type Failure struct {
	Count int    `json:"count"`
	First string `json:"first"`
}

// Usage is what the watched processes used.
type Usage struct {
	Processes  int     `json:"processes"`
	CPU        float64 `json:"cpu"`               // milliseconds in all
	CPUEach    float64 `json:"cpuPerCertificate"` // milliseconds
	Memory     uint64  `json:"memory"`
	PeakMemory uint64  `json:"peakMemory"`

	cpu time.Duration
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func latencyOf(h *histogram) Latency {
	return Latency{Count: h.total, P50: milliseconds(h.percentile(0.5)), P90: milliseconds(h.percentile(0.9)),
		P99: milliseconds(h.percentile(0.99)), Max: milliseconds(h.max)}
}

// report makes the report of a run.
func (g *generator) report(r *record, m measurement) *Report {
	c := g.config
	report := &Report{
		Directory: c.Directory, Challenge: string(c.Challenge), Parallel: c.Parallel, Rate: c.Rate, Names: c.Names,
		Seconds: m.took.Seconds(), Issued: r.issuances.total, Unstarted: m.unstarted, Renewed: r.renewed, BadNonces: r.badNonces,
		Issuance: latencyOf(&r.issuances), Requests: map[Kind]Latency{}, Errors: map[string]Failure{}, Server: m.usage,
	}
	if m.stopped != nil {
		report.Stopped = m.stopped.Error()
	}
	for kind, h := range r.requests {
		if h.total > 0 {
			report.Requests[kind] = latencyOf(h)
		}
	}
	for name, count := range r.errors {
		report.Errors[name] = Failure{Count: count, First: r.first[name]}
		report.Failed += count
	}
	each := float64(max(report.Issued, 1))
	report.PerSecond = float64(report.Issued) / max(m.took.Seconds(), 1e-9)
	report.PollsEach = float64(r.polls) / each
	report.Generator = milliseconds(m.own) / each
	if m.usage != nil {
		m.usage.CPU = milliseconds(m.usage.cpu)
		m.usage.CPUEach = m.usage.CPU / each
	}
	return report
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	load := fmt.Sprintf("%d in parallel", r.Parallel)
	if r.Rate > 0 {
		load = fmt.Sprintf("%v a second, at most %s", r.Rate, load)
	}
	fmt.Fprintf(w, "%d certificates in %.1f s: %.1f/s\t(%s, %s, %d names each)\n", r.Issued, r.Seconds, r.PerSecond, load, r.Challenge, r.Names)
	if r.Stopped != "" {
		fmt.Fprintf(w, "ended early: %s\n", r.Stopped)
	}
	fmt.Fprintf(w, "\nmilliseconds\tcount\tp50\tp90\tp99\tmax\n")
	row := func(name string, l Latency) {
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\n", name, l.Count, l.P50, l.P90, l.P99, l.Max)
	}
	row("issuance", r.Issuance)
	for _, kind := range kinds {
		if l, ok := r.Requests[kind]; ok {
			row("  "+string(kind), l)
		}
	}
	fmt.Fprintf(w, "\npolls for each certificate\t%.2f\n", r.PollsEach)
	if r.Renewed > 0 {
		fmt.Fprintf(w, "renewals\t%d\n", r.Renewed)
	}
	if r.Rate > 0 {
		fmt.Fprintf(w, "not begun in time\t%d\n", r.Unstarted)
	}
	if r.BadNonces > 0 {
		fmt.Fprintf(w, "requests signed anew after badNonce\t%d\n", r.BadNonces)
	}
	if u := r.Server; u != nil {
		fmt.Fprintf(w, "server: CPU for each certificate\t%.2f ms\n", u.CPUEach)
		fmt.Fprintf(w, "server: memory\t%d MiB, at most %d MiB\t(%d processes)\n", u.Memory>>20, u.PeakMemory>>20, u.Processes)
	}
	fmt.Fprintf(w, "this program: CPU for each certificate\t%.2f ms\n", r.Generator)
	fmt.Fprintf(w, "failed\t%d\n", r.Failed)
	for _, name := range slices.SortedFunc(maps.Keys(r.Errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Errors[b].Count, r.Errors[a].Count), cmp.Compare(a, b))
	}) {
		fmt.Fprintf(w, "  %s\t%d\tsuch as: %s\n", name, r.Errors[name].Count, r.Errors[name].First)
	}
	return w.Flush()
}

// ownCPU is the CPU time of this process so far; 0 where /proc does not say.
func ownCPU() time.Duration {
	cpu, err := cpuTime(os.Getpid())
	if err != nil {
		return 0
	}
	return cpu
}
