package command_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/command"
)

// words is a target for a small language.
type words struct {
	name, server string
	size         int
	keep         bool
	loud         int
	names        list
}

type list []string

// Set adds a text, unless it is a bad one.
func (l *list) Set(text string) error {
	switch text {
	case "bad":
		return errBad
	case "odd":
		return command.Usagef("it is odd")
	}
	*l = append(*l, text)
	return nil
}

var errBad = errors.New("bad")

type counter struct{ n *int }

// Set counts.
func (c counter) Set(string) error { *c.n++; return nil }

func language() *command.Language[words] {
	return &command.Language[words]{
		Options: []command.Option[words]{
			{Name: "help", Short: "h", Target: func(*words) any { return new(bool) }},
			{Name: "names", Aliases: []string{"name"}, Short: "d", Arg: "NAME", List: true, Target: func(w *words) any { return &w.names }},
			{Name: "server", Short: "s", Arg: "URL", Target: func(w *words) any { return &w.server }},
			{Name: "service", Arg: "X", Own: true, Target: func(w *words) any { return &w.name }},
			{Name: "size", Arg: "N", Target: func(w *words) any { return &w.size }},
			{Name: "kind", Arg: "KIND", Choices: []string{"one", "two"}, AnyCase: true, Target: func(w *words) any { return &w.name }},
			{Name: "exact", Arg: "KIND", Choices: []string{"one"}, Target: func(w *words) any { return &w.name }},
			{Name: "keep", Aliases: []string{"keep-it"}, Short: "k", Target: func(w *words) any { return &w.keep }},
			{Name: "no-keep", Dest: "keep", Target: func(w *words) any { return command.Off{Bool: &w.keep} }},
			{Name: "verbose", Short: "v", Target: func(w *words) any { return counter{&w.loud} }},
			{Name: "gone", Arg: "X", Deprecated: true},
			{Name: "gone-too", Deprecated: true},
		},
		Verbs:     []command.Verb{{Name: "get", Aliases: []string{"fetch"}}, {Name: "put"}, {Name: command.HelpVerb}},
		Topics:    []command.Topic{{Name: "things"}},
		Explain:   func(name string) string { return map[string]string{"foreign": "it is another's"}[name] },
		Modifiers: map[string][]string{"account": {"server"}, "server": {"keep"}},
	}
}

func TestRead(t *testing.T) {
	for argv, want := range map[string]string{
		"":                          "|",
		"get":                       "get|",
		"fetch":                     "get|",
		"--server get put":          "put|server=get",
		"-d get -d put":             "|names=get names=put",
		"-dget put":                 "put|names=get",
		"-kvvd a get":               "get|keep= verbose= verbose= names=a",
		"--serv x":                  "|server=x", // certbot's own, though --service begins so, too
		"--servi x":                 "|service=x",
		"--nam=a --name b":          "|names=a names=b",
		"--server=":                 "|server=",
		"--server= get":             "get|server=",
		"--size -5":                 "|size=-5",
		"--size -.5":                "|size=-.5",
		"--certbot-x:server y":      "|server=y",
		"help":                      "help:",
		"help get":                  "help:get",
		"get --help":                "help:get",
		"--nosuch --help all -d":    "help:all",
		"-h put":                    "help:put",
		"--help nosuch":             "help:",
		"-vh":                       "help:",
		"get put":                   "error: unrecognized arguments: put",
		"get nosuch":                "error: unrecognized arguments: nosuch",
		"--":                        "error: unrecognized arguments: --",
		"get -":                     "error: unrecognized arguments: -",
		"--nosuch":                  "error: unrecognized arguments: --nosuch",
		"--foreign x":               "error: unrecognized arguments: --foreign: it is another's",
		"-x":                        "error: unrecognized arguments: -x",
		"-kx":                       "error: unrecognized arguments: -x",
		"-ü":                        "error: unrecognized arguments: -ü",
		"--k":                       "error: ambiguous option: --k could match --kind, --keep, --keep-it",
		"--keep=yes":                "error: argument --keep: ignored explicit argument \"yes\"",
		"-d":                        "error: argument -d/--names: expected one argument",
		"-d -k":                     "error: argument -d/--names: expected one argument",
		"--names --nosuch":          "error: argument -d/--names: expected one argument",
		"--=x":                      "error: unrecognized arguments: --",
		"help nosuch":               "error: unrecognized arguments: nosuch",
		"--certbot-x:nosuch y":      "error: unrecognized arguments: --certbot-x:nosuch",
		"--no-ke --gone x --gone-t": "|no-keep= gone=x gone-too=",
	} {
		line, err := language().Read(strings.Fields(argv))
		if got := describe(line, err); got != want {
			t.Errorf("%q: %s; want %s", argv, got, want)
		}
	}
}

