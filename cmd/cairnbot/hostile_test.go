package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// escape is what a terminal obeys: a title, and a screen without anything on it.
const escape = "\x1b]0;pwned\x07\x1b[2J\u009b2J"

// hostile is a CA that says what it likes.
type hostile struct {
	*httptest.Server
	meta   any               // of the directory
	answer map[string]any    // path → body
	header map[string]string // of all answers
}

func newHostile(t *testing.T) *hostile {
	h := &hostile{header: map[string]string{"Content-Type": "application/json"}}
	h.Server = httptest.NewTLSServer(h)
	t.Cleanup(h.Close)
	identifier := map[string]any{"type": "dns", "value": "a.example"}
	challenge := map[string]any{"type": "http-01", "url": h.URL + "/challenge", "status": "pending", "token": strings.Repeat("a", 43)}
	h.answer = map[string]any{
		"/account": map[string]any{"status": "valid"},
		"/orders": map[string]any{"status": "pending", "identifiers": []any{identifier},
			"authorizations": []any{h.URL + "/authorization"}, "finalize": h.URL + "/finalize"},
		"/authorization": map[string]any{"status": "pending", "identifier": identifier, "challenges": []any{challenge}},
		"/challenge":     challenge,
	}
	return h
}

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range h.header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Replay-Nonce", base64.RawURLEncoding.EncodeToString([]byte(r.RemoteAddr)))
	_, _ = io.Copy(io.Discard, r.Body)
	var body any = map[string]any{
		"newNonce": h.URL + "/nonce", "newAccount": h.URL + "/account", "newOrder": h.URL + "/orders", "meta": h.meta,
	}
	if r.Method == http.MethodPost {
		w.Header().Set("Location", h.URL+"/one")
		body = h.answer[r.URL.Path]
	}
	_ = json.NewEncoder(w).Encode(body)
}

// certonly runs that verb against h and gives all output, and the directory of the run.
func (h *hostile) certonly(t *testing.T, args ...string) (output, directory string) {
	t.Helper()
	directory = t.TempDir()
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(directory, "ca.pem"), bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(directory, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	argv := []string{"certonly", "--webroot", "-w", filepath.Join(directory, "www"), "-d", "a.example", "-n", "--server", h.URL, "--ca-bundle", filepath.Join(directory, "ca.pem")}
	for _, name := range []string{"config", "work", "logs"} {
		argv = append(argv, fmt.Sprintf("--%s-dir", name), filepath.Join(directory, name))
	}
	var out bytes.Buffer
	if code := run(t.Context(), append(argv, args...), process{out: &out, err: &out, getenv: func(string) string { return "" }}); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	return out.String(), directory
}

func TestC04TermsAreAgreedToByAPersonAlone(t *testing.T) {
	h := newHostile(t)
	h.meta = map[string]any{"termsOfService": "https://ca.example/terms"}
	h.answer["/account"] = nil // an account that is asked for would be another error
	output, _ := h.certonly(t)
	if !strings.Contains(output, "read the Terms of Service at: https://ca.example/terms") || !strings.Contains(output, "--agree-tos") {
		t.Error(output)
	}
}

func TestAPageIsNoDirectory(t *testing.T) {
	h := newHostile(t)
	h.header["Content-Type"] = "text/html"
	if output, _ := h.certonly(t, "--agree-tos"); !strings.Contains(output, "hint: --server takes the URL of the CA's directory") {
		t.Error(output)
	}
}

func TestNobodyFillsTheLog(t *testing.T) {
	h := newHostile(t)
	h.answer["/orders"].(map[string]any)["padding"] = strings.Repeat("x", 100<<10)
	h.answer["/authorization"].(map[string]any)["status"] = "invalid"
	_, directory := h.certonly(t, "--agree-tos")
	if info, err := os.Stat(filepath.Join(directory, "logs/letsencrypt.log")); err != nil || info.Size() > 30<<10 {
		t.Errorf("%v, %v", info.Size(), err)
	}
	var file, terminal bytes.Buffer
	log := newLogger("cairnbot", &file, &terminal, new(options))
	for range 20 << 10 {
		log.Debug(strings.Repeat("x", 1<<10))
	}
	if file.Len() > 9<<20 {
		t.Errorf("one run wrote %d bytes", file.Len())
	}
	log.Warn("the disk is still there")
	if !strings.Contains(file.String(), "still there") {
		t.Error("a warning is left out")
	}
}

func TestNobodyControlsTheTerminal(t *testing.T) {
	for name, change := range map[string]func(*hostile){
		"terms": func(h *hostile) { h.meta = map[string]any{"termsOfService": "https://x/" + escape} },
		"body":  func(h *hostile) { h.answer["/account"] = escape },
		"order": func(h *hostile) {
			h.answer["/orders"].(map[string]any)["identifiers"] = []any{map[string]any{"type": "dns", "value": escape}}
		},
		"authorization": func(h *hostile) { h.answer["/authorization"].(map[string]any)["status"] = "in" + escape },
		"media type":    func(h *hostile) { h.header["Content-Type"] = "text/\u009b2J" },
	} {
		h := newHostile(t)
		change(h)
		args := []string{"-vv", "--agree-tos"}
		if name == "terms" {
			args = nil
		}
		output, _ := h.certonly(t, args...)
		if !strings.Contains(output, "cairnbot: error: ") {
			t.Errorf("%s: %s", name, output)
		}
		for _, r := range output {
			if !unicode.IsPrint(r) && r != '\n' && r != '\t' {
				t.Errorf("%s: %q in %q", name, r, output)
				break
			}
		}
	}
}
