package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/checkpoint"
)

// certbot runs lines of Python against certbot's own reverter, as Debian has it, on a work directory.
func certbot(t *testing.T, work, lines string) {
	t.Helper()
	script := `
import sys
from unittest import mock
from certbot import configuration, reverter
class Space: pass
space = Space()
space.work_dir = space.config_dir = space.logs_dir = sys.argv[1]
space.strict_permissions = False
class Config:
    backup_dir = sys.argv[1] + "/backups"
    in_progress_dir = sys.argv[1] + "/IN_PROGRESS"
    temp_checkpoint_dir = sys.argv[1] + "/temp_checkpoint"
    strict_permissions = False
r = reverter.Reverter(Config)
` + lines
	command := exec.Command("/usr/bin/python3", "-c", script, work)
	if text, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	err := os.WriteFile(path, []byte(text), mode)
	if err = errors.Join(err, os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

// state is what the files of a directory contain, with their modes.
func state(t *testing.T, directory string) string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, entry := range entries {
		path := filepath.Join(directory, entry.Name())
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%s %s %q", entry.Name(), info.Mode(), text))
	}
	return strings.Join(lines, "\n")
}

// site makes the files of a server.
func site(t *testing.T) (directory string) {
	t.Helper()
	directory = t.TempDir()
	write(t, filepath.Join(directory, "a.conf"), "a before\n", 0o644)
	write(t, filepath.Join(directory, "b.conf"), "b before\n", 0o640)
	if err := os.Symlink("a.conf", filepath.Join(directory, "enabled.conf")); err != nil {
		t.Fatal(err)
	}
	return directory
}

func TestRollbackOfWhatCertbotKept(t *testing.T) {
	work, files := t.TempDir(), site(t)
	before := state(t, files)
	certbot(t, work, fmt.Sprintf(`
f = %q
def put(name, text): open(f + "/" + name, "w").write(text)
r.add_to_checkpoint({f + "/a.conf"}, "first change\n")
put("a.conf", "a once")
r.register_file_creation(False, f + "/new.conf")
put("new.conf", "new")
r.register_undo_command(False, ["touch", f + "/undone, 1"])
r.finalize_checkpoint("One")
r.add_to_checkpoint({f + "/enabled.conf", f + "/b.conf"}, "second change\n")
put("enabled.conf", "a twice")
put("b.conf", "b twice")
r.finalize_checkpoint("Two")
r.add_to_checkpoint({f + "/b.conf"}, "unfinished\n")
put("b.conf", "b three times")
r.add_to_temp_checkpoint({f + "/a.conf"}, "challenge\n")
put("a.conf", "a challenged")
`, files))
	r := checkpoint.New(checkpoint.Config{Directory: work})
	list, err := r.List()
	if err != nil || len(list) != 2 || list[0].Notes != "-- Two --\nsecond change\n" || len(list[0].Files) != 2 || !slices.Equal(list[1].New, []string{files + "/new.conf"}) {
		t.Fatalf("%+v, %v", list, err)
	}
	if age := time.Since(list[0].Made); age < 0 || age > time.Minute {
		t.Errorf("made %s", list[0].Made)
	}
	done, err := r.Rollback(t.Context(), 1)
	if err != nil || len(done) != 1 || done[0].Name != list[0].Name {
		t.Fatalf("%+v, %v", done, err)
	}
	if now := state(t, files); !strings.Contains(now, `a.conf -rw-r--r-- "a once"`) || !strings.Contains(now, `b.conf -rw-r----- "b before\n"`) {
		t.Errorf("after one:\n%s", now)
	}
	if done, err = r.Rollback(t.Context(), 5); err != nil || len(done) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if err := os.Remove(filepath.Join(files, "undone, 1")); err != nil {
		t.Errorf("the undo command was not run: %v", err)
	}
	if now := state(t, files); now != before {
		t.Errorf("after all:\n%s\nwant\n%s", now, before)
	}
	if done, err = r.Rollback(t.Context(), 1); err != nil || len(done) != 0 {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestCertbotRollsBackWhatWeKept(t *testing.T) {
	work, files := t.TempDir(), site(t)
	before := state(t, files)
	r := checkpoint.New(checkpoint.Config{Directory: work})
	change(t, r, files, time.Now())
	certbot(t, work, "r.rollback_checkpoints(1)")
	if err := os.Remove(filepath.Join(files, "undone")); err != nil {
		t.Error(err)
	}
	if now := state(t, files); now != before {
		t.Errorf("after all:\n%s\nwant\n%s", now, before)
	}
}

// change changes the files of a server, with a checkpoint.
func change(t *testing.T, r *checkpoint.Reverter, files string, now time.Time) {
	t.Helper()
	c, err := r.Begin(false)
	if err == nil {
		err = errors.Join(c.Keep("change", files+"/enabled.conf", files+"/b.conf"), c.Keep("again", files+"/b.conf"),
			c.KeepNew(files+"/new.conf"), c.Command("touch", files+"/undone"))
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, files+"/a.conf", "a after", 0o644)
	write(t, files+"/b.conf", "b after", 0o640)
	write(t, files+"/new.conf", "new", 0o644)
	if err := c.Finish("title", now); err != nil {
		t.Fatal(err)
	}
}

func TestUnfinishedChangesAreTakenBack(t *testing.T) {
	work, files := t.TempDir(), site(t)
	before := state(t, files)
	r := checkpoint.New(checkpoint.Config{Directory: work})
	temporary, err := r.Begin(true)
	if err == nil {
		err = errors.Join(temporary.Keep("challenge", files+"/a.conf"), temporary.KeepNew(files+"/challenge.conf"))
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, files+"/a.conf", "challenged", 0o600)
	if err := temporary.Finish("never", time.Now()); err == nil {
		t.Error("changes for a challenge were finished")
	}
	lasting, err := r.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	if err := lasting.Keep("", files+"/a.conf"); err == nil {
		t.Error("a file that is changed for a challenge was kept")
	}
	if err := lasting.KeepNew("relative.conf"); err == nil {
		t.Error("a relative path was kept")
	}
	if err := lasting.KeepNew(files + "/two\nlines"); err == nil {
		t.Error("two lines were kept")
	}
	if err := lasting.Keep("", files+"/b.conf"); err != nil {
		t.Fatal(err)
	}
	write(t, files+"/b.conf", "changed", 0o640)
	if there, err := r.Recover(t.Context()); err != nil || !there {
		t.Fatal(there, err)
	}
	if now := state(t, files); now != before {
		t.Errorf("now:\n%s\nwant\n%s", now, before)
	}
	if there, err := r.Recover(t.Context()); err != nil || there {
		t.Error(there, err)
	}
}

// TestInterruptedRollback stops a rollback at each of its commands, and lets it be done again.
func TestInterruptedRollback(t *testing.T) {
	work, files := t.TempDir(), site(t)
	before := state(t, files)
	ctx, cancel := context.WithCancel(t.Context())
	r := checkpoint.New(checkpoint.Config{Directory: work, Run: func(context.Context, []string) error {
		cancel()
		return context.Canceled
	}})
	change(t, r, files, time.Now())
	if done, err := r.Rollback(ctx, 1); err == nil {
		t.Fatalf("it was interrupted, and did %+v", done)
	}
	// A directory that was taken back, and whose removal was interrupted.
	if err := os.MkdirAll(filepath.Join(work, ".cairnbot-undone-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	again := checkpoint.New(checkpoint.Config{Directory: work, Run: func(context.Context, []string) error { return errors.New("it fails") }})
	if done, err := again.Rollback(t.Context(), 1); err != nil || len(done) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if now := state(t, files); now != before {
		t.Errorf("now:\n%s\nwant\n%s", now, before)
	}
	if entries, err := os.ReadDir(work); err != nil || len(entries) != 1 {
		t.Errorf("%v stay, %v", entries, err)
	}
}

// TestCheckpointsAreInOrder has the clock go back.
func TestCheckpointsAreInOrder(t *testing.T) {
	work, files := t.TempDir(), site(t)
	r := checkpoint.New(checkpoint.Config{Directory: work})
	now := time.Now()
	for _, at := range []time.Time{now, now, now.Add(-time.Hour), now.Add(time.Hour)} {
		change(t, r, files, at)
	}
	list, err := r.List()
	if err != nil || len(list) != 4 {
		t.Fatal(list, err)
	}
	for i := range list[1:] {
		if list[i].Name <= list[i+1].Name {
			t.Errorf("%s is not after %s", list[i].Name, list[i+1].Name)
		}
	}
}

// TestBrokenCheckpoint is about what somebody else has written.
func TestBrokenCheckpoint(t *testing.T) {
	for name, content := range map[string]string{"FILEPATHS": "/nosuch/file\n", "NEW_FILES": "../relative\n", "COMMANDS": "\"unfinished"} {
		work := t.TempDir()
		directory := filepath.Join(work, "backups", "1.5")
		if err := os.MkdirAll(directory, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(directory, name), content, 0o644)
		if done, err := checkpoint.New(checkpoint.Config{Directory: work}).Rollback(t.Context(), 1); err == nil {
			t.Errorf("%s: %+v", name, done)
		}
		if _, err := os.Stat(directory); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
