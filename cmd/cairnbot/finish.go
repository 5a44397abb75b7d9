package main

import (
	"context"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// jobs are the orders that have been begun.
func (a *app) jobs() *renew.Jobs { return a.shared.jobs }

// done forgets a job that is finished, deploy-hooks included.
func (a *app) done(name string) {
	if err := a.jobs().Remove(name); err != nil {
		a.log.Warn("a finished job stays behind", "name", name, "error", err)
	}
}

// finishJobs runs the deploy-hooks that an earlier run did not come to: it was killed when
// its certificate was live already, so nothing else would make a server read that.
func (a *app) finishJobs(ctx context.Context) {
	if a.dryRun {
		return // it changes nothing
	}
	a.retryDeployments(ctx)
	names, err := a.jobs().List()
	if err != nil {
		a.log.Warn("it is not known what an earlier run has left", "error", err)
	}
	if len(names) == 0 {
		return
	}
	lineages, _, err := a.store.List()
	if err != nil {
		return // whoever called will say so
	}
	for _, name := range names {
		job, err := a.jobs().Load(name)
		if err != nil {
			a.log.Warn("an unfinished job cannot be read", "name", name, "error", err)
		}
		if job == nil {
			continue
		}
		for _, l := range lineages { // it need not have the job's name: that may have been taken
			leaf, err := l.Leaf()
			if err == nil && job.LedTo(leaf) {
				a.finishJob(ctx, l, values(acme.CertificateIdentifiers(leaf)))
				a.done(name)
			}
		}
	}
}

func (a *app) finishJob(ctx context.Context, l *lineage.Lineage, names []string) {
	s, err := a.settle(l.Conf)
	if err != nil {
		a.log.Warn("a deploy-hook is not known", "name", l.Name, "error", err)
		return
	}
	a.log.Info("running the deploy-hooks that an earlier run did not come to", "name", l.Name)
	a.deployed(ctx, l, names, &s, false)
}
