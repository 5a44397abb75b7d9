//go:build unix

package datadir_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/datadir"
)

func TestDefault(t *testing.T) {
	for _, test := range []struct {
		uid             int
		home, xdg, want string
	}{
		{0, "/root", "/root/data", "/var/lib/cairn"},
		{1000, "/home/u", "", "/home/u/.local/share/cairn"},
		{1000, "/home/u", "/data", "/data/cairn"},
		{1000, "/home/u", "relative", "/home/u/.local/share/cairn"},
		{1000, "", "", ""},
	} {
		got, err := datadir.Default(test.uid, test.home, test.xdg)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("Default(%d, %q, %q) = %q, %v; want %q", test.uid, test.home, test.xdg, got, err, test.want)
		}
	}
}

// fill does what a first run does; generation tells one such run from another.
func fill(d *datadir.Dir, generation string) error {
	if _, err := d.AddRoot([]byte("root "+generation), []byte("root key "+generation)); err != nil {
		return err
	}
	if _, err := d.AddIssuer([]byte("issuer "+generation), []byte("issuer key "+generation)); err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.WriteFile(d.Database()+suffix, []byte("database "+generation), 0o644); err != nil {
			return err
		}
	}
	if err := d.SetAddresses(datadir.Addresses{ACME: "https://ca" + generation}); err != nil {
		return err
	}
	if err := d.SetHTTPS([]byte("https "+generation), []byte("https key "+generation)); err != nil {
		return err
	}
	return d.Complete()
}

