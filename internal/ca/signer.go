package ca

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/crl"
	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/members"
	"github.com/cairn-ca/cairn/internal/ca/profile"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// signerPart holds the keys: of the issuers, and of the CA by which roles know each other.
func (c *CA) signerPart() part {
	return part{
		role: RoleSigner,
		make: []func(context.Context) error{c.openSigner},
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
	if err := c.checkDatabase(addresses.Database); err != nil {
		return err
	}
	c.published = republish(addresses.Published, c.httpURL, time.Now())
	return nil
}

// checkDatabase refuses another database than the one that the directory's certificates are recorded in.
func (c *CA) checkDatabase(before string) error {
	switch {
	case c.dir.FirstRun() || (before == "") == (c.config.Database == ""):
		return nil // PostgreSQL may have moved to another host: publish looks whose it is
	case before == "":
		return fmt.Errorf("the database of %s is the SQLite file in it, with all accounts and certificates: another one cannot take its place; choose another data directory", c.dir.Path())
	}
	return fmt.Errorf("the database of %s is %s: name it with database in the configuration file, or --database", c.dir.Path(), before)
}

// redacted is the URL of a database without its password; "" stays so.
func redacted(database string) string {
	u, err := url.Parse(database)
	if err != nil || database == "" {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
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
	return c.dir.SetAddresses(datadir.Addresses{ACME: c.url, Published: c.published, Database: redacted(c.config.Database)})
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
	c.remote = newPerspectives(perspectivesConfig{config: c.config.Perspectives, db: c.db, identity: c.roles.own, roles: c.roles, log: c.log, watch: c.observe})
	if s := c.stationOf(RoleSigner); s != nil {
		sign.Serve(&s.server, sign.ServeConfig{Signer: c.observe.served(signer), OwnProfile: profile.OwnName, OwnNames: c.frontNames})
		members.ServeRenewal(&s.server, c.newEnrolment().members(c.log))
	}
	return nil
}

// frontNames is what the fronts on other machines may be called.
func (c *CA) frontNames(string) []acme.Identifier {
	names, _ := identifiers(append([]string{mustParse(c.url).Hostname()}, c.config.Front.Names...), c.known.Load().names())
	return names
}

// watchIssuer says once a day when the issuer nears its end. The next one is made at a start.
func (c *CA) watchIssuer(ctx context.Context) {
	every(ctx, 24*time.Hour, func() {
		if end := c.hierarchy.issuers[0].certificate.NotAfter; time.Until(end) < issuerReserve {
			c.log.Warn("the issuer's certificate ends within a year", "end", end, "remedy", "restart cairn with the root's key in place")
		}
	})
}
