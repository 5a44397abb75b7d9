// Package metrics writes figures about certificates into a file, in the text format of Prometheus, for the textfile
// collector of its node exporter.
package metrics

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// Certificate is what is known of one at the end of a run. A zero time is left out.
type Certificate struct {
	Lineage     string
	Server      string
	NotBefore   time.Time
	NotAfter    time.Time
	Due         time.Time
	LastSuccess time.Time // when the certificate was obtained
	NextAttempt time.Time // after a failure
	Failures    int       // in a row
	Class       string    // of the last failure
}

// Run is what is written.
type Run struct {
	Certificates []Certificate
	Broken       int // renewal configurations that cannot be used
	At           time.Time
	Version      string
}

// family is one metric, and how it is read off a certificate. A false leaves it out.
type family struct {
	name, help string
	value      func(c Certificate) (float64, bool)
}

func at(pick func(Certificate) time.Time) func(Certificate) (float64, bool) {
	return func(c Certificate) (float64, bool) {
		t := pick(c)
		return float64(t.UnixMilli()) / 1000, !t.IsZero()
	}
}

var families = []family{
	{"cairnbot_certificate_not_before_timestamp_seconds", "When the certificate begins to be good.",
		at(func(c Certificate) time.Time { return c.NotBefore })},
	{"cairnbot_certificate_expiry_timestamp_seconds", "When the certificate expires.",
		at(func(c Certificate) time.Time { return c.NotAfter })},
	{"cairnbot_certificate_due_timestamp_seconds", "When the certificate is to be renewed.",
		at(func(c Certificate) time.Time { return c.Due })},
	{"cairnbot_certificate_last_success_timestamp_seconds", "When the certificate was renewed last.",
		at(func(c Certificate) time.Time { return c.LastSuccess })},
	{"cairnbot_certificate_next_attempt_timestamp_seconds", "When a renewal that has failed is tried again.",
		at(func(c Certificate) time.Time { return c.NextAttempt })},
}

// Text is run in the text format, version 0.0.4.
func Text(run Run) []byte {
	var b bytes.Buffer
	head := func(name, help string) { fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name) }
	certificates := slices.Clone(run.Certificates)
	slices.SortFunc(certificates, func(x, y Certificate) int { return strings.Compare(x.Lineage, y.Lineage) })
	for _, f := range families {
		head(f.name, f.help)
		for _, c := range certificates {
			if value, ok := f.value(c); ok {
				fmt.Fprintf(&b, "%s{lineage=%s,server=%s} %s\n", f.name, label(c.Lineage), label(c.Server), number(value))
			}
		}
	}
	head("cairnbot_certificate_failures", "How many renewals have failed in a row, and what kind of failure the last one was.")
	for _, c := range certificates {
		if class := c.Class; c.Failures > 0 {
			fmt.Fprintf(&b, "cairnbot_certificate_failures{lineage=%s,server=%s,class=%s} %d\n", label(c.Lineage), label(c.Server), label(class), c.Failures)
		} else {
			fmt.Fprintf(&b, "cairnbot_certificate_failures{lineage=%s,server=%s,class=\"\"} 0\n", label(c.Lineage), label(c.Server))
		}
	}
	head("cairnbot_broken_configurations", "How many renewal configurations cannot be used.")
	fmt.Fprintf(&b, "cairnbot_broken_configurations %d\n", run.Broken)
	head("cairnbot_last_run_timestamp_seconds", "When cairnbot last looked at all certificates.")
	fmt.Fprintf(&b, "cairnbot_last_run_timestamp_seconds %s\n", number(float64(run.At.UnixMilli())/1000))
	head("cairnbot_build_info", "Which cairnbot it is.")
	fmt.Fprintf(&b, "cairnbot_build_info{version=%s} 1\n", label(run.Version))
	return b.Bytes()
}

func number(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }

// label quotes a value as the format wants it.
func label(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(strings.ToValidUTF8(value, "?")) + `"`
}

// Write puts run in the place of the file, all at once: the collector reads the old figures or the new ones. The file is 0644.
func Write(path string, run Run) error {
	if err := atomicfile.Replace(path, Text(run), 0o644); err != nil {
		return fmt.Errorf("writing the file with metrics: %w", err)
	}
	return nil
}
