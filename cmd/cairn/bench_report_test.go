package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cairn-ca/cairn/internal/bench"
)

// benchReport FILE [NAME=COUNT|NAME>=COUNT...]: reads the JSON of `cairn bench`, checks that it is sound, and
// that the figures of those names are as given: issued, failed, renewed, planned (what a fixed rate was to begin), or a kind of request.
func benchReport(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: bench-report FILE [NAME=COUNT|NAME>=COUNT...]")
	}
	var report bench.Report
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	decoder.DisallowUnknownFields()
	ts.Check(decoder.Decode(&report))
	ts.Check(soundReport(report))
	for _, claim := range args[1:] {
		name, text, _ := strings.Cut(claim, "=")
		name, least := strings.CutSuffix(name, ">")
		want, err := strconv.Atoi(text)
		ts.Check(err)
		got, ok := map[string]int{
			"issued": report.Issued, "failed": report.Failed, "renewed": report.Renewed,
			"planned": report.Issued + report.Failed + report.Unstarted,
		}[name]
		if !ok {
			got = report.Requests[bench.Kind(name)].Count
		}
		if got != want && (!least || got < want) {
			ts.Fatalf("%s: there are %d\n%s", claim, got, ts.ReadFile(args[0]))
		}
	}
}

// soundReport says what in a report cannot be.
func soundReport(r bench.Report) error {
	failed := 0
	for _, f := range r.Errors {
		failed += f.Count
	}
	if failed != r.Failed {
		return fmt.Errorf("%d failed, by their kinds %d", r.Failed, failed)
	}
	if r.Issuance.Count != r.Issued || r.Issued > 0 && (r.PerSecond <= 0 || r.Seconds <= 0) {
		return fmt.Errorf("%d issued, %d measured, in %v s", r.Issued, r.Issuance.Count, r.Seconds)
	}
	latencies := map[bench.Kind]bench.Latency{"issuance": r.Issuance}
	for kind, l := range r.Requests {
		latencies[kind] = l
		if l.P50 > r.Issuance.Max && kind != bench.Revoke && r.Failed == 0 {
			return fmt.Errorf("half of %s took longer than the longest issuance", kind)
		}
	}
	for kind, l := range latencies {
		if l.Count > 0 && (l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.Max) {
			return fmt.Errorf("%s: percentiles %+v are not in order", kind, l)
		}
	}
	return nil
}
