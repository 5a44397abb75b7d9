package acme

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// CertificateRequest is what a certificate is checked against before it is believed (RFC 8555 §11.4).
type CertificateRequest struct {
	PublicKey   crypto.PublicKey // *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey
	Identifiers []Identifier     // exactly the subject alternative names
}

// Chain is a certificate with those above it.
type Chain struct {
	Certificates []*x509.Certificate // the leaf first; each certifies the one before
	Alternates   []string            // URLs of other chains for the same leaf (RFC 8555 §7.4.2)
}

// PEM writes the certificates of c from the given one on: 0 is the leaf.
func (c *Chain) PEM(from int) []byte {
	var b bytes.Buffer
	for _, certificate := range c.Certificates[from:] {
		// Writing to a Buffer does not fail, and the block has no headers.
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
	}
	return b.Bytes()
}

// Certificate fetches the certificate at url (RFC 8555 §7.4.2) and checks that it
// is the one that was asked for.
func (c *Client) Certificate(ctx context.Context, url string, want CertificateRequest) (*Chain, error) {
	var got *answer
	err := c.retry(ctx, func() (err error) {
		got, err = c.post(ctx, signed{url: url, accept: MediaChain})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fetching the certificate: %w", err)
	}
	if err := got.expect(MediaChain); err != nil {
		return nil, fmt.Errorf("fetching the certificate: %w", err)
	}
	certificates, err := ParseChain(got.body)
	if err != nil {
		return nil, fmt.Errorf("%w: the certificate chain: %w", ErrUnreadable, err)
	}
	if err := want.check(certificates[0]); err != nil {
		return nil, fmt.Errorf("the certificate: %w: %w", ErrNotRequested, err)
	}
	return &Chain{Certificates: certificates, Alternates: c.links(got.header.Values("Link"), "alternate", url)}, nil
}

// maxAlternates bounds how many other chains are looked at.
const maxAlternates = 8

// IssuedBy reports whether the topmost certificate of c was issued by a CA with that common name.
func (c *Chain) IssuedBy(commonName string) bool {
	return c.Certificates[len(c.Certificates)-1].Issuer.CommonName == commonName
}

// Choose returns the first chain, of c and its alternates, that ends below a CA with that common name, and
// whether there is one; c itself if there is none (RFC 8555 §7.4.2). Alternates are checked as the first chain was.
func (c *Client) Choose(ctx context.Context, chain *Chain, want CertificateRequest, commonName string) (*Chain, bool, error) {
	if chain.IssuedBy(commonName) {
		return chain, true, nil
	}
	for _, url := range chain.Alternates[:min(len(chain.Alternates), maxAlternates)] {
		other, err := c.Certificate(ctx, url, want)
		if err != nil {
			return chain, false, fmt.Errorf("another chain: %w", err)
		}
		if !other.Certificates[0].Equal(chain.Certificates[0]) {
			return chain, false, fmt.Errorf("another chain: %w: it begins with another certificate", ErrNotRequested)
		}
		if other.IssuedBy(commonName) {
			return other, true, nil
		}
	}
	return chain, false, nil
}

// maxChain is more than any path that a verifier would follow.
const maxChain = 10

// ParseChain reads a PEM chain, leaf first, each certificate certifying the one
// before. Anything but certificates and white space is an error (RFC 8555 §9.1, §11.4).
func ParseChain(text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		if len(chain) == maxChain {
			return nil, fmt.Errorf("more than %d certificates", maxChain)
		}
		if !bytes.HasPrefix(rest, []byte("-----BEGIN CERTIFICATE-----")) {
			return nil, fmt.Errorf("there is something other than a certificate: %.40q", rest)
		}
		block, after := pem.Decode(rest)
		// A block that cannot be read is skipped by Decode, together with what follows it.
		if block == nil || len(block.Headers) > 0 || bytes.Count(rest[:len(rest)-len(after)], []byte("-----BEGIN")) != 1 {
			return nil, errors.New("a PEM block is damaged")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain, rest = append(chain, certificate), after
	}
	if len(chain) == 0 {
		return nil, errors.New("there is no certificate")
	}
	for i, issuer := range chain[1:] {
		if err := certifies(issuer, chain[i]); err != nil {
			return nil, fmt.Errorf("certificate %d does not certify certificate %d: %w", i+2, i+1, err)
		}
	}
	return chain, nil
}

// certifies checks names and signature. A signature of a kind that Go does not know yet is left to the verifiers.
func certifies(issuer, subject *x509.Certificate) error {
	if !bytes.Equal(issuer.RawSubject, subject.RawIssuer) {
		return errors.New("the names do not match")
	}
	if err := subject.CheckSignatureFrom(issuer); err != nil && !errors.Is(err, x509.ErrUnsupportedAlgorithm) {
		return err
	}
	return nil
}

// check compares a leaf with what was asked for.
func (r CertificateRequest) check(leaf *x509.Certificate) error {
	key, ok := r.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !key.Equal(leaf.PublicKey) {
		return errors.New("it is for another key")
	}
	if len(leaf.EmailAddresses) > 0 || len(leaf.URIs) > 0 {
		return errors.New("it is for e-mail addresses or URIs too")
	}
	if got := CertificateIdentifiers(leaf); !sameSet(got, r.Identifiers, compareIdentifiers) {
		return fmt.Errorf("it is for %v", got)
	}
	return nil
}

// CertificateIdentifiers lists the names and addresses that a certificate is for, in its order, names first.
func CertificateIdentifiers(certificate *x509.Certificate) []Identifier {
	var ids []Identifier
	for _, name := range certificate.DNSNames {
		ids = append(ids, Identifier{Type: DNS, Value: strings.ToLower(name)})
	}
	for _, address := range certificate.IPAddresses {
		ids = append(ids, Identifier{Type: IP, Value: address.String()})
	}
	return ids
}

// links returns the targets of the Link headers with the given relation
// (RFC 8288 §3), resolved against base, each once.
func (c *Client) links(headers []string, relation, base string) []string {
	from, err := url.Parse(base)
	if err != nil {
		return nil
	}
	var targets []string
	for _, header := range headers {
		for _, link := range strings.Split(header, ",") {
			target, params, ok := strings.Cut(strings.TrimSpace(link), ">")
			if !ok || !strings.HasPrefix(target, "<") || !hasRelation(params, relation) {
				continue
			}
			resolved, err := from.Parse(target[1:])
			if err != nil || c.checkURL(resolved.String()) != nil || slices.Contains(targets, resolved.String()) {
				continue
			}
			targets = append(targets, resolved.String())
		}
	}
	return targets
}

// hasRelation looks for rel="relation" among the parameters of a link.
func hasRelation(params, relation string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(name, "rel") && slices.Contains(strings.Fields(strings.Trim(value, `"`)), relation) {
			return true
		}
	}
	return false
}

// Revoke asks for the revocation of a certificate, with a reason of RFC 5280 §5.3.1
// or nil. key is the certificate's own, or nil to sign as the account (RFC 8555 §7.6).
func (c *Client) Revoke(ctx context.Context, certificate *x509.Certificate, reason *int, key crypto.Signer) error {
	directory, err := c.Directory(ctx)
	if err != nil {
		return err
	}
	payload := Revocation{Certificate: base64.RawURLEncoding.EncodeToString(certificate.Raw), Reason: reason}
	if _, err := c.post(ctx, signed{url: directory.RevokeCert, payload: payload, key: key, embedKey: key != nil}); err != nil {
		return fmt.Errorf("revoking the certificate: %w", err)
	}
	return nil
}