// TestValuesWithBlanks are what a shell's quotes keep together: they begin like an option, and are none.
func TestValuesWithBlanks(t *testing.T) {
	for value, ok := range map[string]bool{"-x y": true, "--x y": true, "-k y": false, "--server=a b": false, "-": true, "--keep y": true} {
		line, err := language().Read([]string{"--server", value})
		if (err == nil) != ok || ok && line.Settings[0].Value != value {
			t.Errorf("%q: %+v, %v", value, line, err)
		}
	}
}

func describe(line command.Line, err error) string {
	if err != nil {
		var usage *command.UsageError
		if !errors.As(err, &usage) {
			return "another error: " + err.Error()
		}
		return "error: " + err.Error()
	}
	if line.Help {
		return "help:" + line.Topic
	}
	var list []string
	for _, s := range line.Settings {
		list = append(list, s.Name+"="+s.Value)
	}
	return line.Verb + "|" + strings.Join(list, " ")
}

func TestReadConfig(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "",
		"\ufeff# x\n; y\n[section]\n---\n\n": "",
		"server = a\r\n":                     "server=a",
		"--server=a":                         "server=a",
		"server: a":                          "server=a",
		"server a":                           "server=a",
		"server = a b # c ; d":               "server=a b",
		"server = a#b":                       "server=a#b",
		"server =":                           "server=",
		"server = # x":                       "server=# x", // as ConfigArgParse has it: no blank is before the value
		"server = 'a # b' # c":               "server=a # b",
		`server = "a" b`:                     `server="a" b`,
		`server = ""`:                        "server=",
		"name = a, b":                        "names=a, b",
		"names = [a, b]":                     "names=a names=b",
		`names = ["a,b", 7]`:                 "names=a,b names=7",
		"keep":                               "keep=",
		"keep # why":                         "keep=",
		"keep = True":                        "keep=",
		"keep-it = yes":                      "keep=",
		"keep = 0":                           "",
		"verbose = 3":                        "verbose= verbose= verbose=",
		"server = a\nkeep = 1\nserver = b":   "keep= server=b",
		"keep = maybe":                       "f:1: unexpected value for keep: \"maybe\". Expecting 'true', 'false', 'yes', 'no', '1' or '0'",
		"keep = [true]":                      "f:1: unexpected value for keep: \"true\". Expecting 'true', 'false', 'yes', 'no', '1' or '0'",
		"verbose = 1000":                     "f:1: unexpected value for verbose: \"1000\". Expecting 'true', 'false', 'yes', 'no', '1' or '0'",
		"server = [a, b]":                    "f:1: server takes one value, and no list",
		"\nserv = a":                         "unrecognized arguments: --serv=a (f:2)",
		"foreign = a":                        "unrecognized arguments: --foreign=a (f:1): it is another's",
		"= a":                                "f:1: this line is not understood: = a",
		"key#x":                              "f:1: this line is not understood: key#x",
		strings.Repeat("#", 1<<20) + "\n":    "f: it has more than 1048576 bytes",
	} {
		settings, err := language().ReadConfig("f", []byte(text))
		got := ""
		for i, s := range settings {
			if i > 0 {
				got += " "
			}
			got += s.Name + "=" + s.Value
		}
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%.60q: %s; want %s", text, got, want)
		}
	}
}

// apply reads files and a line as a program does.
func apply(t *testing.T, line string, files ...string) (words, command.Sources, []string, error) {
	t.Helper()
	l := language()
	read, err := l.Read(strings.Fields(line))
	if err != nil {
		t.Fatal(err)
	}
	var layers [][]command.Setting
	for i, text := range files {
		settings, err := l.ReadConfig(fmt.Sprintf("f%d", i), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, settings)
	}
	var w words
	sources, deprecated, err := l.Apply(&w, l.Overlay(layers, read.Settings))
	return w, sources, deprecated, err
}

