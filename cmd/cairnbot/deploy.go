package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/bot/served"
)

// deployments are the new certificates of a run, whose users are told and looked at.
//
// Which failure counts: a deploy-hook that fails is a warning, as in certbot, and so is a server of this machine that goes on
// with an old certificate. Both are remembered, and tried again by later runs, a few times and at growing intervals. With --fail-on-hook-error
// the one, with --check-served the other ends the run with 1, and is tried again without an end.
type deployments struct {
	kept *renew.Deliveries

	mu   sync.Mutex
	list []*newcert // in this run
}

// newcert is one of them.
type newcert struct {
	*renew.Delivery
	leaf   *x509.Certificate
	names  []string
	looked proof // how to look
	fresh  bool  // nothing was there before: nobody is used to look for it
	// missing is what servers show instead, where that was asked about.
	missing []string
}

func (a *app) newDeployments() *deployments {
	return &deployments{kept: renew.OpenDeliveries(filepath.Join(a.workDir, "deliveries"))}
}

// add notes a certificate, to look at servers at the end: they may be told by post-hooks alone.
func (d *deployments) add(one *newcert) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, one)
}

// verdict is the error that a run comes to by what was not deployed.
func (d *deployments) verdict(h *hooks) error {
	var texts []string
	for _, one := range d.list {
		if len(one.looked.served) > 0 {
			texts = append(texts, one.missing...)
		}
	}
	if len(texts) > 0 {
		return errors.Join(h.verdict(), withHint(fmt.Errorf("a new certificate is not served (--check-served): %s", strings.Join(texts, "; ")),
			"does a --deploy-hook reload that server? The next \"renew\" looks again"))
	}
	return h.verdict()
}

// deployed runs the deploy-hooks of a certificate that is live now. fresh is for a lineage that has just been made.
func (a *app) deployed(ctx context.Context, l *lineage.Lineage, names []string, s *settings, fresh bool) {
	leaf, err := l.Leaf()
	if err != nil {
		a.log.Warn("a certificate that was just made cannot be read", "name", l.Name, "error", err)
		return
	}
	one := &newcert{Delivery: renew.NewDelivery(l.Name, leaf), leaf: leaf, names: names, looked: s.proof, fresh: fresh}
	a.runDeploy(ctx, l, &s.params, one)
}

// unitOf is the usual name of a web server's service.
func unitOf(server string) string {
	if server == "apache" {
		return "apache2"
	}
	return server
}

// runDeploy runs those hooks that have not succeeded yet.
func (a *app) runDeploy(ctx context.Context, l *lineage.Lineage, p *lineage.Params, one *newcert) {
	exportErr := a.exportAll(l)
	done, failed := a.hooks.deployed(ctx, l, one.names, p, one.Done)
	if exportErr != nil {
		a.log.Warn("a certificate could not be written in other forms", "name", l.Name, "error", exportErr)
		failed = append(failed, a.name+" export")
	}
	one.Tried(done, failed, one.Unseen, a.failOnHookError || len(one.looked.served) > 0, time.Now())
	a.remember(one)
	if len(failed) > 0 {
		a.log.Warn(fmt.Sprintf("the certificate %s is in place, but a deploy-hook failed: %s", one.Lineage, a.again(one)))
	}
	if server := p.Installer; server != "" && a.installers()[server] == nil && len(one.Done) == 0 {
		a.log.Warn(fmt.Sprintf("certbot has installed the certificate %[1]s in %[2]s, which this program does not tell of the new one, and no deploy-hook has run: have %[2]s read it, "+
			"also after later renewals: %[3]s reconfigure --cert-name %[1]s --deploy-hook 'systemctl reload %[4]s'", l.Name, server, a.name, unitOf(server)))
	}
	a.deployments.add(one)
}

// again says when something is tried again.
func (a *app) again(one *newcert) string {
	if one.Next.IsZero() {
		return "it has failed several times, and is left alone; " + a.name + " renew --force-renewal --cert-name " + one.Lineage + " would run it again"
	}
	return "it is run again by the first renew after " + one.Next.Local().Format(time.DateTime) + ", without a new certificate"
}

