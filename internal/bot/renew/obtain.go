package renew

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// ObtainConfig is what an Obtainer works with.
type ObtainConfig struct {
	Client *acme.Client // with an account
	Server string       // the URL of its directory
	Solver Solver
	Jobs   *Jobs
	// IssuanceTimeout is how long the CA may take from finalize to the certificate; 0 is 90 s.
	IssuanceTimeout time.Duration
	// FreshProofs makes the CA look for proofs that it has accepted before, as a rehearsal of what may happen later.
	FreshProofs bool
	// Replaces is the acme.CertID of the certificate that is renewed, where the same CA has issued it; or "".
	Replaces string
	Log      *slog.Logger
}

// Obtainer gets certificates from one CA for one account.
type Obtainer struct{ config ObtainConfig }

// NewObtainer fills in the defaults of c.
func NewObtainer(c ObtainConfig) *Obtainer {
	if c.IssuanceTimeout == 0 {
		c.IssuanceTimeout = 90 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Obtainer{config: c}
}

// Want says what a certificate is to be for.
type Want struct {
	Lineage     string            // the name under which the job is kept
	Identifiers []acme.Identifier // the certificate's names, in their order
	Key         KeySpec           // complete
	Profile     string            // draft-ietf-acme-profiles §4; "" is the CA's default
	Chain       string            // the common name of the CA that the chain is to end below; "" takes the CA's first choice
	// PreferredProfile is asked for where the CA has it and Profile is "".
	PreferredProfile string `json:",omitempty"`
	MustStaple       bool   `json:",omitempty"` // the certificate is to say that servers staple (RFC 7633)
	// Subset gives up names that the CA refuses, or finds no proof for, as long as one is left.
	Subset bool `json:",omitempty"`
	// Reuse is the private key to take, in PEM; nil makes a new one.
	Reuse []byte `json:"-"` // a Job has it as its key
	// CSR is the DER of a request that somebody else has signed; its names are Identifiers, and Key does not count.
	CSR []byte `json:",omitempty"`
}

// Issued is a certificate with its key.
type Issued struct {
	KeyPEM []byte // PKCS#8; nil for a CSR of somebody else's
	Chain  *acme.Chain
}

// Obtain gets a certificate. Before each step that cannot be undone it persists
// what it is about to do, so a crash at any point leads to the same order:
//
//	key saved        a crash here costs nothing
//	order placed     a crash here loses an unfinished order, which the CA forgets
//	its URL saved    from here on the next call continues this order
//	order finalized  the key for its certificate has been on disk since the first step
//
// The job stays until the caller has deployed the certificate, and told whoever uses it, and calls Done.
// current is the certificate that is to be replaced, or nil: a job that led to it is over.
func (o *Obtainer) Obtain(ctx context.Context, want Want, current *x509.Certificate) (*Issued, error) {
	job, order, err := o.resume(ctx, want, current)
	if err != nil {
		return nil, err
	}
	if job != nil {
		issued, err := o.complete(ctx, job, order)
		switch {
		case err != nil:
			return o.withoutRefused(ctx, want, current, job.Names, err)
		case !stale(issued.Chain.Certificates[0], current):
			return issued, nil
		}
		o.config.Log.Info("an unfinished job had been finished before", "lineage", want.Lineage)
	}
	return o.anew(ctx, want, current, want.Identifiers)
}

// anew places an order for names, which are those wanted or some of them, and finishes it.
func (o *Obtainer) anew(ctx context.Context, want Want, current *x509.Certificate, names []acme.Identifier) (*Issued, error) {
	job, order, err := o.begin(ctx, want, current, names)
	if err != nil {
		return o.withoutRefused(ctx, want, current, names, err)
	}
	issued, err := o.complete(ctx, job, order)
	if err != nil {
		return o.withoutRefused(ctx, want, current, names, err)
	}
	return issued, nil
}

// withoutRefused tries again without the names that err is about, if that is wanted and leaves any.
func (o *Obtainer) withoutRefused(ctx context.Context, want Want, current *x509.Certificate, names []acme.Identifier, err error) (*Issued, error) {
	bad := refused(err)
	left := slices.DeleteFunc(slices.Clone(names), func(id acme.Identifier) bool {
		base, _ := id.Base()
		return slices.Contains(bad, id) || slices.Contains(bad, base)
	})
	if !want.Subset || len(left) == 0 || len(left) == len(names) {
		return nil, err
	}
	o.config.Log.Warn("Unable to obtain a certificate with every requested domain. Retrying without: "+listed(bad), "error", err)
	return o.anew(ctx, want, current, left)
}

// stale reports whether a certificate from an earlier run is of no use any more.
func stale(leaf, current *x509.Certificate) bool {
	now := time.Now()
	at, _ := Due(leaf, Policy{}, now)
	return leaf.Equal(current) || !at.After(now)
}

// Done forgets the job of a certificate that is in its place.
func (o *Obtainer) Done(lineage string) error { return o.config.Jobs.Remove(lineage) }

// resume finds an order that an earlier run left. It returns nil where there is none of use.
func (o *Obtainer) resume(ctx context.Context, want Want, current *x509.Certificate) (*Job, *acme.Order, error) {
	job, err := o.config.Jobs.Load(want.Lineage)
	if err != nil || job == nil {
		return nil, nil, err
	}
	if job.Order == "" || !job.fits(want, o.config.Server, o.config.Client.AccountURL()) {
		o.config.Log.Info("dropping an unfinished job for something else", "lineage", want.Lineage)
		return nil, nil, nil
	}
	if job.outdated(current, time.Now()) {
		o.config.Log.Warn("giving up an order that came to nothing in a long time", "lineage", want.Lineage, "order", job.Order, "begun", job.Created)
		return nil, nil, nil
	}
	order, err := o.config.Client.Order(ctx, job.Order)
	switch {
	case unusable(err):
		o.config.Log.Warn("giving up an order that is of no use", "lineage", want.Lineage, "order", job.Order, "error", err)
		return nil, nil, nil
	case err != nil:
		return nil, nil, err // the order may well be there: no second one
	case order.Status == acme.StatusInvalid, order.Expires != nil && order.Expires.Before(time.Now()) && order.Status != acme.StatusValid:
		return nil, nil, nil
	}
	o.config.Log.Info("continuing an order", "lineage", want.Lineage, "order", job.Order, "status", order.Status)
	return job, order, nil
}

// begin makes a key and places an order.
func (o *Obtainer) begin(ctx context.Context, want Want, current *x509.Certificate, names []acme.Identifier) (*Job, *acme.Order, error) {
	key, err := want.key()
	if err != nil {
		return nil, nil, fmt.Errorf("making the certificate's key: %w", err)
	}
	job := &Job{Server: o.config.Server, Account: o.config.Client.AccountURL(), Want: want, Names: names, Key: string(key),
		Before: fingerprint(current), Created: time.Now().UTC()}
	if err := o.config.Jobs.Save(job); err != nil {
		return nil, nil, err
	}
	order, err := o.order(ctx, want, names)
	if err != nil {
		return nil, nil, errors.Join(err, o.config.Jobs.Remove(want.Lineage))
	}
	job.Order = order.URL
	if err := o.config.Jobs.Save(job); err != nil {
		return nil, nil, err
	}
	o.config.Log.Info("placed an order", "lineage", want.Lineage, "order", order.URL)
	return job, order, nil
}

// complete finishes an order. It forgets one that has come to nothing: the next attempt needs a new one.
func (o *Obtainer) complete(ctx context.Context, job *Job, order *acme.Order) (*Issued, error) {
	issued, err := o.advance(ctx, job, order)
	if unusable(err) {
		err = errors.Join(err, o.config.Jobs.Remove(job.Want.Lineage))
	}
	return issued, err
}

// advance takes an order from whatever state it is in to its certificate (RFC 8555 §7.1.6).
func (o *Obtainer) advance(ctx context.Context, job *Job, order *acme.Order) (*Issued, error) {
	csr, public, err := job.request()
	if err != nil {
		return nil, fmt.Errorf("the job for %s: %w", job.Want.Lineage, err)
	}
	if order.Status == acme.StatusPending {
		if err := o.prove(ctx, job.Names, order); err != nil {
			return nil, err
		}
		if order, err = o.wait(ctx, order, acme.StatusReady); err != nil {
			return nil, err
		}
	}
	if order.Status == acme.StatusReady {
		if order, err = o.config.Client.Finalize(ctx, order, csr); err != nil {
			return nil, err
		}
	}
	if order.Status != acme.StatusValid {
		if order, err = o.wait(ctx, order, acme.StatusValid); err != nil {
			return nil, err
		}
	}
	want := acme.CertificateRequest{PublicKey: public, Identifiers: job.Names}
	chain, err := o.config.Client.Certificate(ctx, order.Certificate, want)
	if err != nil {
		return nil, err
	}
	if job.Want.Chain != "" {
		chain = o.chooseChain(ctx, chain, want, job.Want.Chain)
	}
	issued := &Issued{Chain: chain}
	if job.Key != "" {
		issued.KeyPEM = []byte(job.Key)
	}
	return issued, nil
}

// chooseChain takes the chain that was asked for. The certificate is there: that the chain is not must not lose it.
func (o *Obtainer) chooseChain(ctx context.Context, chain *acme.Chain, want acme.CertificateRequest, issuer string) *acme.Chain {
	chosen, found, err := o.config.Client.Choose(ctx, chain, want, issuer)
	if err != nil || !found {
		o.config.Log.Warn("the CA has no chain as it was asked for (--preferred-chain): its first one is used", "issuer", issuer, "error", err)
	}
	return chosen
}

// errInvalid says that an order has come to nothing.
var errInvalid = errors.New("the CA has set the order to invalid")

// wait waits for an order, which must not become invalid meanwhile.
func (o *Obtainer) wait(ctx context.Context, order *acme.Order, want acme.Status) (*acme.Order, error) {
	if order.Status != acme.StatusInvalid {
		ctx, cancel := context.WithTimeout(ctx, o.config.IssuanceTimeout)
		defer cancel()
		var err error
		if order, err = o.config.Client.WaitOrder(ctx, order, want); err != nil {
			return nil, err
		}
	}
	if order.Status != acme.StatusInvalid {
		return order, nil
	}
	if order.Error != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, order.Error)
	}
	return nil, errInvalid
}

// unusable reports whether err says that going on with the same order is pointless.
func unusable(err error) bool {
	var authorization *AuthorizationError
	var problem *acme.Problem
	switch {
	case errors.Is(err, errInvalid), errors.Is(err, acme.ErrOrderChanged), errors.As(err, &authorization),
		errors.Is(err, acme.ErrNotRequested), errors.Is(err, acme.ErrUnreadable), errors.Is(err, errToken):
		return true
	case errors.As(err, &problem):
		return problem.Status >= 400 && problem.Status < 500 &&
			problem.Status != http.StatusTooManyRequests && problem.Type != acme.TypeBadNonce
	}
	return false
}
