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
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/eff"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// version is set by the linker.
var version = "devel"

func main() { os.Exit(begin(usualConfig(os.Getenv))) }

// garbage is how much may lie about, in percent of what is used: little is used, by many small steps.
const garbage = 250

// begin runs the program in its process, with the usual cli.ini files, until it ends or is told to.
func begin(config []string) int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, ending...)
	go func() {
		s := <-signals
		signal.Stop(signals) // a second one ends the process at once
		cancel(&signalled{s})
	}()
	p := process{name: programName(os.Args[0]), in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, eff: eff.Form}
	p.environment = &dns.Environment{Lookup: os.LookupEnv, Set: os.Setenv, Unset: os.Unsetenv}
	p.config = config
	p.sockets = handedOver()
	p.environ = withoutManager(os.Environ())
	code := run(ctx, os.Args[1:], p)
	var by *signalled
	if code != exitOK && errors.As(context.Cause(ctx), &by) { // a daemon ends well when it is told to
		dieOf(by.signal)
	}
	return code
}

// signalled is why a run ends that was told to.
type signalled struct{ signal os.Signal }

func (s *signalled) Error() string { return "told to end: " + s.signal.String() }

// ownName is what we are called, unless we are called as certbot was.
const ownName = "cairnbot"

// programName is the name that messages begin with.
func programName(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), ".exe")
	if slices.Contains([]string{"certbot", "letsencrypt"}, name) {
		return name
	}
	return ownName
}

// process is what surrounds a run.
type process struct {
	name     string    // what the program was called as
	in       io.Reader // nil has nothing to read
	out, err io.Writer
	getenv   func(string) string
	// environment is the same, and can be changed: some DNS providers are made from it. nil has none.
	environment *dns.Environment
	environ     []string       // what hooks get, as os.Environ has it
	sockets     []net.Listener // that were handed over, such as by systemd
	config      []string       // the usual cli.ini files; each may be missing
	eff         string         // where the EFF takes addresses; "" where nobody is to be told
}

// run is the whole program. It returns the exit code.
func run(ctx context.Context, argv []string, p process) int {
	terminal, width := p.terminal(), p.width()
	p.out, p.err = screen{p.out}, screen{p.err}
	if p.name == "" {
		p.name = ownName
	}
	a := &app{process: p, dnsShared: new(dnsShared)}
	line, o, err := p.parse(argv)
	if o == nil {
		o = newOptions()
		o.json = slices.Contains(argv, "--json")
	}
	if line.Verb == "" {
		line.Verb = "run"
	}
	a.options, a.verb, a.words, a.bare = o, line.Verb, line.Words, bare(line)
	a.ask, a.columns = ask.New(a.questions(terminal, width)), width
	switch {
	case err != nil:
		return a.end(err)
	case line.Help:
		p.manual().Help(p.out, line.Topic)
		return exitOK
	case o.version:
		p.printVersion()
		return exitOK
	}
	if v := findVerb(line.Verb); v.quick != nil {
		return a.end(v.quick(a))
	}
	do, err := verbOf(line.Verb)
	if err != nil {
		return a.end(err)
	}
	if a.argv = argv; a.verb == daemonVerb {
		err = do(a, ctx)
	} else {
		err = a.open(do, ctx)
	}
	if err != nil && ctx.Err() != nil {
		err = phrase("Exiting due to user request.")
	}
	return a.end(err)
}

// printVersion says which certbot we stand in for, as scripts read it, where we are called so.
func (p process) printVersion() {
	if p.name != ownName {
		fmt.Fprintln(p.out, "certbot", lineage.CertbotVersion)
		return
	}
	fmt.Fprintln(p.out, ownName, version)
}

