package cairn_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tests into docs/checklist.md that are named for its lines")

// groups are the lines of docs/checklist.md: T01 to T13, and so on.
var groups = []struct {
	letter string
	lines  int
}{
	{"T", 13}, {"J", 17}, {"N", 9}, {"E", 7}, {"D", 5}, {"A", 16}, {"X", 5}, {"K", 5},
	{"O", 11}, {"F", 15}, {"Z", 6}, {"V", 17}, {"R", 9}, {"C", 10},
}

// A line of the table: number, what is asked, tests, where it is otherwise.
var checklistLine = regexp.MustCompile(`(?m)^\| ([A-Z]\d\d) \| ([^|]+) \| ([^|]*) \| ([^|]*) \|$`)

// TestChecklist compares docs/checklist.md with the names of all tests. With -update it
// writes the names into it.
func TestChecklist(t *testing.T) {
	const name = "docs/checklist.md"
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := numberedTests(".")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		page = checklistLine.ReplaceAllFunc(page, func(line []byte) []byte {
			cells := checklistLine.FindSubmatch(line)
			return fmt.Appendf(nil, "| %s | %s | %s | %s |", cells[1], cells[2], strings.Join(tests[string(cells[1])], ", "), cells[4])
		})
		if err := os.WriteFile(name, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var numbers, want []string
	for _, cells := range checklistLine.FindAllSubmatch(page, -1) {
		number := string(cells[1])
		numbers = append(numbers, number)
		if why := wrongLine(number, string(cells[3]), string(cells[4]), tests); why != "" {
			t.Errorf("%s: %s (go test . -run TestChecklist -update)", number, why)
		}
	}
	for _, group := range groups {
		for i := range group.lines {
			want = append(want, fmt.Sprintf("%s%02d", group.letter, i+1))
		}
	}
	if !slices.Equal(numbers, want) {
		t.Errorf("the lines of %s are %v, want %v", name, numbers, want)
	}
}

// wrongLine says what is wrong with a line, or "".
func wrongLine(number, named, elsewhere string, tests map[string][]string) string {
	for test := range strings.SplitSeq(named, ", ") {
		if test != "" && !slices.Contains(tests[number], test) {
			return fmt.Sprintf("there is no test %s that is named for it", test)
		}
	}
	links := regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`).FindAllStringSubmatch(elsewhere, -1)
	for _, link := range links {
		text, err := os.ReadFile(filepath.Join("docs", link[1]))
		if err != nil || link[2] != "" && !slices.Contains(anchors(text), link[2]) {
			return "there is no " + link[1] + link[2]
		}
	}
	if excused := strings.HasPrefix(elsewhere, "not done: ") && len(links) > 0; named == "" && !excused && elsewhere != "no test yet" {
		return "neither a test nor a place that says why it is not done"
	}
	return ""
}

// anchors are those of a page's headings.
func anchors(page []byte) (list []string) {
	for line := range bytes.Lines(page) {
		if heading, ok := strings.CutPrefix(strings.TrimLeft(strings.TrimSpace(string(line)), "#"), " "); ok && line[0] == '#' {
			list = append(list, "#"+strings.ReplaceAll(strings.ToLower(heading), " ", "-"))
		}
	}
	return list
}

// numberedTests are the tests of the module by the lines that their names stand for:
// TestA01ToA03AndA05Registration is about A01, A02, A03 and A05.
func numberedTests(root string) (map[string][]string, error) {
	tests := make(map[string][]string)
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && file != root && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(file, "_test.go") || strings.Contains(file, "testdata") {
			return nil
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				for _, number := range linesOf(fn.Name.Name) {
					tests[number] = append(tests[number], fn.Name.Name)
				}
			}
		}
		return nil
	})
	for _, names := range tests {
		slices.Sort(names)
	}
	return tests, err
}

var (
	numberedName = regexp.MustCompile(`^(?:Test|Fuzz)((?:(?:And|To)?[A-Z]\d\d)+)`)
	numberInName = regexp.MustCompile(`(And|To)?([A-Z])(\d\d)`)
)

// linesOf returns the numbers of the lines that a test's name stands for.
func linesOf(name string) (numbers []string) {
	match := numberedName.FindStringSubmatch(name)
	if match == nil {
		return nil
	}
	last := 0
	for _, part := range numberInName.FindAllStringSubmatch(match[1], -1) {
		number, _ := strconv.Atoi(part[3])
		first := number
		if part[1] == "To" {
			first = last + 1
		}
		for n := first; n <= number; n++ {
			numbers = append(numbers, fmt.Sprintf("%s%02d", part[2], n))
		}
		last = number
	}
	return numbers
}

func TestLinesOf(t *testing.T) {
	for name, want := range map[string]string{
		"TestA01ToA03AndA05Registration": "A01 A02 A03 A05", "TestF10F11AndF14Certificate": "F10 F11 F14",
		"TestT07AndE07OnlyPostReads": "T07 E07", "TestV06Thumbprint": "V06", "TestHTTP01Proves": "", "TestNewOrder": "",
	} {
		if got := strings.Join(linesOf(name), " "); got != want {
			t.Errorf("%s is about %q, want %q", name, got, want)
		}
	}
}

func TestWrongLinesAreNoticed(t *testing.T) {
	tests := map[string][]string{"T01": {"TestT01UTF8"}}
	for _, line := range []struct{ named, elsewhere, want string }{
		{"TestT01UTF8", "", ""},
		{"TestT01Gone", "", "there is no test"},
		{"", "", "neither"},
		{"", "[Validation](divergences.md#validation)", "neither"},
		{"", "not done: [Validation](divergences.md#validation)", ""},
		{"", "not done: [Validation](divergences.md#nowhere)", "there is no"},
		{"", "not done: never mind", "neither"},
	} {
		if got := wrongLine("T01", line.named, line.elsewhere, tests); !strings.HasPrefix(got, line.want) || (got == "") != (line.want == "") {
			t.Errorf("%+v: %q", line, got)
		}
	}
}
