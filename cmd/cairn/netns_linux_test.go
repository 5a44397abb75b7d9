package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/pgtest"
)

// siteAddr is where the load balancer, the web server and the clients are in the site's network.
const siteAddr = "10.78.0.1"

// site is a cluster of which each machine has a network of its own, joined by a bridge, and a disk of its own.
type site struct {
	t                *testing.T
	dir              string
	database         string // its URL: both servers
	responder        *catest.Responder
	balancer         *balancer
	primary, standby *host
	signer           *host
	fronts, workers  []*host
	validators       []*host
}

// host is a machine: a network namespace, a small disk, and one program.
type host struct {
	site       *site
	name, addr string
	dir        string    // of its program, and nobody else's
	holder     *exec.Cmd // keeps the namespace
	args       []string  // of its program

	program *exec.Cmd
	ended   chan struct{} // closed once the program has ended
	lives   int
}

// enterSite runs a test in namespaces of its own, and reports whether this already is there.
func enterSite(t *testing.T, timeout time.Duration) bool {
	t.Helper()
	if os.Getenv(insideNetns) != "" {
		return true
	}
	for _, program := range []string{"ip", "unshare", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is not installed: run scripts/test-needs", program)
		}
	}
	// Of processes, too, so that whatever the test started ends with it; of mounts for the small disks.
	arguments := []string{"--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}
	if os.Geteuid() != 0 {
		arguments = append(arguments, "--user", "--map-root-user")
	}
	cmd := exec.CommandContext(t.Context(), "unshare", append(arguments, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v",
		"-test.timeout="+timeout.String(), "-soak="+soakFor.String())...)
	cmd.Env = append(os.Environ(), insideNetns+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil && !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("nothing ran in the namespaces:\n%s", out)
	}
	if err != nil {
		t.Fatalf("in namespaces (which this test needs; where users may not make them, run it as root): %v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

// newSite makes the bridge, the database with its standby, and the cluster, as a person would: by its commands.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), responder: catest.NewResponder(t)}
	for _, line := range []string{
		"link set lo up", "link add br0 address 02:00:00:00:00:01 type bridge", "link set br0 up", "addr add " + siteAddr + "/24 dev br0",
	} {
		s.run("ip", strings.Fields(line)...)
	}
	s.serveWeb()
	s.startDatabases()
	var backends []string
	for i := range 3 {
		backends = append(backends, fmt.Sprintf("10.78.0.%d:8443", 31+i))
	}
	s.balancer = newBalancerAt(t, siteAddr+":443", backends)
	s.database = fmt.Sprintf("postgres://cairn@%s,%s/cairn?target_session_attrs=read-write", s.primary.addr, s.standby.addr)
	text := fmt.Sprintf("version: 1\ndatabase: %q\nurl: https://%s\nnames: [%s/32]\nno_caa: true\nperspectives: {baseline: true, timeout: 12s, check: 1s}\n",
		s.database, siteAddr, siteAddr)
	if err := os.WriteFile(s.config(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run("cairn", "migrate", "-c", s.config())
	s.signer = s.serve("signer", "signer,crl,ops", 21)
	for i := range 3 {
		s.fronts = append(s.fronts, s.serve(fmt.Sprintf("front%d", i+1), "front", 31+i))
	}
	for i := range 2 {
		s.workers = append(s.workers, s.serve(fmt.Sprintf("work%d", i+1), "work", 41+i))
	}
	for i, rir := range []string{"RIPE", "ARIN", "APNIC", "LACNIC", "AFRINIC"} {
		s.validators = append(s.validators, s.validator(fmt.Sprintf("v%d", i+1), rir, 51+i))
	}
	s.eventually("all perspectives answer", func() bool {
		list, err := exec.Command("cairn", "validator", "list", "--data", s.signer.dir).Output()
		return err == nil && strings.Count(string(list), "answers") == len(s.validators)
	})
	return s
}

func (s *site) config() string { return filepath.Join(s.dir, "cairn.yaml") }

func (s *site) run(name string, args ...string) string {
	s.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// eventually waits for what happens in other processes.
func (s *site) eventually(what string, done func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !done(); after(s.t.Context(), 50*time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("never: %s", what)
		}
	}
}

// serveWeb answers the challenges at port 80.
func (s *site) serveWeb() {
	s.t.Helper()
	web, err := net.Listen("tcp", siteAddr+":80")
	if err != nil {
		s.t.Fatal(err)
	}
	server := &http.Server{Handler: s.responder, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(web) }()
	s.t.Cleanup(func() { _ = server.Close() })
}

// add makes a machine with an address and a disk of so many MiB.
func (s *site) add(name string, number, disk int) *host {
	s.t.Helper()
	h := &host{site: s, name: name, addr: fmt.Sprintf("10.78.0.%d", number), dir: filepath.Join(s.dir, name)}
	h.holder = exec.Command("sleep", "infinity")
	h.holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := h.holder.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _, _ = h.holder.Process.Kill(), h.holder.Wait() })
	s.run("ip", "link", "add", h.link(), "master", "br0", "up", "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(h.holder.Process.Pid))
	for _, line := range []string{"link set lo up", "link set eth0 up", "addr add " + h.addr + "/24 dev eth0"} {
		h.do(append([]string{"ip"}, strings.Fields(line)...)...)
	}
	if err := os.Mkdir(h.dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("mode=0700,size=%dm", disk), "none", h.dir)
	s.t.Cleanup(func() { s.run("umount", "--lazy", h.dir) })
	return h
}

// link is the bridge's end of the cable.
func (h *host) link() string { return "veth" + h.name }

// inside is a command on the machine.
func (h *host) inside(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"-t", fmt.Sprint(h.holder.Process.Pid), "-n"}, args...)...)
}

