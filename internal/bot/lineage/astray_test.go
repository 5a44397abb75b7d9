package lineage_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// TestLinksDoNotChooseWhereKeysGo leads the links of a lineage to a certificate of somebody
// else's, as anybody can who may write to live/NAME.
func TestLinksDoNotChooseWhereKeysGo(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	store := open(t, dirs)
	l := create(t, store, "a.example", ca.material(t, "a.example"))
	planted := filepath.Join(t.TempDir(), "planted")
	plant := func() {
		t.Helper()
		m := ca.material(t, "evil.example")
		for kind, text := range map[lineage.Kind][]byte{lineage.Cert: m.Cert, lineage.Key: m.Key, lineage.Chain: m.Chain, lineage.Fullchain: m.Fullchain} {
			file := filepath.Join(planted, string(kind)+"1.pem")
			write(t, file, string(text), 0o664)
			relinkTo(t, l.Path(kind), file)
		}
	}
	plant() // under a lineage that has been loaded already
	next := ca.material(t, "a.example")
	version, err := l.AddVersion(next)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dirs.Config, "archive/a.example/privkey2.pem")); err != nil || version != 2 || info.Mode() != 0o600 {
		t.Errorf("version %d: %v, %v", version, info, err)
	}
	if err := l.Deploy(version); err != nil {
		t.Fatal(err)
	}
	if m, err := live(dirs, "a.example"); err != nil || !same(m, next) {
		t.Error(err)
	}
	plant()
	for range 2 { // also after recovery
		if _, err := store.Load("a.example"); err == nil || !strings.Contains(err.Error(), "is not in the archive directory") {
			t.Errorf("loaded: %v", err)
		}
		store.Close()
		store = open(t, dirs)
	}
	if entries, err := os.ReadDir(planted); err != nil || len(entries) != 4 {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestArchiveOfAnotherSpelling is about links that reach the archive by another path.
func TestArchiveOfAnotherSpelling(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	store := open(t, dirs)
	l := create(t, store, "a.example", ca.material(t, "a.example"))
	alias := filepath.Join(t.TempDir(), "alias")
	if err := os.Symlink(dirs.Config, alias); err != nil {
		t.Fatal(err)
	}
	for _, kind := range lineage.Kinds() {
		relinkTo(t, l.Path(kind), filepath.Join(alias, "archive/a.example", string(kind)+"1.pem"))
	}
	l, err := store.Load("a.example")
	if err != nil || l.Version() != 1 {
		t.Fatal(err)
	}
	renew(t, l, ca.material(t, "a.example"))
	if target, err := os.Readlink(l.Path(lineage.Key)); err != nil || target != filepath.Join(alias, "archive/a.example/privkey2.pem") {
		t.Errorf("the link leads to %q, %v", target, err)
	}
}
