package main

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// dialogue is cairnbot at a terminal where a test types.
type dialogue struct {
	t       *testing.T
	command *exec.Cmd
	tty     *os.File
	output  chan []byte // closed at its end
	seen    string      // all so far, with each run of white space as one space: lines are wrapped
	read    int         // how much of it has been expected
	raw     bytes.Buffer
}

// station is a machine's directories, and a CA.
type station struct {
	t      *testing.T
	work   string
	pebble *pebbletest.Server
	env    []string
	size   pty.Winsize
}

// newStation has a Pebble with these arguments.
func newStation(t *testing.T, arguments ...string) *station {
	t.Helper()
	return stationFor(t, pebbletest.Config{Directory: t.TempDir(), Environment: []string{"PEBBLE_AUTHZREUSE=0"}, Arguments: arguments})
}

func stationFor(t *testing.T, config pebbletest.Config) *station {
	t.Helper()
	pebble, err := pebbletest.StartConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pebble.Stop)
	return &station{t: t, work: t.TempDir(), pebble: pebble, size: pty.Winsize{Rows: 25, Cols: 80}}
}

// ca are the options for the station's CA and its ports.
func (s *station) ca(args ...string) []string {
	return append(args, "--server", s.pebble.Directory, "--ca-bundle", s.pebble.Bundle, "--http-01-port", s.port())
}

func (s *station) port() string { return strconv.Itoa(s.pebble.HTTPPort) }

func (s *station) prepare(args []string) *exec.Cmd {
	command := exec.Command("bot", args...)
	command.Env = append(os.Environ(), "WORK="+s.work, "REQUESTS_CA_BUNDLE=", "CURL_CA_BUNDLE=", "TERM=vt100", "HOME="+s.work)
	command.Env = append(command.Env, s.env...)
	command.Dir = s.work
	return command
}

// session runs a command at a terminal, and stays until somebody has read what it said: when the first process of
// a session ends, the system drops what nobody has read yet.
const session = `trap : INT; "$0" "$@"; echo "exit code $?!"; read _`

// talk starts cairnbot at a terminal.
func (s *station) talk(args ...string) *dialogue {
	s.t.Helper()
	return s.talkTo(s.prepare(args))
}

// talkTo starts a command at a terminal.
func (s *station) talkTo(command *exec.Cmd) *dialogue {
	s.t.Helper()
	d := &dialogue{t: s.t, command: command, output: make(chan []byte, 16)}
	shell, err := exec.LookPath("sh")
	if err != nil {
		s.t.Fatal(err)
	}
	d.command.Path, d.command.Args = shell, append([]string{"sh", "-c", session}, d.command.Args...)
	if d.tty, err = pty.StartWithSize(d.command, &s.size); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		defer close(d.output)
		for {
			buffer := make([]byte, 4096)
			n, err := d.tty.Read(buffer)
			if n > 0 {
				d.output <- buffer[:n]
			}
			if err != nil {
				return // EIO: nobody has the other side open any more
			}
		}
	}()
	s.t.Cleanup(func() {
		_ = d.command.Process.Kill() // it may have ended
		_ = d.tty.Close()
	})
	return d
}

// quietly runs cairnbot where nobody is, and wants it to succeed.
func (s *station) quietly(args ...string) string {
	s.t.Helper()
	text, err := s.prepare(args).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, text)
	}
	return string(text)
}

// path is a file of the station.
func (s *station) path(name string) string { return filepath.Join(s.work, name) }

func (s *station) exists(name string) bool {
	_, err := os.Lstat(s.path(name))
	return err == nil
}

func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }

// patience is for a busy machine; a dialogue that works takes a second.
const patience = 60 * time.Second

// more waits for output. It returns false at its end.
func (d *dialogue) more(deadline <-chan time.Time, what string) bool {
	d.t.Helper()
	select {
	case text, ok := <-d.output:
		d.raw.Write(text)
		d.seen = squeeze(d.raw.String())
		return ok
	case <-deadline:
		d.t.Fatalf("waited in vain for %q after:\n%s", what, d.raw.String())
		return false
	}
}

// expect waits until text has been said, after what was expected before.
func (d *dialogue) expect(text string) *dialogue {
	d.t.Helper()
	deadline := time.After(patience)
	want := squeeze(text)
	for {
		if i := strings.Index(d.seen[d.read:], want); i >= 0 {
			d.read += i + len(want)
			return d
		}
		if !d.more(deadline, text) {
			d.t.Fatalf("it ended without %q:\n%s", text, d.raw.String())
		}
	}
}

// send types text and presses Enter.
func (d *dialogue) send(text string) *dialogue {
	d.t.Helper()
	return d.press(text + "\r")
}

// press types keys.
func (d *dialogue) press(keys string) *dialogue {
	d.t.Helper()
	if _, err := io.WriteString(d.tty, keys); err != nil {
		d.t.Fatal(err)
	}
	return d
}

// end waits for the end, and checks the exit code. It gives all that was said.
func (d *dialogue) end(code int) string {
	d.t.Helper()
	d.expect("exit code ")
	d.expect("!")
	if !strings.HasSuffix(d.seen[:d.read-1], "exit code "+strconv.Itoa(code)) {
		d.t.Errorf("it ended with another exit code than %d:\n%s", code, d.raw.String())
	}
	text := d.raw.String()
	d.send("")
	for deadline := time.After(patience); d.more(deadline, "the end"); {
		continue
	}
	_ = d.command.Wait()
	return text
}

// serveFiles is a web server.
func serveFiles(t *testing.T, directory, port string) {
	listener := listenOn(t, port)
	server := &http.Server{Handler: http.FileServer(http.Dir(directory))}
	go func() { _ = server.Serve(listener) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })
}

func listenOn(t *testing.T, port string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// occupy takes a port until the function that it returns is called.
func occupy(t *testing.T, port string) func() {
	t.Helper()
	listener := listenOn(t, port)
	return func() { _ = listener.Close() }
}

// shellWords has a shell take a command line apart.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	text, err := exec.Command("/bin/sh", "-c", `printf '%s\0' `+line).Output()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Split(string(text), "\x00")
	return words[:len(words)-1]
}

// payload decodes what a JWS signs.
func payload(text string) string {
	decoded, _ := base64.RawURLEncoding.DecodeString(text)
	return string(decoded)
}

// certificatePEM is what vouches for a server of net/http/httptest.
func certificatePEM(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}
