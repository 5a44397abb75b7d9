// Package ca is the authority as one thing: every role in one process, on one
// data directory, with nothing to configure. It wires the packages below it and
// decides nothing that they could.
package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/crl"
	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/metrics"
	"github.com/cairn-ca/cairn/internal/ca/profile"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/trust"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// Config is what an operator can say to `cairn up`. Only Dir and Log are required.
type Config struct {
	Dir     string        // the data directory; made if it does not exist
	Listen  string        // of HTTPS; "" means ":8443"
	HTTP    string        // of plain HTTP, for CRLs and issuers' certificates; "" means ":8080"
	URL     string        // https://HOST[:PORT]; "" means the machine's name and the port of Listen
	Names   acme.Subtrees // for which certificates are issued, beside private names and the machine's own
	NewRoot bool          // make another root if the present one does not permit Names
	// AlternateRoots is how many roots the first run makes beside the one that is served by
	// default. Each certifies the issuer, too, so that clients can choose the chain.
	AlternateRoots int

	Resolvers     []string       // DNS servers, as validate.CheckServer wants them; none means those of the machine
	DNS           DNS            // how they are asked
	CAAIdentities []string       // what means this authority in CAA records; none means the host of the URL
	NoCAA         bool           // CAA records are not asked for, whatever the name
	HTTP01Port    int            // 0 means 80
	TLSALPN01Port int            // 0 means 443
	AllowTargets  []netip.Prefix // addresses to validate at although they are refused by default
	Terms         string         // URL of the terms of service; "" means none
	TermsAsk      bool           // accounts that agreed to other terms must agree to these first; else they go on
	EAB           EAB            // external account binding
	NoSubdomains  bool           // an authorization is never for what lies below its domain (RFC 9444)
	Challenges    Challenges     // what is offered beside the usual challenges
	Profiles      profile.List   // the default first; none means profile.Standard
	Perspectives  Perspectives   // how remote perspectives are asked, where there are any
	Limits        rules.Limits   // the rate limits that are on; nil means rules.DefaultLimits
	EvidenceKept  time.Duration  // how long the evidence of validations is kept; 0 means 30 days
	Observe       Observe        // how the operator watches

	// Seams stands at the borders between the roles, for tests that make one fail. The zero value is not there.
	Seams Seams

	HostsFile, ResolvConf string                  // "" means those in /etc
	Machine               func() (Machine, error) // nil asks the system
	Log                   *slog.Logger
}

// Seams wraps what crosses a border where trust or place differs. A nil function wraps nothing.
type Seams struct {
	Journal   func(sign.Journal) sign.Journal
	Signer    func(work.Signer) work.Signer
	Validator func(work.Validator) work.Validator
	CRL       func(crl.Signer) crl.Signer
	Pause     time.Duration // before work that failed is tried again; 0 means the worker's default
}

// through passes value through a seam.
func through[T any](seam func(T) T, value T) T {
	if seam == nil {
		return value
	}
	return seam(value)
}

// CA is an authority that listens, once Serve runs.
type CA struct {
	config    Config
	log       *slog.Logger
	dir       *datadir.Dir
	db        *store.DB
	hierarchy *hierarchy
	worker    *work.Worker
	roles     *roleCA
	remote    *perspectives
	leafCRLs  *crl.Publisher
	rootCRLs  *crl.Publisher
	own       *ownCertificate
	front     http.Handler
	observe   *observer

	https, http net.Listener
	url         string              // https://HOST[:PORT], without a path
	caa         rules.CAA           // for which names CAA is asked for
	proving     rules.Proving       // which challenges are offered, and what they need
	httpURL     string              // http://HOST:PORT
	published   []datadir.Published // httpURL, and those of earlier runs that certificates still point to
}

// Open makes or opens the data directory, listens, and is ready to Serve. On
// first use it makes the root, the issuer and the CA's own certificate; a crash
// on the way leaves a directory that the next Open starts over.
func Open(ctx context.Context, c Config) (*CA, error) {
	if c.Machine == nil {
		hosts := c.HostsFile
		if hosts == "" {
			hosts = "/etc/hosts"
		}
		c.Machine = func() (Machine, error) { return ThisMachine(hosts) }
	}
	if len(c.Profiles) == 0 {
		c.Profiles = profile.Standard()
	}
	if err := c.Profiles.Check(time.Now()); err != nil {
		return nil, fmt.Errorf("checking the profiles: %w", err)
	}
	if c.Limits == nil {
		c.Limits = rules.DefaultLimits()
	}
	ca := &CA{config: c, log: c.Log}
	steps := []func(context.Context) error{
		ca.openObserver, ca.listen, ca.openDirectory, ca.openHierarchy, ca.openStore, ca.openSigner, ca.checkProfiles, ca.openFront,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, ca.Close())
		}
	}
	return ca, nil
}

