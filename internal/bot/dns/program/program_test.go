//go:build unix

package program_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/program"
)

// script writes a program that appends to the file "log" beside it.
func script(t *testing.T, text string) (path string, log func() string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "a program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncd '"+dir+"'\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path, func() string {
		text, _ := os.ReadFile(filepath.Join(dir, "log"))
		return string(text)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

var record = dns.Record{Name: "_acme-challenge.www.dyn.test.", Value: `-v"$(touch x); rm *'`, Zone: "dyn.test.", TTL: time.Minute, Domain: "www.dyn.test", KeyAuthorization: "-token.thumb"}

func TestExec(t *testing.T) {
	path, log := script(t, `printf '%s|' "$#" "$@" "$CAIRNBOT_ACTION" "$CAIRNBOT_NAME" "$CAIRNBOT_VALUE" "$CAIRNBOT_ZONE" "$CAIRNBOT_TTL" "$CAIRNBOT_DOMAIN" "$API_TOKEN" >>log; cat >>log`)
	p, err := program.Entry().New(dns.Settings{Values: map[string]string{"program": path, "API_TOKEN": "a b"}})
	if err != nil {
		t.Fatal(err)
	}
	must(t, p.Add(t.Context(), record))
	must(t, p.Remove(t.Context(), record))
	line := func(action string) string {
		return `3|` + action + `|_acme-challenge.www.dyn.test.|` + record.Value + `|` + action + `|_acme-challenge.www.dyn.test.|` + record.Value + `|dyn.test.|60|www.dyn.test|a b|` +
			`{"format":1,"action":"` + action + `","name":"_acme-challenge.www.dyn.test.","value":"-v\"$(touch x); rm *'","zone":"dyn.test.","ttl":60,"domain":"www.dyn.test"}` + "\n"
	}
	if want := line("present") + line("cleanup"); log() != want {
		t.Errorf("got  %s\nwant %s", log(), want)
	}
}

func TestExecAsLegoDoesIt(t *testing.T) {
	path, log := script(t, `printf '%s|' "$@" >>log`) // it does not read its input
	p, err := program.New(program.Config{Program: path, Mode: "RAW"})
	if err != nil {
		t.Fatal(err)
	}
	must(t, p.Add(t.Context(), record))
	if want := "present|--|www.dyn.test|-token|-token.thumb|"; log() != want {
		t.Errorf("got %s", log())
	}
	none := record
	none.KeyAuthorization = ""
	if err := p.Add(t.Context(), none); err == nil || !strings.Contains(err.Error(), "leave the mode out") {
		t.Errorf("got %v", err)
	}
}

func TestFailures(t *testing.T) {
	path, _ := script(t, "echo to the output\nprintf 'no such\\n\\033[31mzone\\n' >&2\nexit 3")
	p, err := program.New(program.Config{Program: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Add(t.Context(), record); err == nil || !strings.HasSuffix(err.Error(), "present: exit status 3: it says: no such ?[31mzone") {
		t.Errorf("got %v", err)
	}
	hostile := record
	hostile.Name = "$(touch x).dyn.test."
	if err := p.Add(t.Context(), hostile); err == nil || strings.Contains(err.Error(), "exit status") {
		t.Errorf("got %v", err)
	}
	path, _ = script(t, "sleep 60")
	if p, err = program.New(program.Config{Program: path, Timeout: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if err := p.Add(t.Context(), record); err == nil || !strings.Contains(err.Error(), "longer than it may") {
		t.Errorf("got %v", err)
	}
}

func TestOneAtATime(t *testing.T) {
	path, log := script(t, "mkdir lock || exit 1\nread line\necho \"$3\" >>log\nrmdir lock")
	p, err := program.New(program.Config{Program: path})
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for i := range 5 {
		wait.Go(func() {
			one := record
			one.Value = fmt.Sprint(i)
			if err := p.Add(t.Context(), one); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got := strings.Count(log(), "\n"); got != 5 {
		t.Errorf("ran %d times", got)
	}
}

func TestHooksOfCertbots(t *testing.T) {
	path, log := script(t, `printf '%s|' "$1" "$CERTBOT_DOMAIN" "$CERTBOT_IDENTIFIER" "$CERTBOT_VALIDATION" "$CERTBOT_ALL_DOMAINS" "$CERTBOT_REMAINING_CHALLENGES" "${CERTBOT_TOKEN-none}" "${CERTBOT_AUTH_OUTPUT-none}" "$API" >>log; echo " it's $1 "`)
	p, err := program.HookEntry().New(dns.Settings{Values: map[string]string{"auth_hook": "'" + path + "' auth", "cleanup_hook": "'" + path + "' clean", "API": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	must(t, p.Add(t.Context(), record))
	must(t, p.Remove(t.Context(), record))
	middle := "|www.dyn.test|www.dyn.test|" + record.Value + "|www.dyn.test|0|none|"
	if want := "auth" + middle + "none|x|clean" + middle + "it's auth|x|"; log() != want {
		t.Errorf("got  %s\nwant %s", log(), want)
	}
	other := record
	other.Name = "proofs.dyn.test."
	if err := p.Add(t.Context(), other); err == nil || !strings.Contains(err.Error(), "--dns exec") {
		t.Errorf("got %v", err)
	}
	alone, err := program.NewHook(program.HookConfig{Auth: "false"})
	if err != nil {
		t.Fatal(err)
	}
	if err := alone.Add(t.Context(), record); err == nil {
		t.Error("a hook that failed was believed")
	}
	must(t, alone.Remove(t.Context(), record))
}

func TestSettings(t *testing.T) {
	path, _ := script(t, "")
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		entry  dns.Entry
		values map[string]string
		good   bool
	}{
		{program.Entry(), map[string]string{"program": path, "timeout": "5"}, true},
		{program.Entry(), nil, false},
		{program.Entry(), map[string]string{"program": plain}, false},
		{program.Entry(), map[string]string{"program": path, "mode": "raw"}, false},
		{program.Entry(), map[string]string{"program": path, "timeout": "0"}, false},
		{program.HookEntry(), map[string]string{"auth_hook": "x"}, true},
		{program.HookEntry(), map[string]string{"cleanup_hook": "x"}, false},
		{program.HookEntry(), map[string]string{"auth_hook": "x", "timeout": "-1"}, false},
	} {
		if _, err := c.entry.New(dns.Settings{Values: c.values}); (err == nil) != c.good {
			t.Errorf("%s with %v: %v", c.entry.Name, c.values, err)
		}
	}
}
