package ask_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/ask"
)

// person is an Asker at a terminal where somebody types text.
func person(text string) (*ask.Asker, *bytes.Buffer) {
	var out bytes.Buffer
	return ask.New(ask.Config{In: strings.NewReader(text), Out: &out, Terminal: true}), &out
}

func TestYesNo(t *testing.T) {
	for _, test := range []struct {
		typed      string
		yes, no    string
		usual      ask.Answer
		want       bool
		prompt     string
		complaints int
	}{
		{typed: "y\n", want: true, prompt: "(Y)es/(N)o: "},
		{typed: "Y\n", want: true},
		{typed: " yes \n", want: true},
		{typed: "n\n"},
		{typed: "NO\n"},
		{typed: "\nmaybe\nyet\ny\n", want: true, complaints: 3},
		{typed: "\n", usual: ask.Yes, want: true},
		{typed: "\n", usual: ask.No},
		{typed: "e\n", yes: "Expand", no: "Cancel", want: true, prompt: "(E)xpand/(C)ancel: "},
		{typed: "c\n", yes: "Expand", no: "Cancel"},
		{typed: "yes\n", yes: "Yes (recommended)", want: true, prompt: "(Y)es (recommended)/(N)o: "},
		{typed: "y", want: true}, // the last line may lack its end
	} {
		asker, out := person(test.typed)
		got, err := asker.YesNo(t.Context(), ask.YesNo{Question: ask.Question{Text: "Well?", Flag: "--well"}, Yes: test.yes, No: test.no, Usual: test.usual})
		if err != nil || got != test.want || !strings.Contains(out.String(), test.prompt) || strings.Count(out.String(), "** Invalid input **") != test.complaints {
			t.Errorf("%q: %v, %v, %s", test.typed, got, err, out)
		}
		if !strings.Contains(out.String(), "Well?\n") || !strings.Contains(out.String(), "on the command line: --well)") {
			t.Errorf("the question is not put: %s", out)
		}
	}
}

func TestInput(t *testing.T) {
	check := func(answer string) (string, error) {
		if !strings.Contains(answer, ".") {
			return "", errors.New("a name has a dot")
		}
		return strings.ToLower(answer), nil
	}
	for _, test := range []struct {
		typed, usual, want string
		complaints         int
		check              func(string) (string, error)
	}{
		{typed: "a.example\n", want: "a.example"},
		{typed: "\n\n x y \n", want: "x y", complaints: 2},
		{typed: "localhost\nA.EXAMPLE\n", want: "a.example", complaints: 1, check: check},
		{typed: "\n", usual: "/var/www", want: "/var/www"},
		{typed: "/srv\n", usual: "/var/www", want: "/srv"},
		{typed: "\n", want: "", check: func(s string) (string, error) { return s, nil }},
		{typed: "\x1b[A\x1b[2Jx\x00\u202e\xff\n", want: "[A[2Jx"},
		{typed: strings.Repeat("x", 1<<20) + "\ny\n", want: "y", complaints: 1},
		{typed: "x\r\n", want: "x"},
		{typed: "é\tü\n", want: "é ü"},
	} {
		asker, out := person(test.typed)
		got, err := asker.Input(t.Context(), ask.Input{Question: ask.Question{Text: "Which?"}, Usual: test.usual, Check: test.check})
		if err != nil || got != test.want || strings.Count(out.String(), "** Invalid input **") != test.complaints {
			t.Errorf("%.30q: %q, %v, %s", test.typed, got, err, out)
		}
		if !strings.HasSuffix(out.String(), " (Enter 'c' to cancel): ") {
			t.Errorf("the prompt is another: %s", out)
		}
	}
}

