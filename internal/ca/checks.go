package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/health"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// openChecks makes the checks of what this process does. What other machines can do without is no
// reason to send clients elsewhere: each process answers for its own roles, and for those that these call.
func (o *observer) openChecks() {
	has := o.ca.config.Roles.Has
	healthy := []health.Check{{Name: "database-writer", Ask: o.writerMoves}}
	ready := []health.Check{{Name: "running", Ask: o.running}, o.fresh("database", o.databaseAnswers), o.fresh("issuer", o.issuerLives)}
	if has(RoleWork) {
		healthy = append(healthy, o.turning(o.working))
	}
	if has(RoleCRL) {
		healthy = append(healthy, o.turning(o.publishing))
		ready = append(ready, o.fresh("crl", o.listsAreFresh))
	}
	if has(RoleSigner) || has(RoleWork) || has(RoleCRL) {
		ready = append(ready, o.fresh("signer", o.signerAnswers))
	}
	if !has(RoleWork) && has(RoleFront) {
		ready = append(ready, o.fresh("worker", func(context.Context) error { return o.workers.there(o.ca, RoleWork) }))
	}
	o.healthy, o.ready = health.NewChecks(time.Second, healthy...), health.NewChecks(time.Second, ready...)
}

// fresh is a check whose answer is good for a second. It fails until the process has started: before, there is nothing to ask.
func (o *observer) fresh(name string, ask func(context.Context) error) health.Check {
	return health.Check{Name: name, Keep: time.Second, Ask: func(ctx context.Context) error {
		if !o.ca.isReady() {
			return errors.New("it is not known before the process has started")
		}
		return ask(ctx)
	}}
}

// turning is the check of a loop. One that waits for other processes before it begins is not stuck.
func (o *observer) turning(p *health.Pulse) health.Check {
	check := p.Check()
	ask := check.Ask
	check.Ask = func(ctx context.Context) error {
		if !o.ca.isReady() {
			return nil
		}
		return ask(ctx)
	}
	return check
}

// waits notes, and says once, why the process cannot start yet.
func (o *observer) waits(why error) {
	text := why.Error()
	if before := o.waiting.Swap(&text); before == nil || *before != text {
		o.ca.log.Warn("this process waits for another one", "error", why)
	}
}

// started notes that the loops begin.
func (o *observer) started() {
	o.waiting.Store(nil)
	o.working.Beat()
	o.publishing.Beat()
}

// running fails while the process cannot do its work yet, and once it was told to end.
func (o *observer) running(context.Context) error {
	if o.draining.Load() {
		return errors.New("it was told to end")
	}
	if why := o.waiting.Load(); why != nil {
		return fmt.Errorf("it waits for another process: %s", *why)
	}
	return nil
}

// writerMoves fails if an update of the database hangs.
func (o *observer) writerMoves(context.Context) error {
	if !o.ca.isReady() {
		return nil
	}
	if oldest := o.ca.db.Load().Oldest; oldest > stuck {
		return fmt.Errorf("an update has been waiting for %s", oldest.Round(time.Second))
	}
	return nil
}

// databaseAnswers reads what every role may read, and goes through the one writer where there is one.
func (o *observer) databaseAnswers(ctx context.Context) error {
	if err := o.ca.db.View(ctx, func(tx *store.Tx) error { _, err := tx.Address(addressACME); return err }); err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	if err := o.ca.db.Update(ctx, func(*store.Tx) error { return nil }); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// signerAnswers fails if the signer failed lately, here or elsewhere, or nobody has the role.
func (o *observer) signerAnswers(context.Context) error {
	if err := o.signer.check(); err != nil {
		return err
	}
	if o.ca.config.Roles.Has(RoleSigner) {
		return nil
	}
	return o.signers.there(o.ca, RoleSigner)
}

// remoteRole is when a process elsewhere was last seen to have a role.
type remoteRole struct{ seen atomic.Int64 } // in seconds since 1970; 0 for never

// restart is how long a role may be missing: so long it takes to start its only process again, and no
// front need leave a load balancer for that.
const restart = 30 * time.Second

// there fails if no process has the role, nor had it lately.
func (r *remoteRole) there(c *CA, role Role) error {
	nodes, err := c.cluster.presence.Nodes(string(role))
	if err != nil {
		return err
	}
	now := time.Now()
	if len(nodes) > 0 {
		r.seen.Store(now.Unix())
	} else if now.Sub(time.Unix(r.seen.Load(), 0)) > restart {
		return fmt.Errorf("no process with the role %s is there: `cairn nodes list` shows those that are", role)
	}
	return nil
}

// issuerLives fails if the issuer cannot issue any more.
func (o *observer) issuerLives(context.Context) error {
	if end := o.ca.known.Load().issuers[0].certificate.NotAfter; time.Now().After(end) {
		return fmt.Errorf("the issuer's certificate ended on %s", end.Format(time.RFC3339))
	}
	return nil
}

// listsAreFresh fails if a list has ended: clients that ask for it believe nothing that its issuer signed.
func (o *observer) listsAreFresh(ctx context.Context) error {
	for _, list := range o.newestLists(ctx) {
		if time.Now().After(list.NextUpdate) {
			return fmt.Errorf("the CRL of issuer %s ended at %s", list.Issuer, list.NextUpdate.Format(time.RFC3339))
		}
	}
	return nil
}

// newestLists are those that this process publishes, or hands out.
func (o *observer) newestLists(ctx context.Context) (newest []store.CRL) {
	if l := o.ca.lists.Load(); l != nil {
		return append(l.leaf.Newest(), l.root.Newest()...)
	}
	if !o.ca.config.Roles.Has(RoleFront) {
		return nil
	}
	known := o.ca.known.Load()
	for _, id := range append(known.issuerIDs(), known.rootIDs()...) {
		if list, ok := o.ca.newest.List(ctx, id); ok {
			newest = append(newest, list)
		}
	}
	return newest
}

// listKey names a list.
type listKey struct {
	issuer string
	number int64
}

// entriesOf counts the entries of a list, once.
func (o *observer) entriesOf(list store.CRL) int {
	key := listKey{list.Issuer, list.Number}
	if count, ok := o.entries.Load(key); ok {
		return count.(int)
	}
	parsed, err := x509.ParseRevocationList(list.DER)
	if err != nil {
		return 0 // it was linted before it was signed
	}
	o.entries.Range(func(old, _ any) bool {
		if old.(listKey).issuer == key.issuer {
			o.entries.Delete(old)
		}
		return true
	})
	o.entries.Store(key, len(parsed.RevokedCertificateEntries))
	return len(parsed.RevokedCertificateEntries)
}
