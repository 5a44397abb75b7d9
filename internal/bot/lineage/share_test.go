package lineage_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// TestKeysForOthers gives keys to a group, those there are and those to come.
func TestKeysForOthers(t *testing.T) {
	dirs := dirsBelow(t.TempDir())
	store, ca := open(t, dirs), newAuthority(t)
	group := strconv.Itoa(os.Getgid()) // of those that anybody may give files to
	l, err := store.Create("a.example", ca.material(t, "a.example"), lineage.Setup{Params: params,
		Own: map[string]string{lineage.OwnKeyMode: "0640", lineage.OwnKeyGroup: group}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.ShareKeys(); err != nil {
			t.Fatal(err)
		}
	}
	renew(t, l, ca.material(t, "a.example"))
	for path, want := range map[string]os.FileMode{"archive/a.example/privkey1.pem": 0o640, "archive/a.example/privkey2.pem": 0o640, "archive": 0o711, "live": 0o711} {
		if info, err := os.Stat(filepath.Join(dirs.Config, path)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has the mode %s, %v", path, info.Mode().Perm(), err)
		}
	}
	if err := l.Conf.SetOwn(lineage.OwnKeyMode, "0600"); err != nil {
		t.Fatal(err)
	}
	if err := l.ShareKeys(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(l.Archive(), "privkey1.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("closed again, it has the mode %s, %v", info.Mode().Perm(), err)
	}
	for _, wrong := range []string{"0666", "0440", "0755", "4640", "640x", ""} {
		if mode, err := lineage.ParseKeyMode(wrong); err == nil {
			t.Errorf("%q is the mode %s", wrong, mode)
		}
	}
	if err := l.Conf.SetOwn(lineage.OwnKeyGroup, "no such group"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AddVersion(ca.material(t, "a.example")); err == nil {
		t.Error("a key for a group that does not exist was written")
	}
}