func (h *host) do(args ...string) {
	h.site.t.Helper()
	if out, err := h.inside(args...).CombinedOutput(); err != nil {
		h.site.t.Fatalf("on %s, %q: %v\n%s", h.name, args, err, out)
	}
}

// serve adds a machine of the cluster, which joins unless it has the keys, and starts it.
func (s *site) serve(name, roles string, number int) *host {
	s.t.Helper()
	h := s.add(name, number, 16)
	if s.signer != nil {
		h.do(append(s.token("token", "--name", name, "--roles", roles), "--data", h.dir)...) // cairn join TOKEN --ca URL
	}
	h.args = []string{"cairn", "serve", "-c", s.config(), "--roles", roles, "--data", h.dir, "--listen", h.addr + ":8443", "--http", h.addr + ":8080"}
	h.start()
	h.ready()
	return h
}

// validator adds a remote perspective.
func (s *site) validator(name, rir string, number int) *host {
	s.t.Helper()
	h := s.add(name, number, 16)
	h.args = append(s.token("validator", "token", "--name", name), "--rir", rir, "--data", h.dir) // cairn validator --join TOKEN --ca URL
	h.start()
	s.eventually(name+" has joined", func() bool {
		files, err := os.ReadDir(h.dir)
		return err == nil && len(files) > 0
	})
	h.args = []string{"cairn", "validator", "--data", h.dir}
	return h
}

// token has the signer make a token, and returns the command that it prints for the other machine.
func (s *site) token(args ...string) []string {
	s.t.Helper()
	out, err := exec.Command("cairn", append(args, "--data", s.signer.dir)...).Output()
	if err != nil {
		s.t.Fatalf("cairn %q: %v", args, err)
	}
	return strings.Fields(string(out))
}

func (h *host) log() string { return filepath.Join(h.site.dir, h.name+".log") }

// start starts the program of the machine.
func (h *host) start() {
	h.site.t.Helper()
	log, err := os.OpenFile(h.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.site.t.Fatal(err)
	}
	defer log.Close()
	h.lives++
	fmt.Fprintf(log, "life %d\n", h.lives)
	h.program, h.ended = h.inside(h.args...), make(chan struct{})
	h.program.Stdout, h.program.Stderr = log, log
	if err := h.program.Start(); err != nil {
		h.site.t.Fatal(err)
	}
	if h.lives == 1 {
		h.site.t.Cleanup(h.last)
	}
	go func(program *exec.Cmd, ended chan struct{}) {
		_ = program.Wait()
		close(ended)
	}(h.program, h.ended)
}

