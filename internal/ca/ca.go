// Package ca is the authority as one thing: every role in one process on one data
// directory, with nothing to configure, or the roles in several processes that share
// a database. It wires the packages below it and decides nothing that they could.
package ca

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/crl"
	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/profile"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// Config is what an operator can say to `cairn up` and `cairn serve`. Only Dir and Log are required.
type Config struct {
	Dir      string // the data directory; made if it does not exist
	Database string // postgres://… of a database that several processes can share; "" means SQLite in Dir
	Roles    Roles  // what this process does; none means all
	Version  string // of the program
	// Advertise is the host, a name or an address, at which other processes call this one; "" means an address of the machine.
	Advertise string
	Listen    string        // of HTTPS; "" means ":8443"
	HTTP      string        // of plain HTTP, for CRLs and issuers' certificates; "" means ":8080"
	URL       string        // https://HOST[:PORT]; "" means the machine's name and the port of Listen
	Names     acme.Subtrees // for which certificates are issued, beside private names and the machine's own
	NewRoot   bool          // make another root if the present one does not permit Names
	// AlternateRoots is how many roots the first run makes beside the one that is served by
	// default. Each certifies the issuer, too, so that clients can choose the chain.
	AlternateRoots int

	Front  FrontConfig
	Work   WorkConfig
	Signer SignerConfig
	CRL    CRLConfig
	// Validator is for a ValidatorConfig, and of no use to Open.
	Validator ValidatorRole

	Resolvers     []string        // DNS servers, as validate.CheckServer wants them; none means those of the machine
	DNS           DNS             // how they are asked
	CAAIdentities []string        // what means this authority in CAA records; none means the host of the URL
	NoCAA         bool            // CAA records are not asked for, whatever the name
	HTTP01Port    int             // 0 means 80
	TLSALPN01Port int             // 0 means 443
	AllowTargets  []netip.Prefix  // addresses to validate at although they are refused by default
	Terms         string          // URL of the terms of service; "" means none
	TermsAsk      bool            // accounts that agreed to other terms must agree to these first; else they go on
	EAB           EAB             // external account binding
	NoSubdomains  bool            // an authorization is never for what lies below its domain (RFC 9444)
	Challenges    Challenges      // what is offered beside the usual challenges
	Profiles      profile.List    // the default first; none means profile.Standard
	Perspectives  Perspectives    // how remote perspectives are asked, where there are any
	Limits        rules.Limits    // the rate limits that are on; nil means rules.DefaultLimits
	Retention     rules.Retention // how long records are kept; a field that is 0 means that of rules.DefaultRetention
	Observe       Observe         // how the operator watches

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
	Twice     bool          // see store.Config
}

// through passes value through a seam.
func through[T any](seam func(T) T, value T) T {
	if seam == nil {
		return value
	}
	return seam(value)
}

// FrontConfig is what concerns the role front alone.
type FrontConfig struct {
	Names []string // what clients call the fronts by beside the host of the URL: names and addresses for the HTTPS certificate
	// Certificate and Key are PEM files of the HTTPS certificate, read again when they change; "" has this CA issue it.
	Certificate, Key string
	Calls
}

// WorkConfig is what concerns the role work alone.
type WorkConfig struct {
	Validations, Issuances int // in parallel; 0 means the worker's defaults
	Calls
}

// SignerConfig is what concerns the role signer alone.
type SignerConfig struct{ Calls }

// ValidatorRole is what concerns the role validator alone.
type ValidatorRole struct {
	Questions int // in parallel; 0 means 256
	Calls
}

// Calls says where other processes of the authority call this one.
type Calls struct {
	Listen string // ADDR; "" means that nobody calls
}

// CRLConfig is what concerns the role crl alone.
type CRLConfig struct {
	URL string // http://HOST[:PORT] where the fronts' plain HTTP is found; "" means the host of Config.URL with the port of Config.HTTP
}

