//go:build unix

package export_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/export"
)

// TestLinksOfOthers has root write where somebody else can put links: they lead to what is his, and to nothing else.
func TestLinksOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: nobody's rights are at stake but our own")
		return
	}
	const somebody = 65534
	directory := t.TempDir()
	at := func(name string) string { return filepath.Join(directory, name) }
	if err := errors.Join(
		os.Mkdir(at("roots"), 0o755), os.WriteFile(at("roots/shadow"), []byte("precious"), 0o600),
		os.Mkdir(at("home"), 0o755), os.Mkdir(at("home/own"), 0o755), os.Mkdir(at("home/plain"), 0o755),
		os.Symlink(at("roots/shadow"), at("home/file.pem")), os.Symlink(at("roots"), at("home/directory")), os.Symlink("own/a.pem", at("home/a.pem")),
		os.Symlink(at("roots"), at("home/rooted")), os.Symlink("loop", at("home/loop")), os.Symlink("../roots", at("home/up")),
		os.Symlink("../home/plain/e.pem", at("home/e.pem")), os.Symlink("../home/plain", at("roots/plain")),
	); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"home", "home/own", "home/file.pem", "home/directory", "home/a.pem", "home/loop", "home/up"} {
		if err := os.Lchown(at(name), somebody, somebody); err != nil {
			t.Fatal(err)
		}
	}
	m := material(t)
	for path, allowed := range map[string]bool{
		"home/file.pem": false, "home/directory/shadow": false, "home/directory/new.pem": false, "home/loop": false, "home/up/shadow": false,
		"home/a.pem": true, "home/rooted/b.pem": true, "home/plain/c.pem": true, "home/d.pem": true, "home/e.pem": true, "roots/plain/f.pem": true, "roots/plain/../plain/g.pem": true,
	} {
		if err := export.Write(m, export.Config{Combined: at(path), Group: -1}); (err == nil) != allowed {
			t.Errorf("%s: %v", path, err)
		}
	}
	if text, err := os.ReadFile(at("roots/shadow")); err != nil || string(text) != "precious" {
		t.Errorf("root's file is now %q, %v", text, err)
	}
	for path, want := range map[string]int{"roots": 3, "home/own": 1, "home": 10} { // nothing is left behind
		if entries, err := os.ReadDir(at(path)); err != nil || len(entries) != want {
			t.Errorf("%s: %v, %v", path, entries, err)
		}
	}
}
