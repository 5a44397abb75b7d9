package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cairn-ca/cairn/internal/freeport"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"cairn":    func() { os.Exit(run()) },
		"x-crypto": func() { os.Exit(runGoClient(newXCrypto)) },
		"impostor": impostor,
		"liar":     liar,
		"acmez":    func() { os.Exit(runGoClient(newACMEZ)) },
	})
}

// TestScripts runs the program as a person would.
func TestScripts(t *testing.T) { testscript.Run(t, scripts("testdata/script", nil)) }

// scripts are those of dir, with the commands of this file and more.
func scripts(dir string, more map[string]func(ts *testscript.TestScript, neg bool, args []string)) testscript.Params {
	commands := map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"needs-cairnbot": needsCairnbot,
		"needs":          needs,
		"freeport":       freePort,
		"ca-up":          caStart("up"),
		"ca-serve":       caStart("serve"),
		"ca-end":         caEnd,
		"webserver":      webServer,
		"tlsserver":      tlsServer,
		"dnsserver":      dnsServer,
		"setfrom":        setFrom,
		"eventually":     eventually,
		"bench-report":   benchReport,
	}
	maps.Copy(commands, more)
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "data"))
			env.Setenv("DATA", filepath.Join(env.WorkDir, "ca"))
			module, err := filepath.Abs("../..")
			env.Setenv("MODULE", module)
			return err
		},
		Cmds: commands,
	}
}

// needs PROGRAM PACKAGE: fails, and does not skip, when a program is missing.
func needs(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: needs PROGRAM DEBIAN-PACKAGE")
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		ts.Fatalf("%s is not installed: `make test` installs it (Debian package %s)", args[0], args[1])
	}
}

// needs-cairnbot: builds our client and puts it into $PATH.
func needsCairnbot(ts *testscript.TestScript, _ bool, _ []string) {
	dir := ts.MkAbs("bin")
	// The server may not import the client, so it meets it as a program.
	out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "../cairnbot").CombinedOutput()
	if err != nil {
		ts.Fatalf("building cairnbot: %v\n%s", err, out)
	}
	ts.Setenv("PATH", dir+string(os.PathListSeparator)+ts.Getenv("PATH"))
}

// freeport NAME: sets $NAME to a port on loopback that nobody uses.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	port, err := freeport.Find()
	ts.Check(err)
	ts.Setenv(args[0], strconv.Itoa(port))
}

// process is the CA that a script has started.
type process struct {
	cmd    *exec.Cmd
	waited chan error
}

// running holds the process of each script, by its data directory.
var running sync.Map

var listening = regexp.MustCompile(`(?m)^Directory +(\S+)$`)

// caStart makes ca-up and ca-serve [FLAG...]: starts the command on loopback with $DATA as its directory and waits
// until it is ready. Sets $DIRECTORY, $URL and $ROOT. With !, expects it to fail.
func caStart(command string) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) { caUp(ts, neg, command, args) }
}

