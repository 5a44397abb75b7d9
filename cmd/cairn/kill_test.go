package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"hash/fnv"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// server is a `cairn up` whose address stays the same across its lives.
type server struct {
	t                  testing.TB
	data, listen, http string
	http01Port         int
	flags              []string // more of them

	cmd  *exec.Cmd
	logs bytes.Buffer // of the present life
}

func newServer(t testing.TB, http01Port int) *server {
	t.Helper()
	s := &server{t: t, data: filepath.Join(t.TempDir(), "ca"), http01Port: http01Port}
	// A loopback address of the test's own: on 127.0.0.1 somebody else may get the port between two lives.
	h := fnv.New32a()
	fmt.Fprint(h, s.data, os.Getpid())
	own := h.Sum(nil)
	host := fmt.Sprintf("127.%d.%d.%d:0", 1+own[0]%254, own[1], 1+own[2]%254)
	for _, address := range []*string{&s.listen, &s.http} {
		l, err := net.Listen("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		*address = l.Addr().String()
	}
	t.Cleanup(func() {
		if s.cmd != nil {
			_ = s.cmd.Process.Kill()
		}
	})
	return s
}

// start starts the process; the channel is closed once it is ready or has ended.
func (s *server) start() <-chan struct{} {
	s.t.Helper()
	s.logs.Reset()
	args := []string{"up", "--data", s.data, "--listen", s.listen, "--http", s.http, "--http-01-port", strconv.Itoa(s.http01Port)}
	s.cmd = exec.Command("cairn", append(args, s.flags...)...)
	s.cmd.Stderr = &s.logs
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "Ready.") {
		}
	}()
	return ready
}

// end sends a signal and waits for the end, which must be a good one after SIGTERM.
func (s *server) end(signal syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatalf("the process is not there any more: %v\n%s", err, s.logs.String())
	}
	if err := s.cmd.Wait(); signal == syscall.SIGTERM && err != nil {
		s.t.Fatalf("after SIGTERM: %v\n%s", err, s.logs.String())
	}
}

func (s *server) root() *x509.Certificate {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.data, "root.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		s.t.Fatal(err)
	}
	return root
}

func (s *server) directory() string { return "https://" + s.listen + "/directory" }

// TestKilledUnderLoad kills the real process at random moments while clients obtain
// certificates, starts it again, and finds no certificate lost, doubled or unrecorded.
func TestKilledUnderLoad(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := mathrand.New(mathrand.NewPCG(seed, 0))
	responder := catest.NewResponder(t)
	s := newServer(t, responder.Port)
	<-s.start()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	load := &load{directory: s.directory(), responder: responder, root: s.root()}
	const clients, lives = 6, 12
	load.run(ctx, t, clients)
	for range lives {
		after(ctx, time.Duration(50+random.IntN(600))*time.Millisecond)
		s.end(syscall.SIGKILL)
		if random.IntN(4) == 0 { // sometimes in the middle of starting, too
			s.start()
			after(ctx, time.Duration(random.IntN(80))*time.Millisecond)
			s.end(syscall.SIGKILL)
		}
		<-s.start()
	}
	load.finish(ctx, t)
	s.end(syscall.SIGTERM)
	if len(load.obtained) < clients+lives {
		t.Errorf("only %d certificates were obtained: this was no load", len(load.obtained))
	}
	t.Logf("%d certificates over %d lives", len(load.obtained), lives+1)
	var served []*x509.Certificate
	for _, got := range load.obtained {
		served = append(served, got.Chain.Certificates[0])
	}
	catest.CheckCA(t, s.data, served...)
}

// TestKilledDuringTheFirstRun: a directory whose first run was killed is started over.
func TestKilledDuringTheFirstRun(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(uint64(time.Now().UnixNano()), 0))
	responder := catest.NewResponder(t)
	for range 3 {
		s := newServer(t, responder.Port)
		for range 5 {
			s.start()
			after(t.Context(), time.Duration(random.IntN(150))*time.Millisecond)
			s.end(syscall.SIGKILL)
		}
		<-s.start()
		client := catest.NewClient(t, s.directory(), s.root())
		if _, err := client.Register(t.Context(), acme.NewAccount{}); err != nil {
			t.Fatalf("%v\n%s", err, s.logs.String())
		}
		s.end(syscall.SIGTERM)
		catest.CheckCA(t, s.data)
	}
}

// load is clients that obtain certificates whatever happens to the server.
type load struct {
	directory string
	responder *catest.Responder
	root      *x509.Certificate
	apart     bool // each request has a connection of its own
	shared    int  // how many of the clients have one account, that of key
	key       crypto.Signer
	name      string // what they obtain certificates for; "" is www.localhost
	accounts  int    // how many each of the others has, and uses in turn; 0 is one

	mu       sync.Mutex
	obtained []*catest.Obtained
	took     []time.Duration // each of them
	enough   chan struct{}
	all      sync.WaitGroup
}

// run starts n clients with accounts of their own, or that of key. They go on until finish.
func (l *load) run(ctx context.Context, t *testing.T, n int) {
	l.enough = make(chan struct{})
	l.name = cmp.Or(l.name, "www.localhost")
	for i := range n {
		var clients []*acme.Client
		if i < l.shared {
			clients = append(clients, l.client(t, l.key))
		} else {
			for range max(l.accounts, 1) {
				clients = append(clients, l.client(t, catest.NewKey(t)))
			}
		}
		l.all.Go(func() {
			for next := 0; ctx.Err() == nil; {
				succeeded, last := l.once(ctx, clients[next%len(clients)])
				if last {
					return
				}
				if succeeded {
					next++
				}
			}
		})
	}
}

func (l *load) client(t *testing.T, key crypto.Signer) *acme.Client {
	t.Helper()
	if l.apart {
		return catest.NewClientWithoutKeepAlive(t, l.directory, l.root, key)
	}
	return catest.NewClientWithKey(t, l.directory, l.root, key)
}

// once obtains one certificate, or fails because the server is away. It reports whether it
// succeeded, and whether this was the last: one that succeeded after finish was called.
func (l *load) once(ctx context.Context, client *acme.Client) (succeeded, last bool) {
	select {
	case <-l.enough:
		last = true
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if client.AccountURL() == "" {
		if _, err := client.Register(ctx, acme.NewAccount{}); err != nil {
			after(ctx, 20*time.Millisecond)
			return false, false
		}
	}
	begin := time.Now()
	got, err := catest.Obtain(ctx, client, l.responder, l.name)
	if err != nil {
		after(ctx, 20*time.Millisecond)
		return false, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, time.Since(begin))
	l.obtained = append(l.obtained, got)
	return true, last
}

// finish lets every client succeed once more and then end.
func (l *load) finish(ctx context.Context, t *testing.T) {
	t.Helper()
	close(l.enough)
	l.all.Wait()
	if ctx.Err() != nil {
		t.Fatal("the clients did not recover in time")
	}
}

// after waits, at most until ctx ends.
func after(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