// content returns every file of a directory as "path mode text", the marker without its text.
func content(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if !entry.Type().IsRegular() {
			list = append(list, file+" "+info.Mode().String())
			return nil
		}
		text, err := os.ReadFile(file)
		name, _ := filepath.Rel(dir, file)
		if name == "cairn.json" {
			text = nil
		}
		list = append(list, name+" "+info.Mode().String()+" "+string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// whole is the content of a directory after fill.
func whole(generation string) []string {
	return []string{
		"addresses.json -rw-r--r-- {\n  \"acme\": \"https://ca" + generation + "\",\n  \"published\": null\n}\n",
		"cairn.db -rw-r--r-- database " + generation,
		"cairn.db-shm -rw-r--r-- database " + generation,
		"cairn.db-wal -rw-r--r-- database " + generation,
		"cairn.json -rw-r--r-- ",
		"https/cert.pem -rw-r--r-- https " + generation,
		"https/key.pem -rw------- https key " + generation,
		"issuers/1/issuer.key -rw------- issuer key " + generation,
		"issuers/1/issuer.pem -rw-r--r-- issuer " + generation,
		"lock -rw------- ",
		"root.pem -rw-r--r-- root " + generation,
		"roots/1/root.key -rw------- root key " + generation,
		"roots/1/root.pem -rw-r--r-- root " + generation,
	}
}

func mustOpen(t *testing.T, c datadir.Config) *datadir.Dir {
	t.Helper()
	d, err := datadir.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// newValid makes a valid directory and lets go of it.
func newValid(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a", "cairn")
	d := mustOpen(t, datadir.Config{Dir: dir, Create: true})
	if !d.FirstRun() {
		t.Fatal("a new directory is not on its first run")
	}
	if err := fill(d, "1"); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFirstAndLaterRuns(t *testing.T) {
	dir := newValid(t)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory's mode is %v, %v", info.Mode(), err)
	}
	if got := content(t, dir); !slices.Equal(got, whole("1")) {
		t.Errorf("content %q\nwant %q", got, whole("1"))
	}
	d := mustOpen(t, datadir.Config{Dir: dir, Create: true})
	if d.FirstRun() || d.Created().IsZero() || d.Path() != dir || d.RootFile() != filepath.Join(dir, "root.pem") {
		t.Errorf("opened again: %+v", d)
	}
	if d.Complete() == nil {
		t.Error("Complete works twice")
	}
	if n, err := d.AddRoot([]byte("second"), []byte("second key")); n != 2 || err != nil {
		t.Errorf("AddRoot = %d, %v", n, err)
	}
	roots, err := d.Roots()
	if err != nil || len(roots) != 2 || string(roots[1].Certificate) != "second" || string(roots[1].Key) != "second key" ||
		string(roots[0].Certificate) != "root 1" || roots[0].Number != 1 || roots[1].Number != 2 {
		t.Errorf("Roots = %+v, %v", roots, err)
	}
	if text, err := os.ReadFile(d.RootFile()); string(text) != "second" {
		t.Errorf("root.pem holds %q, %v", text, err)
	}
	if a, err := d.Addresses(); err != nil || a.ACME != "https://ca1" {
		t.Errorf("Addresses = %+v, %v", a, err)
	}
	issuers, err := d.Issuers()
	if err != nil || len(issuers) != 1 || string(issuers[0].Key) != "issuer key 1" {
		t.Errorf("Issuers = %+v, %v", issuers, err)
	}
	if err := d.SetHTTPS([]byte("new"), []byte("new key")); err != nil {
		t.Fatal(err)
	}
	if pair, ok, err := d.HTTPS(); !ok || err != nil || string(pair.Certificate) != "new" || string(pair.Key) != "new key" {
		t.Errorf("HTTPS = %+v, %v, %v", pair, ok, err)
	}
}

// TestNumbers checks that the tenth root is newer than the ninth.
func TestNumbers(t *testing.T) {
	d := mustOpen(t, datadir.Config{Dir: newValid(t)})
	for want := 2; want <= 11; want++ {
		if n, err := d.AddRoot([]byte{byte(want)}, []byte("key")); n != want || err != nil {
			t.Fatalf("AddRoot = %d, %v; want %d", n, err, want)
		}
	}
	if text, err := os.ReadFile(d.RootFile()); !bytes.Equal(text, []byte{11}) {
		t.Errorf("root.pem holds %q, %v", text, err)
	}
}

func TestRootKeyTakenAway(t *testing.T) {
	dir := newValid(t)
	away := filepath.Join(dir, "roots/1/root.key")
	if err := os.Remove(away); err != nil {
		t.Fatal(err)
	}
	d := mustOpen(t, datadir.Config{Dir: dir})
	if roots, err := d.Roots(); err != nil || len(roots) != 1 || roots[0].Key != nil {
		t.Errorf("Roots = %+v, %v", roots, err)
	}
	if _, err := d.RootKey(1); !errors.Is(err, datadir.ErrNoRootKey) || !strings.Contains(err.Error(), away) {
		t.Errorf("RootKey: %v", err)
	}
	if err := os.WriteFile(away, []byte("back"), 0o600); err != nil {
		t.Fatal(err)
	}
	if key, err := d.RootKey(1); string(key) != "back" || err != nil {
		t.Errorf("RootKey = %q, %v", key, err)
	}
	if err := os.Remove(filepath.Join(dir, "issuers/1/issuer.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Issuers(); !errors.Is(err, datadir.ErrIncomplete) {
		t.Errorf("Issuers without a key: %v", err)
	}
}

// put writes a file.
func put(name, text string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// chmod changes a mode.
func chmod(name string, mode os.FileMode) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRefusals changes a directory in one way each. Whatever is refused stays as it was.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name   string
		valid  bool // begin with a valid directory, else with an empty one
		change func(t *testing.T, dir string)
		want   error
		says   string
	}{
		{"readable by others", true, chmod("", 0o755), datadir.ErrExposed, "chmod 700 "},
		{"writable by its group", true, chmod("", 0o720), datadir.ErrExposed, "chmod 700 "},
		{"empty, writable by others", false, chmod("", 0o777), datadir.ErrExposed, "chmod 700 "},
		{"the root's key readable by others", true, chmod("roots/1/root.key", 0o604), datadir.ErrExposed, "roots/1/root.key"},
		{"an issuer's key readable by its group", true, chmod("issuers/1/issuer.key", 0o640), datadir.ErrExposed, "chmod 600 "},
		{"the HTTPS key readable by others", true, chmod("https/key.pem", 0o644), datadir.ErrExposed, "https/key.pem"},
		{"newer", true, put("cairn.json", `{"version":2,"created":"2030-01-01T00:00:00Z","more":[]}`), datadir.ErrNewer, "its layout is 2"},
		{"a broken marker", true, put("cairn.json", `{"vers`), datadir.ErrIncomplete, "cairn.json"},
		{"an empty marker", true, put("cairn.json", ``), datadir.ErrIncomplete, "cairn.json"},
		{"a marker without a version", true, put("cairn.json", `{}`), datadir.ErrIncomplete, "cairn.json"},
		{"the marker lost", true, func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "cairn.json")) }, datadir.ErrIncomplete, "no cairn.json"},
		{"a root lost", true, func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "roots/1/root.pem")) }, datadir.ErrIncomplete, "roots/1/root.pem"},
		{"another's file", false, put("thesis.tex", "x"), datadir.ErrForeign, "thesis.tex"},
		{"another's file beside an unfinished run", false, func(t *testing.T, dir string) {
			put("unfinished", "{}")(t, dir)
			put("thesis.tex", "x")(t, dir)
		}, datadir.ErrForeign, "thesis.tex"},
		{"another's file deep in an unfinished run", false, func(t *testing.T, dir string) {
			put("unfinished", "{}")(t, dir)
			os.MkdirAll(filepath.Join(dir, "roots/1"), 0o700)
			put("roots/1/notes", "x")(t, dir)
		}, datadir.ErrForeign, "roots/1/notes"},
		{"a link in an unfinished run", false, func(t *testing.T, dir string) {
			put("unfinished", "{}")(t, dir)
			os.Symlink("/etc", filepath.Join(dir, "roots"))
		}, datadir.ErrForeign, "roots"},
		{"another's empty directory", false, func(t *testing.T, dir string) { os.Mkdir(filepath.Join(dir, "photos"), 0o700) }, datadir.ErrForeign, "photos"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if test.valid {
				dir = newValid(t)
			} else if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			test.change(t, dir)
			before := content(t, dir)
			_, err := datadir.Open(datadir.Config{Dir: dir, Create: true})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), dir) {
				t.Errorf("Open: %v", err)
			}
			if after := content(t, dir); !slices.Equal(after, before) {
				t.Errorf("Open changed %q\nto %q", before, after)
			}
		})
	}
}

