package atomicfile_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// names lists a directory.
func names(t *testing.T, directory string) string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return strings.Join(all, " ")
}

func check(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	text, err := os.ReadFile(path)
	info, statErr := os.Stat(path)
	if err := errors.Join(err, statErr); err != nil {
		t.Fatal(err)
	}
	if string(text) != content || info.Mode().Perm() != mode {
		t.Errorf("%s is %v with %q, want %v with %q", path, info.Mode().Perm(), text, mode, content)
	}
}

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, content := range []string{"first", "second"} {
		if err := atomicfile.Replace(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		check(t, path, content, 0o640)
	}
	if got := names(t, filepath.Dir(path)); got != "file" {
		t.Errorf("there is %s, want the file alone", got)
	}
}

func TestCreateNeverReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := atomicfile.Create(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Create(path, []byte("second"), 0o644); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that is there: %v, want %v", err, fs.ErrExist)
	}
	check(t, path, "first", 0o600)
	if got := names(t, filepath.Dir(path)); got != "file" {
		t.Errorf("there is %s, want the file alone", got)
	}
}

// Whatever fails, the old file stays, and nothing unfinished beside it.
func TestFailuresLeaveTheOldFile(t *testing.T) {
	broken := errors.New("broken")
	for _, test := range []struct {
		name    string
		file    atomicfile.File
		content io.Reader
	}{
		{"no content", atomicfile.File{Mode: 0o644}, iotest.ErrReader(broken)},
		{"half the content", atomicfile.File{Mode: 0o644}, io.MultiReader(strings.NewReader("new"), iotest.ErrReader(broken))},
		{"no preparation", atomicfile.File{Mode: 0o644, Prepare: func(*os.File) error { return broken }}, strings.NewReader("new")},
		{"alone", atomicfile.File{Mode: 0o644, Alone: true}, iotest.ErrReader(broken)},
		{"not synced", atomicfile.File{Mode: 0o644, Unsynced: true}, iotest.ErrReader(broken)},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if err := atomicfile.Replace(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := test.file.Replace(path, test.content); !errors.Is(err, broken) {
				t.Errorf("got %v, want %v", err, broken)
			}
			check(t, path, "old", 0o600)
			if got := names(t, filepath.Dir(path)); got != "file" {
				t.Errorf("there is %s, want the file alone", got)
			}
		})
	}
}

// While it is prepared the file is empty and private, whatever it will be.
func TestPrepare(t *testing.T) {
	path, seen := filepath.Join(t.TempDir(), "file"), false
	file := atomicfile.File{Mode: 0o666, Prepare: func(file *os.File) error {
		info, err := file.Stat()
		seen = err == nil && info.Mode().Perm() == 0o600 && info.Size() == 0
		return err
	}}
	if err := file.Replace(path, strings.NewReader("text")); err != nil || !seen {
		t.Errorf("%v; empty and private: %t", err, seen)
	}
	check(t, path, "text", 0o666)
}

// Of crashes while a file is written alone, one unfinished file is left, and the next write takes it away.
func TestAloneCleansUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	file := atomicfile.File{Mode: 0o600, Alone: true}
	first, err := file.Stage(path, bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	second, err := file.Stage(path, strings.NewReader("a crash comes before the rename"))
	if err != nil || first != second || !strings.HasPrefix(filepath.Base(first), atomicfile.Temporary) {
		t.Fatalf("%q, then %q, %v", first, second, err)
	}
	if err := file.Replace(path, strings.NewReader("new")); err != nil {
		t.Fatal(err)
	}
	check(t, path, "new", 0o600)
	if got := names(t, filepath.Dir(path)); got != "file" {
		t.Errorf("there is %s, want the file alone", got)
	}
}

// TestDevicesStay is about paths such as /dev/null, which root can replace: a pipe stands for them here.
func TestDevicesStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Replace(path, []byte("text"), 0o600); !errors.Is(err, atomicfile.ErrDevice) {
		t.Errorf("got %v", err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("the pipe is %v, %v", info, err)
	}
}
