package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/daemon"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// daemonVerb does not come to an end by itself, and has the locks only while it is at work.
const daemonVerb = "daemon"

// keepRenewing is the verb daemon: it renews whenever something is due, until it is told to end.
func (a *app) keepRenewing(ctx context.Context) error {
	if len(a.domains) > 0 {
		return withHint(errors.New("daemon takes no -d: it renews every certificate that is due, or the one that is named"), "get a new one with certonly")
	}
	again := make(chan os.Signal, 1)
	signal.Reset(syscall.SIGHUP) // it ends all other verbs
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	log := slog.New(slog.NewTextHandler(a.err, nil))
	watchdog, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("what systemd says of its watchdog is not understood", "error", err)
	}
	// Sockets that were handed over stay in use between rounds: whoever comes must not wait.
	a.listeners = solve.NewListeners(solve.ListenersConfig{Inherited: a.sockets})
	defer a.listeners.Close()
	return daemon.Run(ctx, daemon.Config{
		Round: a.oneRound, Reload: again, Watchdog: watchdog, Log: log,
		Notify: func(state string) {
			if _, err := sd.SdNotify(false, state); err != nil {
				log.Warn("the service manager could not be told", "state", state, "error", err)
			}
		},
	})
}

// oneRound is what "renew" does, by options that are read anew, and says when the next certificate is due.
func (a *app) oneRound(ctx context.Context) (next time.Time, err error) {
	one := &app{process: a.process, verb: "renew", listeners: a.listeners, dnsShared: new(dnsShared)}
	argv := slices.Clone(a.argv)
	if i := slices.Index(argv, daemonVerb); i >= 0 {
		argv[i] = one.verb
	}
	if _, one.options, err = a.parse(argv); err != nil {
		one.options = a.options
		one.end(err)
		return time.Time{}, err
	}
	one.noRandomSleep = true // the moment was chosen before
	one.ask = ask.New(one.questions(false, 0))
	err = one.open(func(one *app, ctx context.Context) error {
		err := one.renew(ctx)
		next = one.nextDue(ctx)
		return err
	}, ctx)
	if ctx.Err() == nil {
		one.end(err)
	}
	return next, err
}

// nextDue says when there will be something to do for the first of the certificates; zero if that is not known.
func (a *app) nextDue(ctx context.Context) (next time.Time) {
	earlier := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	kept, err := a.deployments.kept.All()
	if err != nil {
		a.log.Debug("unfinished deployments cannot be read", "error", err)
	}
	for _, d := range kept {
		earlier(d.Next)
	}
	lineages, _, err := a.store.List()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("it is not known when the next certificate is due", "error", err)
	}
	for _, l := range lineages {
		if a.certName == "" || l.Name == a.certName {
			earlier(a.dueAt(ctx, l))
		}
	}
	return next
}

// dueAt says when a renewal of l will be tried; zero if that is not known.
func (a *app) dueAt(ctx context.Context, l *lineage.Lineage) time.Time {
	verdict, _, err := a.look(ctx, l, false)
	if err != nil {
		return time.Time{}
	}
	return verdict.Attempt()
}

// withoutManager leaves out what systemd tells us alone: a hook must not pose as us.
func withoutManager(environment []string) []string {
	return slices.DeleteFunc(slices.Clone(environment), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains([]string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}, name)
	})
}