func TestExistingDirectories(t *testing.T) {
	t.Run("an empty one is taken over and closed", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		d := mustOpen(t, datadir.Config{Dir: dir, Create: true})
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 || !d.FirstRun() {
			t.Errorf("mode %v, %v, first run %v", info.Mode(), err, d.FirstRun())
		}
	})
	t.Run("the top of a file system is empty", func(t *testing.T) {
		dir := t.TempDir()
		if err := errors.Join(os.Chmod(dir, 0o700), os.Mkdir(filepath.Join(dir, "lost+found"), 0o700)); err != nil {
			t.Fatal(err)
		}
		d := mustOpen(t, datadir.Config{Dir: dir, Create: true})
		if err := fill(d, "1"); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "lost+found")); err != nil {
			t.Error(err)
		}
	})
	t.Run("none is made unless asked for", func(t *testing.T) {
		for _, c := range []datadir.Config{{Dir: t.TempDir() + "/x"}, {Dir: t.TempDir() + "/x", Create: true, ReadOnly: true}} {
			if _, err := datadir.Open(c); !errors.Is(err, datadir.ErrNotMade) {
				t.Errorf("Open: %v", err)
			}
			if _, err := os.Lstat(c.Dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("Open made something: %v", err)
			}
		}
	})
	t.Run("a file is not one", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := datadir.Open(datadir.Config{Dir: file, Create: true}); !errors.Is(err, datadir.ErrNotMade) {
			t.Errorf("Open: %v", err)
		}
	})
	t.Run("no path", func(t *testing.T) {
		if _, err := datadir.Open(datadir.Config{Create: true}); err == nil {
			t.Error("Open worked without a path")
		}
	})
}

// TestAnotherUsers needs a second user, whom only root can give something to:
// an ordinary user meets one everywhere, since / is root's.
func TestAnotherUsers(t *testing.T) {
	dir := "/"
	if os.Geteuid() == 0 {
		dir = newValid(t)
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, datadir.Config{Dir: dir, ReadOnly: true}) // root may look
	}
	if _, err := datadir.Open(datadir.Config{Dir: dir, Create: true}); !errors.Is(err, datadir.ErrExposed) || !strings.Contains(err.Error(), "belongs to user") {
		t.Errorf("Open: %v", err)
	}
}

// TestLock holds the directory in another process, as record locks are a process's.
func TestLock(t *testing.T) {
	dir := newValid(t)
	child := command(t, "hold", dir)
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil { // it holds the lock now
		t.Fatal(err)
	}
	_, err = datadir.Open(datadir.Config{Dir: dir, Create: true})
	if !errors.Is(err, datadir.ErrLocked) || !strings.Contains(err.Error(), "process "+itoa(child.Process.Pid)) {
		t.Errorf("Open while another process holds it: %v", err)
	}
	look := mustOpen(t, datadir.Config{Dir: dir, ReadOnly: true})
	if roots, err := look.Roots(); err != nil || len(roots) != 1 {
		t.Errorf("Roots = %+v, %v", roots, err)
	}
	if _, err := look.AddRoot([]byte("x"), []byte("x")); err == nil {
		t.Error("a directory opened for reading can be written to")
	}
	if err := errors.Join(stdin.Close(), child.Wait()); err != nil {
		t.Fatal(err)
	}
	d := mustOpen(t, datadir.Config{Dir: dir, Create: true})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.AddRoot([]byte("x"), []byte("x")); err == nil {
		t.Error("a closed directory can be written to")
	}
	var exit *exec.ExitError
	if err := command(t, "fill 2", dir).Run(); errors.As(err, &exit) {
		t.Errorf("another process cannot open it after Close: %v", err)
	}
}