// CA is one process of an authority; it listens, once Serve runs.
type CA struct {
	config Config
	log    *slog.Logger
	parts  []part
	steps  []func(context.Context) error // what is left of opening
	ready  chan struct{}                 // closed once nothing is left

	dir        *datadir.Dir // with the role signer
	hierarchy  *hierarchy   // with the role signer
	roles      *roleCA      // with the role signer
	cluster    cluster
	db         *store.DB
	known      atomic.Pointer[authorities]
	ownSigner  *sign.Signer // with the role signer
	signer     work.Signer  // here, or on the signer's machine
	listSigner crl.Signer   // the same one
	worker     *work.Worker // with the role work
	workers    *work.Remote // with the role front, without work
	remote     *perspectives
	lists      atomic.Pointer[lists] // with the role crl
	newest     *crl.Newest           // what the process with the role crl has published
	own        *ownCertificate       // with the role front
	acme       *front.Front          // with the role front
	observe    *observer

	https, http net.Listener        // with the role front
	url         string              // https://HOST[:PORT], without a path
	caa         rules.CAA           // for which names CAA is asked for
	proving     rules.Proving       // which challenges are offered, and what they need
	httpURL     string              // http://HOST:PORT
	published   []datadir.Published // httpURL, and those of earlier runs that certificates still point to
}

// part is what one role adds to a process.
type part struct {
	role  Role
	make  []func(context.Context) error  // in turn, after those of the parts before it; needs the database alone
	open  []func(context.Context) error  // then, once the other processes can be called
	loops func() []func(context.Context) // what it does, once all is open, until it is told to end
}

// Open makes or opens the data directory, listens, and is ready to Serve. On
// first use it makes the root, the issuer and the CA's own certificate; a crash
// on the way leaves a directory that the next Open starts over.
//
// Where the process shares a database, what is missing because another process is not there
// yet, be it the database itself, does not fail Open: Serve waits for it.
func Open(ctx context.Context, c Config) (*CA, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	ca := &CA{config: c, log: c.Log, ready: make(chan struct{})}
	ca.parts = ca.allParts()
	for _, step := range ca.firstSteps() {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, ca.Close())
		}
	}
	ca.steps = ca.laterSteps()
	if err := ca.proceed(ctx); err != nil && !ca.mayComeBack(err) {
		return nil, errors.Join(err, ca.Close())
	} else if err != nil {
		ca.observe.waits(err)
	}
	return ca, nil
}

// complete checks c and fills in what it leaves to us.
func (c *Config) complete() error {
	if err := c.Roles.Check(c.Database != ""); err != nil {
		return err
	}
	*c = c.WithDefaults()
	if err := c.Profiles.Check(time.Now()); err != nil {
		return fmt.Errorf("checking the profiles: %w", err)
	}
	return nil
}

// WithDefaults is c with everything in it that it leaves to us.
func (c Config) WithDefaults() Config {
	if c.Machine == nil {
		hosts := cmp.Or(c.HostsFile, "/etc/hosts")
		c.Machine = func() (Machine, error) { return ThisMachine(hosts) }
	}
	if len(c.Profiles) == 0 {
		c.Profiles = profile.Standard()
	}
	if c.Limits == nil {
		c.Limits = rules.DefaultLimits()
	}
	c.Listen, c.HTTP = cmp.Or(c.Listen, ":8443"), cmp.Or(c.HTTP, ":8080")
	c.Retention = c.Retention.Complete(c.Profiles.Rules())
	c.DNS.Attempt, c.DNS.Timeout = cmp.Or(c.DNS.Attempt, 2*time.Second), cmp.Or(c.DNS.Timeout, 6*time.Second)
	p := &c.Perspectives
	p.Timeout, p.Grace, p.Check = cmp.Or(p.Timeout, 15*time.Second), cmp.Or(p.Grace, 500*time.Millisecond), cmp.Or(p.Check, time.Minute)
	c.Work.Validations, c.Work.Issuances = cmp.Or(c.Work.Validations, 512), cmp.Or(c.Work.Issuances, 64)
	c.Validator.Questions = cmp.Or(c.Validator.Questions, 256)
	return c
}

