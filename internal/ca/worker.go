package ca

import (
	"context"

	"github.com/cairn-ca/cairn/internal/ca/metrics"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// workPart validates and issues.
func (c *CA) workPart() part {
	return part{
		role: RoleWork,
		make: []func(context.Context) error{c.openWorker},
		loops: func() []func(context.Context) {
			return []func(context.Context){c.worker.Run, c.worker.FollowKeys, c.worker.CleanUp}
		},
	}
}

// openWorker makes what validates and issues. Where no other process has the database, whatever an
// earlier one was at is free.
func (c *CA) openWorker(ctx context.Context) error {
	resolver, err := c.openResolver(ctx)
	if err != nil {
		return err
	}
	prober := validate.New(validate.Config{
		Resolver: resolver, HTTP01Port: c.config.HTTP01Port, TLSALPN01Port: c.config.TLSALPN01Port,
		Allow: c.config.AllowTargets, Log: c.log,
	})
	signer := c.signer
	if signer == nil {
		signer = &sign.Remote{Signers: c.clients(RoleWork, RoleSigner)}
	}
	if c.remote == nil {
		c.remote = newPerspectives(perspectivesConfig{config: c.config.Perspectives, db: c.db, log: c.log, watch: c.observe, identity: func() (rpc.Identity, error) {
			return c.stationOf(RoleWork).identity, nil
		}})
	}
	c.worker = work.New(work.Config{
		DB: c.db, Log: c.log, Pause: c.config.Seams.Pause, Again: c.config.Seams.Pause,
		Retention: c.config.Retention, Profiles: c.config.Profiles.Rules(),
		Proving: c.proving,
		CAA:     c.caa,
		Limits:  c.config.Limits,
		Signer:  c.observe.certificates(signer),
		Validator: c.observe.perspective(metrics.Quorum, through[work.Validator](c.config.Seams.Validator,
			c.remote.quorum(c.observe.perspective(metrics.Local, prober)))),
		Validations: c.config.Work.Validations,
		Issuances:   c.config.Work.Issuances,
		Metrics:     c.observe.metrics, Trace: c.observe.tracer, Pulse: c.observe.working,
	})
	if !c.db.Shared() {
		return c.worker.RecoverAll(ctx)
	}
	if err := c.worker.Recover(ctx); err != nil {
		return err
	}
	if s := c.stationOf(RoleWork); s != nil {
		work.Serve(&s.server, c.worker)
	}
	return nil
}