func TestMenu(t *testing.T) {
	asker, out := person("0\n3\n1-2\n\n2\n")
	got, err := asker.Menu(t.Context(), ask.Menu{Question: ask.Question{Text: "Which?", Flag: "--which"}, Items: []string{"the first", "the\nsecond"}})
	if err != nil || got != 2 || strings.Count(out.String(), "** Invalid input **: enter a number from 1 to 2\n") != 4 {
		t.Errorf("%d, %v, %s", got, err, out)
	}
	frame := strings.Repeat("- ", 39) + "-\n"
	want := "\nWhich?\n(on the command line: --which)\n" + frame + "1: the first\n2: the second\n" + frame +
		"Select the appropriate number [1-2] then [enter] (press 'c' to cancel): "
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("shape:\n%s", out)
	}
	asker, out = person("\n")
	if got, err = asker.Menu(t.Context(), ask.Menu{Items: []string{"the only"}, Usual: 1}); err != nil || got != 1 ||
		!strings.HasSuffix(out.String(), "Press 1 [enter] to confirm the selection (press 'c' to cancel): ") {
		t.Errorf("%d, %v, %s", got, err, out)
	}
}

func TestChecklist(t *testing.T) {
	for _, test := range []struct {
		typed string
		all   bool
		want  []int
		wrong int
	}{
		{typed: "2\n", want: []int{2}},
		{typed: "3,1 , 2 2\n", want: []int{1, 2, 3}},
		{typed: "4-5,1\n", want: []int{1, 4, 5}},
		{typed: "\n1\n", want: []int{1}, wrong: 1},
		{typed: "\n", all: true, want: []int{1, 2, 3, 4, 5}},
		{typed: "6\n3-1\n-\n1-9999999999\n,\n2 x\n5\n", want: []int{5}, wrong: 6},
	} {
		asker, out := person(test.typed)
		got, err := asker.Checklist(t.Context(), ask.Checklist{Question: ask.Question{Text: "Which?"}, Items: strings.Split("abcde", ""), AllOnBlank: test.all})
		if err != nil || !slices.Equal(got, test.want) || strings.Count(out.String(), "** Invalid input **") != test.wrong {
			t.Errorf("%q: %v, %v, %s", test.typed, got, err, out)
		}
		joined := strings.ReplaceAll(out.String(), "\n", " ")
		if strings.Contains(joined, "or leave input blank to select all options shown (Enter 'c' to cancel): ") != test.all {
			t.Errorf("%q: the prompt is another: %s", test.typed, out)
		}
	}
}

// kinds puts one question of each kind, and gives what came of each.
func kinds(ctx context.Context, asker *ask.Asker, q ask.Question) map[string]error {
	errs := make(map[string]error)
	_, errs["yesno"] = asker.YesNo(ctx, ask.YesNo{Question: q})
	_, errs["input"] = asker.Input(ctx, ask.Input{Question: q})
	_, errs["menu"] = asker.Menu(ctx, ask.Menu{Question: q, Items: []string{"one", "two"}})
	_, errs["checklist"] = asker.Checklist(ctx, ask.Checklist{Question: q, Items: []string{"one", "two"}})
	return errs
}

