package ca

import (
	"context"
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
// machine's names or addresses change.
type ownCertificate struct {
	dir       *datadir.Dir
	signer    *sign.Signer
	issuer    authority
	urlHost   string
	permitted acme.Subtrees
	machine   func() (Machine, error)
	log       *slog.Logger

	current atomic.Pointer[tls.Certificate]
	left    []acme.Identifier // of the machine, but outside the name constraints; touched by fit alone
}

// get is for tls.Config.GetCertificate.
func (o *ownCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return o.current.Load(), nil
}

// owns reports whether host, a name or an address without port, is the CA's own.
func (o *ownCertificate) owns(host string) bool {
	id := acme.IdentifierFor(host)
	leaf := o.current.Load().Leaf
	if id.Type == acme.IP {
		return slices.ContainsFunc(leaf.IPAddresses, func(ip net.IP) bool { return addressText(ip) == id.Value })
	}
	return id.Value == o.urlHost || slices.Contains(leaf.DNSNames, id.Value)
}

// run keeps the certificate fitting until ctx ends.
func (o *ownCertificate) run(ctx context.Context) {
	tick := time.NewTicker(checkOwn)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := o.fit(ctx); err != nil && ctx.Err() == nil {
				o.log.Error("renewing the CA's own certificate failed", "error", err)
			}
		}
	}
}

// fit issues a new certificate if the one at hand does not fit any more.
func (o *ownCertificate) fit(ctx context.Context) error {
	machine, err := o.machine()
	if err != nil {
		return err
	}
	names, left := machine.identifiers(o.urlHost, o.permitted)
	if len(left) > 0 && !slices.Equal(left, o.left) {
		o.log.Warn("the CA cannot be reached with a verified certificate under some of the machine's names: its root does not permit them",
			"names", left, "remedy", "cairn up --new-root --names …")
	}
	o.left = left
	if o.current.Load() == nil {
		o.load() // a certificate that cannot be loaded is made anew
	}
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
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter.Add(-life/3)) || leaf.CheckSignatureFrom(o.issuer.certificate) != nil {
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

// load takes up the certificate of an earlier run, if there is a usable one.
func (o *ownCertificate) load() {
	stored, found, err := o.dir.HTTPS()
	if !found || err != nil {
		return
	}
	if pair, err := tls.X509KeyPair(stored.Certificate, stored.Key); err == nil {
		o.current.Store(&pair)
	}
}

// issue makes a key, has it certified, and serves it from now on. A crash leaves
// at worst a certificate that nobody uses.
func (o *ownCertificate) issue(ctx context.Context, names []acme.Identifier) error {
	key, err := sign.NewKey(elliptic.P256())
	if err != nil {
		return err
	}
	certificate, err := o.signer.Certificate(ctx, sign.Request{
		Order:       rules.OwnPurpose + rules.NewID(time.Now()),
		Profile:     profile.OwnName,
		Identifiers: names,
		PublicKey:   key.Public(),
	})
	if err != nil {
		return fmt.Errorf("issuing the CA's own certificate: %w", err)
	}
	chain := encodeCertificate(append([][]byte{certificate.DER}, o.issuer.chain()...)...)
	keyPEM, err := sign.EncodeKey(key)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(chain, keyPEM)
	if err != nil {
		return fmt.Errorf("loading the CA's own certificate: %w", err)
	}
	if err := o.dir.SetHTTPS(chain, keyPEM); err != nil {
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
