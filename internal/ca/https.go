package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/profile"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// checkOwn is how often the CA looks whether its own certificate still fits.
const checkOwn = time.Minute

// ownCertificate is the CA's HTTPS certificate, which the CA issues to itself,
// renews when two thirds of its life are over, and issues anew when the
// machine's names or addresses change. Or the operator has given one in files.
type ownCertificate struct {
	files   ownFiles // where it is kept
	given   bool     // whether the operator gave it
	urlHost func() string
	names   func() (names, left []acme.Identifier, err error) // for what it has to be, and what the root does not permit
	known   func() *authorities
	// certify has the signer make the certificate, here or on its machine.
	certify func(ctx context.Context, key crypto.PublicKey, names []acme.Identifier) (sign.Certificate, error)
	log     *slog.Logger

	current atomic.Pointer[tls.Certificate]
	left    []acme.Identifier // of the machine, but outside the name constraints; touched by fit alone
}

// ownFiles keeps an HTTPS certificate with its key.
type ownFiles interface {
	HTTPS() (pair datadir.Pair, found bool, err error)
	SetHTTPS(certificate, key []byte) error
}

// newOwn takes up the certificate of an earlier run, so that clients hear something while this process waits for others.
func (c *CA) newOwn(context.Context) error {
	c.own = &ownCertificate{
		urlHost: func() string { return mustParse(c.url).Hostname() },
		names:   c.ownNames, known: c.known.Load, certify: c.certifyOwn, log: c.log,
	}
	switch given := c.config.Front; {
	case given.Certificate != "":
		c.own.files, c.own.given = givenFiles{given.Certificate, given.Key}, true
		return c.own.load()
	case c.dir != nil:
		c.own.files = c.dir
	default:
		c.own.files = hostFiles{c.config.Dir}
	}
	_ = c.own.load() // what cannot be read is made anew
	return nil
}

// ownNames is what clients may call this server by: the host of the URL, what the operator names, and, where the
// signer is on this machine, whatever the machine is called.
func (c *CA) ownNames() (names, left []acme.Identifier, err error) {
	called := append([]string{mustParse(c.url).Hostname()}, c.config.Front.Names...)
	if c.config.Roles.Has(RoleSigner) {
		machine, err := c.config.Machine()
		if err != nil {
			return nil, nil, err
		}
		called = append(called, machine.called()...)
	}
	names, left = identifiers(called, c.known.Load().names())
	return names, left, nil
}

// certifyOwn has the signer make the certificate.
func (c *CA) certifyOwn(ctx context.Context, key crypto.PublicKey, names []acme.Identifier) (sign.Certificate, error) {
	if c.ownSigner == nil {
		remote := &sign.Remote{Signers: c.clients(RoleFront, RoleSigner)}
		certificate, err := remote.Own(ctx, key, names)
		return certificate, elsewhere(err)
	}
	return c.ownSigner.Certificate(ctx, sign.Request{
		Order: rules.OwnPurpose + rules.NewID(time.Now()), Profile: profile.OwnName, Identifiers: names, PublicKey: key,
	})
}

// get is for tls.Config.GetCertificate.
func (o *ownCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if current := o.current.Load(); current != nil {
		return current, nil
	}
	return nil, errNoCertificate
}

// owns reports whether host, a name or an address without port, is the CA's own.
func (o *ownCertificate) owns(host string) bool {
	id := acme.IdentifierFor(host)
	leaf := o.current.Load().Leaf
	if id.Type == acme.IP {
		return slices.ContainsFunc(leaf.IPAddresses, func(ip net.IP) bool { return addressText(ip) == id.Value })
	}
	return id.Value == o.urlHost() || slices.Contains(leaf.DNSNames, id.Value) || o.given && leaf.VerifyHostname(id.Value) == nil
}

