// Command cairnbot gets certificates from an ACME CA and keeps them renewed. It
// takes certbot's command line and works on certbot's files.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// version is set by the linker.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], process{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}))
}

// process is what surrounds a run.
type process struct {
	in       io.Reader // nil has nothing to read
	out, err io.Writer
	getenv   func(string) string
}

// run is the whole program. It returns the exit code.
func run(ctx context.Context, argv []string, p process) int {
	terminal, width := p.terminal(), p.width()
	p.out, p.err = screen{p.out}, screen{p.err}
	in, err := normalise(argv)
	if err != nil {
		return report(p.err, err, "")
	}
	o, err := parseOptions(in.arguments)
	switch {
	case err != nil:
		return report(p.err, err, "")
	case o.version:
		fmt.Fprintln(p.out, "cairnbot", version)
		return exitOK
	case o.help || in.verb == "help":
		printHelp(p.out)
		return exitOK
	}
	do := findVerb(in.verb)
	if do == nil {
		return report(p.err, usagef("no verb was given: say %q to get a certificate", "cairnbot certonly"), "")
	}
	a := &app{process: p, options: o, verb: in.verb}
	a.ask = ask.New(a.questions(terminal, width))
	err = a.open(do, ctx)
	if err != nil && ctx.Err() != nil {
		err = errors.New("exiting due to user request")
	}
	if err == nil {
		return exitOK
	}
	if a.log != nil {
		a.log.Debug("failed", "error", err)
	}
	if a.quiet {
		a.logFile = "" // -q wants no advice
	}
	return report(p.err, err, a.logFile)
}

// app is one run of a verb.
type app struct {
	process
	*options
	verb    string
	logFile string // "" before it is open
	log     *slog.Logger
	store   *lineage.Store
	hooks   *hooks
	ask     *ask.Asker
}

// open prepares log and directories for a verb, and runs it.
func (a *app) open(do func(*app, context.Context) error, ctx context.Context) (err error) {
	file, err := openLog(a.logsDir)
	if err != nil {
		return a.explain(fmt.Errorf("opening the log: %w", err))
	}
	defer file.Close()
	a.logFile = file.Name()
	if !a.quiet {
		fmt.Fprintln(a.err, "Saving debug log to", a.logFile)
	}
	a.log = newLogger(file, a.err, a.options)
	a.log.Debug("cairnbot starts", "version", version, "verb", a.verb, "go", runtime.Version())
	a.store, err = lineage.Open(lineage.Dirs{Config: a.configDir, Work: a.workDir, Logs: a.logsDir})
	if err != nil {
		return a.explain(err)
	}
	if err := a.store.Unrecovered(); err != nil {
		a.log.Warn("what an earlier run left half done could not be put in order", "error", err)
	}
	defer func() {
		if closeErr := a.store.Close(); closeErr != nil {
			a.log.Warn("giving up the locks failed", "error", closeErr)
		}
	}()
	a.hooks = &hooks{say: a.say, log: a.log, directory: filepath.Join(a.configDir, "renewal-hooks"), options: a.options}
	defer a.hooks.finish(ctx)
	return a.explain(do(a, ctx))
}

// explain adds what can be done about errors of the machine.
func (a *app) explain(err error) error {
	var already *hinted
	switch {
	case errors.As(err, &already):
		return err
	case errors.Is(err, lineage.ErrLocked):
		return withHint(err, "wait until it has finished, and try again")
	case errors.Is(err, fs.ErrPermission):
		return withHint(err, "run it as root, or with --config-dir, --work-dir, --logs-dir (and -w) where you may write")
	}
	return err
}

// say writes a line of the result, unless -q asks for silence.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.out, format+"\n", args...)
	}
}

// frame is the line that certbot puts around what matters.
func (a *app) frame() {
	a.say("- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -")
}
