package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// step is what a program that types for a person waits for, and what it types then.
type step struct{ wait, send string }

// TestProgramsThatType has the same answers typed at the same prompts to Debian's certbot and to us. It needs Debian's
// package certbot, which `make test` installs.
func TestProgramsThatType(t *testing.T) {
	t.Parallel()
	const input, yesNo, two = " (Enter 'c' to cancel): ", "(Y)es/(N)o: ", "Select the appropriate number [1-2] then [enter] (press 'c' to cancel): "
	for _, program := range []string{"certbot", "bot"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			s := stationFor(t, pebbletest.Config{Directory: t.TempDir(), Environment: []string{"PEBBLE_AUTHZREUSE=0", "PEBBLE_WFE_NONCEREJECT=0"}})
			if err := os.MkdirAll(s.path("www"), 0o755); err != nil {
				t.Fatal(err)
			}
			run := func(code int, args []string, steps ...step) {
				t.Helper()
				s.typing(program, args, steps).end(code)
			}
			with := func(args ...string) []string {
				return append(args, "--server", s.pebble.Directory, "--http-01-port", s.port(), "--no-eff-email")
			}
			got := step{wait: "Successfully received certificate."}

			run(0, with("certonly", "--standalone"), step{input, "you@mail.example"}, step{"Please read the Terms of Service at", ""}, step{yesNo, "Y"},
				step{"Please enter the domain name(s) you would like on your certificate", ""}, step{input, "a.example,b.example"}, got)
			identical := with("certonly", "--standalone", "-d", "a.example", "-d", "b.example")
			run(0, identical, step{"1: Keep the existing certificate for now", ""}, step{"2: Renew & replace", ""}, step{two, "3"},
				step{"** Invalid input **", ""}, step{two, "1"}, step{"Certificate not yet due for renewal; no action taken.", ""})
			run(0, identical, step{two, "2"}, step{"Renewing an existing certificate for a.example and b.example", ""}, got)
			run(1, identical, step{two, "c"})
			more := append(identical, "-d", "c.example")
			run(1, more, step{"Do you want to expand and replace", ""}, step{"(E)xpand/(C)ancel: ", "C"}, step{"--duplicate", ""})
			run(0, more, step{"(E)xpand/(C)ancel: ", "E"}, got)
			run(1, with("certonly", "--standalone", "--cert-name", "a.example", "-d", "a.example"), step{"(U)pdate certificate/(C)ancel: ", "C"})
			run(0, with("certonly", "--standalone", "--cert-name", "a.example", "-d", "a.example"), step{"(U)pdate certificate/(C)ancel: ", "U"}, got)
			run(0, with("certonly", "--standalone", "-d", "a.example", "--key-type", "rsa"), step{"(U)pdate key type/(K)eep existing key type: ", "U"}, got)
			run(1, with("certonly", "--standalone", "-d", "a.example", "--key-type", "ecdsa"), step{"(U)pdate key type/(K)eep existing key type: ", "K"},
				step{"Are you trying to change the key type", ""})

			serveFiles(t, s.path("www"), s.port())
			// Which of the names certbot asks about first is chance.
			run(0, with("certonly", "--webroot", "-d", "w.example", "-d", "x.example"), step{"Input the webroot for ", ""}, step{input, s.path("www")},
				step{"Select the webroot for ", ""}, step{two, "2"}, got)
			run(1, with("certonly", "--standalone", "-d", "y.example"), step{"Could not bind TCP port", ""}, step{"(R)etry/(C)ancel: ", "C"})
			run(0, []string{"delete"}, step{"Which certificate(s) would you like to delete?", ""}, step{"(Enter 'c' to cancel): ", "2"}, step{yesNo, "Y"},
				step{"Deleted all files relating to certificate w.example.", ""})
		})
	}
}

// typing starts a program, Debian's or ("bot") ours, and takes the steps.
func (s *station) typing(program string, args []string, steps []step) *dialogue {
	s.t.Helper()
	command := s.prepare(args)
	if program != "bot" {
		path, err := exec.LookPath(program)
		if err != nil {
			s.t.Fatal(err)
		}
		command.Path = path
		command.Args = append([]string{program, "--config-dir", s.path("etc"), "--work-dir", s.path("lib"), "--logs-dir", s.path("log")}, args...)
	}
	command.Env = append(command.Env, "REQUESTS_CA_BUNDLE="+s.pebble.Bundle)
	d := s.talkTo(command)
	for _, step := range steps {
		d.expect(step.wait)
		if step.send != "" {
			d.send(step.send)
		}
	}
	return d
}