func TestCancel(t *testing.T) {
	for _, typed := range []string{"c\nc\nc\n", "C\nC\nC\n"} {
		asker, _ := person("x\ny\n" + typed) // the first question has no cancelling
		for kind, err := range kinds(t.Context(), asker, ask.Question{Text: "Which?"}) {
			if kind != "yesno" && !errors.Is(err, ask.ErrCancelled) {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
}

func TestNobodyToAsk(t *testing.T) {
	q := ask.Question{Text: "Which one?", Flag: "--which"}
	asker := ask.New(ask.Config{In: neverRead{t}, NonInteractive: true, Terminal: true, Warn: func(m string) { t.Error("warned:", m) }})
	for kind, err := range kinds(t.Context(), asker, q) {
		var missing *ask.MissingError
		if !errors.As(err, &missing) {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		want := "Missing command line flag or config entry for this setting:\nWhich one?\n\n(You can set this with the --which flag)"
		if kind == "menu" || kind == "checklist" {
			want = strings.Replace(want, "one?\n", "one?\nChoices: ['one', 'two']\n", 1)
		}
		if err.Error() != want {
			t.Errorf("%s: %q", kind, err)
		}
	}
	yes, err := asker.YesNo(t.Context(), ask.YesNo{Question: q, Default: ask.Yes})
	no, err2 := asker.YesNo(t.Context(), ask.YesNo{Question: q, Default: ask.No})
	text, err3 := asker.Input(t.Context(), ask.Input{Question: q, HasDefault: true})
	item, err4 := asker.Menu(t.Context(), ask.Menu{Question: q, Items: []string{"one", "two"}, Default: 2})
	list, err5 := asker.Checklist(t.Context(), ask.Checklist{Question: q, Items: []string{"one", "two"}, Default: []int{2}})
	err6 := asker.Pause(t.Context(), q)
	if !yes || no || text != "" || item != 2 || !slices.Equal(list, []int{2}) || errors.Join(err, err2, err3, err4, err5, err6) != nil {
		t.Error(yes, no, text, item, list, err, err2, err3, err4, err5, err6)
	}
}

// neverRead fails a test that reads.
type neverRead struct{ t *testing.T }

func (n neverRead) Read([]byte) (int, error) {
	n.t.Error("somebody was asked")
	return 0, io.EOF
}

func TestNoTerminal(t *testing.T) {
	var warnings []string
	asker := ask.New(ask.Config{In: strings.NewReader("y\n\nn\n"), Warn: func(m string) { warnings = append(warnings, m) }})
	for range 2 {
		if got, err := asker.YesNo(t.Context(), ask.YesNo{Default: ask.No}); got || err != nil {
			t.Error(got, err)
		}
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "include --non-interactive or --force-interactive") {
		t.Error(warnings)
	}
	forced := ask.Question{Text: "Really?", Force: true}
	got, err := asker.YesNo(t.Context(), ask.YesNo{Question: forced, Default: ask.No})
	pause := asker.Pause(t.Context(), forced)
	third, err3 := asker.YesNo(t.Context(), ask.YesNo{Question: forced, Default: ask.Yes})
	if !got || third || errors.Join(err, pause, err3) != nil {
		t.Error(got, third, err, pause, err3)
	}
	asker = ask.New(ask.Config{In: strings.NewReader("y\n"), ForceInteractive: true, Warn: func(m string) { t.Error("warned:", m) }})
	if got, err := asker.YesNo(t.Context(), ask.YesNo{Default: ask.No}); !got || err != nil {
		t.Error(got, err)
	}
}

func TestInputEnds(t *testing.T) {
	for kind, err := range kinds(t.Context(), ask.New(ask.Config{Terminal: true}), ask.Question{Text: "Which?", Flag: "--which"}) {
		var unanswered *ask.UnansweredError
		if !errors.As(err, &unanswered) || !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "--which") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if err := ask.New(ask.Config{Terminal: true}).Pause(t.Context(), ask.Question{Text: "Wait"}); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestForcedButNobodyThere(t *testing.T) {
	warnings := 0
	asker := ask.New(ask.Config{Warn: func(string) { warnings++ }})
	q := ask.Question{Text: "Which?", Flag: "--which", Force: true}
	yes, err := asker.YesNo(t.Context(), ask.YesNo{Question: q, Default: ask.Yes})
	text, err2 := asker.Input(t.Context(), ask.Input{Question: q, HasDefault: true, Default: "x"})
	item, err3 := asker.Menu(t.Context(), ask.Menu{Question: q, Items: []string{"one", "two"}, Default: 2})
	list, err4 := asker.Checklist(t.Context(), ask.Checklist{Question: q, Items: []string{"one", "two"}, Default: []int{1}})
	if !yes || text != "x" || item != 2 || !slices.Equal(list, []int{1}) || errors.Join(err, err2, err3, err4) != nil || warnings != 1 {
		t.Error(yes, text, item, list, err, err2, err3, err4, warnings)
	}
	for kind, err := range kinds(t.Context(), asker, q) {
		if !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "--which") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// endless says the same for ever, as yes(1) does.
type endless string

func (e endless) Read(p []byte) (int, error) { return copy(p, e), nil }

func TestEndlessNonsenseEnds(t *testing.T) {
	for kind, err := range kinds(t.Context(), ask.New(ask.Config{In: endless("\n"), ForceInteractive: true}), ask.Question{Text: "Which?"}) {
		var unanswered *ask.UnansweredError
		if !errors.As(err, &unanswered) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestInterruptAndTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, typing := io.Pipe()
		asker := ask.New(ask.Config{In: in, Terminal: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := asker.YesNo(ctx, ask.YesNo{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Error(err, time.Since(start))
		}
		if _, err := asker.YesNo(ctx, ask.YesNo{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if _, err := asker.YesNo(t.Context(), ask.YesNo{}); err == nil || time.Since(start) != time.Second+10*time.Hour {
			t.Error(err, time.Since(start))
		}
		go fmt.Fprint(typing, "y\nn\n") // a line that comes late is for the next question
		first, err := asker.YesNo(t.Context(), ask.YesNo{})
		second, err2 := asker.YesNo(t.Context(), ask.YesNo{})
		if !first || second || errors.Join(err, err2) != nil {
			t.Error(first, second, err, err2)
		}
	})
}

func TestAroundEachWait(t *testing.T) {
	broken, waits := errors.New("it is gone"), 0
	asker := ask.New(ask.Config{In: strings.NewReader("x\ny\ny\n"), Terminal: true, Around: func(_ context.Context, wait func()) error {
		if waits++; waits == 3 {
			wait()
			return broken
		}
		wait()
		return nil
	}})
	if yes, err := asker.YesNo(t.Context(), ask.YesNo{}); !yes || err != nil || waits != 2 {
		t.Error(yes, err, waits)
	}
	if _, err := asker.YesNo(t.Context(), ask.YesNo{}); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestWhatFollowsIsLeft(t *testing.T) {
	in := strings.NewReader("y\nfor a hook\n")
	asker := ask.New(ask.Config{In: in, Terminal: true})
	if _, err := asker.YesNo(t.Context(), ask.YesNo{}); err != nil {
		t.Error(err)
	}
	if rest, _ := io.ReadAll(in); string(rest) != "for a hook\n" {
		t.Errorf("left: %q", rest)
	}
}

func TestNarrowTerminal(t *testing.T) {
	long := "  " + strings.Repeat("word ", 30) + strings.Repeat("x", 60)
	for _, width := range []int{0, 1, 40, 500} {
		var out bytes.Buffer
		asker := ask.New(ask.Config{In: strings.NewReader("1\n"), Out: &out, Terminal: true, Width: width})
		if _, err := asker.Checklist(t.Context(), ask.Checklist{Question: ask.Question{Text: long}, Items: []string{long}, AllOnBlank: true}); err != nil {
			t.Error(err)
		}
		most := map[int]int{0: 80, 1: 20, 40: 40, 500: 80}[width]
		for line := range strings.Lines(out.String()) {
			if line = strings.TrimRight(line, "\n"); len(line) > most && !strings.Contains(line, "xxx") {
				t.Errorf("width %d: %q", width, line)
			}
		}
		words := strings.Fields(strings.ReplaceAll(out.String(), "-", ""))
		if n := strings.Count(strings.Join(words, " "), "word"); n != 60 {
			t.Errorf("width %d: %d words", width, n)
		}
	}
}

func TestWhatIsToBeCopiedIsNotBroken(t *testing.T) {
	command := "    cairnbot certonly --deploy-hook 'systemctl reload nginx' " + strings.Repeat("-d a.example ", 10)
	asker, out := person("y\n")
	if _, err := asker.YesNo(t.Context(), ask.YesNo{Question: ask.Question{Text: "This:\n" + command + "\nGo ahead?"}}); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "This:\n"+command+"\nGo ahead?\n") {
		t.Errorf("%s", out)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add("1-3, 5\n")
	f.Add("\x1b[31m\n\xff\n")
	f.Fuzz(func(t *testing.T, typed string) {
		asker, _ := person(typed)
		list, err := asker.Checklist(t.Context(), ask.Checklist{Items: []string{"a", "b", "c", "d", "e"}})
		if err == nil && (len(list) == 0 || slices.Min(list) < 1 || slices.Max(list) > 5 || !slices.IsSorted(list)) {
			t.Errorf("%q: %v", typed, list)
		}
		asker, _ = person(typed)
		text, err := asker.Input(t.Context(), ask.Input{})
		if err == nil && (text == "" || strings.ContainsAny(text, "\x1b\r\n\x00")) {
			t.Errorf("%q: %q", typed, text)
		}
	})
}
