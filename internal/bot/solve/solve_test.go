//go:build unix

package solve_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// padding makes tokens of words: RFC 8555 §8.1 wants 128 bits.
const padding = "_0123456789abcdefghijk"

func challenge(name, token string) renew.Challenge {
	return renew.Challenge{Type: acme.HTTP01, Identifier: acme.IdentifierFor(name), Token: token, KeyAuthorization: token + ".thumbprint"}
}

// freePort finds a port that nobody listens on at the moment.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func standalone(t *testing.T, address string, port int) *solve.Standalone {
	t.Helper()
	s, err := solve.NewStandalone(solve.StandaloneConfig{Address: address, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fetch requests path on host and returns status and body.
func fetch(t *testing.T, method, host string, port int, path string) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+net.JoinHostPort(host, strconv.Itoa(port))+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestStandaloneServesWhatIsPresentedAndNothingElse(t *testing.T) {
	port := freePort(t)
	s, one, two := standalone(t, "", port), challenge("a.test", "one"+padding), challenge("b.test", "two"+padding)
	for _, c := range []renew.Challenge{one, two} {
		if err := s.Present(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/.well-known/acme-challenge/one" + padding, 200, "one" + padding + ".thumbprint"},
		{"GET", "/.well-known/acme-challenge/two" + padding + "?x=y", 200, "two" + padding + ".thumbprint"},
		{"HEAD", "/.well-known/acme-challenge/one" + padding, 200, ""},
		{"POST", "/.well-known/acme-challenge/one" + padding, 405, "use GET\n"},
		{"GET", "/.well-known/acme-challenge/<script>", 404, "404 page not found\n"},
		{"GET", "/.well-known/acme-challenge/one" + padding + "/", 404, "404 page not found\n"},
		{"GET", "/.well-known/acme-challenge/", 404, "404 page not found\n"},
		{"GET", "/one" + padding, 404, "404 page not found\n"},
		{"GET", "/", 404, "404 page not found\n"},
	} {
		if status, body := fetch(t, c.method, "127.0.0.1", port, c.path); status != c.status || body != c.body {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, status, body, c.status, c.body)
		}
	}
	if err := s.CleanUp(t.Context(), one); err != nil {
		t.Error(err)
	}
	if status, _ := fetch(t, "GET", "127.0.0.1", port, "/.well-known/acme-challenge/one"+padding); status != 404 {
		t.Errorf("a token that was cleaned up gets %d", status)
	}
	if err := s.CleanUp(t.Context(), two); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
		t.Error("the server still listens after the last CleanUp")
	}
	if err := s.Present(t.Context(), one); err != nil { // it can be used again
		t.Error(err)
	}
	_ = s.CleanUp(t.Context(), one)
}

func TestStandaloneServesBothFamilies(t *testing.T) {
	probe, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Log("no IPv6 on this machine: IPv4 alone must do")
	} else {
		_ = probe.Close()
	}
	port := freePort(t)
	s := standalone(t, "", port)
	if err := s.Present(t.Context(), challenge("a.test", "one"+padding)); err != nil {
		t.Fatal(err)
	}
	defer s.CleanUp(context.Background(), challenge("a.test", "one"+padding))
	hosts := []string{"127.0.0.1"}
	if probe != nil {
		hosts = append(hosts, "::1")
	}
	for _, host := range hosts {
		if status, _ := fetch(t, "GET", host, port, "/.well-known/acme-challenge/one"+padding); status != 200 {
			t.Errorf("%s: %d", host, status)
		}
	}
}

func TestStandaloneSaysThatThePortIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	for _, address := range []string{"", "127.0.0.1"} {
		err := standalone(t, address, port).Present(t.Context(), challenge("a.test", "one"+padding))
		if !errors.Is(err, solve.ErrPortTaken) || !strings.Contains(err.Error(), strconv.Itoa(port)) {
			t.Errorf("address %q: %v", address, err)
		}
	}
}

func TestC10TokensFromTheCAAreChecked(t *testing.T) {
	root := t.TempDir()
	webroot, err := solve.NewWebroot(solve.WebrootConfig{Roots: map[string]string{"a.test": root}})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"", "../../x", "a/b", "<b>", "a b", "a.b", "shadow", padding[1:], strings.Repeat("a", 300)} {
		for _, solver := range []renew.Solver{webroot, standalone(t, "127.0.0.1", freePort(t))} {
			if err := solver.Present(t.Context(), challenge("a.test", token)); err == nil {
				t.Errorf("%T took the token %.20q", solver, token)
			}
		}
	}
	if entries, _ := os.ReadDir(root); len(entries) != 0 {
		t.Errorf("left %v", entries)
	}
}

