package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestARecordIsALine(t *testing.T) {
	var file, terminal bytes.Buffer
	log := newLogger("cairnbot", &file, &terminal, &options{verbose: 2})
	log.With("name", "a").Warn("two\nlines", "body", "{\"a\":\r\n1}", "esc", "\x1b[2J")
	if got := file.String(); !strings.HasSuffix(got, `:WARNING:cairnbot:two\nlines, name: a, body: {"a":\r\n1}, esc: \x1b[2J`+"\n") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
	if got := terminal.String(); !strings.HasPrefix(got, "cairnbot: warning: two\nlines, name: a") {
		t.Errorf("%q", got)
	}
	for verbose, want := range []string{"W", "IW", "DIW"} {
		terminal.Reset()
		log := newLogger("cairnbot", &file, &terminal, &options{verbose: verbose})
		log.Debug("D")
		log.Info("I")
		log.Warn("W")
		if got := strings.NewReplacer("cairnbot: ", "", "debug: ", "", "info: ", "", "warning: ", "", "\n", "").Replace(terminal.String()); got != want {
			t.Errorf("-v %d times: %q", verbose, got)
		}
	}
}

func TestLogsMoveUp(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"", ".1", ".2", ".4", ".5", ".9", ".01", ".x"} { // 3 is missing; 9 is beyond the limit
		if err := os.WriteFile(filepath.Join(dir, logName+n), []byte(n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := openLog(dir, 5)
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	entries, _ := os.ReadDir(dir)
	var got []string
	for _, entry := range entries {
		text, _ := os.ReadFile(filepath.Join(dir, entry.Name()))
		got = append(got, fmt.Sprintf("%s=%s", strings.TrimPrefix(entry.Name(), logName), text))
	}
	if want := []string{"=", ".01=.01", ".1=", ".2=.1", ".3=.2", ".5=.4", ".9=.9", ".x=.x"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
