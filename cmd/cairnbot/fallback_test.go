package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// TestAnotherCAIsTakenWhenItIsLate has a certificate that has expired, and a first CA that is out of reach: one
// failure of it is enough to ask the second. When the first works again, the certificate is from there again.
func TestAnotherCAIsTakenWhenItIsLate(t *testing.T) {
	t.Parallel()
	short := func() *station {
		return stationFor(t, pebbletest.Config{
			Directory: t.TempDir(), Environment: []string{"PEBBLE_VA_ALWAYS_VALID=1", "PEBBLE_VA_NOSLEEP=1"},
			Members: map[string]any{"profiles": map[string]any{"default": map[string]any{"description": "two seconds", "validityPeriod": 2}}},
		})
	}
	s, second := short(), short()
	bundle := bundleOf(t, s.pebble, second.pebble)
	if err := os.Mkdir(filepath.Join(s.work, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := s.prepare(args).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	conf := func() string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(s.work, "etc/renewal/a.example.conf"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	run("certonly", "-n", "--agree-tos", "--webroot", "-w", "www", "-d", "a.example", "--server", s.pebble.Directory,
		"--fallback-server", second.pebble.Directory, "--ca-bundle", bundle)
	accounts, err := filepath.Glob(filepath.Join(s.work, "etc/accounts/*/dir/*"))
	if err != nil || len(accounts) != 2 {
		t.Errorf("accounts are %v, %v: there is to be one at each", accounts, err)
	}
	first := s.pebble.Directory
	away := strings.ReplaceAll(conf(), "server = "+first, "server = https://127.0.0.1:1/dir")
	if err := os.WriteFile(filepath.Join(s.work, "etc/renewal/a.example.conf"), []byte(away), 0o644); err != nil {
		t.Fatal(err)
	}
	out := run("renew", "--no-check-served") // its three tries at the first take longer than the certificate lives
	if !strings.Contains(out, "asking another CA") || !strings.Contains(conf(), "server = "+second.pebble.Directory) ||
		!strings.Contains(conf(), "first_server = https://127.0.0.1:1/dir") {
		t.Errorf("the fallback was not taken:\n%s\n%s", out, conf())
	}
	log, err := os.ReadFile(filepath.Join(s.work, "log/letsencrypt.log"))
	if err != nil || strings.Contains(string(log), `"replaces"`) {
		t.Errorf("the second CA is told what it replaces, which is the first's: %v", err)
	}
	back := strings.ReplaceAll(conf(), "first_server = https://127.0.0.1:1/dir", "first_server = "+first)
	if err := os.WriteFile(filepath.Join(s.work, "etc/renewal/a.example.conf"), []byte(back), 0o644); err != nil {
		t.Fatal(err)
	}
	run("renew", "--no-check-served", "--force-renewal")
	if text := conf(); !strings.Contains(text, "server = "+first) || strings.Contains(text, "first_server") {
		t.Errorf("the first CA works again, and the certificate is not from there:\n%s", text)
	}
}

// bundleOf makes a file with what vouches for some servers.
func bundleOf(t *testing.T, servers ...*pebbletest.Server) string {
	t.Helper()
	var roots []byte
	for _, server := range servers {
		text, err := os.ReadFile(server.Bundle)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, text...)
	}
	path := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(path, roots, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
