package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/pgtest"
)

// machine is a process of a cluster, as it would be on a machine of its own.
type machine struct {
	name, roles, data string
	calls             string // ROLE=ADDR
	ops               string // where it is watched
	flags             []string

	cmd  *exec.Cmd
	logs bytes.Buffer // of all its lives; to be read once it has ended
}

// testCluster is an authority in several processes on PostgreSQL, behind a load balancer.
type testCluster struct {
	t         *testing.T
	dir       string
	config    string // the one configuration file
	database  string // its URL
	responder *catest.Responder
	balancer  *balancer
	signer    *machine
	machines  []*machine // the others
}

// newTestCluster starts the machine of the signer, and has the others join: as many fronts and workers.
func newTestCluster(t *testing.T, database string, fronts, workers int) *testCluster {
	t.Helper()
	c := &testCluster{t: t, dir: t.TempDir(), database: database, responder: catest.NewResponder(t)}
	c.config = filepath.Join(c.dir, "cairn.yaml")
	var backends []string
	for range fronts {
		backends = append(backends, freeAddress(t))
	}
	c.balancer = newBalancer(t, backends)
	text := fmt.Sprintf("version: 1\ndatabase: %q\nurl: https://localhost:%d\nhttp_01_port: %d\nno_caa: true\nfront: {names: [localhost, 127.0.0.1]}\n",
		database, c.balancer.port(), c.responder.Port)
	if err := os.WriteFile(c.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cairn", "migrate", "-c", c.config).CombinedOutput(); err != nil {
		t.Fatalf("cairn migrate: %v\n%s", err, out)
	}
	c.signer = &machine{name: "signer", roles: "signer,crl,ops", calls: "signer=" + freeAddress(t), data: filepath.Join(c.dir, "signer")}
	c.start(c.signer)
	for i, backend := range backends {
		c.join(&machine{name: fmt.Sprintf("front%d", i+1), roles: "front", calls: "front=" + freeAddress(t), flags: []string{"--listen", backend}})
	}
	for i := range workers {
		c.join(&machine{name: fmt.Sprintf("work%d", i+1), roles: "work", calls: "work=" + freeAddress(t)})
	}
	for _, m := range c.machines {
		c.start(m)
	}
	return c
}

// join has m become one of the cluster's, as a person would: by two commands.
func (c *testCluster) join(m *machine) {
	c.t.Helper()
	m.data = filepath.Join(c.dir, m.name)
	token, err := exec.Command("cairn", "token", "--data", c.signer.data, "--name", m.name, "--roles", m.roles).Output()
	if err != nil {
		c.t.Fatalf("cairn token: %v", err)
	}
	words := strings.Fields(string(token)) // cairn join TOKEN --ca URL
	if out, err := exec.Command(words[0], append(words[1:], "--data", m.data)...).CombinedOutput(); err != nil {
		c.t.Fatalf("%s: %v\n%s", token, err, out)
	}
	c.machines = append(c.machines, m)
}

// launch starts the process of m; the channel says whether it has become ready or has ended.
func (c *testCluster) launch(m *machine) <-chan bool {
	c.t.Helper()
	if m.ops == "" {
		m.ops = freeAddress(c.t)
	}
	args := append([]string{"serve", "-c", c.config, "-roles", m.roles, "--data", m.data, "--calls", m.calls, "--ops", m.ops}, m.flags...)
	if len(m.flags) == 0 {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	m.cmd = exec.Command("cairn", append(args, "--http", "127.0.0.1:0")...)
	m.cmd.Stderr = &m.logs
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ready := make(chan bool, 2)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "Ready.") {
				ready <- true
			}
		}
		ready <- false
	}()
	return ready
}