func TestBadConfigs(t *testing.T) {
	for _, c := range []solve.StandaloneConfig{{Port: -1}, {Port: 65536}, {TLSPort: 65536}, {Challenges: []acme.ChallengeType{acme.DNS01}}, {Port: 80, Address: "localhost"}} {
		if _, err := solve.NewStandalone(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	if _, err := solve.NewWebroot(solve.WebrootConfig{Roots: map[string]string{"a.test": "/nonexistent"}}); err == nil || err.Error() != "/nonexistent does not exist or is not a directory" {
		t.Errorf("got %v", err)
	}
}

func TestWebrootWritesAndRemoves(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077)) // modes must not depend on it
	shared, other := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(other, ".well-known"), 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := solve.NewWebroot(solve.WebrootConfig{Roots: map[string]string{"a.test": shared, "b.test": shared, "c.test": other}})
	if err != nil {
		t.Fatal(err)
	}
	challenges := []renew.Challenge{challenge("a.test", "one"+padding), challenge("b.test", "two"+padding), challenge("c.test", "three"+padding)}
	for _, c := range challenges {
		if err := w.Present(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for path, mode := range map[string]fs.FileMode{
		filepath.Join(shared, ".well-known"):                                 fs.ModeDir | 0o755,
		filepath.Join(shared, ".well-known/acme-challenge"):                  fs.ModeDir | 0o755,
		filepath.Join(shared, ".well-known/acme-challenge/two"+padding):      0o644,
		filepath.Join(other, ".well-known"):                                  fs.ModeDir | 0o700,
		filepath.Join(other, ".well-known/acme-challenge/three"+padding):     0o644,
		filepath.Join(other, ".well-known/acme-challenge", "/three"+padding): 0o644,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v; want mode %v", path, info, err, mode)
		}
	}
	if text, err := os.ReadFile(filepath.Join(shared, ".well-known/acme-challenge/one"+padding)); string(text) != "one"+padding+".thumbprint" {
		t.Errorf("%q, %v", text, err)
	}
	for _, c := range challenges {
		if err := w.CleanUp(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	if entries, _ := os.ReadDir(shared); len(entries) != 0 {
		t.Errorf("%v was left behind", entries)
	}
	if entries, _ := os.ReadDir(filepath.Join(other, ".well-known")); len(entries) != 0 {
		t.Errorf("%v was left behind", entries)
	}
	if _, err := os.Stat(filepath.Join(other, ".well-known")); err != nil {
		t.Error("a directory that was there before is gone")
	}
}

func TestWebrootKeepsStrangersFiles(t *testing.T) {
	root := t.TempDir()
	directory := filepath.Join(root, ".well-known/acme-challenge")
	w, err := solve.NewWebroot(solve.WebrootConfig{Roots: map[string]string{"a.test": root}})
	if err != nil {
		t.Fatal(err)
	}
	one := challenge("a.test", "one"+padding)
	if err := w.Present(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "stranger"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.CleanUp(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(directory, "stranger")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "one"+padding), []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Present(t.Context(), one); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a stranger's file was taken for an answer: %v", err)
	}
}

func TestWebrootPresentsAgainAfterACrash(t *testing.T) {
	root := t.TempDir()
	for range 2 { // the first run never gets to CleanUp
		w, err := solve.NewWebroot(solve.WebrootConfig{Roots: map[string]string{"a.test": root}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Present(t.Context(), challenge("a.test", "one"+padding)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWebrootFollowsALinkThatWasThereBefore(t *testing.T) {
	root, shared := t.TempDir(), t.TempDir()
	if err := os.Symlink(shared, filepath.Join(root, ".well-known")); err != nil {
		t.Fatal(err)
	}
	w, err := solve.NewWebroot(solve.WebrootConfig{Roots: map[string]string{"a.test": root}})
	if err != nil {
		t.Fatal(err)
	}
	one := challenge("a.test", "one"+padding)
	if err := w.Present(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(shared, "acme-challenge/one"+padding)); err != nil {
		t.Error(err)
	}
	if err := w.CleanUp(t.Context(), one); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(shared); len(entries) != 0 {
		t.Errorf("%v was left behind", entries)
	}
}
