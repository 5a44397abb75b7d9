package ask

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Lines are broken where a terminal would, so that a word is never cut.
const (
	widest    = 80 // more is hard to read, and certbot's, too
	narrowest = 20
)

func (a *Asker) write(text string) {
	_, _ = io.WriteString(a.config.Out, text) // nobody sees that nobody sees it
}

// frame is the line around what matters.
func (a *Asker) frame() string { return strings.Repeat("- ", (a.config.Width-2)/2) + "-\n" }

// framed shows text between two frames.
func (a *Asker) framed(text string) {
	a.write("\n" + a.frame() + a.wrap(text) + "\n" + a.frame())
}

// verbatim begins a line that somebody may copy: it is not broken.
const verbatim = "    "

// wrap breaks the lines of text between words, but for those that begin with verbatim. Leading spaces of a line, and a trailing one, stay.
func (a *Asker) wrap(text string) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		a.wrapLine(&b, line)
	}
	return b.String()
}

func (a *Asker) wrapLine(b *strings.Builder, line string) {
	if strings.HasPrefix(line, verbatim) {
		b.WriteString(line)
		return
	}
	trimmed := strings.TrimLeft(line, " ")
	indent := line[:len(line)-len(trimmed)]
	b.WriteString(indent)
	column, first := len(indent), true
	for word := range strings.SplitSeq(strings.TrimRight(trimmed, " "), " ") {
		length := utf8.RuneCountInString(word)
		switch {
		case first:
		case column+1+length > a.config.Width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column, first = column+length, false
	}
	if strings.HasSuffix(trimmed, " ") {
		b.WriteByte(' ')
	}
}

// with adds to a question how it is answered otherwise, and how Enter is.
func (q Question) with(usual string) string {
	var notes []string
	if usual != "" {
		notes = append(notes, "Enter: "+usual)
	}
	if q.Flag != "" {
		notes = append(notes, "on the command line: "+q.Flag)
	}
	if len(notes) == 0 {
		return q.Text
	}
	return q.Text + "\n(" + strings.Join(notes, "; ") + ")"
}

// oneLine keeps an item of a menu from looking like several.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// cancels reports whether a line says that none of the answers is wanted.
func cancels(line string) bool { return line == "c" || line == "C" }