func TestTheLaterWins(t *testing.T) {
	w, sources, deprecated, err := apply(t, "--size 3 --gone x -d c -d e --gone y", "server=a\nnames=a\nkeep\nsize=1", "server=b\nno-keep\nsize=2")
	if err != nil {
		t.Fatal(err)
	}
	if w.server != "b" || w.keep || w.size != 3 || !slices.Equal(w.names, list{"c", "e"}) || !slices.Equal(deprecated, []string{"gone"}) {
		t.Errorf("%+v, %v", w, deprecated)
	}
	for dest, want := range map[string]command.Source{
		"server": command.File, "size": command.CLI, "names": command.CLI, "keep": command.File, "verbose": command.Default, "gone": command.Default,
	} {
		if got := sources.Of(dest); got != want {
			t.Errorf("%s: %s, want %s", dest, got, want)
		}
	}
	sources.Set("size")
	if sources.Of("size") != command.Runtime || !sources.ByUser("size") {
		t.Error("the program sets nothing")
	}
}

func TestModifiersCountAsSetting(t *testing.T) {
	for line, want := range map[string]bool{"": false, "--server x": true, "--keep": true, "--size 1": false} {
		_, sources, _, err := apply(t, line)
		if err != nil || sources.ByUser("account") != want {
			t.Errorf("%q: %v, %v", line, !want, err)
		}
	}
}

func TestValues(t *testing.T) {
	for line, want := range map[string]string{
		"--size 12": "", "--size x": "argument --size: invalid int value: 'x'", "-d bad": "bad",
		"-d odd":      "argument -d/--names: it is odd",
		"--kind TWO":  "",
		"--exact ONE": "argument --exact: invalid choice: 'ONE' (choose from 'one')",
		"--kind x":    "argument --kind: invalid choice: 'x' (choose from 'one', 'two')",
	} {
		w, _, _, err := apply(t, line)
		if got := fmt.Sprint(err); err != nil && got != want || err == nil && want != "" {
			t.Errorf("%q: %v, want %s", line, err, want)
		}
		if line == "--kind TWO" && w.name != "two" {
			t.Errorf("a choice is kept as %q", w.name)
		}
	}
	if _, _, _, err := apply(t, "", "size = many"); fmt.Sprint(err) != "argument --size: invalid int value: 'many' (f0:1)" {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("get\x00-kvd\x00a.example\x00--serv=x")
	f.Add("--\x00-\x00--=\x00-=\x00--size\x00-1")
	f.Fuzz(func(t *testing.T, text string) {
		l := language()
		line, err := l.Read(strings.Split(text, "\x00"))
		if err != nil || line.Help {
			return
		}
		// The normal form means the same again.
		argv := []string{}
		for _, s := range line.Settings {
			row := l.Option(s.Name)
			if row == nil {
				t.Fatalf("%q is not normal", s.Name)
			}
			if row.Arg == "" {
				argv = append(argv, "--"+s.Name)
			} else {
				argv = append(argv, "--"+s.Name+"="+s.Value)
			}
		}
		if line.Verb != "" {
			argv = append(argv, line.Verb)
		}
		again, err := l.Read(argv)
		if err != nil || describe(again, nil) != describe(line, nil) {
			t.Errorf("%q: %s; again: %s, %v", text, describe(line, nil), describe(again, nil), err)
		}
	})
}

func FuzzReadConfig(f *testing.F) {
	f.Add("server = 'a' # b\nnames = [a, b]\nkeep")
	f.Add("names=[\"\\u0000\"]\nverbose : 3")
	f.Fuzz(func(t *testing.T, text string) {
		l := language()
		settings, err := l.ReadConfig("f", []byte(text))
		if err != nil {
			return
		}
		for _, s := range settings {
			if l.Option(s.Name) == nil || s.Source != command.File || s.Where == "" {
				t.Errorf("%q: %+v", text, s)
			}
		}
		_, _, _ = l.Apply(new(words), settings)
	})
}
