//go:build linux

package lineage_test

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// TestMain also serves as the process that is killed: "child OPERATION TOP".
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "child" {
		runtime.LockOSThread() // the calls are counted for each thread
		if err := operate(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// operate does one thing to the tree below top, with the material in top/next.
func operate(operation, top string) error {
	store, err := lineage.Open(dirsBelow(top))
	if err != nil {
		return err
	}
	if err := errors.Join(store.Unrecovered(), operateOn(store, operation, top), store.Close()); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return nil
}

func operateOn(store *lineage.Store, operation, top string) error {
	m, err := nextMaterial(top)
	if err != nil {
		return err
	}
	if operation == "create" {
		_, err := store.Create("a.example", m, lineage.Setup{Params: params, Own: map[string]string{"ca_bundle": "/root.pem"}})
		return err
	}
	if operation == "open" {
		return nil
	}
	if operation == "rename" {
		return store.Rename("a.example", "b.example", true)
	}
	if operation == "delete" {
		return store.Delete("a.example")
	}
	l, err := store.Load("a.example")
	if err != nil {
		return err
	}
	version, err := l.AddVersion(m)
	if err != nil {
		return err
	}
	if err := l.Conf.SetOwn("renewed", strconv.Itoa(version)); err != nil {
		return err
	}
	return errors.Join(l.Save(), l.Deploy(version), l.Prune())
}

func dirsBelow(top string) lineage.Dirs {
	return lineage.Dirs{Config: filepath.Join(top, "etc"), Work: filepath.Join(top, "lib"), Logs: filepath.Join(top, "log")}
}

func nextMaterial(top string) (lineage.Material, error) {
	key, err := os.ReadFile(filepath.Join(top, "next", "key.pem"))
	if err != nil {
		return lineage.Material{}, err
	}
	chain, err := os.ReadFile(filepath.Join(top, "next", "chain.pem"))
	if err != nil {
		return lineage.Material{}, err
	}
	return lineage.NewMaterial(key, chain)
}

// durable are the calls that change a file system, or make a change last.
var durable = []string{
	"mkdirat", "linkat", "symlinkat", "renameat", "renameat2", "unlinkat", "write", "fsync",
	"fchmod", "fchmodat", "fchown", "fchownat", "setxattr",
}

// crashes does an operation again and again, each time in a new scene, and
// kills it before each of its durable calls in turn: before the first mkdirat,
// before the second, and so on. What the process has done by then is all that
// a crash there leaves. The last run is not killed.
func crashes(t *testing.T, operation, refuse string, begin func() scene, check func(s scene, at string, killed bool)) {
	t.Helper()
	points := 0
	for _, call := range durable {
		if call == refuse {
			continue
		}
		for n := 1; ; n++ {
			s := begin()
			at := fmt.Sprintf("%s %d", call, n)
			if !kill(t, operation, s.top, at, "inject="+call+":signal=KILL:when="+strconv.Itoa(n), refuse) {
				break
			}
			check(s, at, true)
			points++
		}
	}
	s := begin()
	kill(t, operation, s.top, "end", "inject=rmdir:signal=KILL", refuse)
	check(s, "end", false)
	t.Logf("%d points to crash at", points)
	if points < 15 {
		t.Errorf("%s makes only %d durable calls: are they being counted?", operation, points)
	}
}

// kill runs an operation under strace, which is to kill it, and to refuse one
// call. It reports whether it was killed.
func kill(t *testing.T, operation, top, at, inject, refuse string) bool {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: install the Debian package strace")
	}
	args := []string{"-f", "-o", os.DevNull, "-e", "trace=" + strings.Join(durable, ","), "-e", inject}
	if refuse != "" {
		args = append(args, "-e", "inject="+refuse+":error=EINVAL")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(strace, append(args, self, "child", operation, top)...)
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			return true
		}
	}
	if err != nil {
		t.Fatalf("%s, to be killed before %s: %v\n%s", operation, at, err, out)
	}
	return false
}

// scene is a tree with a lineage in its first version, and material for the next.
type scene struct {
	top      string
	dirs     lineage.Dirs
	old, new lineage.Material
}

