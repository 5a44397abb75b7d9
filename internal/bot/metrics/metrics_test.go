package metrics_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/cairn-ca/cairn/internal/bot/metrics"
)

// TestTheFileIsReadByPrometheus has Prometheus's own parser read the file, as the collector does.
func TestTheFileIsReadByPrometheus(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "cairnbot.prom")
	run := metrics.Run{At: now, Broken: 2, Version: "1.0", Certificates: []metrics.Certificate{
		{Lineage: "b.test", Server: "https://ca.test/dir", NotBefore: now, NotAfter: now.Add(90 * time.Hour), Due: now.Add(60 * time.Hour), LastSuccess: now},
		{Lineage: "a\"\\\n{}", NotAfter: now.Add(time.Hour), Failures: 3, Class: "network", NextAttempt: now.Add(time.Minute)},
	}}
	if err := metrics.Write(path, run); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	got := families["cairnbot_certificate_failures"].GetMetric()
	if len(got) != 2 || got[0].GetGauge().GetValue() != 3 || got[0].GetLabel()[0].GetValue()+got[0].GetLabel()[2].GetValue() == "" {
		t.Errorf("failures: %v", got)
	}
	values := make(map[string]bool)
	for _, l := range got[0].GetLabel() {
		values[l.GetValue()] = true
	}
	if !values["a\"\\\n{}"] || !values["network"] {
		t.Errorf("the labels are %v", values)
	}
	if due := families["cairnbot_certificate_due_timestamp_seconds"].GetMetric(); len(due) != 1 || due[0].GetGauge().GetValue() != float64(now.Add(60*time.Hour).Unix()) {
		t.Errorf("due: %v", due)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("beside the file there is %v, %v", entries, err)
	}
}
