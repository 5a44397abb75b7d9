//go:build unix

package datadir_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/datadir"
)

func itoa(n int) string { return strconv.Itoa(n) }

// TestMain lets the test's program be the processes that die and hold locks.
func TestMain(m *testing.M) {
	if task := os.Getenv("DATADIR_TEST_TASK"); task != "" {
		kill, _ := strconv.Atoi(os.Getenv("DATADIR_TEST_KILL"))
		if err := work(task, os.Getenv("DATADIR_TEST_DIR"), kill); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// command returns a process that does task in dir.
func command(t *testing.T, task, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "DATADIR_TEST_TASK="+task, "DATADIR_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// work does a task in this process, and kills it before the kill-th change.
func work(task, dir string, kill int) error {
	step := 0
	d, err := datadir.Open(datadir.Config{Dir: dir, Create: true, Observe: func(string) {
		if step++; step == kill {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	if err != nil {
		return err
	}
	switch name, generation, _ := strings.Cut(task, " "); name {
	case "fill":
		if d.FirstRun() {
			return fill(d, generation)
		}
		return nil
	case "root":
		_, err := d.AddRoot([]byte("root 2"), []byte("root key 2"))
		return err
	case "roles":
		_, err := d.AddRoles(func() ([]byte, []byte, error) { return []byte("roles"), []byte("roles key"), nil })
		return err
	case "https":
		return d.SetHTTPS([]byte("https 2"), []byte("https key 2"))
	default: // hold
		fmt.Print("x")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}
}

// killEverywhere does task in a new process once for every change that it makes,
// killing it before that change, and calls check with what is left.
func killEverywhere(t *testing.T, task string, prepare func() string, check func(t *testing.T, dir string)) {
	for kill := 1; ; kill++ {
		dir := prepare()
		cmd := command(t, task, dir)
		cmd.Env = append(cmd.Env, "DATADIR_TEST_KILL="+itoa(kill))
		err := cmd.Run()
		if err == nil {
			if kill < 5 {
				t.Fatalf("the task was over after %d changes", kill-1)
			}
			return
		}
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !ok || !status.Signaled() {
			t.Fatalf("before change %d: %v", kill, err)
		}
		t.Run("killed before change "+itoa(kill), func(t *testing.T) { check(t, dir) })
	}
}

// TestKilledFirstRun kills a first run before each of its changes. The next one
// starts over and leaves the same as if nothing had happened, even if it was
// killed too.
func TestKilledFirstRun(t *testing.T) {
	started := false
	prepare := func() string { return filepath.Join(t.TempDir(), "cairn") }
	killEverywhere(t, "fill 1", prepare, func(t *testing.T, dir string) {
		again := command(t, "fill 1", dir) // dies while it clears up, where there is something to clear
		again.Env = append(again.Env, "DATADIR_TEST_KILL=6")
		_ = again.Run()

		d := mustOpen(t, datadir.Config{Dir: dir, Create: true})
		want := whole("1") // the kill came after the marker
		if d.FirstRun() {
			started, want = true, whole("2")
			if err := fill(d, "2"); err != nil {
				t.Fatal(err)
			}
		}
		if got := content(t, dir); !slices.Equal(got, want) {
			t.Errorf("content %q\nwant %q", got, want)
		}
	})
	if !started {
		t.Error("no kill came before the marker")
	}
}

// TestKilledAddRoot kills the addition of a second root: it is there whole, or not at all.
func TestKilledAddRoot(t *testing.T) {
	with, without := 0, 0
	killEverywhere(t, "root", func() string { return newValid(t) }, func(t *testing.T, dir string) {
		mustOpen(t, datadir.Config{Dir: dir})
		second := []string{"roots/2/root.key -rw------- root key 2", "roots/2/root.pem -rw-r--r-- root 2"}
		want := whole("1")
		if _, err := os.Stat(filepath.Join(dir, "roots/2")); err == nil {
			with++
			want = append(want, second...)
			want[slices.Index(want, "root.pem -rw-r--r-- root 1")] = "root.pem -rw-r--r-- root 2"
		} else {
			without++
		}
		if got := content(t, dir); !slices.Equal(got, want) {
			t.Errorf("content %q\nwant %q", got, want)
		}
	})
	if with == 0 || without == 0 {
		t.Errorf("kills left %d times two roots and %d times one", with, without)
	}
}

// TestKilledSetHTTPS kills the replacement of the HTTPS certificate: a certificate and its own key, or none.
func TestKilledSetHTTPS(t *testing.T) {
	seen := map[string]int{}
	killEverywhere(t, "https", func() string { return newValid(t) }, func(t *testing.T, dir string) {
		d := mustOpen(t, datadir.Config{Dir: dir})
		pair, ok, err := d.HTTPS()
		if err != nil {
			t.Fatal(err)
		}
		left := string(pair.Certificate) + ", " + string(pair.Key)
		if ok && left != "https 1, https key 1" && left != "https 2, https key 2" {
			t.Errorf("HTTPS = %s", left)
		}
		seen[left]++
		if err := d.SetHTTPS([]byte("https 3"), []byte("https key 3")); err != nil {
			t.Fatal(err)
		}
		if pair, ok, err := d.HTTPS(); !ok || err != nil || string(pair.Certificate) != "https 3" || string(pair.Key) != "https key 3" {
			t.Errorf("HTTPS = %+v, %v, %v", pair, ok, err)
		}
	})
	if len(seen) != 3 {
		t.Errorf("kills left %v, want the old pair, none and the new pair", seen)
	}
}
