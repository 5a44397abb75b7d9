//go:build unix

package hook_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/hook"
)

var environment = []string{"PATH=" + os.Getenv("PATH"), "BASE=base"}

func TestRunTellsWhatACommandSaidAndHowItEnded(t *testing.T) {
	r := hook.NewRunner(hook.Config{Environment: environment})
	got := r.Run(t.Context(), `echo "$BASE $EXTRA"; echo oops >&2; exit 3`, "EXTRA=it's $(id) `id`")
	if got.Stdout != "base it's $(id) `id`\n" || got.Stderr != "oops\n" || got.Code != 3 || got.Err == nil {
		t.Errorf("got %+v", got)
	}
	if got := r.Run(t.Context(), "true"); got != (hook.Result{}) {
		t.Errorf("got %+v", got)
	}
	if got := r.Run(t.Context(), "exec /nonexistent"); got.Code != 127 || got.Err == nil {
		t.Errorf("got %+v", got)
	}
}

// An interrupt of ours comes while a hook is half way.
func TestAnInterruptDoesNotEndACommand(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := hook.NewRunner(hook.Config{Environment: environment}).Run(ctx, "echo done"); got.Stdout != "done\n" || got.Err != nil {
		t.Errorf("got %+v", got)
	}
}

// A hook that starts a server which keeps the output open (the way of many init scripts).
func TestWhatStaysInTheBackgroundIsNotWaitedForNorKilled(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "go-on")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	r := hook.NewRunner(hook.Config{Environment: environment, Timeout: time.Minute})
	got := r.Run(t.Context(), `(read line <"$DIR/go-on"; echo to nobody; echo alive >"$DIR/alive"; mv "$DIR/alive" "$DIR/still-alive") & echo started`, "DIR="+dir)
	if got.Stdout != "started\n" || got.Err != nil {
		t.Errorf("got %+v", got)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it was waited for: %v", took)
	}
	if err := os.WriteFile(pipe, []byte("go\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := os.Stat(filepath.Join(dir, "still-alive")); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("what was left in the background was killed")
		}
		time.Sleep(time.Millisecond) // polling another process: there is no event to wait for
	}
}

func TestTimeEndsTheWholeGroup(t *testing.T) {
	// Long enough for a shell to begin on a busy machine.
	r := hook.NewRunner(hook.Config{Environment: environment, Timeout: 2 * time.Second, Grace: 200 * time.Millisecond})
	for name, command := range map[string]string{
		"obeys":       `echo before; sleep 1000 & echo $! >"$DIR/child"; wait`,
		"obeys not":   `trap '' TERM; echo before; sh -c 'trap "" TERM; sleep 1000' & echo $! >"$DIR/child"; while :; do wait; done`,
		"leader only": `echo before; sh -c 'trap "" TERM; sleep 1000; sleep 1000' & echo $! >"$DIR/child"; wait`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			got := r.Run(t.Context(), command, "DIR="+dir)
			if !errors.Is(got.Err, hook.ErrTimeout) || got.Code != -1 || got.Stdout != "before\n" {
				t.Errorf("got %+v", got)
			}
			text, err := os.ReadFile(filepath.Join(dir, "child"))
			if err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(20 * time.Second); running(t, strings.TrimSpace(string(text))); {
				if time.Now().After(deadline) {
					t.Fatal("its child lives")
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// running reports whether a process is there, other than as one that nobody has waited for.
func running(t *testing.T, pid string) bool {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(status), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestOutputIsLimited(t *testing.T) {
	r := hook.NewRunner(hook.Config{Environment: environment, MaxOutput: 1000})
	got := r.Run(t.Context(), `yes | head -c 5000000; yes n | head -c 999 >&2`)
	if got.Err != nil || len(got.Stdout) > 1100 || !strings.HasSuffix(got.Stdout, "left out]\n") || len(got.Stderr) != 999 {
		t.Errorf("%d and %d octets, %v", len(got.Stdout), len(got.Stderr), got.Err)
	}
}
