package lineage_test

import (
	"crypto/elliptic"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

func TestRename(t *testing.T) {
	dirs := dirsBelow(t.TempDir())
	store, ca := open(t, dirs), newAuthority(t)
	l := create(t, store, "a.example", ca.material(t, "a.example"))
	m := ca.material(t, "a.example")
	renew(t, l, m)
	write(t, filepath.Join(l.Live(), "combined.pem"), "mine", 0o640)
	create(t, store, "c.example", ca.material(t, "c.example"))
	before := string(l.Conf.Bytes())

	for name, want := range map[string]error{"c.example": fs.ErrExist, "../x": nil, "": nil, strings.Repeat("x", 249): nil, "a.example": fs.ErrExist} {
		if err := store.Rename("a.example", name, false); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("renamed to %.20q: %v", name, err)
		}
	}
	if err := store.Rename("nosuch", "d.example", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nosuch: %v", err)
	}
	if err := store.Rename("a.example", "b.example", false); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	mustList(t, dirs, "b.example", "c.example")
	store = open(t, dirs)
	l, err := store.Load("b.example")
	if err != nil {
		t.Fatal(err)
	}
	if now, err := l.Material(l.Version()); err != nil || l.Version() != 2 || !same(now, m) {
		t.Errorf("version %d, %v", l.Version(), err)
	}
	if text, err := os.ReadFile(filepath.Join(l.Live(), "combined.pem")); err != nil || string(text) != "mine" {
		t.Errorf("the foreign file has become %q, %v", text, err)
	}
	if want := strings.NewReplacer("archive/a.example", "archive/b.example", "live/a.example", "live/b.example").Replace(before); string(l.Conf.Bytes()) != want {
		t.Errorf("the configuration is\n%swant\n%s", l.Conf.Bytes(), want)
	}
	for _, path := range []string{"live/a.example", "archive/a.example", "renewal/a.example.conf"} {
		if _, err := os.Lstat(filepath.Join(dirs.Config, path)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	renew(t, l, ca.material(t, "a.example"))
	if err := store.Rename("b.example", "d.example", true); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(filepath.Join(dirs.Config, "live/b.example")); err != nil || target != "d.example" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if _, err := live(dirs, "b.example"); err != nil {
		t.Errorf("by the old name: %v", err)
	}
}

// TestRenameOfReusedKeys has a key that is a link to that of the version before, as certbot 2 made it.
func TestRenameOfReusedKeys(t *testing.T) {
	dirs := dirsBelow(t.TempDir())
	store, ca := open(t, dirs), newAuthority(t)
	l := create(t, store, "a.example", ca.material(t, "a.example"))
	renew(t, l, ca.material(t, "a.example"))
	one := filepath.Join(l.Archive(), "privkey1.pem")
	key, err := os.ReadFile(filepath.Join(l.Archive(), "privkey2.pem"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, one, string(key), 0o600)
	two := filepath.Join(l.Archive(), "privkey2.pem")
	if err := errors.Join(os.Remove(two), os.Symlink(one, two)); err != nil {
		t.Fatal(err)
	}
	if err := store.Rename("a.example", "b.example", false); err != nil {
		t.Fatal(err)
	}
	if _, err := live(dirs, "b.example"); err != nil {
		t.Error(err)
	}
}

func TestNextKey(t *testing.T) {
	dirs := dirsBelow(t.TempDir())
	store, ca := open(t, dirs), newAuthority(t)
	accounts, err := store.Accounts(params.Server)
	if err != nil {
		t.Fatal(err)
	}
	old := &lineage.Account{Key: ecKey(t, elliptic.P256()), URL: "https://localhost:14000/account/1", Host: "here"}
	if err := accounts.Save(old); err != nil {
		t.Fatal(err)
	}
	if key, err := accounts.Next(old.ID()); key != nil || err != nil {
		t.Errorf("there is a next key: %v", err)
	}
	next := ecKey(t, elliptic.P256())
	if err := accounts.SaveNext(old.ID(), next); err != nil {
		t.Fatal(err)
	}
	if key, err := accounts.Next(old.ID()); err != nil || !next.Equal(key) {
		t.Errorf("the next key is another: %v", err)
	}
	if err := accounts.DropNext(old.ID()); err != nil {
		t.Fatal(err)
	}
	if key, err := accounts.Next(old.ID()); key != nil || err != nil {
		t.Errorf("there is still a next key: %v", err)
	}
	if err := accounts.SaveNext("0123", next); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such account: %v", err)
	}
	fresh := old.WithKey(next)
	if fresh.ID() == old.ID() || fresh.URL != old.URL {
		t.Errorf("%+v", fresh)
	}
	with := params
	with.Account = old.ID()
	if _, err := store.Create("a.example", ca.material(t, "a.example"), lineage.Setup{Params: with}); err != nil {
		t.Fatal(err)
	}
	create(t, store, "b.example", ca.material(t, "b.example"))
	if err := store.ReplaceAccount(params.Server, old.ID(), fresh.ID()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a.example": fresh.ID(), "b.example": params.Account} {
		l, err := store.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if now, err := l.Conf.Params(); err != nil || now.Account != want {
			t.Errorf("%s has the account %s, %v", name, now.Account, err)
		}
	}
	if err := accounts.Remove(old.ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dirs.Config, "accounts/localhost:14000/dir")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of no accounts: %v", err)
	}
}
