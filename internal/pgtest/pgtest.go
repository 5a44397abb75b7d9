// Package pgtest runs PostgreSQL for tests: a private server in a directory of its own, which is reached
// through a socket there and gone afterwards. It needs the programs of PostgreSQL, and no
// installed cluster, service or user.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// superuser is who owns everything in a server that this package starts.
const superuser = "cairn"

// Server is a running server.
type Server struct {
	dir      string // the socket, the log and the data are in it
	programs string
	settings []string
	process  *exec.Cmd
	ended    chan struct{} // closed once the process has ended

	mu   sync.Mutex
	free map[string][]string // databases that no test uses, by their schema
	made atomic.Int64        // databases
}

// shared is the one server of a test binary.
var shared struct {
	sync.Mutex
	server *Server
}

// Main runs the tests of a binary, and stops the server that they shared, for TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		if err := shared.server.remove(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			code = max(code, 1)
		}
	}
	return code
}

// Shared is the server that all tests of this binary share. It is started by the first who asks; its
// TestMain has to call Main.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		server, err := start()
		if err != nil {
			t.Fatalf("starting PostgreSQL: %v", err)
		}
		shared.server = server
	}
	return shared.server
}

// Start starts a server for one test, which may do with it what it likes. Settings are those of
// postgresql.conf, "name=value".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	server, err := start(settings...)
	if err != nil {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if err := server.remove(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func start(settings ...string) (_ *Server, err error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	// Not a test's own directory: the path of a socket is short, and the server's user has to get there.
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, programs: programs, settings: settings, free: map[string][]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := own(dir); err != nil {
		return nil, err
	}
	// No --auth but trust: the socket's directory is closed to others. The order of texts is that of a
	// language, as on many machines: who needs another has to say so.
	initdb := exec.Command(filepath.Join(programs, "initdb"), "--pgdata", s.data(), "--username", superuser, "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C.UTF-8", "--locale-provider", "icu", "--icu-locale", "en-US", "--no-sync", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr = dir, unprivileged()
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return s, s.run()
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Program is the path of one of PostgreSQL's programs, for a test that runs it in its own way.
func Program(t testing.TB, name string) string {
	t.Helper()
	dir, err := findPrograms()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// findPrograms finds the directory with the programs of the newest PostgreSQL.
func findPrograms() (string, error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian's place
	if err != nil {
		return "", err
	}
	slices.SortFunc(dirs, func(a, b string) int { return len(b) - len(a) + strings.Compare(b, a) })
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, nil
		}
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("the programs of PostgreSQL are not installed: run scripts/test-needs")
	}
	return filepath.Dir(initdb), nil
}

// startTimeout bounds how long a server takes to start, to recover after a kill, and to stop.
const startTimeout = 60 * time.Second

// run starts the server and waits until it answers.
func (s *Server) run() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=200", "-c", "shared_buffers=64MB"}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	s.process = exec.Command(filepath.Join(s.programs, "postgres"), args...)
	s.process.Dir, s.process.SysProcAttr = s.dir, unprivileged()
	s.process.Stdout, s.process.Stderr = log, log
	s.ended = make(chan struct{})
	if err := s.spawn(); err != nil {
		return err
	}
	deadline := time.Now().Add(startTimeout)
	for {
		err := s.exec(context.Background(), "postgres", "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("postgres has ended: %s", s.tail())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("postgres does not answer: %w\n%s", err, s.tail()), s.process.Process.Kill())
		}
	}
}

// tail is the end of the server's log.
func (s *Server) tail() string {
	log, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-20):], []byte("\n")))
}

// signal sends a signal to the server, and to all of its processes if it is to stop or go on.
func (s *Server) signal(signal syscall.Signal, all bool) error {
	pids := []int{s.process.Process.Pid}
	if all {
		children, err := s.children()
		if err != nil {
			return err
		}
		pids = append(pids, children...)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// Kill kills all of the server's processes at once, as a loss of power would.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	// First its parent stops, so that there are no more of them than are seen.
	if err := s.signal(syscall.SIGSTOP, false); err != nil {
		t.Fatal(err)
	}
	children, err := s.children()
	if err == nil {
		err = s.signal(syscall.SIGKILL, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	<-s.ended
	for deadline := time.Now().Add(startTimeout); slices.ContainsFunc(children, running); {
		if time.Now().After(deadline) {
			t.Fatal("killed processes go on")
		}
		runtime.Gosched()
	}
}

// Restart starts a server again that was killed or stopped.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

// Freeze stops all of the server's processes where they are, until Thaw.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	if err := s.signal(syscall.SIGSTOP, true); err != nil {
		t.Fatal(err)
	}
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw(t testing.TB) {
	t.Helper()
	if err := s.signal(syscall.SIGCONT, true); err != nil {
		t.Fatal(err)
	}
}

// remove stops the server and deletes its directory.
func (s *Server) remove() error {
	var failed error
	select {
	case <-s.ended:
	default:
		failed = errors.Join(s.signal(syscall.SIGCONT, true), s.signal(syscall.SIGINT, false)) // without a farewell to its clients
		select {
		case <-s.ended:
		case <-time.After(startTimeout):
			failed = errors.Join(failed, errors.New("postgres does not stop"), s.signal(syscall.SIGKILL, true))
			<-s.ended
		}
	}
	return errors.Join(failed, os.RemoveAll(s.dir))
}

// URL is how a user connects to a database; "" is the server's owner.
func (s *Server) URL(database, user string) string {
	if user == "" {
		user = superuser
	}
	return fmt.Sprintf("postgres:///%s?host=%s&user=%s", database, s.dir, user)
}

// Both is how to connect to a database on whichever of two servers takes writes.
func Both(a, b *Server, database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s,%s&user=%s", database, a.dir, b.dir, superuser)
}

// Exec runs SQL in a database as the server's owner.
func (s *Server) Exec(t testing.TB, database, sql string) {
	t.Helper()
	if err := s.exec(t.Context(), database, sql); err != nil {
		t.Fatalf("%.80s: %v", sql, err)
	}
}

func (s *Server) exec(ctx context.Context, database, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL(database, ""))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// Database makes an empty database and returns its name.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", s.made.Add(1))
	s.Exec(t, "postgres", "CREATE DATABASE "+name)
	return name
}

// Schema is how databases are made that tests use one after the other.
type Schema struct {
	Name string                 // what it is known by
	Make func(url string) error // makes it in an empty database
	Keep string                 // the table whose rows belong to the schema; all others are emptied between tests
}

// Lend lends a test a database with a schema and no rows: to make one takes a second on a slow disk, to
// empty one some milliseconds. The test does not change the schema.
func (s *Server) Lend(t testing.TB, schema Schema) (name string) {
	t.Helper()
	s.mu.Lock()
	if free := s.free[schema.Name]; len(free) > 0 {
		name, s.free[schema.Name] = free[len(free)-1], free[:len(free)-1]
	}
	s.mu.Unlock()
	if name == "" {
		name = s.Database(t)
		if err := schema.Make(s.URL(name, "")); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := s.exec(context.Background(), name, fmt.Sprintf(`DO $$ DECLARE name text; BEGIN
			FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> '%s' LOOP
				EXECUTE 'DELETE FROM ' || name;
			END LOOP; END $$`, schema.Keep)); err != nil {
			t.Errorf("emptying a database: %v", err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.free[schema.Name] = append(s.free[schema.Name], name)
	})
	return name
}