// last ends the program with the test, and shows what it said if that failed.
func (h *host) last() {
	h.kill()
	if h.site.t.Failed() {
		log, err := os.ReadFile(h.log())
		h.site.t.Logf("%s said (%v):\n… %s", h.name, err, log[max(0, len(log)-6000):])
	}
}

// up reports whether the program has not ended.
func (h *host) up() bool {
	select {
	case <-h.ended:
		return false
	default:
		return true
	}
}

func (h *host) signal(signal syscall.Signal) {
	h.site.t.Helper()
	if err := h.program.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		h.site.t.Fatal(err)
	}
}

// kill ends the program as a loss of power would.
func (h *host) kill() {
	h.signal(syscall.SIGKILL)
	<-h.ended
}

// ready waits until the program of one of the cluster's machines says that it is, as often as it was started.
func (h *host) ready() {
	h.site.t.Helper()
	h.site.eventually(h.name+" is ready", func() bool {
		log, err := os.ReadFile(h.log())
		if !h.up() {
			h.site.t.Fatalf("%s ended instead of becoming ready", h.name)
		}
		_, rest, found := bytes.Cut(log, fmt.Appendf(nil, "life %d\n", h.lives))
		return err == nil && (found && bytes.Contains(rest, []byte("Ready.")))
	})
}

// startDatabases starts the primary, and a standby that it waits for at each commit.
func (s *site) startDatabases() {
	s.t.Helper()
	s.primary, s.standby = s.add("db1", 11, 320), s.add("db2", 12, 320)
	s.primary.postgres("initdb", "--pgdata", s.primary.pgdata(), "--username", "cairn", "--auth", "trust", "--no-sync", "--no-instructions")
	rules := "host all all 10.78.0.0/24 trust\nhost replication all 10.78.0.0/24 trust\n"
	if err := os.WriteFile(filepath.Join(s.primary.pgdata(), "pg_hba.conf"), []byte(rules), 0o600); err != nil {
		s.t.Fatal(err)
	}
	for _, h := range []*host{s.primary, s.standby} {
		h.args = append(asNobody(), pgtest.Program(s.t, "postgres"), "-D", h.pgdata(), "-k", "", "-c", "listen_addresses="+h.addr,
			"-c", "max_connections=150", "-c", "shared_buffers=64MB", "-c", "max_wal_size=64MB", "-c", "min_wal_size=32MB", "-c", "wal_receiver_timeout=5s")
	}
	s.primary.args = append(s.primary.args, "-c", "synchronous_standby_names=*")
	s.primary.start()
	s.eventually("the primary answers", func() bool { return s.primary.sql("SELECT 1") == nil })
	s.standby.postgres("pg_basebackup", "-D", s.standby.pgdata(), "-R", "-C", "-S", "standby", "--checkpoint", "fast", "--no-sync", "-h", s.primary.addr, "-U", "cairn")
	s.standby.start()
	s.eventually("the standby follows", func() bool {
		return s.primary.sql("SELECT 1/count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == nil
	})
	if err := s.primary.sql("CREATE DATABASE cairn"); err != nil {
		s.t.Fatal(err)
	}
}

func (h *host) pgdata() string { return filepath.Join(h.dir, "data") }

// asNobody has a program run as another user than root, which PostgreSQL refuses to be: in a user
// namespace, where who runs the test may be called anything.
func asNobody() []string {
	return []string{"unshare", "--user", "--map-user=65534", "--map-group=65534", "--"}
}

func (h *host) postgres(program string, args ...string) {
	h.site.t.Helper()
	h.do(append(append(asNobody(), pgtest.Program(h.site.t, program)), args...)...)
}

// sql runs a statement on the machine's server.
func (h *host) sql(statement string) error {
	db, err := sql.Open("pgx", "postgres://cairn@"+h.addr+"/postgres?connect_timeout=2")
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(h.site.t.Context(), 10*time.Second)
	defer cancel()
	var nothing sql.NullString
	if err := db.QueryRowContext(ctx, statement).Scan(&nothing); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return nil
}
