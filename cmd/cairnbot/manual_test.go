package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/command"
)

// say runs the program without any file of this machine, and gives what it prints.
func say(t *testing.T, argv ...string) string {
	t.Helper()
	var out, complaints bytes.Buffer
	if code := run(t.Context(), argv, process{out: &out, err: &complaints, getenv: func(string) string { return "" }}); code != exitOK {
		t.Fatalf("%q: exit code %d, %s", argv, code, &complaints)
	}
	if complaints.Len() > 0 {
		t.Errorf("%q: %s", argv, &complaints)
	}
	return out.String()
}

// complain has another program read text from standard input, and expects it to say nothing.
func complain(t *testing.T, text string, program ...string) {
	t.Helper()
	check := exec.Command(program[0], program[1:]...)
	check.Stdin = strings.NewReader(text)
	if said, err := check.CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("%q: %v\n%s", program, err, said)
	}
}

// shown are the options that help and manual promise.
func shown() []option {
	return slices.DeleteFunc(table(), func(row option) bool { return row.Hidden })
}

func TestEveryOptionIsInTheHelp(t *testing.T) {
	all := strings.Fields(say(t, "--help", "all"))
	for _, row := range shown() {
		if !slices.ContainsFunc(all, func(word string) bool { return strings.TrimSuffix(word, ",") == "--"+row.Name }) {
			t.Errorf("--%s is not in --help all", row.Name)
		}
	}
	for _, topic := range topics() {
		help := say(t, "--help", topic.Name)
		words := strings.Fields(strings.ReplaceAll(help, ",", " "))
		for _, row := range shown() {
			if slices.Contains(row.Topics, topic.Name) && !slices.Contains(words, "--"+row.Name) {
				t.Errorf("--%s is not in --help %s", row.Name, topic.Name)
			}
		}
		for line := range strings.Lines(help) {
			if len(line) > 82 && !strings.Contains(line, "http") {
				t.Errorf("a line is too long: %s", line)
			}
		}
	}
	for _, v := range verbs() {
		help := say(t, "help", v.name)
		if v.run != nil && !strings.Contains(help, v.help) {
			t.Errorf("help about %s says %s", v.name, help)
		}
		if advertised := strings.Contains(say(t, "--help"), "\n  "+v.name+" "); advertised != (v.run != nil || v.quick != nil || v.name == command.HelpVerb) {
			t.Errorf("the verb %s is advertised: %v", v.name, advertised)
		}
	}
}

func TestEveryOptionIsInTheManual(t *testing.T) {
	pages := strings.Fields(say(t, "man", "pages"))
	if len(pages) < 10 || pages[0] != ownName {
		t.Fatalf("%q", pages)
	}
	for _, page := range pages {
		text := say(t, "man", page)
		complain(t, text, "mandoc", "-T", "lint", "-W", "warning")
		plain := strings.NewReplacer(`\-`, "-", `\fB`, " ", `\fI`, " ", `\fR`, " ").Replace(text)
		for _, row := range shown() {
			if verb := strings.TrimPrefix(page, ownName+"-"); page != ownName && !slices.Contains(row.Topics, verb) {
				continue
			}
			for _, name := range append([]string{row.Name}, row.Aliases...) {
				if !strings.Contains(plain, " --"+name+" ") {
					t.Errorf("--%s is not in %s(1)", name, page)
				}
			}
		}
	}
	if one, other := say(t, "man", "certonly"), say(t, "man", "cairnbot-certonly"); one != other {
		t.Error("a verb has two pages")
	}
}

func TestShellsComplete(t *testing.T) {
	for _, shell := range command.Shells() {
		text := say(t, "completion", shell)
		file := filepath.Join(t.TempDir(), "completion")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		complain(t, "", shell, "-n", file)
		for _, row := range shown() {
			if !strings.Contains(text, "--"+row.Name) && !strings.Contains(text, "-l "+row.Name+" ") {
				t.Errorf("--%s is not completed by %s", row.Name, shell)
			}
		}
		if shell == "zsh" { // its completion runs at a terminal alone
			if got := output(t, "zsh", "-f", "-c", `autoload -U compinit; compinit -D; source "$1"; echo $_comps[cairnbot]`, "zsh", file); got != "_cairnbot" {
				t.Errorf("zsh completes with %q", got)
			}
			continue
		}
		dir := filepath.Join(filepath.Dir(file), "webroot")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for line, want := range map[string]string{
			"cert": "certonly certificates", "certonly --stand": "--standalone", "--reason keyc": "keycompromise", "certonly cert": "",
			"--key-type e": "ecdsa", "-w " + dir[:len(dir)-2]: dir, "--user-agent c": "",
		} {
			if got := completed(t, shell, file, line); got != want {
				t.Errorf("%s completes %q with %q, want %q", shell, line, got, want)
			}
		}
	}
}

// completed asks a shell what the last word of a line could become.
func completed(t *testing.T, shell, file, line string) string {
	t.Helper()
	script := map[string]string{
		"bash": `. "$1"; COMP_WORDS=(cairnbot $2); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _cairnbot; echo ${COMPREPLY[@]}`,
		"fish": `source $argv[2]; complete -C "cairnbot $argv[3]" | cut -f1 | string trim -r -c /; true`,
	}[shell]
	words := strings.Fields(output(t, shell, "-c", script, shell, file, line))
	slices.Sort(words)
	slices.Reverse(words)
	return strings.Join(words, " ")
}

// output is what another program prints, in a home without settings.
func output(t *testing.T, program ...string) string {
	t.Helper()
	home := t.TempDir()
	command := exec.Command(program[0], program[1:]...)
	command.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_DATA_HOME="+home, "TERM=dumb")
	said, err := command.Output()
	if err != nil {
		t.Fatalf("%q: %v", program, err)
	}
	return strings.TrimSpace(string(said))
}
