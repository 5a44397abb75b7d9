//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// TestKilledAtEveryWrite renews a certificate again and again, and kills the program before each call that changes a
// file system in turn, writes to its log and to the CA among these. What is live is whole each time, the old or the new, and
// the next run goes on with the order that is there. internal/bot/lineage does the same with each of its operations.
func TestKilledAtEveryWrite(t *testing.T) {
	t.Parallel()
	k := newKillings(t)
	points := 0
	for k.restore(); k.kill(points + 1); k.restore() {
		points++
		k.check(fmt.Sprintf("call %d", points))
	}
	t.Logf("%d points to be killed at", points)
	if points < 100 {
		t.Errorf("only %d calls were found: are they counted?", points)
	}
}

// killings is a tree with a certificate that is due, and a CA that believes everything.
type killings struct {
	*station
	t    *testing.T
	hook string // what the deploy-hook appends to
}

func newKillings(t *testing.T) *killings {
	t.Helper()
	s := stationFor(t, pebbletest.Config{Directory: t.TempDir(), Environment: []string{"PEBBLE_VA_ALWAYS_VALID=1", "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0"}})
	k := &killings{station: s, t: t, hook: filepath.Join(s.work, "hook")}
	if err := os.Mkdir(filepath.Join(s.work, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	k.run(s.ca("certonly", "-n", "--agree-tos", "--webroot", "-w", "www", "-d", "a.example", "--deploy-hook", "echo deployed >>"+k.hook)...)
	conf := filepath.Join(s.work, "etc/renewal/a.example.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, append([]byte("renew_before_expiry = 100 years\n"), text...), 0o644); err != nil {
		t.Fatal(err)
	}
	k.shell("mkdir saved && cp -a etc lib log saved/")
	return k
}

func (k *killings) shell(command string) {
	k.t.Helper()
	shell := exec.Command("/bin/sh", "-ec", command)
	shell.Dir = k.work
	if out, err := shell.CombinedOutput(); err != nil {
		k.t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

func (k *killings) restore() { k.shell("rm -rf etc lib log hook && cp -a saved/* .") }

func (k *killings) run(args ...string) string {
	k.t.Helper()
	out, err := k.prepare(args).CombinedOutput()
	if err != nil {
		k.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// kill runs a renewal that is to be killed before its nth call, and reports whether it came to that.
func (k *killings) kill(n int) bool {
	k.t.Helper()
	command := k.prepare(nil)
	command.Args = []string{"killer", strconv.Itoa(n), "bot", "renew", "--parallel", "1", "--no-check-served"}
	path, err := exec.LookPath("killer")
	if err != nil {
		k.t.Fatal(err)
	}
	command.Path = path
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == wasKilled {
		return true
	}
	if err != nil {
		k.t.Fatalf("to be killed before call %d: %v\n%s", n, err, out)
	}
	return false
}

// live reads what servers would: it must be whole at any time. It gives the version.
func (k *killings) live(at string) int {
	k.t.Helper()
	read := func(kind lineage.Kind) []byte {
		text, err := os.ReadFile(filepath.Join(k.work, "etc/live/a.example", string(kind)+".pem"))
		if err != nil {
			k.t.Fatalf("killed before %s: %v", at, err)
		}
		return text
	}
	m := lineage.Material{Key: read(lineage.Key), Cert: read(lineage.Cert), Chain: read(lineage.Chain), Fullchain: read(lineage.Fullchain)}
	if err := m.Check(); err != nil {
		k.t.Fatalf("killed before %s: what is live does not belong together: %v", at, err)
	}
	target, err := os.Readlink(filepath.Join(k.work, "etc/live/a.example/cert.pem"))
	if err != nil {
		k.t.Fatal(err)
	}
	version, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(target), "cert"), ".pem"))
	if err != nil {
		k.t.Fatal(err)
	}
	return version
}

// check looks at what is left, has another run go on, and looks at what has become of it.
func (k *killings) check(at string) {
	k.t.Helper()
	before := k.live(at)
	var job renew.Job
	if text, err := os.ReadFile(filepath.Join(k.work, "lib/orders/a.example.json")); err == nil && json.Unmarshal(text, &job) != nil {
		k.t.Errorf("killed before %s: the job is not whole", at)
	}
	told, _ := os.ReadFile(k.hook)
	if before == 2 { // it is not due any more
		k.shell("sed -i 1d etc/renewal/a.example.conf")
	}
	k.run("renew", "--no-check-served")
	if after := k.live(at); after != 2 {
		k.t.Errorf("killed before %s: version %d has become %d", at, before, after)
	}
	log, err := os.ReadFile(filepath.Join(k.work, "log/letsencrypt.log"))
	if err != nil {
		k.t.Fatal(err)
	}
	if orders := strings.Count(string(log), "request, method: POST, url: "+strings.TrimSuffix(k.pebble.Directory, "dir")+"order-plz"); before == 1 && (orders != 0) == (job.Order != "") {
		k.t.Errorf("killed before %s: the order was %q, and the next run has placed %d", at, job.Order, orders)
	}
	now, err := os.ReadFile(k.hook)
	if done := strings.Count(string(now), "deployed"); err != nil || done == 0 || before == 1 && done > 1 {
		k.t.Errorf("killed before %s: the deploy-hook had run %d times, and has now %d times, %v", at, strings.Count(string(told), "deployed"), done, err)
	}
	if left, _ := filepath.Glob(filepath.Join(k.work, "lib/orders", "*")); len(left) != 0 {
		k.t.Errorf("killed before %s: left over: %v", at, left)
	}
	if left, _ := filepath.Glob(filepath.Join(k.work, "etc/*/.cairnbot*")); len(left) != 0 {
		k.t.Errorf("killed before %s: left over: %v", at, left)
	}
}