func newScene(t *testing.T, ca *authority, withLineage bool) scene {
	t.Helper()
	s := scene{top: t.TempDir()}
	s.dirs = dirsBelow(s.top)
	key, chain := ca.issue(t, ecKey(t, elliptic.P256()), "a.example")
	write(t, filepath.Join(s.top, "next", "key.pem"), string(key), 0o600)
	write(t, filepath.Join(s.top, "next", "chain.pem"), string(chain), 0o644)
	var err error
	if s.new, err = nextMaterial(s.top); err != nil {
		t.Fatal(err)
	}
	store := open(t, s.dirs)
	if withLineage {
		s.old = ca.material(t, "a.example")
		create(t, store, "a.example", s.old)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

// noLeftovers checks that nothing unfinished is to be seen after recovery.
func noLeftovers(t *testing.T, s scene) {
	t.Helper()
	err := filepath.WalkDir(s.top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(entry.Name(), ".cairnbot") {
			t.Errorf("left over: %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// recovered opens the tree after a crash, and once more to see that nothing changes.
func recovered(t *testing.T, s scene) *lineage.Store {
	t.Helper()
	if err := open(t, s.dirs).Close(); err != nil {
		t.Fatal(err)
	}
	noLeftovers(t, s)
	before := snapshot(t, s.top)
	if err := open(t, s.dirs).Close(); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t, s.top); before != after {
		t.Errorf("recovering twice is not recovering once:\n%s\nthen\n%s", before, after)
	}
	return open(t, s.dirs)
}

func TestCreateSurvivesCrashes(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	crashes(t, "create", "", func() scene { return newScene(t, ca, false) }, func(s scene, at string, killed bool) {
		store := recovered(t, s)
		list, broken, err := store.List()
		if err != nil || len(broken) != 0 || len(list) > 1 || !killed && len(list) != 1 {
			t.Fatalf("killed before %s: %v, %v, %v", at, list, broken, err)
		}
		if len(list) == 0 {
			// The name is free again.
			if l := create(t, store, "a.example", s.new); l.Name != "a.example" {
				t.Errorf("killed before %s: the next try makes %s", at, l.Name)
			}
		} else if list[0].Conf.Own("ca_bundle") != "/root.pem" {
			t.Errorf("killed before %s: our own key is lost", at)
		}
		if m, err := live(s.dirs, "a.example"); err != nil || !same(m, s.new) {
			t.Errorf("killed before %s: %v", at, err)
		}
		store.Close()
		noLeftovers(t, s)
		if !killed {
			mustList(t, s.dirs, "a.example")
		}
	})
}

func TestDeploySurvivesCrashes(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, way := range []struct {
		name, refuse string
		atOnce       bool // the old version or the new, even before recovery
	}{
		{name: "exchange", atOnce: true},
		{name: "exchange refused", refuse: "renameat2"},
	} {
		t.Run(way.name, func(t *testing.T) {
			var foreign string
			begin := func() scene {
				s := newScene(t, ca, true)
				foreign = filepath.Join(s.dirs.Config, "live/a.example/combined.pem")
				write(t, foreign, "mine", 0o640)
				return s
			}
			crashes(t, "renew", way.refuse, begin, func(s scene, at string, killed bool) {
				if m, err := live(s.dirs, "a.example"); way.atOnce && (err != nil || !same(m, s.old) && !same(m, s.new)) {
					t.Fatalf("killed before %s: live is neither old nor new: %v", at, err)
				}
				checkDeployed(t, s, at, killed)
				if text, err := os.ReadFile(foreign); err != nil || string(text) != "mine" {
					t.Errorf("killed before %s: a foreign file has become %q, %v", at, text, err)
				}
				if !killed {
					mustList(t, s.dirs, "a.example")
				}
			})
		})
	}
}

// checkDeployed recovers, and then does again what was interrupted.
func checkDeployed(t *testing.T, s scene, at string, killed bool) {
	t.Helper()
	store := recovered(t, s)
	m, err := live(s.dirs, "a.example")
	if err != nil || !same(m, s.old) && !same(m, s.new) || !killed && !same(m, s.new) {
		t.Fatalf("killed before %s: live is neither old nor new: %v", at, err)
	}
	l, err := store.Load("a.example")
	if err != nil {
		t.Fatal(err)
	}
	if l.Version() == 1 {
		if version := renew(t, l, s.new); version != 2 {
			t.Errorf("killed before %s: the next try makes version %d", at, version)
		}
	}
	if m, err := live(s.dirs, "a.example"); err != nil || !same(m, s.new) || l.Version() != 2 {
		t.Errorf("killed before %s, then done again: version %d, %v", at, l.Version(), err)
	}
	if versions, err := l.Versions(); err != nil || !slices.Equal(versions, []int{1, 2}) {
		t.Errorf("killed before %s, then done again: versions %v, %v", at, versions, err)
	}
	store.Close()
	noLeftovers(t, s)
}

func TestDeleteSurvivesCrashes(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	crashes(t, "delete", "", func() scene { return newScene(t, ca, true) }, func(s scene, at string, killed bool) {
		store := recovered(t, s)
		list, broken, err := store.List()
		if err != nil || len(broken) != 0 || len(list) > 1 || !killed && len(list) != 0 {
			t.Fatalf("killed before %s: %v, %v, %v", at, list, broken, err)
		}
		if len(list) == 1 {
			if m, err := live(s.dirs, "a.example"); err != nil || !same(m, s.old) {
				t.Errorf("killed before %s: it is there, but not whole: %v", at, err)
			}
		} else if l := create(t, store, "a.example", s.new); l.Name != "a.example" {
			t.Errorf("killed before %s: the name is not free: %s", at, l.Name)
		}
		store.Close()
		noLeftovers(t, s)
	})
}

// A crash while recovering from a crash is the worst that the journal must bear.
func TestRecoverySurvivesCrashes(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	begin := func() scene {
		s := newScene(t, ca, true)
		// An intent to deploy version 2, of which one link is there already; a
		// sibling that was to change places; a creation and temporary files given up.
		store := open(t, s.dirs)
		l, err := store.Load("a.example")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.AddVersion(s.new); err != nil {
			t.Fatal(err)
		}
		create(t, store, "b.example", s.new)
		store.Close()
		write(t, filepath.Join(s.dirs.Config, "renewal/.cairnbot-working"), "", 0o600)
		write(t, filepath.Join(s.dirs.Config, "renewal/.cairnbot-deploy-a.example"), `{"version":2}`, 0o600)
		relinkTo(t, l.Path(lineage.Cert), "../../archive/a.example/cert2.pem")
		if err := os.Remove(filepath.Join(s.dirs.Config, "renewal/b.example.conf")); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(s.dirs.Config, "archive/b.example/.cairnbot-unfinished"), "", 0o644)
		write(t, filepath.Join(s.dirs.Config, "archive/a.example/.cairnbot-tmp-1"), "x", 0o600)
		write(t, filepath.Join(s.dirs.Config, "live/.cairnbot-live-a.example/README"), "x", 0o600)
		return s
	}
	crashes(t, "open", "", begin, func(s scene, at string, killed bool) { checkDeployed(t, s, at, killed) })
}

func relinkTo(t *testing.T, link, target string) {
	t.Helper()
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
}

// A crash of the machine also loses what was not synced. Killing a process does
// not show that, but the order of the calls does.
func TestDeploySyncsInOrder(t *testing.T) {
	s := newScene(t, newAuthority(t), true)
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: install the Debian package strace")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(s.top, "calls")
	if out, err := exec.Command(strace, "-f", "-y", "-s", "4096", "-o", log, "-e", "trace=linkat,renameat2,fsync", self, "child", "renew", s.top).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	calls, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for line := range strings.Lines(string(calls)) {
		for pattern, step := range map[string]string{
			"fsync(* archive/a.example/.cairnbot-tmp-": "file", "linkat(* archive/a.example/.cairnbot-tmp-": "name", "fsync(* archive/a.example>": "archive",
			"fsync(* live/.cairnbot-live-a.example>": "sibling", "renameat2(* RENAME_EXCHANGE": "exchange", "fsync(* live>": "live",
		} {
			call, what, _ := strings.Cut(pattern, "* ")
			if strings.Contains(line, call) && strings.Contains(line, what) && (len(order) == 0 || order[len(order)-1] != step) {
				order = append(order, step)
			}
		}
	}
	if want := []string{"file", "name", "archive", "sibling", "exchange", "live"}; !slices.Equal(order, want) {
		t.Errorf("the order is %v, want %v", order, want)
	}
}

func TestRenameSurvivesCrashes(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	var foreign string
	begin := func() scene {
		s := newScene(t, ca, true)
		foreign = filepath.Join(s.dirs.Config, "live/a.example/combined.pem")
		write(t, foreign, "mine", 0o640)
		return s
	}
	crashes(t, "rename", "", begin, func(s scene, at string, killed bool) {
		_, oldErr := live(s.dirs, "a.example")
		if _, newErr := live(s.dirs, "b.example"); oldErr != nil && newErr != nil {
			t.Fatalf("killed before %s: nothing is live: %v, %v", at, oldErr, newErr)
		}
		store := recovered(t, s)
		list, broken, err := store.List()
		if err != nil || len(broken) != 0 || len(list) != 1 || !killed && list[0].Name != "b.example" {
			t.Fatalf("killed before %s: %v, %v, %v", at, list, broken, err)
		}
		if m, err := live(s.dirs, list[0].Name); err != nil || !same(m, s.old) {
			t.Errorf("killed before %s: %v", at, err)
		}
		if text, err := os.ReadFile(filepath.Join(list[0].Live(), "combined.pem")); err != nil || string(text) != "mine" {
			t.Errorf("killed before %s: a foreign file has become %q, %v", at, text, err)
		}
		if list[0].Name == "a.example" {
			if err := store.Rename("a.example", "b.example", true); err != nil {
				t.Errorf("killed before %s, then done again: %v", at, err)
			}
		}
		if _, err := live(s.dirs, "a.example"); err != nil { // through the link
			t.Errorf("killed before %s, then done again: %v", at, err)
		}
		store.Close()
		noLeftovers(t, s)
	})
}
