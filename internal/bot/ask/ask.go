// Package ask puts questions to a person, one line at a time, or decides what is to happen
// where nobody is there to answer. It writes plain text alone: no colours, and nothing that moves the
// cursor. So it works over a slow line, in a log, with a screen reader, and with programs that type for a person.
//
// The shapes of its prompts are certbot's, because scripts wait for them.
package ask

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Config says whom an Asker asks. The zero value has nobody to ask.
type Config struct {
	In  io.Reader // nil is one that has ended
	Out io.Writer // keeps a terminal from obeying what peers say; nil discards
	// Terminal says that In is a terminal. Without one, only a question with Force is asked.
	Terminal bool
	// NonInteractive says that nobody is to be asked (--non-interactive).
	NonInteractive bool
	// ForceInteractive has every question asked, terminal or not (--force-interactive).
	ForceInteractive bool
	// Width is how many columns the terminal has; 0 is 80, and more are not used.
	Width int
	// Timeout is how long a person may take for an answer; 0 is certbot's ten hours.
	Timeout time.Duration
	// Around is called for each wait for an answer, and calls wait once: what nobody else may
	// have meanwhile can be given up for that long. Its error ends the question. Nil just waits.
	Around func(ctx context.Context, wait func()) error
	// Warn is told, once, that a question was skipped because there is no terminal. It may be nil.
	Warn func(message string)
}

// Asker puts questions, one at a time. It is not for use by several goroutines at once.
type Asker struct {
	config Config
	lines  *lines
	warned bool
}

// New fills in the defaults of c.
func New(c Config) *Asker {
	if c.In == nil {
		c.In = strings.NewReader("")
	}
	if c.Out == nil {
		c.Out = io.Discard
	}
	if c.Width <= 0 || c.Width > widest {
		c.Width = widest
	}
	if c.Width < narrowest {
		c.Width = narrowest
	}
	if c.Around == nil {
		c.Around = func(_ context.Context, wait func()) error { wait(); return nil }
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Hour
	}
	return &Asker{config: c, lines: newLines(c.In)}
}

// Question is what all kinds of questions have.
type Question struct {
	// Text is one line or several, each of which may be long. One that begins with four spaces is not broken.
	Text string
	// Flag is how the command line answers it: "--agree-tos", or "-d NAME".
	Flag string
	// Force has it asked where In is no terminal: `yes | certbot` answers such questions.
	Force bool
}

// ErrCancelled says that a person wants none of the answers.
var ErrCancelled = errors.New("cancelled by the user")

// MissingError says that nobody was there to answer, and that there is no default.
type MissingError struct {
	Question string
	Choices  []string // of a menu; none where everything can be said
	Flag     string   // "" if no option answers it
}

// Error has certbot's shape, because scripts look for it.
func (e *MissingError) Error() string {
	var b strings.Builder
	b.WriteString("Missing command line flag or config entry for this setting:\n" + e.Question)
	if len(e.Choices) > 0 {
		quoted := make([]string, len(e.Choices))
		for i, choice := range e.Choices {
			quoted[i] = "'" + choice + "'"
		}
		b.WriteString("\nChoices: [" + strings.Join(quoted, ", ") + "]")
	}
	if e.Flag != "" {
		b.WriteString("\n\n(You can set this with the " + e.Flag + " flag)")
	}
	return b.String()
}

// UnansweredError says that a question was put, and that no answer to it came.
type UnansweredError struct {
	Question string
	Flag     string
	Err      error // io.EOF, or another reason
}

func (e *UnansweredError) Error() string {
	first, _, _ := strings.Cut(e.Question, "\n")
	text := fmt.Sprintf("no answer to the question %q: %v", first, e.Err)
	if errors.Is(e.Err, io.EOF) {
		text = fmt.Sprintf("the input ended before the question %q was answered", first)
	}
	if e.Flag != "" {
		text += " (you can set this with the " + e.Flag + " flag)"
	}
	return text
}

func (e *UnansweredError) Unwrap() error { return e.Err }

// Interactive reports whether a question is put to a person, or at least to whatever writes to In.
func (a *Asker) Interactive(force bool) bool {
	c := &a.config
	return !c.NonInteractive && (c.Terminal || c.ForceInteractive || force)
}

// skips reports whether q is not to be put. The first time that this is for want of a terminal, it says so.
func (a *Asker) skips(q Question) bool {
	if a.Interactive(q.Force) {
		return false
	}
	a.warn()
	return true
}

// warn says, once, that nobody was asked although somebody could have been meant to be.
func (a *Asker) warn() {
	if !a.config.NonInteractive && !a.warned && a.config.Warn != nil {
		a.warned = true
		a.config.Warn("Skipped user interaction because Certbot doesn't appear to be running in a terminal. " +
			"You should probably include --non-interactive or --force-interactive on the command line.")
	}
}

// nobody reports whether err says that there is nobody after all: a question with Force was put where there
// is no terminal, such as in a cron job, and nothing was there to be read. Then its default counts.
func (a *Asker) nobody(err error) bool {
	if a.config.Terminal || a.config.ForceInteractive || !errors.Is(err, io.EOF) {
		return false
	}
	a.warn()
	return true
}

// missing is what a question without a default comes to where it is not put.
func (q Question) missing(choices ...string) error {
	return &MissingError{Question: q.Text, Choices: choices, Flag: q.Flag}
}

// maxWrong is how often an answer may be wrong: `yes | certbot` must end, whatever is asked.
const maxWrong = 50

// until prompts for lines until take accepts one. An error of take is shown, and the question is put again.
func (a *Asker) until(ctx context.Context, q Question, prompt string, take func(line string) error) error {
	for range maxWrong {
		line, err := a.next(ctx, prompt)
		if err == nil || errors.Is(err, errLong) {
			if err == nil {
				err = take(strings.TrimSpace(line))
			}
			if err == nil || errors.Is(err, ErrCancelled) {
				return err
			}
			a.write(a.wrap(fmt.Sprintf("** Invalid input **: %s", err)) + "\n")
			continue
		}
		var around *aroundError
		if errors.As(err, &around) {
			return around.error
		}
		a.write("\n") // the prompt's line is still open
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &UnansweredError{q.Text, q.Flag, err}
	}
	return &UnansweredError{q.Text, q.Flag, fmt.Errorf("%d were wrong", maxWrong)}
}

// next prompts and waits for a line.
func (a *Asker) next(ctx context.Context, prompt string) (line string, err error) {
	around := a.config.Around(ctx, func() {
		a.write(a.wrap(prompt)) // whoever sees it may rely on what Around gives up
		line, err = a.lines.next(ctx, a.config.Timeout)
	})
	if around != nil && err == nil {
		err = &aroundError{around}
	}
	return line, err
}

// aroundError is what Config.Around said.
type aroundError struct{ error }

// Pause shows text and waits until somebody has pressed Enter. Where nobody is asked, it shows the text alone.
func (a *Asker) Pause(ctx context.Context, q Question) error {
	a.framed(q.Text)
	if !a.Interactive(q.Force) {
		return nil
	}
	return a.until(ctx, q, "Press Enter to Continue", func(string) error { return nil })
}
