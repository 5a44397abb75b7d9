//go:build linux

package lineage_test

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

func TestPrepareMakesTheTree(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dirs := tempDirs(t)
	store := open(t, dirs)
	create(t, store, "a.example", newAuthority(t).material(t, "a.example"))
	for path, mode := range map[string]fs.FileMode{
		".": 0o755, "accounts": 0o700, "archive": 0o700, "live": 0o700, "renewal": 0o755,
		"renewal-hooks/pre": 0o755, "renewal-hooks/deploy": 0o755, "renewal-hooks/post": 0o755, "../lib": 0o755, "../log": 0o700,
		"archive/a.example": 0o755, "archive/a.example/cert1.pem": 0o644, "archive/a.example/chain1.pem": 0o644,
		"archive/a.example/fullchain1.pem": 0o644, "archive/a.example/privkey1.pem": 0o600,
		"live/a.example": 0o755, "live/README": 0o644, "live/a.example/README": 0o644, "renewal/a.example.conf": 0o644,
	} {
		if info, err := os.Stat(filepath.Join(dirs.Config, path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want %v", path, info, err, mode)
		}
	}
	for _, kind := range lineage.Kinds() {
		link := filepath.Join(dirs.Config, "live/a.example", string(kind)+".pem")
		if target, err := os.Readlink(link); err != nil || target != fmt.Sprintf("../../archive/a.example/%s1.pem", kind) {
			t.Errorf("%s leads to %q, %v", link, target, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dirs.Config, "renewal/a.example.conf"))
	want := strings.ReplaceAll(`version = 5.6.0
archive_dir = ETC/archive/a.example
cert = ETC/live/a.example/cert.pem
privkey = ETC/live/a.example/privkey.pem
chain = ETC/live/a.example/chain.pem
fullchain = ETC/live/a.example/fullchain.pem
[renewalparams]
account = 34ab0252e553ffb25c84ba951e632df4
server = https://localhost:14000/dir
authenticator = webroot
key_type = ecdsa
webroot_path = /var/www,
[[webroot_map]]
a.example = /var/www
`, "ETC", dirs.Config)
	if err != nil || string(text) != want {
		t.Errorf("the configuration is\n%s\nwant\n%s", text, want)
	}
}

func TestPrepareLeavesModesAlone(t *testing.T) {
	dirs := tempDirs(t)
	write(t, filepath.Join(dirs.Config, "live", "x"), "", 0o644)
	open(t, dirs).Close()
	if info, err := os.Stat(filepath.Join(dirs.Config, "live")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestCertbotTakesOver(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	store := open(t, dirs)
	l := create(t, store, "a.example", ca.material(t, "a.example", "b.example"))
	renew(t, l, ca.material(t, "a.example"))
	create(t, store, "odd name", ca.material(t, "c.example"))
	if err := l.Conf.SetOwn("note", "it's, #1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Save(); err != nil {
		t.Fatal(err)
	}
	store.Close()
	mustList(t, dirs, "a.example", "odd name")

	// Certbot renews it, as its save_successor does, and keeps what is ours.
	key, chain := ca.issue(t, ecKey(t, elliptic.P256()), "a.example")
	m, err := lineage.NewMaterial(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	certbotRenew(t, dirs, "a.example", m)
	store = open(t, dirs)
	if l, err = store.Load("a.example"); err != nil || l.Version() != 3 {
		t.Fatalf("%v, %v", l, err)
	}
	if got, err := l.Material(3); err != nil || !same(got, m) {
		t.Errorf("version 3: %v", err)
	}
	if note := l.Conf.Own("note"); note != "it's, #1" {
		t.Errorf("certbot has made %q of our note", note)
	}
	renew(t, l, ca.material(t, "a.example"))
	store.Close()
	mustList(t, dirs, "a.example", "odd name")
	if out, err := certbot(t, dirs, "delete", "--cert-name", "a.example"); err != nil {
		t.Errorf("certbot delete: %v\n%s", err, out)
	}
	for _, path := range []string{"live/a.example", "archive/a.example", "renewal/a.example.conf"} {
		if _, err := os.Lstat(filepath.Join(dirs.Config, path)); err == nil {
			t.Errorf("certbot has not deleted %s", path)
		}
	}
}

// configure gives Python certbot's configuration for a tree.
const configure = `
import sys
from certbot import configuration
from certbot._internal import cli, storage
from certbot._internal.plugins import disco
def read(path):
    with open(path, "rb") as f: return f.read()
top, name = sys.argv[1], sys.argv[2]
args = ["certonly", "--config-dir", sys.argv[3], "--work-dir", sys.argv[4], "--logs-dir", sys.argv[5], "-n", "--webroot", "-w", "/tmp", "-d", name,
    "--server", "https://localhost:14000/dir", "--key-type", "rsa", "--deploy-hook", 'echo "it, #1"', "--preferred-challenges", "http", "--http-01-port", "5002", "--reuse-key"]
config = configuration.NamespaceConfig(cli.prepare_and_parse_args(disco.PluginsRegistry.find_all(), args))
config.namespace.authenticator = "webroot" # what the choice of plugins does
config.namespace.webroot_map = {name: "/tmp"} # what the plugin does
cert, key, chain = [read(top + "/" + f) for f in ("cert.pem", "key.pem", "chain.pem")]
`

func certbotDo(t *testing.T, dirs lineage.Dirs, name string, m lineage.Material, script string) {
	t.Helper()
	top := t.TempDir()
	write(t, filepath.Join(top, "cert.pem"), string(m.Cert), 0o644)
	write(t, filepath.Join(top, "key.pem"), string(m.Key), 0o600)
	write(t, filepath.Join(top, "chain.pem"), string(m.Chain), 0o644)
	python(t, configure+script, nil, top, name, dirs.Config, dirs.Work, dirs.Logs)
}

func certbotRenew(t *testing.T, dirs lineage.Dirs, name string, m lineage.Material) {
	t.Helper()
	certbotDo(t, dirs, name, m, `
l = storage.RenewableCert(storage.renewal_file_for_certname(config, name), config)
l.ensure_deployed()
l.save_successor(l.latest_common_version(), cert, key, chain, config)
l.update_all_links_to(l.latest_common_version())
`)
}

func TestWeTakeOverFromCertbot(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	keyPEM, chain := ca.issue(t, rsaKey(t), "a.example")
	first, err := lineage.NewMaterial(keyPEM, chain)
	if err != nil {
		t.Fatal(err)
	}
	certbotDo(t, dirs, "a.example", first, `storage.RenewableCert.new_lineage(name, cert, key, chain, config)`)
	before, err := os.ReadFile(filepath.Join(dirs.Config, "renewal/a.example.conf"))
	if err != nil {
		t.Fatal(err)
	}
	store := open(t, dirs)
	l, err := store.Load("a.example")
	if err != nil || l.Version() != 1 {
		t.Fatalf("%+v, %v", l, err)
	}
	if m, err := l.Material(1); err != nil || !same(m, first) {
		t.Errorf("version 1: %v", err)
	}
	p, err := l.Conf.Params()
	want := lineage.Params{
		Server: "https://localhost:14000/dir", Authenticator: "webroot", KeyType: "rsa", WebrootPath: []string{"/tmp"}, HTTP01Port: 5002,
		WebrootMap: []lineage.Webroot{{Name: "a.example", Path: "/tmp"}}, DeployHook: `echo "it, #1"`, PreferredChallenges: []string{"http-01"}, ReuseKey: true,
		ConfigDir: dirs.Config, WorkDir: dirs.Work, LogsDir: dirs.Logs,
	}
	if err != nil || fmt.Sprint(p) != fmt.Sprint(want) {
		t.Errorf("got %+v, %v\nwant %+v", p, err, want)
	}
	if err := l.Conf.SetParams(p); err != nil || string(l.Conf.Bytes()) != string(before) {
		t.Errorf("setting what is set makes\n%s\nof\n%s(%v)", l.Conf.Bytes(), before, err)
	}
	renew(t, l, ca.material(t, "a.example"))
	store.Close()
	mustList(t, dirs, "a.example")
}

func TestKeysKeepGroupAndMode(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	l := create(t, open(t, dirs), "a.example", ca.material(t, "a.example"))
	for _, step := range []struct{ set, want fs.FileMode }{{0o600, 0o600}, {0o640, 0o640}, {0o644, 0o644}, {0o777, 0o674}, {0o400, 0o600}} {
		if err := os.Chmod(l.Path(lineage.Key), step.set); err != nil {
			t.Fatal(err)
		}
		group := os.Getgid()
		if os.Getuid() == 0 {
			group = 12345
		}
		if err := os.Chown(l.Path(lineage.Key), -1, group); err != nil {
			t.Fatal(err)
		}
		renew(t, l, ca.material(t, "a.example"))
		info, err := os.Stat(l.Path(lineage.Key))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != step.want || int(info.Sys().(*syscall.Stat_t).Gid) != group {
			t.Errorf("after %v: %v, group %d; want %v, %d", step.set, info.Mode(), info.Sys().(*syscall.Stat_t).Gid, step.want, group)
		}
	}
}

func TestDeployCarriesWhatIsNotOurs(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	l := create(t, open(t, dirs), "a.example", ca.material(t, "a.example"))
	directory := filepath.Join(dirs.Config, "live/a.example")
	write(t, filepath.Join(directory, "combined.pem"), "mine", 0o640)
	if err := os.Symlink("fullchain.pem", filepath.Join(directory, "alias.pem")); err != nil {
		t.Fatal(err)
	}
	relinkTo(t, l.Path(lineage.Cert), l.Archive()+"/cert1.pem") // absolute, as somebody may prefer
	if err := os.Symlink("../../archive/a.example/cert1.pem", filepath.Join(directory, "previous_cert.pem")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(directory, 0o2750); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(directory, 0o750|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	attribute := syscall.Setxattr(directory, "user.note", []byte("mine"), 0)
	readme, err := os.ReadFile(filepath.Join(directory, "README"))
	if err != nil {
		t.Fatal(err)
	}
	renew(t, l, ca.material(t, "a.example"))
	info, err := os.Stat(directory)
	if err != nil || info.Mode() != fs.ModeDir|fs.ModeSetgid|0o750 {
		t.Errorf("the directory is %v, %v", info.Mode(), err)
	}
	value := make([]byte, 10)
	if n, err := syscall.Getxattr(directory, "user.note", value); attribute == nil && string(value[:max(n, 0)]) != "mine" {
		t.Errorf("its attribute is %q, %v", value[:max(n, 0)], err)
	}
	for name, want := range map[string]string{"combined.pem": "mine", "README": string(readme)} {
		if text, err := os.ReadFile(filepath.Join(directory, name)); err != nil || string(text) != want {
			t.Errorf("%s is %q, %v", name, text, err)
		}
	}
	for name, want := range map[string]string{
		"alias.pem": "fullchain.pem", "cert.pem": l.Archive() + "/cert2.pem", "chain.pem": "../../archive/a.example/chain2.pem",
	} {
		if target, err := os.Readlink(filepath.Join(directory, name)); err != nil || target != want {
			t.Errorf("%s leads to %q, %v", name, target, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(directory, "previous_cert.pem")); err == nil {
		t.Error("certbot would go back to previous_cert.pem")
	}
}

func TestDeployAroundAForeignDirectory(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	l := create(t, open(t, dirs), "a.example", ca.material(t, "a.example"))
	write(t, filepath.Join(l.Live(), "sub", "mine"), "mine", 0o640)
	before, err := os.Stat(l.Live())
	if err != nil {
		t.Fatal(err)
	}
	next := ca.material(t, "a.example")
	renew(t, l, next)
	if m, err := live(dirs, "a.example"); err != nil || !same(m, next) {
		t.Error(err)
	}
	if after, err := os.Stat(l.Live()); err != nil || !os.SameFile(before, after) {
		t.Errorf("the directory has been exchanged: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(l.Live(), "sub", "mine")); err != nil || string(text) != "mine" {
		t.Errorf("the foreign file is %q, %v", text, err)
	}
}

func TestPruneKeepsSix(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	l := create(t, open(t, dirs), "a.example", ca.material(t, "a.example"))
	for range 7 {
		renew(t, l, ca.material(t, "a.example"))
	}
	if versions, err := l.Versions(); err != nil || !slices.Equal(versions, []int{3, 4, 5, 6, 7, 8}) {
		t.Errorf("got %v, %v", versions, err)
	}
	// An old key that a kept version still needs, as certbot's --reuse-key made them.
	relinkTo(t, filepath.Join(l.Archive(), "privkey4.pem"), "privkey3.pem")
	renew(t, l, ca.material(t, "a.example"))
	if _, err := os.Stat(filepath.Join(l.Archive(), "privkey4.pem")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(l.Archive(), "cert3.pem")); err == nil {
		t.Error("cert3.pem is still there")
	}
	// Numbers go up, whatever has been removed.
	for _, kind := range []lineage.Kind{lineage.Cert, lineage.Key} {
		if err := os.WriteFile(filepath.Join(l.Archive(), string(kind)+"41.pem"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if version := renew(t, l, ca.material(t, "a.example")); version != 42 {
		t.Errorf("the version after a broken 41 is %d", version)
	}
}

func TestCreateFindsAName(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	store := open(t, dirs)
	m := ca.material(t, "a.example")
	write(t, filepath.Join(dirs.Config, "archive/a.example-0002/cert1.pem"), "foreign", 0o644)
	if err := os.MkdirAll(filepath.Join(dirs.Config, "live/a.example-0003"), 0o755); err != nil {
		t.Fatal(err) // empty: not in the way
	}
	write(t, filepath.Join(dirs.Config, "renewal/a.example-0004.conf"), "", 0o644)
	for _, want := range []string{"a.example", "a.example-0001", "a.example-0003", "a.example-0005"} {
		if l := create(t, store, "a.example", m); l.Name != want {
			t.Errorf("got %s, want %s", l.Name, want)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(dirs.Config, "archive/a.example-0002/cert1.pem")); string(text) != "foreign" {
		t.Error("a foreign file was touched")
	}
	for _, name := range []string{"", ".", "..", ".a", "a/b", "../a", "a\x00", strings.Repeat("a", 251)} {
		if _, err := store.Create(name, m, setup); err == nil {
			t.Errorf("%q is a name", name)
		}
		if _, err := store.Load(name); err == nil {
			t.Errorf("%q can be loaded", name)
		}
	}
	for _, length := range []int{220, 221, 245} {
		l := create(t, store, strings.Repeat("a", length), m)
		write(t, filepath.Join(l.Live(), "sub", "mine"), "", 0o644) // for deployment link by link
		if renew(t, l, ca.material(t, "a.example")) != 2 {
			t.Error("a long name cannot be renewed")
		}
		if err := os.RemoveAll(filepath.Join(l.Live(), "sub")); err != nil {
			t.Fatal(err)
		}
		if renew(t, l, ca.material(t, "a.example")) != 3 || create(t, store, l.Name, m).Name != l.Name+"-0001" {
			t.Error("a long name cannot be renewed, or used twice")
		}
	}
	if _, err := store.Create(strings.Repeat("a", 246), m, setup); err == nil {
		t.Error("a name of 246 bytes is taken for a new certificate")
	}
}

func TestRecoverLeavesOthersAlone(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	store := open(t, dirs)
	create(t, store, "a.example", ca.material(t, "a.example"))
	store.Close()
	for _, path := range []string{
		"renewal/empty.conf", "renewal/broken.conf", "archive/orphan/cert1.pem", "archive/orphan/privkey1.pem", "live/orphan/README",
		"live/a.example/.hidden", "archive/a.example/cert2.pem", "renewal/.a.conf.swp", "live/.cairn", "accounts/x/tmp",
	} {
		write(t, filepath.Join(dirs.Config, path), "", 0o600)
	}
	before := snapshot(t, dirs.Config)
	open(t, dirs).Close()
	if after := snapshot(t, dirs.Config); before != after {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
}

func TestRecoverRepairsCertbotsCrash(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	store := open(t, dirs)
	l := create(t, store, "a.example", ca.material(t, "a.example"))
	next := ca.material(t, "a.example")
	if _, err := l.AddVersion(next); err != nil {
		t.Fatal(err)
	}
	// A version that is there in full but broken must not be chosen.
	for _, kind := range lineage.Kinds() {
		write(t, filepath.Join(l.Archive(), string(kind)+"3.pem"), "x", 0o600)
	}
	store.Close()
	relinkTo(t, l.Path(lineage.Cert), "../../archive/a.example/cert2.pem")
	if err := os.Remove(l.Path(lineage.Key)); err != nil { // between certbot's unlink and symlink
		t.Fatal(err)
	}
	store = open(t, dirs)
	if l, err := store.Load("a.example"); err != nil || l.Version() != 2 {
		t.Fatalf("%v, %v", l, err)
	}
	if m, err := live(dirs, "a.example"); err != nil || !same(m, next) {
		t.Error(err)
	}
}

func TestListTellsWhatIsBroken(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	store := open(t, dirs)
	for _, name := range []string{"b.example", "a.example", "copied", "dangling"} {
		create(t, store, name, ca.material(t, name))
	}
	write(t, filepath.Join(dirs.Config, "renewal/empty.conf"), "", 0o644)
	write(t, filepath.Join(dirs.Config, "renewal/garbage.conf"), "cert = \"x", 0o644)
	write(t, filepath.Join(dirs.Config, "renewal/noise"), "", 0o644)
	copied := filepath.Join(dirs.Config, "live/copied/cert.pem")
	if err := os.Remove(copied); err != nil {
		t.Fatal(err)
	}
	write(t, copied, "x", 0o644)
	if err := os.Remove(filepath.Join(dirs.Config, "archive/dangling/cert1.pem")); err != nil { // and there is no other version
		t.Fatal(err)
	}
	list, broken, err := store.List()
	if err != nil || len(list) != 2 || list[0].Name != "a.example" || list[1].Name != "b.example" {
		t.Errorf("got %v, %v", list, err)
	}
	var names []string
	for _, b := range broken {
		names = append(names, filepath.Base(b.Path))
		if b.Err == nil || errors.Is(b.Err, fs.ErrNotExist) {
			t.Errorf("%s: %v", b.Path, b.Err)
		}
	}
	if !slices.Equal(names, []string{"copied.conf", "dangling.conf", "empty.conf", "garbage.conf"}) {
		t.Errorf("broken are %v", names)
	}
	if _, err := store.Load("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is not there: %v", err)
	}
}

func TestFindAndDelete(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	store := open(t, dirs)
	a, b := create(t, store, "a.example", ca.material(t, "a.example")), create(t, store, "b.example", ca.material(t, "b.example"))
	renew(t, a, ca.material(t, "a.example"))
	for path, want := range map[string]string{
		a.Path(lineage.Cert): a.Name, a.Path(lineage.Fullchain): a.Name, a.Archive() + "/cert1.pem": a.Name, b.Path(lineage.Cert): b.Name,
		a.Path(lineage.Key): "", a.Path(lineage.Chain): "", a.ConfPath(): "", "/none": "",
	} {
		l, err := store.Find(path)
		if want == "" {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v, %v", path, l, err)
			}
		} else if err != nil || l.Name != want {
			t.Errorf("%s: %v, %v", path, l, err)
		}
	}
	write(t, filepath.Join(a.Live(), "mine"), "x", 0o644)
	if err := store.Delete(a.Name); err != nil {
		t.Fatal(err)
	}
	if left := snapshot(t, dirs.Config); strings.Count(left, "/a.example") != 3 || !strings.Contains(left, "live/a.example/mine") { // the directory, mine and the README
		t.Errorf("what is left:\n%s", left)
	}
	if err := store.Delete(a.Name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("once more: %v", err)
	}
	text := strings.ReplaceAll(string(b.Conf.Bytes()), "live/b.example", "live/c")
	write(t, filepath.Join(dirs.Config, "renewal/c.conf"), text, 0o644)
	for _, kind := range lineage.Kinds() {
		link := filepath.Join(dirs.Config, "live/c", string(kind)+".pem")
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink("../../archive/b.example/"+string(kind)+"1.pem", link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Delete(b.Name); !errors.Is(err, lineage.ErrShared) {
		t.Errorf("with a shared archive: %v", err)
	}
	if m, err := live(dirs, "b.example"); err != nil || m.Cert == nil {
		t.Error(err)
	}
}

func TestLinksElsewhere(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	store := open(t, dirs)
	l := create(t, store, "a.example", ca.material(t, "a.example"))
	elsewhere := filepath.Join(t.TempDir(), "ssl")
	write(t, filepath.Join(elsewhere, "other.key"), "x", 0o600)
	text := string(l.Conf.Bytes())
	for _, kind := range lineage.Kinds() {
		link := filepath.Join(elsewhere, "my-"+string(kind)+".pem")
		if err := os.Symlink(filepath.Join(l.Archive(), string(kind)+"1.pem"), link); err != nil {
			t.Fatal(err)
		}
		text = strings.ReplaceAll(text, l.Path(kind), link)
	}
	write(t, l.ConfPath(), text, 0o644)
	l, err := store.Load("a.example")
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	next := ca.material(t, "a.example")
	renew(t, l, next)
	after, err := os.Stat(elsewhere)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("somebody else's directory has been exchanged: %v", err)
	}
	if target, err := os.Readlink(l.Path(lineage.Key)); err != nil || target != l.Archive()+"/privkey2.pem" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	store.Close()
	mustList(t, dirs, "a.example")
}

func TestMaterialMustFit(t *testing.T) {
	dirs, ca := tempDirs(t), newAuthority(t)
	store := open(t, dirs)
	good, other := ca.material(t, "a.example"), ca.material(t, "a.example")
	l := create(t, store, "a.example", good)
	for name, m := range map[string]lineage.Material{
		"another key":   {Key: other.Key, Cert: good.Cert, Chain: good.Chain, Fullchain: good.Fullchain},
		"another chain": {Key: good.Key, Cert: good.Cert, Chain: good.Chain, Fullchain: other.Fullchain},
		"no key":        {Cert: good.Cert, Chain: good.Chain, Fullchain: good.Fullchain},
		"nothing":       {},
		"garbage":       {Key: []byte("x"), Cert: []byte("x"), Fullchain: []byte("x")},
	} {
		if _, err := store.Create("b.example", m, setup); err == nil {
			t.Errorf("%s: a lineage was made", name)
		}
		if version, err := l.AddVersion(m); err == nil {
			t.Errorf("%s: version %d was added", name, version)
		}
	}
	if _, err := lineage.NewMaterial(other.Key, good.Fullchain); err == nil {
		t.Error("another key was taken")
	}
	if _, err := lineage.NewMaterial(good.Key, append(good.Key, good.Fullchain...)); err == nil {
		t.Error("a private key was taken for a certificate")
	}
	if err := l.Deploy(2); err == nil {
		t.Error("a version that is not there was deployed")
	}
	write(t, filepath.Join(l.Archive(), "cert2.pem"), string(other.Cert), 0o644)
	for _, kind := range []lineage.Kind{lineage.Key, lineage.Chain, lineage.Fullchain} {
		write(t, filepath.Join(l.Archive(), string(kind)+"2.pem"), "x", 0o644)
	}
	if err := l.Deploy(2); err == nil || l.Version() != 1 {
		t.Errorf("a broken version was deployed: %v", err)
	}
}
