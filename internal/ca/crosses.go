package ca

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// cross is a certificate for the key and the name of an issuer by another root than the one that the
// issuer was made under: with it, who trusts only that root verifies what the issuer signs.
type cross struct {
	root        string // its ID
	certificate *x509.Certificate
}

// makeCrosses has every older root whose key is at hand certify the newest issuer, too.
func (h *hierarchy) makeCrosses(now time.Time) error {
	issuer, made := h.issuers[0], false
	for _, root := range h.roots[1:] {
		known := slices.ContainsFunc(issuer.crosses, func(c cross) bool { return c.root == root.id })
		own := issuer.certificate.CheckSignatureFrom(root.certificate) == nil
		if known || own || root.key == nil || now.Before(root.certificate.NotBefore) || now.After(root.certificate.NotAfter) {
			continue
		}
		notBefore := now.Add(-time.Hour)
		der, err := sign.NewIntermediate(issuer.key.Public(), root.issuer(), sign.CAConfig{
			CommonName: issuer.certificate.Subject.CommonName, // verifiers look it up by that
			Names:      sign.NamesOf(root.certificate), NotBefore: notBefore,
			Lifetime:  issuer.certificate.NotAfter.Sub(notBefore.Truncate(time.Second)) + time.Second,
			IssuerURL: root.issuerURL, CRLURL: root.crlURLs[0], Usages: h.usages,
		})
		if err != nil {
			return fmt.Errorf("certifying issuer %s by %s: %w", issuer.id, root.id, err)
		}
		if err := h.dir.AddCross(issuer.number, root.number, encodeCertificate(der)); err != nil {
			return err
		}
		h.log.Info("an issuer was certified by another root", "issuer", issuer.id, "root", root.id)
		made = true
	}
	if made {
		return h.load()
	}
	return nil
}

// loadCrosses reads the certificates that other roots gave to an issuer, the newest root's first.
func (h *hierarchy) loadCrosses(issuer int) (list []cross, err error) {
	pairs, err := h.dir.Crosses(issuer)
	if err != nil {
		return nil, err
	}
	for _, pair := range slices.Backward(pairs) {
		certificate, err := parseCertificate(pair.Certificate)
		if err != nil {
			return nil, fmt.Errorf("its certificate by root %d: %w", pair.Number, err)
		}
		list = append(list, cross{root: "root-" + strconv.Itoa(pair.Number), certificate: certificate})
	}
	return list, nil
}

// covers reports whether names contain all that a certificate is for.
func covers(names acme.Subtrees, leaf *x509.Certificate) bool {
	for _, name := range leaf.DNSNames {
		if !names.Contains(acme.Identifier{Type: acme.DNS, Value: name}) {
			return false
		}
	}
	for _, ip := range leaf.IPAddresses {
		if !names.Contains(acme.Identifier{Type: acme.IP, Value: addressText(ip)}) {
			return false
		}
	}
	return true
}