// run keeps the certificate fitting until ctx ends.
func (o *ownCertificate) run(ctx context.Context) {
	every(ctx, checkOwn, func() {
		if err := o.fit(ctx); err != nil && ctx.Err() == nil {
			o.log.Error("renewing the CA's own certificate failed", "error", err)
		}
	})
}

// fit issues a new certificate if the one at hand does not fit any more, or takes up what the operator has put in its place.
func (o *ownCertificate) fit(ctx context.Context) error {
	if o.given {
		return o.load()
	}
	names, left, err := o.names()
	if err != nil {
		return err
	}
	if len(left) > 0 && !slices.Equal(left, o.left) {
		o.log.Warn("the CA cannot be reached with a verified certificate under some of the machine's names: its root does not permit them",
			"names", left, "remedy", "cairn up --new-root --names …")
	}
	o.left = left
	if pair := o.current.Load(); pair != nil && o.fits(pair, names, time.Now()) {
		return nil
	}
	return o.issue(ctx, names)
}

// fits reports whether pair is for all of names, of the issuer in use, and far from its
// end. Addresses that come and go, as IPv6 has them, cost a certificate when they come only.
func (o *ownCertificate) fits(pair *tls.Certificate, names []acme.Identifier, now time.Time) bool {
	leaf := pair.Leaf
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter.Add(-life/3)) || leaf.CheckSignatureFrom(o.known().issuers[0].certificate) != nil {
		return false
	}
	have := make(map[string]bool)
	for _, name := range leaf.DNSNames {
		have[name] = true
	}
	for _, ip := range leaf.IPAddresses {
		have[addressText(ip)] = true
	}
	for _, id := range names {
		if !have[id.Value] {
			return false
		}
	}
	return true
}

// load takes up the certificate that is kept, if there is one.
func (o *ownCertificate) load() error {
	stored, found, err := o.files.HTTPS()
	if !found || err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(stored.Certificate, stored.Key)
	if err != nil {
		return fmt.Errorf("reading the HTTPS certificate: %w", err)
	}
	if before := o.current.Load(); before != nil && bytes.Equal(before.Leaf.Raw, pair.Leaf.Raw) {
		return nil
	}
	o.current.Store(&pair)
	o.log.Info("the HTTPS certificate was read", "names", pair.Leaf.DNSNames, "addresses", pair.Leaf.IPAddresses, "until", pair.Leaf.NotAfter)
	return nil
}

// issue makes a key, has it certified, and serves it from now on. A crash leaves
// at worst a certificate that nobody uses.
func (o *ownCertificate) issue(ctx context.Context, names []acme.Identifier) error {
	key, err := sign.NewKey(elliptic.P256())
	if err != nil {
		return err
	}
	certificate, err := o.certify(ctx, key.Public(), names)
	if err != nil {
		return fmt.Errorf("issuing the CA's own certificate: %w", err)
	}
	issuer := o.known().find(certificate.Issuer)
	if issuer == nil {
		return fmt.Errorf("issuing the CA's own certificate: it is by issuer %q, which is not known here yet", certificate.Issuer)
	}
	chain := encodeCertificate(append([][]byte{certificate.DER}, issuer.chain()...)...)
	keyPEM, err := sign.EncodeKey(key)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(chain, keyPEM)
	if err != nil {
		return fmt.Errorf("loading the CA's own certificate: %w", err)
	}
	if err := o.files.SetHTTPS(chain, keyPEM); err != nil {
		return fmt.Errorf("storing the CA's own certificate: %w", err)
	}
	o.current.Store(&pair)
	o.log.Info("the CA's own certificate was issued", "serial", certificate.Serial, "names", names, "until", certificate.NotAfter)
	return nil
}

func encodeCertificate(ders ...[]byte) []byte {
	var text strings.Builder
	for _, der := range ders {
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}) // a Builder never fails
	}
	return []byte(text.String())
}

// parseCertificate reads the one certificate of a PEM file.
func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("it is not one certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}
