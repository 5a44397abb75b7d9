package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/schedule"
)

var update = flag.Bool("update", false, "write docs/certbot.md")

// TestOracle gives the same command lines to Debian's certbot and to cairnbot under
// the name certbot, each with a tree and a Pebble of its own, and compares after each what can be
// seen: the exit code, which phrases are said where, files, modes, links, and what is in the renewal
// configurations. What differs must be in the table of oracle_differences_test.go, with the reason, and
// that table is the section of docs/certbot.md about differences.
//
// A scenario is a file of testdata/oracle. In it a line that begins with "certbot" is compared; "serve"
// begins to serve $WEB on the port where the CA looks, "unserve" ends that; all else goes to a shell.
// Needs Debian's package certbot.
func TestOracle(t *testing.T) {
	t.Parallel()
	theirs, err := exec.LookPath("certbot")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/oracle/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no scenarios: %v", err)
	}
	ours := filepath.Join(t.TempDir(), "certbot")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, ours); err != nil { // TestMain looks at the name
		t.Fatal(err)
	}
	results := make(chan scenarioResult)
	slots := make(chan struct{}, 4) // certbot waits more than it computes
	for _, file := range files {
		roots := [][2]string{{t.TempDir(), t.TempDir()}, {t.TempDir(), t.TempDir()}}
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var r scenarioResult
			for _, root := range roots {
				r = compareScenario(file, &world{program: theirs, root: root[0]}, &world{program: ours, root: root[1]})
				// Pebble answers certbot with an internal error now and then, and certbot gives up: what is different
				// for a reason of the programs is so the second time, too.
				if r.err == nil && !slices.ContainsFunc(r.found, finding.unexplained) {
					break
				}
			}
			results <- r
		}()
	}
	used := make(map[int]bool)
	commands := 0
	for range files {
		r := <-results
		commands += r.commands
		t.Run(r.name, func(t *testing.T) { r.check(t, used) })
	}
	if commands < 60 {
		t.Errorf("%d command lines are too few", commands)
	}
	for i, d := range differences {
		if d.pattern == nextSteps && len(schedule.Others("/")) > 0 {
			continue // a certbot with its timer is here, and is believed
		}
		if !used[i] {
			t.Errorf("this difference is in the table, but was not seen: %s", d.what)
		}
	}
}

// scenarioResult is what a scenario has shown.
type scenarioResult struct {
	name     string
	commands int
	found    []finding
	err      error
}

// finding is one difference.
type finding struct {
	where  string // the scenario, the line's number and the command
	what   string // as the table's patterns see it
	detail string // the output of both, for a person
}

// rows are those of the table that explain f.
func (f finding) rows() []int {
	var rows []int
	for i, d := range differences {
		if (d.in == "" || regexp.MustCompile(d.in).MatchString(f.where)) && regexp.MustCompile("^(?:"+d.pattern+")$").MatchString(f.what) {
			rows = append(rows, i)
		}
	}
	return rows
}

func (f finding) unexplained() bool { return len(f.rows()) == 0 }

// check looks up each difference in the table.
func (r scenarioResult) check(t *testing.T, used map[int]bool) {
	if r.err != nil {
		t.Fatal(r.err)
	}
	shown := ""
	for _, f := range r.found {
		rows := f.rows()
		for _, i := range rows {
			used[i] = true
		}
		if len(rows) > 0 {
			continue
		}
		t.Errorf("%s\n    %s", f.where, f.what)
		if shown != f.where && testing.Verbose() {
			t.Log(f.detail)
			shown = f.where
		}
	}
}

// compareScenario runs a scenario in both worlds at once.
func compareScenario(file string, theirs, ours *world) scenarioResult {
	r := scenarioResult{name: strings.TrimSuffix(filepath.Base(file), ".txt")}
	text, err := os.ReadFile(file)
	if err != nil {
		r.err = err
		return r
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	seen := make(chan error, 2)
	for _, w := range []*world{theirs, ours} {
		go func() { seen <- w.play(r.name, lines) }()
	}
	for range 2 {
		if err := <-seen; err != nil && r.err == nil {
			r.err = fmt.Errorf("%s: %w", r.name, err)
		}
	}
	if r.err != nil {
		return r
	}
	for i := range theirs.sights {
		a, b := theirs.sights[i], ours.sights[i]
		where := fmt.Sprintf("%s: %s", r.name, a.command)
		detail := fmt.Sprintf("--- certbot\n%s\n%s--- cairnbot\n%s\n%s", a.stdout, a.stderr, b.stdout, b.stderr)
		for _, what := range a.differences(b) {
			// What is on disk stays there: only what a command has changed is its own.
			if i > 0 && !strings.HasPrefix(what, "exit ") && !strings.HasPrefix(what, "phrase ") &&
				slices.Contains(theirs.sights[i-1].differences(ours.sights[i-1]), what) {
				continue
			}
			r.found = append(r.found, finding{where, what, detail})
		}
	}
	r.commands = len(theirs.sights)
	return r
}

// TestDifferencesAreDocumented keeps the table of docs/certbot.md the same as the one that TestOracle checks. With -update
// it is written.
func TestDifferencesAreDocumented(t *testing.T) {
	const name = "../../docs/certbot.md"
	const begin, end = "<!-- differences: written by TestDifferencesAreDocumented -->\n", "<!-- end of differences -->"
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no place for the differences", name)
	}
	var b strings.Builder
	b.WriteString("\n| cairnbot | why |\n|---|---|\n")
	for _, d := range differences {
		fmt.Fprintf(&b, "| %s | %s |\n", d.what, d.reason)
	}
	b.WriteString("\n")
	want := before + begin + b.String() + end + after
	if want == string(page) {
		return
	}
	if !*update {
		t.Fatalf("the differences in %s are not those of the table (go test ./cmd/cairnbot -run TestDifferencesAreDocumented -update)", name)
	}
	if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
