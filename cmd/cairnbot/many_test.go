package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestAThousandCertificates has renew look at as many, of which none is due. The bound is
// generous: it is there for what takes longer with the square of their number.
func TestAThousandCertificates(t *testing.T) {
	directory := t.TempDir()
	plant(t, directory, 1000, "https://127.0.0.1:1/dir", "")
	var out bytes.Buffer
	start := time.Now()
	code := run(t.Context(), []string{"renew", "--config-dir", directory + "/etc", "--work-dir", directory + "/lib", "--logs-dir", directory + "/log"},
		process{out: &out, err: &out, getenv: func(string) string { return "" }})
	if code != exitOK || strings.Count(out.String(), "(skipped)") != 1000 {
		t.Errorf("exit code %d, %d certificates", code, strings.Count(out.String(), "(skipped)"))
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}
