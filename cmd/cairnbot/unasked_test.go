package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// outcome is how a run without a terminal ended.
type outcome struct {
	text string
	code int
}

// alone runs cairnbot without a terminal. It must end, whatever is asked.
func (s *station) alone(in io.Reader, args ...string) outcome {
	s.t.Helper()
	command := s.prepare(args)
	command.Stdin = in
	type ended struct {
		text []byte
		err  error
	}
	done := make(chan ended, 1)
	go func() {
		text, err := command.CombinedOutput()
		done <- ended{text, err}
	}()
	select {
	case e := <-done:
		return outcome{string(e.text), command.ProcessState.ExitCode()}
	case <-time.After(patience):
		s.t.Fatalf("%v hangs", args)
		return outcome{}
	}
}

// question is a way to be asked something.
type question struct {
	name string
	args []string
	// says is what is said where nobody may be asked; "" means that there is a default, and that it goes well.
	says string
}

// questions brings a station to where each question comes up, and lists how.
func (s *station) questions() []question {
	s.t.Helper()
	s.quietly(s.ca("certonly", "-n", "--standalone", "--agree-tos", "-d", "a.example", "-d", "b.example", "--key-type", "rsa")...)
	standalone := func(args ...string) []string { return s.ca(append([]string{"certonly", "--standalone"}, args...)...) }
	fresh := func(args ...string) []string { return append(args, "--config-dir", s.path("fresh")) }
	return []question{
		{name: "names", args: standalone(), says: "-d NAME"},
		{name: "terms", args: fresh(standalone("-d", "c.example", "-m", "")...), says: "--agree-tos"},
		{name: "method", args: s.ca("certonly", "-d", "c.example"), says: methodFlags},
		{name: "webroot", args: s.ca("certonly", "--webroot", "-d", "c.example"), says: "--webroot-path"},
		{name: "more names", args: standalone("-d", "a.example,b.example,c.example"), says: "--expand"},
		{name: "another kind of key", args: standalone("-d", "a.example,b.example", "--key-type", "ecdsa"), says: "--cert-name and --key-type"},
		{name: "no installer", args: s.ca("-d", "c.example"), says: "certonly"},
		{name: "email", args: fresh(standalone("-d", "c.example", "--agree-tos")...)},
		{name: "keep", args: standalone("-d", "a.example,b.example")},
		{name: "other names", args: standalone("-d", "a.example,d.example", "--cert-name", "a.example")},
	}
}

func TestNobodyIsAsked(t *testing.T) {
	s := newStation(t)
	for _, q := range s.questions() {
		never, silent, err := os.Pipe() // nobody writes, and nobody closes
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		for how, in := range map[string]io.Reader{"no input": nil, "silence": never, "nonsense": strings.NewReader("y\n1\nx\n")} {
			got := s.alone(in, append(q.args, "-n")...)
			if q.says == "" && got.code != 0 || q.says != "" && (got.code != 1 || !strings.Contains(got.text, q.says)) {
				t.Errorf("%s, %s: exit code %d, %s", q.name, how, got.code, got.text)
			}
			if strings.Contains(got.text, "Skipped user interaction") || strings.Contains(got.text, "(Y)es") {
				t.Errorf("%s, %s: %s", q.name, how, got.text)
			}
			if how == "no input" && q.says == "" {
				break // it went well, and is another thing the next time
			}
		}
	}
}

func TestClosedInputDoesNotHang(t *testing.T) {
	s := newStation(t)
	for _, q := range s.questions() {
		got := s.alone(nil, q.args...)
		if q.says == "" && got.code != 0 || q.says != "" && (got.code != 1 || !strings.Contains(got.text, q.says)) {
			t.Errorf("%s: exit code %d, %s", q.name, got.code, got.text)
		}
		if strings.Count(got.text, "Skipped user interaction because Certbot doesn't appear to be running in a terminal.") > 1 {
			t.Errorf("%s: warned twice: %s", q.name, got.text)
		}
	}
}

func TestRepeatedAnswersOfAProgram(t *testing.T) {
	s := newStation(t)
	yes := func(args ...string) outcome {
		in, typing, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		program := exec.Command("yes")
		program.Stdout = typing
		if err := program.Start(); err != nil {
			t.Fatal(err)
		}
		_ = typing.Close()
		defer func() {
			_ = program.Process.Kill()
			_ = program.Wait()
		}()
		got := s.alone(in, args...)
		_ = in.Close()
		return got
	}
	if got := yes(s.ca("certonly", "--standalone", "-d", "a.example", "-m", "you@mail.example")...); got.code != 0 || !strings.Contains(got.text, "Successfully received") {
		t.Error(got)
	}
	// No answer to this question is "y"; it is not asked for ever.
	if got := yes(append(s.ca("certonly", "--standalone", "-d", "b.example"), "--config-dir", s.path("fresh"))...); got.code != 1 || !strings.Contains(got.text, "--email") {
		t.Error(got)
	}
	got := s.alone(strings.NewReader("b.example\n\n"), append(s.ca("certonly", "--standalone"), "--force-interactive")...)
	if got.code != 0 || !strings.Contains(got.text, "Successfully received") {
		t.Error(got)
	}
	for _, args := range [][]string{{"certonly", "-n"}, {"renew"}} {
		if got := s.alone(nil, append(args, "--force-interactive")...); got.code != 1 || !strings.Contains(got.text, "--force-interactive") {
			t.Error(args, got)
		}
	}
}

func TestInterruptAndEndOfInput(t *testing.T) {
	s := newStation(t)
	release := occupy(t, s.port())
	defer release()
	prompts := map[string]string{
		"names": "Please enter the domain name(s)", "terms": "Do you agree?", "method": "How would you like", "webroot": "Input the webroot for",
		"more names": "(E)xpand/(C)ancel: ", "another kind of key": "(U)pdate key type", "no installer": "(Y)es/(N)o: ",
		"email": "Enter email address", "keep": "What would you like to do?", "other names": "(U)pdate certificate",
	}
	release()
	list := s.questions()
	defer occupy(t, s.port())()
	list = append(list, question{name: "port", args: s.ca("certonly", "--standalone", "-d", "e.example")})
	prompts["port"] = "(R)etry/(C)ancel: "
	for _, q := range list {
		s.talkPast(q, prompts[q.name]).press("\x03").expect("Exiting due to user request.").end(1)
		s.talkPast(q, prompts[q.name]).press("\x04").expect("the input ended before the question").end(1)
	}
	for _, dir := range []string{"etc", "lib", "log", "fresh"} {
		if locks, _ := filepath.Glob(s.path(dir + "/.certbot.lock")); len(locks) > 0 {
			t.Errorf("%s stays", locks)
		}
	}
}

// talkPast answers what comes before a question: that of a key type with which the station was made.
func (s *station) talkPast(q question, prompt string) *dialogue {
	s.t.Helper()
	d := s.talk(q.args...)
	if strings.Contains(strings.Join(q.args, " "), "a.example") && q.name != "another kind of key" {
		d.expect("(K)eep existing key type: ").send("k")
	}
	return d.expect(prompt)
}
