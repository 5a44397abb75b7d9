package lineage_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

const lockName = ".certbot.lock"

func TestCertbotSeesOurLocks(t *testing.T) {
	dirs := tempDirs(t)
	store := open(t, dirs)
	for _, dir := range []string{dirs.Config, dirs.Work, dirs.Logs} {
		if info, err := os.Stat(filepath.Join(dir, lockName)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", dir, info, err)
		}
	}
	out, err := certbot(t, dirs, "certificates")
	if err == nil || !strings.Contains(out, lineage.ErrLocked.Error()) {
		t.Errorf("certbot beside us: %v\n%s", err, out)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dirs.Config, dirs.Work, dirs.Logs} {
		if _, err := os.Stat(filepath.Join(dir, lockName)); err == nil {
			t.Errorf("%s keeps its lock file", dir)
		}
	}
	mustList(t, dirs)
}

func TestWeSeeCertbotsLocks(t *testing.T) {
	const hold = `
import sys
from certbot._internal import lock
held = lock.lock_dir(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
held.release()
`
	dirs := tempDirs(t)
	if err := dirs.Prepare(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dirs.Config, dirs.Work, dirs.Logs} {
		python(t, "", nil) // says what is missing, if anything is
		command := exec.Command("/usr/bin/python3", "-c", hold, dir)
		stdin, err := command.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "held\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		if store, err := lineage.Open(dirs); !errors.Is(err, lineage.ErrLocked) {
			t.Errorf("while certbot holds %s: %v, %v", dir, store, err)
		}
		stdin.Close()
		if err := command.Wait(); err != nil {
			t.Fatal(err)
		}
		open(t, dirs).Close()
	}
}

func TestLocksKeepPartsOfAProcessApart(t *testing.T) {
	dirs := tempDirs(t)
	first := open(t, dirs)
	if _, err := lineage.Open(dirs); !errors.Is(err, lineage.ErrLocked) {
		t.Errorf("a second one: %v", err)
	}
	// Another tree with the same logs.
	other := tempDirs(t)
	other.Logs = dirs.Logs
	if _, err := lineage.Open(other); !errors.Is(err, lineage.ErrLocked) {
		t.Errorf("with the same logs: %v", err)
	}
	// What it had locked before it failed is free.
	other.Logs += "2"
	open(t, other).Close()
	first.Close()
	open(t, dirs).Close()
	// One directory for all three.
	open(t, lineage.Dirs{Config: dirs.Config, Work: dirs.Config, Logs: dirs.Config + "/."}).Close()
}

func TestLockFilesOfTheDead(t *testing.T) {
	dirs := tempDirs(t)
	if err := dirs.Prepare(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dirs.Config, lockName), "", 0o600) // left by a process that was killed
	open(t, dirs).Close()
}

func TestWaitingForTheLocks(t *testing.T) {
	dirs := tempDirs(t)
	first := open(t, dirs)
	if _, err := lineage.OpenWithin(t.Context(), dirs, 300*time.Millisecond); !errors.Is(err, lineage.ErrLocked) {
		t.Errorf("held all the time: %v", err)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lineage.OpenWithin(interrupted, dirs, time.Hour); !errors.Is(err, lineage.ErrLocked) || !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	// While the first pauses, another works; the first goes on when that has finished.
	var second *lineage.Store
	closed := make(chan error, 1)
	err := first.Pause(t.Context(), func() {
		var err error
		if second, err = lineage.OpenWithin(t.Context(), dirs, time.Minute); err != nil {
			t.Fatal(err)
		}
		go func() { closed <- second.Close() }()
	}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, err := lineage.Open(dirs); !errors.Is(err, lineage.ErrLocked) {
		t.Errorf("after the pause: %v", err)
	}
	// A pause that cannot end leaves a closed store.
	err = first.Pause(t.Context(), func() { second = open(t, dirs) }, 0)
	if !errors.Is(err, lineage.ErrLocked) || first.Close() != nil {
		t.Errorf("a pause that cannot end: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	open(t, dirs).Close()
}
