package ca

import (
	"context"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/crl"
	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// signerPart holds the keys: of the issuers, and of the CA by which roles know each other.
func (c *CA) signerPart() part {
	return part{
		role: RoleSigner,
		open: []func(context.Context) error{c.openSigner},
		loops: func() []func(context.Context) {
			return []func(context.Context){c.watchIssuer, c.remote.run}
		},
	}
}

// openDirectory takes hold of the data directory.
func (c *CA) openDirectory(context.Context) (err error) {
	if c.dir, err = datadir.Open(datadir.Config{Dir: c.config.Dir, Create: true}); err != nil {
		return err
	}
	c.roles = &roleCA{dir: c.dir}
	addresses, err := c.dir.Addresses()
	if err != nil {
		return err
	}
	c.published = republish(addresses.Published, c.httpURL, time.Now())
	return nil
}

// openHierarchy loads the roots and issuers and makes what is missing.
func (c *CA) openHierarchy(context.Context) error {
	machine, err := c.config.Machine()
	if err != nil {
		return err
	}
	names := machine.Subtrees()
	host := mustParse(c.url).Hostname()
	named := Machine{}
	named.addNames(host) // what clients call the CA by is its own name, too
	names = names.Union(acme.Subtrees{Domains: named.Names})
	if c.hierarchy, err = openHierarchy(hierarchyConfig{
		dir: c.dir, published: c.published, log: c.log,
		standard: names, asked: c.config.asked(), newRoot: c.config.NewRoot, label: host, alternates: c.config.AlternateRoots, usages: c.config.Profiles.Usages(),
	}); err != nil {
		return err
	}
	// Before anything is signed that points there.
	return c.dir.SetAddresses(datadir.Addresses{ACME: c.url, Published: c.published})
}

// openSigner makes what signs.
func (c *CA) openSigner(context.Context) error {
	signer, err := sign.New(sign.Config{
		Issuers:  c.hierarchy.signers(),
		Profiles: c.config.Profiles.Sign(),
		Journal:  through[sign.Journal](c.config.Seams.Journal, work.Journal{DB: c.db, Named: c.proving.Offers(acme.ProofOfPossession01)}),
	})
	if err != nil {
		return err
	}
	c.ownSigner = signer
	c.signer = through[work.Signer](c.config.Seams.Signer, signer)
	c.listSigner = through[crl.Signer](c.config.Seams.CRL, signer)
	c.remote = newPerspectives(c.config.Perspectives, c.db, c.roles, c.log)
	return nil
}

// watchIssuer says once a day when the issuer nears its end. The next one is made at a start.
func (c *CA) watchIssuer(ctx context.Context) {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if end := c.hierarchy.issuers[0].certificate.NotAfter; time.Until(end) < issuerReserve {
				c.log.Warn("the issuer's certificate ends within a year", "end", end, "remedy", "restart cairn with the root's key in place")
			}
		}
	}
}