// app is one run of a verb.
type app struct {
	process
	*options
	argv    []string // the whole command line
	verb    string
	words   []string // what follows the verb and is no option
	bare    bool     // nothing was said but where files are
	logFile string   // "" before it is open
	log     *slog.Logger
	store   *lineage.Store
	hooks   *hooks
	shared  *shared
	columns int // of the terminal; 0 where there is none
	// deployments are what becomes of the new certificates of the run; listeners and sites are shared by its proofs.
	deployments   *deployments
	listeners     *solve.Listeners
	sites         *solve.Sites
	hooksDir      string // where the scripts around renewals are, if not below configDir
	ask           *ask.Asker
	result        any              // what --json prints as the outcome of the verb: a struct with tags
	preparing     bool             // nothing has been begun yet, while questions are asked
	placed        *lineage.Lineage // what the verb ended with, for what comes after
	installByHand bool             // nobody but a person tells the server of the certificate
	// newcomer is the account that is to be made, once the questions about it are answered.
	newcomer *newcomer
	// dnsShared is what all certificates that are proven by the DNS have in common.
	dnsShared *dnsShared
}

// open prepares log and directories for a verb, and runs it.
func (a *app) open(do func(*app, context.Context) error, ctx context.Context) (err error) {
	file, err := openLog(a.logsDir, a.maxLogBackups)
	if err != nil {
		return a.explain(fmt.Errorf("opening the log: %w", err))
	}
	defer file.Close()
	a.logFile = file.Name()
	if !a.quiet {
		fmt.Fprintln(a.err, "Saving debug log to", a.logFile)
	}
	a.log = newLogger(a.name, file, a.err, a.options)
	a.logStart(time.Now())
	defer func() {
		if err != nil { // run tells a person of it
			logOnly(a.log).Error(describe(err), "error", err)
		}
	}()
	if a.rehearse {
		end, err := a.rehearseIn(ctx)
		if err != nil {
			return a.explain(err)
		}
		defer end()
	}
	started, deliver := time.Now(), func() {}
	defer func() { deliver() }() // when the locks are given up: others may take their time
	if a.sites = solve.NewSites(); a.listeners == nil {
		a.listeners = solve.NewListeners(solve.ListenersConfig{Inherited: a.sockets, Log: a.log})
		defer a.listeners.Close()
	}
	a.shared = newShared(a.workDir)
	a.store, err = lineage.OpenWithin(ctx, lineage.Dirs{Config: a.configDir, Work: a.workDir, Logs: a.logsDir}, a.lockWait)
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
	a.hooks, a.deployments = a.newHooks(), a.newDeployments()
	defer func() {
		a.hooks.finish(ctx)
		a.lookAtServed(ctx)
		if telling[a.verb] && !a.dryRun && !a.rehearse {
			deliver = a.tell(ctx, started) // when it is known what was not deployed
		}
		if err == nil {
			err = a.deployments.verdict(a.hooks)
		}
	}()
	err = do(a, ctx)
	if a.rehearse && err == nil {
		a.afterRehearsal()
	}
	return a.explain(err)
}

// explain adds what can be done about errors of the machine.
func (a *app) explain(err error) error {
	var already *hinted
	switch {
	case errors.As(err, &already):
		return err
	case errors.Is(err, lineage.ErrLocked):
		return withHint(err, "wait until it has finished, and try again; --wait-for-lock 10m waits")
	case errors.Is(err, fs.ErrPermission):
		return withHint(err, "run it as root, or with --config-dir, --work-dir, --logs-dir (and -w) where you may write")
	}
	return err
}

// say writes a line of the result for people, unless -q asks for silence or --json for a document.
func (a *app) say(format string, args ...any) {
	if !a.quiet && !a.json {
		fmt.Fprintf(a.out, format+"\n", args...)
	}
	if text := strings.TrimSpace(fmt.Sprintf(format, args...)); text != "" && a.log != nil {
		logOnly(a.log).Debug(text)
	}
}

// frame is the line that certbot puts around what matters.
func (a *app) frame() {
	a.say(frameLine)
}

const frameLine = "- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -"
