package main

import (
	"context"
	"fmt"
	"os"
	"time"

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
		Around:           a.aroundWait,
		Warn:             func(message string) { fmt.Fprintln(a.err, message) },
	}
}

// lockPatience is how long we wait for another run to end that has begun while somebody was thinking.
const lockPatience = 10 * time.Minute

// aroundWait gives up certbot's locks while a person thinks, as long as nothing has been begun: a timer's renewals
// must not wait for somebody who has gone to lunch.
func (a *app) aroundWait(ctx context.Context, wait func()) error {
	if a.store == nil || !a.preparing {
		wait()
		return nil
	}
	return a.store.Pause(ctx, wait, lockPatience)
}
