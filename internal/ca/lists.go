package ca

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/crl"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// lists publishes CRLs in the process with the role crl. The others read them from the database.
type lists struct {
	leaf, root *crl.Publisher
}

// crlPart publishes CRLs.
func (c *CA) crlPart() part {
	return part{
		role: RoleCRL,
		open: []func(context.Context) error{c.openLists},
		loops: func() []func(context.Context) {
			return []func(context.Context){c.runLists}
		},
	}
}

// openLists makes the lists that are due.
func (c *CA) openLists(ctx context.Context) error {
	l := c.listsOf(c.known.Load())
	c.lists.Store(l)
	err := errors.Join(l.leaf.Update(ctx), l.root.Update(ctx))
	if c.listSigner == nil {
		return elsewhere(err)
	}
	return err
}

func (c *CA) listsOf(known *authorities) *lists {
	signer := c.listSigner
	if signer == nil {
		signer = &sign.Remote{Signers: c.clients(RoleCRL, RoleSigner)}
	}
	signer = c.observe.lists(signer)
	return &lists{
		leaf: crl.New(crl.Config{DB: c.db, Signer: signer, Issuers: known.issuerIDs(), URLs: known.crlURLs(), Log: c.log,
			Pulse: c.observe.publishing}),
		// A root's CRL changes when an issuer is revoked, which is once in a blue moon. It must
		// outlive the time for which the root's key is locked away.
		root: crl.New(crl.Config{DB: c.db, Signer: signer, Issuers: known.rootIDs(), Log: c.log,
			Frozen: known.frozen(), Check: time.Hour, Refresh: 30 * 24 * time.Hour, Validity: issuerLifetime}),
	}
}

// runLists keeps the lists fresh until ctx ends, also those of issuers that become known meanwhile.
func (c *CA) runLists(ctx context.Context) {
	for known := c.known.Load(); ; {
		l := c.lists.Load()
		inner, cancel := context.WithCancel(ctx)
		var loops sync.WaitGroup
		loops.Go(func() { l.leaf.Run(inner) })
		loops.Go(func() { l.root.Run(inner) })
		known = c.waitForAnother(ctx, known)
		cancel()
		loops.Wait()
		if ctx.Err() != nil {
			return
		}
		next := c.listsOf(known)
		if err := errors.Join(next.leaf.Update(ctx), next.root.Update(ctx)); err != nil {
			c.log.Error("publishing CRLs failed", "error", err) // Run tries it again
		}
		c.lists.Store(next)
	}
}

// waitForAnother returns once others than known are known, or ctx has ended.
func (c *CA) waitForAnother(ctx context.Context, known *authorities) *authorities {
	tick := time.NewTicker(relearn)
	defer tick.Stop()
	for c.known.Load() == known {
		select {
		case <-ctx.Done():
			return known
		case <-tick.C:
		}
	}
	return c.known.Load()
}

// list is the newest CRL of an issuer or a root, or nil if there is none yet.
func (c *CA) list(ctx context.Context, id string) []byte {
	l := c.lists.Load()
	if l == nil {
		return c.newest.DER(ctx, id)
	}
	if der := l.leaf.DER(id); der != nil {
		return der
	}
	return l.root.DER(id)
}
