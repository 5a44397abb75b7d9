package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/ca/ops"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// insideNetns is set where the test runs in a network namespace of its own.
const insideNetns = "CAIRN_TEST_NETNS"

// Addresses in the test's network.
const (
	authorityAddr = "10.77.0.1"
	webAddr       = "10.77.0.10" // of the web server, and the identifier that is validated
)

// TestV15Perspectives runs an authority and six remote perspectives as programs, each
// perspective in a network namespace of its own, and lets some of them lie, die,
// dawdle and be deceived. It needs the right to make namespaces, as root has it and
// mostly everybody in a user namespace.
func TestV15Perspectives(t *testing.T) {
	if os.Getenv(insideNetns) != "" {
		testPerspectives(t)
		return
	}
	for program, pkg := range map[string]string{"ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is not installed: `make test` installs it (Debian package %s)", program, pkg)
		}
	}
	arguments := []string{"--net"}
	if os.Geteuid() != 0 {
		arguments = append(arguments, "--user", "--map-root-user")
	}
	cmd := exec.CommandContext(t.Context(), "unshare", append(arguments, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=4m")...)
	cmd.Env = append(os.Environ(), insideNetns+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil && !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("nothing ran in the network namespace:\n%s", out)
	}
	if err != nil {
		t.Fatalf("in a network namespace (which this test needs; where users may not make one, run it as root): %v\n%s", err, out)
	}
}

// network is a bridge with the authority and the web server on it, and nodes in their namespaces.
type network struct {
	t         *testing.T
	dir       string
	responder *catest.Responder
	nodes     map[string]*node
	authority *exec.Cmd
	newest    string       // the authorization that obtain was last about
	log       bytes.Buffer // of the authority; to be read once it has ended
}

// node is a remote perspective: a namespace, and the program in it.
type node struct {
	name, rir, dir string
	holder         *exec.Cmd // keeps the namespace
	program        *exec.Cmd
}

func (n *network) run(name string, args ...string) string {
	n.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// start starts a program that is killed with the test.
func (n *network) start(log io.Writer, name string, args ...string) *exec.Cmd {
	n.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { n.end(cmd) })
	return cmd
}

func (n *network) end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// newNetwork makes the bridge, the web server and the authority.
func newNetwork(t *testing.T) *network {
	n := &network{t: t, dir: t.TempDir(), responder: catest.NewResponder(t), nodes: map[string]*node{}}
	for _, line := range []string{
		"link set lo up",
		// With an address of its own: else it takes the lowest of its members', and the others would ask the one it had before.
		"link add br0 address 02:00:00:00:00:01 type bridge", "link set br0 up",
		"addr add " + authorityAddr + "/24 dev br0", "addr add " + webAddr + "/24 dev br0",
	} {
		n.run("ip", strings.Fields(line)...)
	}
	web, err := net.Listen("tcp", webAddr+":80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: n.responder, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(web) }()
	t.Cleanup(func() { _ = server.Close() })
	config := filepath.Join(n.dir, "cairn.yaml")
	if err := os.WriteFile(config, []byte("perspectives:\n  baseline: true\n  timeout: 12s\n  grace: 5s\n  check: 1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.authority = n.start(&n.log, "cairn", "up", "--data", n.data(), "--config", config,
		"--listen", authorityAddr+":8443", "--http", authorityAddr+":8080", "--url", "https://"+authorityAddr+":8443")
	t.Cleanup(func() {
		if t.Failed() {
			n.end(n.authority)
			t.Logf("the authority's log:\n%s", n.log.String())
		}
	})
	n.eventually("the authority is ready", func() bool {
		_, err := os.Stat(filepath.Join(n.data(), "operator.sock"))
		return err == nil
	})
	return n
}

func (n *network) data() string { return filepath.Join(n.dir, "ca") }

// eventually waits for what happens in other processes.
func (n *network) eventually(what string, done func() bool) {
	n.t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); after(n.t.Context(), 50*time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("never: %s", what)
		}
	}
}

// add makes a namespace with an address, and a perspective in it as a person would: by two commands.
func (n *network) add(name, rir string, number int) *node {
	n.t.Helper()
	holder := exec.Command("sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { n.end(holder) })
	v := &node{name: name, rir: rir, dir: filepath.Join(n.dir, name), holder: holder}
	n.nodes[name] = v
	pid := fmt.Sprint(holder.Process.Pid)
	n.run("ip", "link", "add", "veth"+name, "master", "br0", "up", "type", "veth", "peer", "name", "eth0", "netns", pid)
	for _, line := range []string{"link set lo up", "link set eth0 up", fmt.Sprintf("addr add 10.77.0.%d/24 dev eth0", 20+number)} {
		n.run("nsenter", append([]string{"-t", pid, "-n", "ip"}, strings.Fields(line)...)...)
	}
	token, err := exec.Command("cairn", "validator", "token", "--data", n.data(), "--name", name).Output()
	if err != nil {
		n.t.Fatalf("cairn validator token: %v", err)
	}
	words := strings.Fields(string(token)) // cairn validator --join TOKEN --ca URL
	n.in(v, append(words, "--rir", rir, "--data", v.dir)...)
	return v
}

// in starts a program in the namespace of v, in place of the one before.
func (n *network) in(v *node, args ...string) {
	n.t.Helper()
	if v.program != nil {
		n.end(v.program)
	}
	log, err := os.OpenFile(v.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	v.program = n.start(log, "nsenter", append([]string{"-t", fmt.Sprint(v.holder.Process.Pid), "-n"}, args...)...)
}

// honest starts the real program on nodes again, without a token.
func (n *network) honest(names ...string) {
	n.t.Helper()
	for _, name := range names {
		n.in(n.nodes[name], "cairn", "validator", "--data", n.nodes[name].dir)
	}
	n.allAnswer()
}

// allAnswer waits until the authority has reached all perspectives.
func (n *network) allAnswer() {
	n.t.Helper()
	n.eventually("all perspectives answer", func() bool {
		list, err := ops.Run(n.t.Context(), ops.Caller{Dir: n.data(), Log: slog.New(slog.DiscardHandler)}, ops.ListValidators, struct{}{})
		return err == nil && len(list) == len(n.nodes) &&
			!slices.ContainsFunc(list, func(v ops.ValidatorShown) bool { return v.State != "answers" })
	})
	after(n.t.Context(), 1100*time.Millisecond) // from then on each counts, a second later at the latest
}

// deceive lets the web server be another one as v sees it, as if its route had been hijacked.
func (n *network) deceive(v *node) *exec.Cmd {
	n.t.Helper()
	pid := fmt.Sprint(v.holder.Process.Pid)
	n.run("nsenter", "-t", pid, "-n", "ip", "addr", "add", webAddr+"/32", "dev", "lo")
	impostor := n.start(io.Discard, "nsenter", "-t", pid, "-n", "impostor", webAddr+":80")
	n.eventually("the impostor listens", func() bool {
		out, _ := exec.Command("nsenter", "-t", pid, "-n", "ss", "-ltn").Output()
		return strings.Contains(string(out), webAddr+":80")
	})
	return impostor
}

// undeceive undoes deceive.
func (n *network) undeceive(v *node, impostor *exec.Cmd) {
	n.end(impostor)
	n.run("nsenter", "-t", fmt.Sprint(v.holder.Process.Pid), "-n", "ip", "addr", "del", webAddr+"/32", "dev", "lo")
}

// obtain gets a certificate for the web server as a new account, which answers its challenge or
// not. It fails with the problem of the challenge where there is one.
func (n *network) obtain(answer bool) error {
	n.t.Helper()
	responder := n.responder
	if !answer {
		responder = catest.NewResponder(n.t) // not where the authority looks
	}
	ctx, cancel := context.WithTimeout(n.t.Context(), 20*time.Second)
	defer cancel()
	s := &server{t: n.t, data: n.data()}
	client := catest.NewClient(n.t, "https://"+authorityAddr+":8443/directory", s.root())
	if _, err := client.Register(ctx, acme.NewAccount{}); err != nil {
		n.t.Fatal(err)
	}
	ids := []acme.Identifier{acme.IdentifierFor(webAddr)}
	order, err := client.NewOrder(ctx, acme.NewOrder{Identifiers: ids})
	if err != nil {
		n.t.Fatal(err)
	}
	n.newest = path.Base(order.Authorizations[0])
	if err := catest.Prove(ctx, client, responder, order); err != nil {
		return err
	}
	authorization, err := client.Authorization(ctx, order.Authorizations[0])
	if err != nil {
		return err
	}
	for _, challenge := range authorization.Challenges {
		if challenge.Error != nil {
			return challenge.Error
		}
	}
	if order, err = client.WaitOrder(ctx, order, acme.StatusReady); err != nil {
		return err
	}
	_, err = catest.Finalize(ctx, client, order, ids)
	return err
}

// evidence is that of the newest validation.
func (n *network) evidence() (e validate.Evidence) {
	n.t.Helper()
	out, err := exec.Command("cairn", "evidence", "--data", n.data(), "--json", "-n", "1", n.newest).Output()
	if err != nil {
		n.t.Fatalf("cairn evidence: %v", err)
	}
	var seen []ops.Seen
	if err := json.Unmarshal(out, &seen); err != nil || len(seen) != 1 {
		n.t.Fatalf("cairn evidence: %v: %s", err, out)
	}
	if err := json.Unmarshal(seen[0].Evidence, &e); err != nil {
		n.t.Fatal(err)
	}
	return e
}

// votes checks what the evidence of the newest validation says: all perspectives have
// corroborated but for those in other.
func (n *network) votes(t *testing.T, quorum string, other map[string]validate.Vote) {
	t.Helper()
	e := n.evidence()
	if e.Quorum != quorum || len(e.Perspectives) != len(n.nodes) {
		t.Errorf("evidence: quorum %q of %d perspectives, want %q of %d", e.Quorum, len(e.Perspectives), quorum, len(n.nodes))
	}
	for _, view := range e.Perspectives {
		want := validate.Corroborated
		if vote, ok := other[view.Name]; ok {
			want = vote
		}
		if view.Vote != want || view.RIR != n.nodes[view.Name].rir {
			t.Errorf("%s in %s: %s, want %s in %s", view.Name, view.RIR, view.Vote, want, n.nodes[view.Name].rir)
		}
		if want == validate.Refuted && view.Problem == nil || want == validate.Silent && view.Error == "" {
			t.Errorf("%s: the evidence does not say what it saw: %+v", view.Name, view)
		}
	}
}

func testPerspectives(t *testing.T) {
	n := newNetwork(t)
	if err := n.obtain(true); err == nil {
		t.Fatal("without remote perspectives the Baseline Requirements were met")
	}
	for i, rir := range []string{"RIPE", "ARIN", "APNIC", "LACNIC", "AFRINIC"} {
		n.add(fmt.Sprintf("v%d", i+1), rir, i+1)
	}
	n.allAnswer()
	t.Run("five", func(t *testing.T) { testQuorum(t, n, 1) })
	n.add("v6", "ARIN", 6)
	n.allAnswer()
	t.Run("six", func(t *testing.T) { testQuorum(t, n, 2) })
	t.Run("liar", func(t *testing.T) { testLiar(t, n) })
	t.Run("removed", func(t *testing.T) { testRemoved(t, n) })
}

// testQuorum lets perspectives fail in one way after the other: a certificate is issued
// with exactly the allowed number of non-corroborations and not with one more.
func testQuorum(t *testing.T, n *network, allowed int) {
	all := len(n.nodes)
	share := func(missing int) string { return fmt.Sprintf("%d/%d", all-missing, all) }
	must := func(what string) {
		t.Helper()
		if err := n.obtain(true); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("all see the same")
	n.votes(t, share(0), nil)

	impostor := n.deceive(n.nodes["v4"])
	must("one is deceived")
	n.votes(t, share(1), map[string]validate.Vote{"v4": validate.Refuted})
	bad := map[string]validate.Vote{"v4": validate.Refuted}

	second := n.deceive(n.nodes["v3"])
	bad["v3"] = validate.Refuted
	var third *exec.Cmd
	if allowed == 2 {
		must("two are deceived")
		n.votes(t, share(2), bad)
		third = n.deceive(n.nodes["v2"])
		bad["v2"] = validate.Refuted
	}
	err := n.obtain(true)
	var problem *acme.Problem
	want := fmt.Sprintf("%d of %d remote perspectives", allowed+1, all)
	if !errors.As(err, &problem) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
		t.Errorf("with one deceived too many: %v, want a problem about %s", err, want)
	}
	n.votes(t, share(allowed+1), bad)
	n.undeceive(n.nodes["v3"], second)
	if third != nil {
		n.undeceive(n.nodes["v2"], third)
	}
	n.undeceive(n.nodes["v4"], impostor)

	testSilence(t, n, allowed, must, share)
}

// testSilence lets perspectives die and dawdle. That is never the client's failure.
func testSilence(t *testing.T, n *network, allowed int, must func(string), share func(int) string) {
	dawdler := n.nodes["v5"].program
	signal := func(s syscall.Signal) {
		t.Helper()
		if err := dawdler.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP) // it takes connections, and answers nothing
	must("one is slow")
	n.votes(t, share(1), map[string]validate.Vote{"v5": validate.Cancelled})
	signal(syscall.SIGCONT)

	dead := []string{"v1", "v2"}[:allowed]
	bad := map[string]validate.Vote{}
	for _, name := range dead {
		n.end(n.nodes[name].program)
		bad[name] = validate.Silent
	}
	must("as many are dead as may be")
	n.votes(t, share(allowed), bad)

	impostor := n.deceive(n.nodes["v4"])
	if err := n.obtain(true); err == nil || errors.As(err, new(*acme.Problem)) {
		t.Errorf("one deceived and the rest dead: %v, want no answer at all", err)
	}
	n.undeceive(n.nodes["v4"], impostor)
	n.honest(dead...)
}

// testLiar has a perspective that says yes or no whatever the truth is: alone it can
// neither bring about a certificate nor prevent one.
func testLiar(t *testing.T, n *network) {
	for _, name := range []string{"v1", "v2", "v3", "v4", "v5", "v6"} {
		n.in(n.nodes[name], "liar", n.nodes[name].dir, "yes")
	}
	n.allAnswer()
	var problem *acme.Problem
	if err := n.obtain(false); !errors.As(err, &problem) || !strings.Contains(err.Error(), "404") {
		t.Errorf("all say yes, but the authority sees no proof: %v, want what the authority itself saw", err)
	}
	if err := n.obtain(true); err == nil || errors.As(err, new(*acme.Problem)) && !strings.Contains(err.Error(), "another proof") {
		t.Errorf("all say that they saw a proof, but not this one: %v, want a problem", err)
	}
	n.honest("v1", "v2", "v3", "v4", "v5", "v6")
	n.in(n.nodes["v1"], "liar", n.nodes["v1"].dir, "no")
	n.allAnswer()
	if err := n.obtain(true); err != nil {
		t.Errorf("one says no: %v", err)
	}
	n.votes(t, "5/6", map[string]validate.Vote{"v1": validate.Refuted})
	n.honest("v1")
}

// testRemoved shows that who was removed is not asked any more.
func testRemoved(t *testing.T, n *network) {
	n.run("cairn", "validator", "remove", "v6", "--data", n.data())
	n.end(n.nodes["v6"].program)
	delete(n.nodes, "v6")
	n.allAnswer()
	if err := n.obtain(true); err != nil {
		t.Error(err)
	}
	n.votes(t, "5/5", nil)
}
