//go:build unix

package credential_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns/credential"
)

// TestProgramsEndWithAllThatTheyStarted ends a program that waits for another one of its own.
func TestProgramsEndWithAllThatTheyStarted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "child")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if text, _ := os.ReadFile(path); len(text) > 0 { // it may not be there yet
				cancel()
			}
		}
	}()
	if _, err := credential.Output(ctx, nil, []string{"sh", "-c", `sleep 300 & echo $! >"$0"; wait`, path}); err == nil {
		t.Error("a program that was ended has succeeded")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); alive(child); {
		if time.Now().After(end) {
			t.Fatal("what the program started lives on")
		}
	}
}

// alive reports whether a process is there, and has not ended.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(state), ") Z ")
}

func TestProgramsHaveTheEnvironmentThatIsForThem(t *testing.T) {
	t.Setenv("ANOTHER_TOKEN", "secret-of-another")
	got, err := credential.Output(t.Context(), []string{"PATH=" + os.Getenv("PATH"), "MINE=1"}, []string{"env"})
	if err != nil || strings.Contains(string(got), "secret-of-another") || !strings.Contains(string(got), "MINE=1\n") {
		t.Errorf("the program has\n%s%v", got, err)
	}
}
