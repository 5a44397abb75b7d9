package adopt_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/adopt"
)

func TestAssignmentsAgreeWithTheShell(t *testing.T) {
	for _, line := range []string{
		`X=plain`, `X='single $NO "q"'`, `X="double $HOME2 \"q\" \$x \n"`, `X='a'"b"c\ d`, `X=`, `X="${HOME2}/x"`, `X=$HOME2/y # comment`, `X='it'\''s'`,
		`export X=a`, `X=a#b`, `X="a\\b"`, `X=a=b`, `X="$HOME2"_z`,
	} {
		values, others := adopt.Assignments(line, map[string]string{"HOME2": "/home/me"})
		want, err := exec.Command("sh", "-c", "HOME2=/home/me\n"+line+"\nprintf %s \"$X\"").Output()
		if err != nil || len(others) > 0 || values["X"] != string(want) {
			t.Errorf("%s: read %q (%v), the shell has %q (%v)", line, values["X"], others, want, err)
		}
	}
}

func TestWhatTakesAShellIsNotGuessed(t *testing.T) {
	for _, line := range []string{"X=$(id)", "X=`id`", `X="$(id)"`, "X=a;id", "X=a b", "X=*", "X='open", `X="open`, "X=$UNSET", "X=${A:-b}", "id", ". other", "if true; then", `X=a\`, "1X=a", "X=a&"} {
		if values, others := adopt.Assignments(line, nil); len(others) != 1 {
			t.Errorf("%s was read as %q", line, values)
		}
	}
}

// TestVariablesInVariablesEnd gives a small file that would fill the memory.
func TestVariablesInVariablesEnd(t *testing.T) {
	content := "A='" + strings.Repeat("x", 60<<10) + "'\n"
	for i := range 5000 {
		content += fmt.Sprintf("B%d=$A\n", i)
	}
	values, others := adopt.Assignments(content, nil)
	size := 0
	for _, value := range values {
		size += len(value)
	}
	if size > 4<<20 || len(others) != 1 {
		t.Errorf("%d bytes were kept, and %d lines are left", size, len(others))
	}
}

// FuzzAssignments checks that what is read is what the shell would read, as far as that can be said without one.
func FuzzAssignments(f *testing.F) {
	for _, seed := range []string{"A='b'\nC=\"$A\"", "A=${A}", "A=\\", "export A=b # c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		values, others := adopt.Assignments(content, nil)
		if n := strings.Count(content, "\n") + 1; len(others) > n || len(values) > n {
			t.Errorf("%d lines have %d values and %d others", n, len(values), len(others))
		}
		for name := range values {
			if !strings.Contains(content, name+"=") {
				t.Errorf("%q is set nowhere", name)
			}
		}
	})
}
