package main

import (
	"fmt"
	"os"

	"golang.org/x/term"

	"github.com/cairn-ca/cairn/internal/bot/ask"
)

// terminal reports whether somebody types what is read.
func (p *process) terminal() bool {
	file, ok := p.in.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// width is how many columns the terminal has that is written to, or 0.
func (p *process) width() int {
	file, ok := p.out.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// questions says who is asked in this run; check has drawn its conclusions from -q and renew.
func (a *app) questions(terminal bool, width int) ask.Config {
	return ask.Config{
		In: a.in, Out: a.out, Terminal: terminal, Width: width,
		NonInteractive:   a.nonInteractive,
		ForceInteractive: a.forceInteractive,
		Warn:             func(message string) { fmt.Fprintln(a.err, message) },
	}
}