func caUp(ts *testscript.TestScript, neg bool, command string, args []string) {
	args = append([]string{command, "--data", ts.Getenv("DATA"), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"}, args...)
	cmd := exec.Command("cairn", args...)
	cmd.Path = lookPath(ts, "cairn")
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"HOME=" + ts.Getenv("HOME"), "PATH=" + ts.Getenv("PATH"), "TESTSCRIPT_COMMAND=cairn"}
	log, err := os.OpenFile(ts.MkAbs("ca.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	ts.Check(err)
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	p := &process{cmd: cmd, waited: make(chan error, 1)}
	output := make(chan string, 1)
	go func() {
		text, ready := "", false
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			text += lines.Text() + "\n"
			if strings.HasPrefix(lines.Text(), "Ready.") {
				ready = true
				output <- text
			}
		}
		if !ready {
			output <- ""
		}
		p.waited <- cmd.Wait()
		_ = log.Close()
	}()
	ts.Defer(func() { _ = cmd.Process.Kill() })
	text := <-output
	if neg != (text == "") {
		words, _ := os.ReadFile(ts.MkAbs("ca.log"))
		ts.Fatalf("cairn %q: ready: %v\n%s", args, text != "", words)
	}
	if neg {
		return
	}
	ts.Check(os.WriteFile(ts.MkAbs("up.txt"), []byte(text), 0o600))
	directory := listening.FindStringSubmatch(text)[1]
	ts.Setenv("DIRECTORY", directory)
	ts.Setenv("URL", strings.TrimSuffix(directory, "/directory"))
	ts.Setenv("ROOT", filepath.Join(ts.Getenv("DATA"), "root.pem"))
	running.Store(ts.Getenv("DATA"), p)
}

// caEnd [SIGNAL]: ends the CA by SIGTERM, and expects a good end, or by another signal.
func caEnd(ts *testscript.TestScript, _ bool, args []string) {
	value, ok := running.LoadAndDelete(ts.Getenv("DATA"))
	if !ok {
		ts.Fatalf("no CA is running")
	}
	p := value.(*process)
	signal := syscall.SIGTERM
	if len(args) == 1 && args[0] == "KILL" {
		signal = syscall.SIGKILL
	}
	ts.Check(p.cmd.Process.Signal(signal))
	select {
	case err := <-p.waited:
		if signal == syscall.SIGTERM && err != nil {
			words, _ := os.ReadFile(ts.MkAbs("ca.log"))
			ts.Fatalf("after SIGTERM: %v\n%s", err, words)
		}
	case <-time.After(15 * time.Second):
		ts.Fatalf("the CA did not end within 15 s")
	}
}

// webServer DIR NAME: serves a directory over HTTP on a new loopback port, or on $NAME if that is set.
func webServer(ts *testscript.TestScript, _ bool, args []string) {
	dir, name := ts.MkAbs(args[0]), args[1]
	ts.Check(os.MkdirAll(dir, 0o755))
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", orZero(ts.Getenv(name))))
	ts.Check(err)
	server := &http.Server{Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	ts.Defer(func() { _ = server.Close() })
	ts.Setenv(name, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
}

// tlsServer CHAIN KEY NAME: serves a page with a certificate on a new loopback port, and sets $NAME to it.
func tlsServer(ts *testscript.TestScript, _ bool, args []string) {
	pair, err := tls.LoadX509KeyPair(ts.MkAbs(args[0]), ts.MkAbs(args[1]))
	ts.Check(err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	ts.Check(err)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello over TLS\n")
	})}
	go func() { _ = server.Serve(listener) }()
	ts.Defer(func() { _ = server.Close() })
	ts.Setenv(args[2], strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
}

// setFrom NAME FILE PATTERN: sets $NAME to what the group of PATTERN matches in FILE.
func setFrom(ts *testscript.TestScript, _ bool, args []string) {
	match := regexp.MustCompile(args[2]).FindStringSubmatch(ts.ReadFile(args[1]))
	if len(match) != 2 {
		ts.Fatalf("%s does not match %s", args[1], args[2])
	}
	ts.Setenv(args[0], match[1])
}

// eventually SECONDS PROGRAM ARG...: runs a program until it succeeds (with !, fails).
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	seconds, err := strconv.Atoi(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
	defer cancel()
	for tick := time.NewTicker(300 * time.Millisecond); ; {
		err := ts.Exec(args[1], args[2:]...)
		if (err != nil) == neg {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("not within %d s: %v", seconds, err)
		}
	}
}

func lookPath(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if file := filepath.Join(dir, name); fileExists(file) {
			return file
		}
	}
	ts.Fatalf("%s is not in PATH", name)
	return ""
}

func fileExists(name string) bool { _, err := os.Stat(name); return err == nil }

func orZero(port string) string {
	if port == "" {
		return "0"
	}
	return port
}
