package ops_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/ops"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// authority is a data directory that somebody serves, until close.
func authority(t *testing.T, path string) (env ops.Env, closeAll func()) {
	t.Helper()
	dir, err := datadir.Open(datadir.Config{Dir: path, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	if dir.FirstRun() {
		if err := dir.Complete(); err != nil {
			t.Fatal(err)
		}
	}
	db, err := store.Open(t.Context(), store.Config{Path: dir.Database(), Twice: true})
	if err != nil {
		t.Fatal(err)
	}
	return ops.Env{DB: db, Dir: dir, Log: slog.New(slog.DiscardHandler)}, func() {
		if err := errors.Join(db.Close(), dir.Close()); err != nil {
			t.Error(err)
		}
	}
}

// serve answers commands about env until the function that it returns is called.
func serve(t *testing.T, env ops.Env) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ops.NewServer(env).Serve(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func note(t *testing.T, env ops.Env, action string) {
	t.Helper()
	if err := env.DB.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertEvent(store.Event{Action: action}) }); err != nil {
		t.Fatal(err)
	}
}

// TestRun: an action gives the same beside the process that serves the directory and without one, whatever
// the length of the path.
func TestRun(t *testing.T) {
	for name, path := range map[string]string{
		"short": filepath.Join(t.TempDir(), "ca"),
		"long":  filepath.Join(t.TempDir(), strings.Repeat("long", 20), strings.Repeat("path", 20)),
	} {
		t.Run(name, func(t *testing.T) {
			env, closeAll := authority(t, path)
			note(t, env, "something")
			caller := ops.Caller{Dir: path, Log: env.Log}
			look := func(when string) {
				t.Helper()
				events, err := ops.Run(t.Context(), caller, ops.AuditLog, ops.AuditQuery{Limit: 5})
				if err != nil || len(events) != 1 || events[0].Action != "something" {
					t.Errorf("%s: %+v, %v", when, events, err)
				}
			}
			if err := os.WriteFile(filepath.Join(path, "operator.sock"), nil, 0o600); err != nil { // what a crash left
				t.Fatal(err)
			}
			stop := serve(t, env)
			for socket(path) == nil { // it listens any moment now
				runtime.Gosched()
			}
			look("beside it")
			if info := socket(path); info.Mode().Perm() != 0o600 {
				t.Errorf("the socket has mode %v", info.Mode())
			}
			stop()
			closeAll()
			look("alone")
		})
	}
}

// socket is the socket in a data directory, nil if there is none.
func socket(dir string) os.FileInfo {
	info, err := os.Stat(filepath.Join(dir, "operator.sock"))
	if err != nil || info.Mode()&fs.ModeSocket == 0 || info.Mode().Perm() != 0o600 {
		return nil
	}
	return info
}

func TestRunRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca")
	caller := ops.Caller{Dir: path, Log: slog.New(slog.DiscardHandler)}
	if _, err := ops.Run(t.Context(), caller, ops.AuditLog, ops.AuditQuery{}); !errors.Is(err, datadir.ErrNotMade) {
		t.Errorf("no directory: %v", err)
	}
	env, closeAll := authority(t, path)
	stop := serve(t, env)
	for socket(path) == nil {
		runtime.Gosched()
	}
	var refusal *rpc.Refusal
	if _, err := ops.Run(t.Context(), caller, ops.Evidence, ops.EvidenceQuery{Of: "a b", Limit: 1}); !errors.As(err, &refusal) {
		t.Errorf("an impossible name: %v", err)
	}
	if _, err := ops.Run(t.Context(), caller, ops.Evidence, ops.EvidenceQuery{Of: "a.test", Limit: 1000}); !errors.As(err, &refusal) {
		t.Errorf("an impossible limit: %v", err)
	}
	for _, limit := range []int{-1, 0, 1 << 20} { // to SQLite, -1 is no limit
		if _, err := ops.Run(t.Context(), caller, ops.AuditLog, ops.AuditQuery{Limit: limit}); !errors.As(err, &refusal) {
			t.Errorf("audit log with limit %d: %v", limit, err)
		}
	}
	stop()
	closeAll()
}

// TestServeEndsWhatIsUnderWay: an action that has begun when the authority stops is done, and answered.
func TestServeEndsWhatIsUnderWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca")
	env, closeAll := authority(t, path)
	stop := serve(t, env)
	for socket(path) == nil {
		runtime.Gosched()
	}
	conn, err := net.Dial("unix", filepath.Join(path, "operator.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	fmt.Fprintf(conn, "POST /eab-revoke HTTP/1.1\r\nHost: operator\r\nContent-Type: application/json\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n")
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") { // the action reads its request
		t.Fatalf("%q, %v", line, err)
	}
	_, _ = answers.ReadString('\n')
	ended := make(chan struct{})
	go func() { stop(); close(ended) }()
	for socket(path) != nil { // closed: no new commands
		runtime.Gosched()
	}
	for range 1000 { // it has all the time to end too early
		runtime.Gosched()
	}
	select {
	case <-ended:
		t.Error("it ended before the action did")
	default:
	}
	fmt.Fprint(conn, `"none"`)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, " 422 ") {
		t.Errorf("the action: %q, %v", line, err)
	}
	<-ended
	closeAll()
}