// addValidator starts a remote perspective, which the workers ask from then on.
func (c *testCluster) addValidator(ctx context.Context) {
	c.t.Helper()
	token, err := exec.Command("cairn", "validator", "token", "--data", c.signer.data, "--name", "v1").Output()
	if err != nil {
		c.t.Fatalf("cairn validator token: %v", err)
	}
	words := strings.Fields(string(token)) // cairn validator --join TOKEN --ca URL
	address := freeAddress(c.t)
	cmd := exec.Command(words[0], append(words[1:], "--data", filepath.Join(c.dir, "v1"), "--listen", address, "--advertise", address,
		"--http-01-port", fmt.Sprint(c.responder.Port))...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	for ctx.Err() == nil {
		list, err := exec.Command("cairn", "validator", "list", "--data", c.signer.data).Output()
		if err == nil && strings.Contains(string(list), "answers") {
			return
		}
		after(ctx, 100*time.Millisecond)
	}
	c.t.Fatal("the remote perspective does not answer")
}

// start starts m and waits until it is ready.
func (c *testCluster) start(m *machine) {
	c.t.Helper()
	first := m.cmd == nil
	ready := c.launch(m)
	if first {
		c.t.Cleanup(func() {
			_ = m.cmd.Process.Kill()
			_ = m.cmd.Wait()
			if c.t.Failed() {
				c.t.Logf("%s said:\n%s", m.name, m.logs.String())
			}
		})
	}
	select {
	case ok := <-ready:
		if !ok {
			c.t.Fatalf("%s ended instead of becoming ready", m.name)
		}
	case <-time.After(30 * time.Second):
		c.t.Fatalf("%s does not become ready", m.name)
	}
}

// end sends m a signal and waits for its end, which must be a good one after SIGTERM.
func (c *testCluster) end(m *machine, signal syscall.Signal) {
	c.t.Helper()
	if err := m.cmd.Process.Signal(signal); err != nil {
		c.t.Fatalf("%s is not there any more: %v", m.name, err)
	}
	if err := m.cmd.Wait(); signal == syscall.SIGTERM && err != nil {
		c.t.Fatalf("%s ended after SIGTERM with %v", m.name, err)
	}
}

func (c *testCluster) root() *x509.Certificate {
	return (&server{t: c.t, data: c.signer.data}).root()
}

// check has all processes end, and checks what they leave.
func (c *testCluster) check(obtained []*catest.Obtained) {
	c.t.Helper()
	for _, m := range append(c.machines, c.signer) {
		c.end(m, syscall.SIGTERM)
	}
	seen := catest.Seen{Database: c.database}
	for _, got := range obtained {
		seen.Certificates = append(seen.Certificates, got.Chain.Certificates[0])
	}
	seen.CheckCA(c.t, c.signer.data)
}

// balancer hands each connection to the next backend that takes it, as load balancers do.
type balancer struct {
	listener net.Listener
	backends []string
	next     atomic.Uint64
}

func newBalancer(t *testing.T, backends []string) *balancer {
	t.Helper()
	return newBalancerAt(t, "127.0.0.1:0", backends)
}

func newBalancerAt(t *testing.T, address string, backends []string) *balancer {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	b := &balancer{listener: listener, backends: backends}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go b.carry(conn)
		}
	}()
	return b
}

func (b *balancer) port() int { return b.listener.Addr().(*net.TCPAddr).Port }

func (b *balancer) carry(client net.Conn) {
	defer client.Close()
	for range b.backends {
		server, err := net.DialTimeout("tcp", b.backends[b.next.Add(1)%uint64(len(b.backends))], time.Second)
		if err != nil {
			continue
		}
		defer server.Close()
		var both sync.WaitGroup
		for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
			both.Go(func() {
				_, _ = io.Copy(way[0], way[1])
				_ = way[0].(*net.TCPConn).CloseWrite()
			})
		}
		both.Wait()
		return
	}
}

// freeAddress finds one on loopback that nobody else is given meanwhile: see newServer.
func freeAddress(t testing.TB) string {
	t.Helper()
	return newServer(t, 0).listen
}

