//go:build unix

package solve_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/solve"
)

func webroot(t *testing.T, root string) *solve.Webroot {
	t.Helper()
	w, err := solve.NewWebroot(solve.WebrootConfig{Roots: map[string]string{"a.test": root}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestWebrootRemovesOnlyWhatItMade has the webroot's owner put another directory in the
// place of the challenges' while the CA looks.
func TestWebrootRemovesOnlyWhatItMade(t *testing.T) {
	token := "shadow" + padding
	for _, swapped := range []string{".well-known", ".well-known/acme-challenge"} {
		root, victim := t.TempDir(), t.TempDir()
		file := filepath.Join(victim, token)
		if swapped == ".well-known" {
			file = filepath.Join(victim, "acme-challenge", token)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		w := webroot(t, root)
		if err := w.Present(t.Context(), challenge("a.test", token)); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(root, swapped), filepath.Join(root, "old")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(victim, filepath.Join(root, swapped)); err != nil {
			t.Fatal(err)
		}
		if err := w.CleanUp(t.Context(), challenge("a.test", token)); err != nil {
			t.Errorf("%s: %v", swapped, err)
		}
		if text, err := os.ReadFile(file); string(text) != "precious" {
			t.Errorf("%s: a file outside the webroot is gone: %v", swapped, err)
		}
		if found, _ := filepath.Glob(filepath.Join(root, "old", "*", token)); len(found) > 0 {
			t.Errorf("%s: %v is left", swapped, found)
		}
	}
}

// TestWebrootFollowsNoLinkToWhatIsNotTheOwners is about root, which can do more than who made the link.
func TestWebrootFollowsNoLinkToWhatIsNotTheOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: nobody's rights are at stake but our own")
		return
	}
	const user, other = 65534, 65533
	for _, c := range []struct {
		name         string
		link, target int // their owners
		followed     bool
	}{
		{"to what is root's", user, 0, false},
		{"to what is another's", user, other, false},
		{"to what is the link's owner's", user, user, true},
		{"root's own", 0, other, true},
	} {
		root, target := t.TempDir(), t.TempDir()
		link := filepath.Join(root, ".well-known")
		for _, err := range []error{os.Symlink(target, link), os.Lchown(link, c.link, c.link), os.Chown(target, c.target, c.target), os.Chown(root, user, user)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		w, one := webroot(t, root), challenge("a.test", "one"+padding)
		err := w.Present(t.Context(), one)
		if (err == nil) != c.followed || err != nil && !strings.Contains(err.Error(), "belongs to somebody else") {
			t.Errorf("%s: %v", c.name, err)
		}
		info, statErr := os.Stat(filepath.Join(target, "acme-challenge"))
		if (statErr == nil) != c.followed {
			t.Errorf("%s: made a directory: %v", c.name, statErr)
		}
		if statErr == nil && info.Sys().(*syscall.Stat_t).Uid != 0 {
			t.Errorf("%s: a directory behind a link was given away", c.name)
		}
		if err := w.CleanUp(t.Context(), one); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(target); len(left) != 0 {
			t.Errorf("%s: %v is left", c.name, left)
		}
	}
}

func TestWebrootDoesNotWaitForAPipe(t *testing.T) {
	root := t.TempDir()
	directory := filepath.Join(root, ".well-known/acme-challenge")
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(directory, "one"+padding), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := webroot(t, root).Present(t.Context(), challenge("a.test", "one"+padding)); err == nil {
		t.Error("a pipe was taken for an answer")
	}
}

// TestWebrootGoesOnWithHalfAnAnswer is about a run that was killed while it wrote the file, or before everyone might read it.
func TestWebrootGoesOnWithHalfAnAnswer(t *testing.T) {
	root := t.TempDir()
	directory := filepath.Join(root, ".well-known", "acme-challenge")
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	c := challenge("a.test", "half-an-answer-was-left-there")
	path := filepath.Join(directory, c.Token)
	for _, left := range []string{"", c.KeyAuthorization[:5], c.KeyAuthorization} {
		if err := os.WriteFile(path, []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		w := webroot(t, root)
		if err := w.Present(t.Context(), c); err != nil {
			t.Fatalf("%q was left: %v", left, err)
		}
		text, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || string(text) != c.KeyAuthorization || info.Mode() != 0o644 {
			t.Errorf("%q was left: it holds %q, %v, %v", left, text, info.Mode(), errors.Join(err, statErr))
		}
		if err := w.CleanUp(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
}