// allParts is the table of roles, each after those that it needs. A validator has no part: beside work it is the worker's
// own perspective, and alone it is a Validator.
func (c *CA) allParts() []part {
	return []part{c.signerPart(), c.workPart(), c.crlPart(), c.frontPart(), c.opsPart()}
}

// firstSteps is what this process needs nobody else for. It fails only where something is wrong here.
func (c *CA) firstSteps() []func(context.Context) error {
	steps := []func(context.Context) error{c.openObserver}
	if c.config.Roles.Has(RoleFront) {
		steps = append(steps, c.listen)
	}
	steps = append(steps, c.findAddresses)
	if c.config.Roles.Has(RoleSigner) {
		steps = append(steps, c.openDirectory, c.openHierarchy)
	}
	if c.config.Roles.Has(RoleFront) {
		steps = append(steps, c.newOwn)
	}
	return append(steps, c.openCluster)
}

// laterSteps is what needs the database and other processes. Each can be tried again.
func (c *CA) laterSteps() []func(context.Context) error {
	steps := []func(context.Context) error{c.openStore}
	if c.config.Roles.Has(RoleSigner) {
		steps = append(steps, c.publish)
	} else {
		steps = append(steps, c.learn)
	}
	var open []func(context.Context) error
	for _, p := range c.parts {
		if c.config.Roles.Has(p.role) {
			steps, open = append(steps, p.make...), append(open, p.open...)
		}
	}
	steps = append(steps, c.joinOwn, c.meet)
	return append(append(steps, open...), c.finish)
}

// proceed takes the steps that are left.
func (c *CA) proceed(ctx context.Context) error {
	for len(c.steps) > 0 {
		if err := c.steps[0](ctx); err != nil {
			return err
		}
		c.steps = c.steps[1:]
	}
	c.observe.started()
	close(c.ready)
	return nil
}

// Ready is closed once the process does its work: its database and the processes that it needs were there.
func (c *CA) Ready() <-chan struct{} { return c.ready }

// mayComeBack reports whether what went wrong lies in another process, and not in how this one is set up.
func (c *CA) mayComeBack(err error) bool {
	if c.config.Database == "" {
		return false
	}
	for _, other := range []error{errNotYet, errElsewhere, store.ErrUnavailable, store.ErrOutdated, store.ErrBusy, context.DeadlineExceeded} {
		if errors.Is(err, other) {
			return true
		}
	}
	return false
}

// errElsewhere is the error of a call to another process, whatever went wrong there: it may be about to start, not know yet
// that this machine has joined, or lack its database.
var errElsewhere = errors.New("another process of the CA cannot help now")

// elsewhere marks an error of a call to another process.
func elsewhere(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errElsewhere, err)
}

// openStore opens the database. An empty one is made one of Cairn's by the process with the keys.
func (c *CA) openStore(ctx context.Context) (err error) {
	config := store.Config{URL: c.config.Database, Create: c.config.Roles.Has(RoleSigner), Log: c.log, Observe: c.observe.transaction}
	if config.URL == "" {
		config = store.Config{Path: c.dir.Database(), Log: c.log, Observe: c.observe.transaction}
	}
	config.Twice = c.config.Seams.Twice
	c.db, err = store.Open(ctx, config)
	c.newest = &crl.Newest{DB: c.db, Log: c.log}
	return err
}

// finish makes the data directory complete after a first start.
func (c *CA) finish(context.Context) error {
	if c.dir != nil && c.dir.FirstRun() {
		return c.dir.Complete() // the marker, last of all
	}
	return nil
}

// URL is where the CA is, without a path: https://HOST[:PORT].
func (c *CA) URL() string { return c.url }

// New reports whether this Open made a root, so that there is something to trust anew.
func (c *CA) New() bool { return c.hierarchy != nil && c.hierarchy.madeRoot }

func port(l net.Listener) string { return strconv.Itoa(l.Addr().(*net.TCPAddr).Port) }

func addressText(ip []byte) string {
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap().String()
}