// TestCluster runs two fronts, two workers and a signer as programs on one PostgreSQL database behind a load balancer.
// Each of the clients' requests comes to another front. Processes are killed and replaced one by one meanwhile.
func TestCluster(t *testing.T) {
	db := pgtest.Start(t)
	c := newTestCluster(t, db.URL(db.Database(t), ""), 2, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	// Nonces and orders of one front are good at the other.
	client := catest.NewClientWithoutKeepAlive(t, fmt.Sprintf("https://localhost:%d/directory", c.balancer.port()), c.root(), catest.NewKey(t))
	if _, err := client.Register(ctx, acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	got, err := catest.Obtain(ctx, client, c.responder, "www.localhost")
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := exec.Command("cairn", "nodes", "list", "--data", c.signer.data).Output()
	for _, want := range []string{"front1", "front2", "work1", "work2", "signer"} {
		if err != nil || !strings.Contains(string(nodes), want) {
			t.Errorf("cairn nodes list lacks %s: %v\n%s", want, err, nodes)
		}
	}

	c.watch(ctx)
	c.addValidator(ctx)
	load := &load{directory: fmt.Sprintf("https://localhost:%d/directory", c.balancer.port()), responder: c.responder, root: c.root(), apart: true}
	load.run(ctx, t, 4)
	for _, m := range append(c.machines, c.signer) { // killed, and replaced
		c.end(m, syscall.SIGKILL)
		after(ctx, 300*time.Millisecond)
		c.start(m)
	}
	for _, m := range append(c.machines, c.signer) { // told to end, as for an upgrade
		c.end(m, syscall.SIGTERM)
		c.start(m)
	}
	load.finish(ctx, t)
	t.Logf("%d certificates", len(load.obtained))
	evidence, err := exec.Command("cairn", "evidence", "--data", c.signer.data, "--json", "www.localhost").Output()
	if err != nil || !strings.Contains(string(evidence), `"v1"`) {
		t.Errorf("the remote perspective was not asked: %v\n%.2000s", err, evidence)
	}
	c.check(append(load.obtained, got))
}

// TestClusterInAnyOrder starts all processes at once while there is no database: they wait for it, and for each other.
func TestClusterInAnyOrder(t *testing.T) {
	db := pgtest.Start(t)
	c := newTestCluster(t, db.URL(db.Database(t), ""), 1, 1)
	for _, m := range append(c.machines, c.signer) {
		c.end(m, syscall.SIGTERM)
	}
	db.Kill(t)
	var waiting []<-chan bool
	for _, m := range append(c.machines, c.signer) {
		waiting = append(waiting, c.launch(m))
	}
	client := catest.NewClient(t, fmt.Sprintf("https://localhost:%d/directory", c.balancer.port()), c.root())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	eventuallyFails(ctx, t, client)
	for _, m := range append(c.machines, c.signer) {
		c.shows(ctx, m, "/readyz", http.StatusServiceUnavailable, "it waits for another process: ", "it is not known before the process has started")
		c.shows(ctx, m, "/healthz", http.StatusOK)
	}
	db.Restart(t)
	for _, ready := range waiting {
		select {
		case ok := <-ready:
			if !ok {
				t.Fatal("a process ended instead of waiting for the database")
			}
		case <-ctx.Done():
			t.Fatal("with the database back, not all become ready")
		}
	}
	for _, m := range append(c.machines, c.signer) {
		c.shows(ctx, m, "/readyz", http.StatusOK)
	}
	if _, err := client.Register(ctx, acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	got, err := catest.Obtain(ctx, client, c.responder, "www.localhost")
	if err != nil {
		t.Fatal(err)
	}
	c.check([]*catest.Obtained{got})
}

// watch looks at the pages of each process after one certificate was issued, beside those of the two fronts: each has what its roles do.
func (c *testCluster) watch(ctx context.Context) {
	c.t.Helper()
	c.shows(ctx, c.signer, "/readyz", http.StatusOK, `"signer"`, `"crl"`, `"database"`)
	c.shows(ctx, c.signer, "/healthz", http.StatusOK, `"crl"`)
	c.shows(ctx, c.signer, "/metrics", http.StatusOK, "cairn_signatures_total{kind=\"certificate\",outcome=\"ok\"} 3\n", `cairn_crl_number{issuer="1"} `)
	issued := 0
	for _, m := range c.machines {
		c.shows(ctx, m, "/healthz", http.StatusOK)
		switch m.roles {
		case "front":
			c.shows(ctx, m, "/readyz", http.StatusOK, `"worker"`)
			c.shows(ctx, m, "/metrics", http.StatusOK, `cairn_crl_number{issuer="1"} `, `cairn_certificate_expiry_timestamp_seconds{id="https",owner="server"} `)
		case "work":
			c.shows(ctx, m, "/readyz", http.StatusOK, `"signer"`)
			body := c.shows(ctx, m, "/metrics", http.StatusOK, `cairn_check_ok{check="ready"} 1`)
			if strings.Contains(body, "cairn_issuances_total{outcome=\"ok\",profile=\"classic\"} 1\n") {
				issued++
			}
		}
	}
	if issued != 1 {
		c.t.Errorf("%d workers count the certificate that one of them issued", issued)
	}
}

// shows waits until a page of m's has a status and all of parts, and returns it.
func (c *testCluster) shows(ctx context.Context, m *machine, page string, status int, parts ...string) string {
	c.t.Helper()
	for {
		got, body := 0, ""
		if resp, err := http.Get("http://" + m.ops + page); err == nil {
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil {
				c.t.Fatal(err)
			}
			got, body = resp.StatusCode, string(text)
		}
		lacks := slices.DeleteFunc(slices.Clone(parts), func(part string) bool { return strings.Contains(body, part) })
		if got == status && len(lacks) == 0 {
			return body
		}
		if ctx.Err() != nil {
			c.t.Fatalf("%s of %s is %d %s, want %d with %q", page, m.name, got, body, status, lacks)
		}
		after(ctx, 100*time.Millisecond)
	}
}

// eventuallyFails waits until the front answers that it cannot answer.
func eventuallyFails(ctx context.Context, t *testing.T, client *acme.Client) {
	t.Helper()
	for {
		inner, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := client.Register(inner, acme.NewAccount{})
		cancel()
		switch {
		case err == nil:
			t.Fatal("without a database an account was made")
		case strings.Contains(err.Error(), "waits for another part of the CA"):
			return
		case ctx.Err() != nil:
			t.Fatalf("the front does not say that it waits: %v", err)
		}
		after(ctx, 100*time.Millisecond)
	}
}

// TestUpWithPostgreSQL: `cairn up --database` makes the schema in an empty database, and needs no file.
func TestUpWithPostgreSQL(t *testing.T) {
	db := pgtest.Start(t)
	responder := catest.NewResponder(t)
	s := newServer(t, responder.Port)
	database := db.URL(db.Database(t), "")
	s.flags = []string{"--database", database}
	<-s.start()
	client := catest.NewClient(t, s.directory(), s.root())
	if _, err := client.Register(t.Context(), acme.NewAccount{}); err != nil {
		t.Fatalf("%v\n%s", err, s.logs.String())
	}
	first, err := catest.Obtain(t.Context(), client, responder, "www.localhost")
	if err != nil {
		t.Fatal(err)
	}
	s.end(syscall.SIGKILL)
	<-s.start()
	second, err := catest.Obtain(t.Context(), client, responder, "www.localhost")
	if err != nil {
		t.Fatal(err)
	}
	s.end(syscall.SIGTERM)
	if out, err := exec.Command("cairn", "eab", "list", "--data", s.data).CombinedOutput(); err == nil || !strings.Contains(string(out), "start `cairn serve` first") {
		t.Errorf("a command works on a SQLite database that is not there: %v\n%s", err, out)
	}
	out, err := exec.Command("cairn", "up", "--data", s.data, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "name it with database") {
		t.Errorf("without the database it starts: %v\n%s", err, out)
	}
	seen := catest.Seen{Database: database, Certificates: []*x509.Certificate{first.Chain.Certificates[0], second.Chain.Certificates[0]}}
	seen.CheckCA(t, s.data)
}