// remember keeps what is not complete.
func (a *app) remember(one *newcert) {
	if err := a.deployments.kept.Keep(one.Delivery); err != nil {
		a.log.Warn("an unfinished deployment is not remembered", "name", one.Lineage, "error", err)
	}
}

// retryDeployments takes up what earlier runs could not deploy.
func (a *app) retryDeployments(ctx context.Context) {
	kept, err := a.deployments.kept.All()
	if err != nil {
		a.log.Warn("it is not known what was not deployed", "error", err)
	}
	for _, d := range kept {
		if !d.Due(time.Now()) {
			continue
		}
		l, err := a.store.Load(d.Lineage)
		var leaf *x509.Certificate
		if err == nil {
			leaf, err = l.Leaf()
		}
		if err != nil || !d.Of(leaf) { // it is gone, or there is a newer one
			d.Failed, d.Unseen = nil, nil
			a.remember(&newcert{Delivery: d})
			continue
		}
		a.retry(ctx, l, leaf, d)
	}
}

// retry runs the hooks that failed; all of them, where a server has not heard.
func (a *app) retry(ctx context.Context, l *lineage.Lineage, leaf *x509.Certificate, d *renew.Delivery) {
	s, err := a.settle(l.Conf)
	if err != nil {
		a.log.Warn("a deploy-hook is not known", "name", l.Name, "error", err)
		return
	}
	one := &newcert{Delivery: d, leaf: leaf, names: values(acme.CertificateIdentifiers(leaf)), looked: s.proof}
	if len(d.Unseen) > 0 {
		if findings := a.shownFor(ctx, one, 1); len(findings) == 0 {
			d.Unseen = nil // the server has been told by somebody else
		} else if len(d.Failed) == 0 {
			d.Done = nil
		}
	}
	a.log.Info("deploying a certificate again", "name", l.Name, "attempt", d.Attempts+1)
	a.runDeploy(ctx, l, &s.params, one)
}

// lookAtServed looks what servers show for the certificates of this run. None is waited for for long.
func (a *app) lookAtServed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxLook)
	defer cancel()
	var group sync.WaitGroup
	tickets := make(chan struct{}, lookAtOnce)
	for _, one := range a.deployments.list {
		tickets <- struct{}{}
		group.Go(func() {
			defer func() { <-tickets }()
			one.missing = a.shownFor(ctx, one, 0)
		})
	}
	group.Wait()
	for _, one := range a.deployments.list {
		if len(one.missing) == 0 && len(one.Unseen) == 0 {
			continue
		}
		one.Unseen = one.missing
		a.remember(one)
		for _, text := range one.missing {
			a.log.Warn(fmt.Sprintf("after the renewal of %s: %s; a server has to be told of a new certificate, such as by --deploy-hook", one.Lineage, text))
		}
	}
}

const (
	maxLook    = time.Minute // for all of them
	lookAtOnce = 16
)

// shownFor says what servers show in place of one certificate. tries is how often to look; 0 is as often as it takes to reload.
func (a *app) shownFor(ctx context.Context, one *newcert, tries int) (wrong []string) {
	if a.rehearse || one.looked.unseen || one.fresh && len(one.looked.served) == 0 {
		return nil
	}
	var targets []served.Target
	for _, text := range one.looked.served {
		list, err := served.Parse(text, one.leaf)
		if err != nil {
			wrong = append(wrong, err.Error())
		}
		targets = append(targets, list...)
	}
	if len(one.looked.served) == 0 {
		interfaces, err := net.InterfaceAddrs()
		if err != nil {
			a.log.Debug("this machine's addresses are not known", "error", err)
		}
		targets = served.Here(one.leaf, a.httpsPort, interfaces)
	}
	for _, finding := range served.Check(ctx, served.Config{Leaf: one.leaf, Targets: targets, Tries: tries}) {
		a.log.Debug("looked at a server", "name", one.Lineage, "address", finding.Address, "as", finding.Name, "verdict", finding.Verdict, "error", finding.Err)
		if finding.Wrong() {
			wrong = append(wrong, finding.String())
		}
	}
	return wrong
}