// listen opens both ports, since certificates name them.
func (c *CA) listen(ctx context.Context) (err error) {
	machine, err := c.config.Machine()
	if err != nil {
		return err
	}
	var listener net.ListenConfig
	if c.https, err = listener.Listen(ctx, "tcp", orElse(c.config.Listen, ":8443")); err != nil {
		return fmt.Errorf("listening for ACME (--listen): %w", err)
	}
	if c.http, err = listener.Listen(ctx, "tcp", orElse(c.config.HTTP, ":8080")); err != nil {
		return fmt.Errorf("listening for requests for CRLs (--http): %w", err)
	}
	if c.url, err = c.findURL(machine); err != nil {
		return err
	}
	host := mustParse(c.url).Hostname()
	c.httpURL = "http://" + net.JoinHostPort(host, port(c.http))
	if c.proving, err = c.config.Challenges.proving(c.url, c.config.CAAIdentities); err != nil {
		return err
	}
	c.caa, err = c.config.caa(c.url)
	return err
}

// openDirectory takes hold of the data directory.
func (c *CA) openDirectory(context.Context) (err error) {
	if c.dir, err = datadir.Open(datadir.Config{Dir: c.config.Dir, Create: true}); err != nil {
		return err
	}
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

// openStore opens the database.
func (c *CA) openStore(ctx context.Context) (err error) {
	c.db, err = store.Open(ctx, store.Config{Path: c.dir.Database(), Log: c.log, Observe: c.observe.transaction})
	return err
}

// openSigner makes what needs the keys: the signer, the CRLs and the CA's own certificate.
func (c *CA) openSigner(ctx context.Context) error {
	signer, err := sign.New(sign.Config{
		Issuers:  c.hierarchy.signers(),
		Profiles: c.config.Profiles.Sign(),
		Journal:  through[sign.Journal](c.config.Seams.Journal, work.Journal{DB: c.db}),
	})
	if err != nil {
		return err
	}
	lists := c.observe.lists(through[crl.Signer](c.config.Seams.CRL, signer))
	if err := c.openWorker(ctx, signer); err != nil {
		return err
	}
	c.leafCRLs = crl.New(crl.Config{DB: c.db, Signer: lists, Issuers: c.hierarchy.issuerIDs(), URLs: c.hierarchy.crlURLs(), Log: c.log,
		Pulse: c.observe.publishing})
	// A root's CRL changes when an issuer is revoked, which is once in a blue moon. It must
	// outlive the time for which the root's key is locked away.
	c.rootCRLs = crl.New(crl.Config{DB: c.db, Signer: lists, Issuers: c.hierarchy.rootIDs(), Log: c.log,
		Frozen: c.hierarchy.keyless(), Check: time.Hour, Refresh: 30 * 24 * time.Hour, Validity: issuerLifetime})
	if err := errors.Join(c.leafCRLs.Update(ctx), c.rootCRLs.Update(ctx)); err != nil {
		return err
	}
	c.own = &ownCertificate{
		dir: c.dir, signer: signer, issuer: c.hierarchy.issuers[0], log: c.log,
		urlHost: mustParse(c.url).Hostname(), permitted: c.hierarchy.names(), machine: c.config.Machine,
	}
	return c.own.fit(ctx)
}

// openWorker makes what validates and issues. No other process has the data
// directory, so whatever an earlier one was at is free.
func (c *CA) openWorker(ctx context.Context, signer *sign.Signer) error {
	resolver, err := c.openResolver(ctx)
	if err != nil {
		return err
	}
	prober := validate.New(validate.Config{
		Resolver: resolver, HTTP01Port: c.config.HTTP01Port, TLSALPN01Port: c.config.TLSALPN01Port,
		Allow: c.config.AllowTargets, Log: c.log,
	})
	c.roles = &roleCA{dir: c.dir}
	c.remote = newPerspectives(c.config.Perspectives, c.db, c.roles, c.observe)
	c.worker = work.New(work.Config{
		DB: c.db, Log: c.log, Pause: c.config.Seams.Pause, Again: c.config.Seams.Pause, EvidenceKept: c.config.EvidenceKept,
		Proving:   c.proving,
		CAA:       c.caa,
		Limits:    c.config.Limits,
		Signer:    c.observe.certificates(through[work.Signer](c.config.Seams.Signer, signer)),
		Validator: c.observe.perspective(metrics.Quorum, through[work.Validator](c.config.Seams.Validator, c.remote.quorum(c.observe.perspective(metrics.Local, prober)))),
		Metrics:   c.observe.metrics, Trace: c.observe.tracer, Pulse: c.observe.working,
	})
	return c.worker.RecoverAll(ctx)
}

// openFront makes the ACME server, and with it the directory complete.
func (c *CA) openFront(ctx context.Context) error {
	var linkKey []byte
	if err := c.db.Update(ctx, func(tx *store.Tx) (err error) { linkKey, err = tx.Secret("links"); return err }); err != nil {
		return err
	}
	handler, err := front.New(front.Config{
		Limits: c.config.Limits,
		DB:     c.db, Worker: c.worker, Log: c.log, Metrics: c.observe.metrics, Trace: c.observe.tracer, Backlog: c.observe.backlog,
		Policy: c.policy(), ExternalKeys: c.config.EAB.Keys, LinkKey: linkKey,
		URL: c.url, OwnHost: c.own.owns, Chains: c.hierarchy.chains, Issuer: c.hierarchy.byKeyID, Page: http.HandlerFunc(c.page),
	})
	if err != nil {
		return err
	}
	c.front, c.observe.front = c.observe.public(handler), handler
	if c.dir.FirstRun() {
		return c.dir.Complete() // the marker, last of all
	}
	return nil
}

// URL is where the CA is, without a path: https://HOST[:PORT].
func (c *CA) URL() string { return c.url }

// Page is what people on this machine need to know to use and to trust the CA.
func (c *CA) Page() trust.Page {
	page := pageAt(c.url, c.httpURL, c.hierarchy.roots[0].certificate)
	page.Terms, page.KeyNeeded = c.config.Terms, c.config.EAB.Mode == rules.Required
	page.RootFile = c.dir.RootFile()
	return page
}

// PageOf is Page for a data directory that another process may be using.
func PageOf(dir string) (trust.Page, error) {
	d, err := datadir.Open(datadir.Config{Dir: dir, ReadOnly: true})
	if err != nil {
		return trust.Page{}, err
	}
	defer d.Close()
	addresses, err := d.Addresses()
	if err != nil {
		return trust.Page{}, err
	}
	roots, err := d.Roots()
	if err != nil {
		return trust.Page{}, err
	}
	if len(roots) == 0 || len(addresses.Published) == 0 {
		return trust.Page{}, fmt.Errorf("%s is not whole: it has no root or no addresses", d.Path())
	}
	root, err := parseCertificate(roots[len(roots)-1].Certificate)
	if err != nil {
		return trust.Page{}, fmt.Errorf("reading %s: %w", d.RootFile(), err)
	}
	page := pageAt(addresses.ACME, addresses.Published[0].URL, root)
	page.RootFile = d.RootFile()
	return page, nil
}

// New reports whether this Open made a root, so that there is something to trust anew.
func (c *CA) New() bool { return c.hierarchy.madeRoot }

// pageAt says what there is to know about a CA whose ACME server is at base. The root
// comes over plain HTTP: a client that does not trust it yet cannot verify its
// HTTPS either, and every instruction compares the fingerprint.
func pageAt(base, httpBase string, root *x509.Certificate) trust.Page {
	return trust.Page{
		Directory: base + "/directory",
		RootPEM:   httpBase + "/root.pem",
		RootDER:   httpBase + "/root.der",
		Root:      root,
		Names:     sign.NamesOf(root).Strings(),
	}
}

// page serves the trust page and the root.
func (c *CA) page(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		c.public(w, r)
		return
	}
	base, httpBase := c.url, c.httpURL
	// A Host that is no HOST[:PORT] is not the CA's, whatever it begins with.
	if asked, err := ParseURL("https://" + r.Host); err == nil && c.own.owns(mustParse(asked).Hostname()) {
		base, httpBase = asked, "http://"+net.JoinHostPort(mustParse(asked).Hostname(), port(c.http))
	}
	page := pageAt(base, httpBase, c.hierarchy.roots[0].certificate)
	page.Terms, page.KeyNeeded = c.config.Terms, c.config.EAB.Mode == rules.Required
	trust.SetHeaders(w.Header())
	if err := page.WriteHTML(w); err != nil {
		c.log.Debug("writing the trust page failed", "error", err)
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError) // too late if the peer went away
	}
}

func orElse(value, standard string) string {
	if value == "" {
		return standard
	}
	return value
}

func port(l net.Listener) string { return strconv.Itoa(l.Addr().(*net.TCPAddr).Port) }

func addressText(ip []byte) string {
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap().String()
}
