package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/metrics"
	"github.com/cairn-ca/cairn/internal/bot/notify"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// notifier opens what tells others; nil where nobody is to be told.
func (a *app) notifier() (*notify.Notifier, error) {
	if len(a.notify) == 0 {
		if _, err := os.Stat(filepath.Join(a.configDir, notify.File)); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	settings, err := notify.Read(notify.Sources{Directory: a.configDir, Flags: a.notify, Host: host, Environment: withSbin(a.environ)})
	if err != nil || len(settings.Targets) == 0 {
		return nil, err
	}
	return notify.Open(notify.Config{
		Targets: settings.Targets, Kinds: settings.Kinds, Again: settings.Again, Host: host, Log: a.log,
		Memory: filepath.Join(a.workDir, "notify.json"),
	})
}

// tryNotify is the verb notify.
func (a *app) tryNotify(ctx context.Context) error {
	n, err := a.notifier()
	if err != nil {
		return err
	}
	if n == nil {
		return withHint(errors.New("nobody is to be told of anything"), "name a target with --notify, or in %s", filepath.Join(a.configDir, notify.File))
	}
	if err := n.Try(ctx, time.Now()); err != nil {
		return withHint(err, "it is tried again by the next run; -v shows more")
	}
	a.say("The test was delivered to every target.")
	return nil
}

// telling are the verbs after which others are told of what has changed.
var telling = map[string]bool{"run": true, "certonly": true, "renew": true} // each round of the daemon is a renew

// tell writes the file with metrics, and gives what notifies of all that has changed since the last run. What goes
// wrong with either is a warning: the certificates are as they are.
func (a *app) tell(ctx context.Context, started time.Time) (deliver func()) {
	now, deliver := time.Now(), func() {}
	n, err := a.notifier()
	if err != nil {
		a.log.Warn("nobody can be notified", "error", err)
	}
	if n == nil && a.metricsFile == "" {
		return deliver // most runs: nothing is read for nobody
	}
	lineages, broken, err := a.store.List()
	if err != nil {
		a.log.Warn("it is not known what to tell others", "error", err)
		return deliver
	}
	run := metrics.Run{Broken: len(broken), At: now, Version: version}
	var states []notify.State
	for _, l := range lineages {
		state, figures, err := a.judge(ctx, l)
		if err != nil {
			a.log.Warn("a certificate cannot be told of", "name", l.Name, "error", err)
			continue
		}
		state.Obtained = !figures.LastSuccess.Before(started)
		states = append(states, state)
		run.Certificates = append(run.Certificates, figures)
	}
	if a.metricsFile != "" {
		if err := metrics.Write(a.metricsFile, run); err != nil {
			a.log.Warn("the figures could not be written", "error", err)
		}
	}
	if n == nil {
		return deliver
	}
	return func() {
		if err := n.Tell(ctx, states, len(broken) == 0, now); err != nil {
			a.log.Warn("not everybody could be notified; it is tried again by the next run", "error", err)
		}
	}
}

// judge puts together what is known of a certificate.
func (a *app) judge(ctx context.Context, l *lineage.Lineage) (notify.State, metrics.Certificate, error) {
	forced := a.force
	a.force = false // what was asked for this once says nothing about when it is due
	verdict, leaf, err := a.look(ctx, l, false)
	a.force = forced
	if err != nil {
		return notify.State{}, metrics.Certificate{}, err
	}
	params, err := l.Conf.Params()
	if err != nil {
		return notify.State{}, metrics.Certificate{}, err
	}
	told := notify.State{
		Lineage: l.Name, Names: values(acme.CertificateIdentifiers(leaf)), Path: l.Path(lineage.Fullchain), Serial: fmt.Sprintf("%x", leaf.SerialNumber),
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Server: params.Server, Usual: l.Conf.Own(ownFirst),
	}
	figures := metrics.Certificate{Lineage: l.Name, Server: params.Server, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter}
	attempt := verdict.Attempt()
	if !attempt.IsZero() { // otherwise it is never due
		figures.Due = verdict.At
	}
	if info, err := os.Stat(l.Path(lineage.Cert)); err == nil {
		figures.LastSuccess = info.ModTime()
	}
	if d := a.deployments.kept.Load(l.Name); d != nil && d.Of(leaf) {
		told.Deploy = undeployed(d)
	}
	if t := verdict.State.Trouble; t != nil {
		told.Failures, told.Problem, told.Class, told.Next = t.Count, t.Error, string(t.Class), attempt
		figures.Failures, figures.Class, figures.NextAttempt = t.Count, string(t.Class), attempt
	}
	return told, figures, nil
}

// undeployed says what of a delivery is missing. Commands are left out: there may be secrets in them.
func undeployed(d *renew.Delivery) string {
	missing := slices.Clone(d.Unseen)
	if n := len(d.Failed); n > 0 {
		missing = append(missing, fmt.Sprintf("%d deploy-hook(s) failed", n))
	}
	return strings.Join(missing, "; ")
}
