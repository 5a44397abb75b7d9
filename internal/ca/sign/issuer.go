package sign

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	encoding "encoding/asn1"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync/atomic"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/acme"
)

// Issuer is a CA with its key.
type Issuer struct {
	ID          string            // names the issuer in the journal and in requests; never changes
	Certificate *x509.Certificate // of the CA
	Key         crypto.Signer     // its private key; must be safe for concurrent use
	Chain       [][]byte          // DER: what is served above the leaf, this CA first, the root left out

	// What is written into the certificates that it signs, http:// only; empty leaves the extension out.
	IssuerURL string // where Certificate is to be had (AIA caIssuers, RFC 5280 §4.2.2.1)
	CRLURL    string // where its CRL is, and the CRL's own name (RFC 5280 §4.2.1.13, §5.2.5)
	OCSPURL   string // where somebody answers OCSP requests about them (RFC 5280 §4.2.2.1)
}

// check says why i cannot sign certificates and CRLs.
func (i Issuer) check() error {
	if i.Certificate == nil || i.Key == nil {
		return fmt.Errorf("issuer %q lacks its certificate or its key", i.ID)
	}
	c := i.Certificate
	pub, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !ok || !pub.Equal(i.Key.Public()):
		return fmt.Errorf("issuer %q: the key is not that of the certificate", i.ID)
	case !c.BasicConstraintsValid || !c.IsCA:
		return fmt.Errorf("issuer %q: the certificate is not that of a CA", i.ID)
	case c.KeyUsage&x509.KeyUsageCertSign == 0 || c.KeyUsage&x509.KeyUsageCRLSign == 0:
		return fmt.Errorf("issuer %q: the certificate's key usage must be keyCertSign and cRLSign", i.ID)
	case len(c.SubjectKeyId) == 0:
		return fmt.Errorf("issuer %q: the certificate has no subject key identifier", i.ID)
	}
	for _, address := range slices.Concat(list(i.IssuerURL), list(i.CRLURL), list(i.OCSPURL)) {
		if err := checkURL(address); err != nil {
			return fmt.Errorf("issuer %q: %w", i.ID, err)
		}
	}
	_, err := algorithmOf(c.PublicKey)
	return err
}

// checkURL says why a URL cannot stand in a certificate or CRL. It is fetched
// while a certificate is being verified, so over HTTPS it would need itself
// (RFC 5280 §8; BR §7.1.2.11.2).
func checkURL(address string) error {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Scheme != "http" || parsed.Host == "" || parsed.User != nil || parsed.Fragment != "" {
		return fmt.Errorf("%q is not a complete http:// URL", address)
	}
	for _, c := range []byte(address) {
		if c <= ' ' || c > '~' { // IA5String (RFC 5280 §4.2.1.6)
			return fmt.Errorf("%q has a character that must be escaped in a URL", address)
		}
	}
	return nil
}

// permits reports whether the issuer's own name constraints let id through.
func (i Issuer) permits(id acme.Identifier) bool {
	c := i.Certificate
	free := len(c.PermittedDNSDomains) + len(c.PermittedIPRanges) + len(c.ExcludedDNSDomains) + len(c.ExcludedIPRanges)
	return free == 0 || NamesOf(c).Contains(id)
}

// authority is an Issuer at work. What its key signs has gone through its
// linter: sign takes a token, and only lintCertificate and lintCRL make one.
type authority struct {
	Issuer
	algorithm x509.SignatureAlgorithm
	throwaway crypto.Signer     // signs what is linted; its key type is that of Key
	stand     *x509.Certificate // stands in for Certificate: the same name and key identifier, throwaway's public key
	name      []byte            // DER of algorithm's AlgorithmIdentifier
	filler    []byte            // a signature by throwaway over something else, to fill the place of one
	lints     *linter
}

func newAuthority(i Issuer, lints *linter) (*authority, error) {
	algorithm, err := algorithmOf(i.Key.Public())
	if err != nil {
		return nil, err
	}
	throwaway, err := throwawayFor(i.Key.Public())
	if err != nil {
		return nil, err
	}
	stand := &x509.Certificate{
		Subject:      i.Certificate.Subject,
		RawSubject:   i.Certificate.RawSubject, // byte for byte (RFC 5280 §6.1; BR §7.1.4.1)
		SubjectKeyId: i.Certificate.SubjectKeyId,
		KeyUsage:     i.Certificate.KeyUsage,
		PublicKey:    throwaway.Public(),
	}
	a := &authority{Issuer: i, algorithm: algorithm, throwaway: throwaway, stand: stand, lints: lints}
	if a.name, err = identifierOf(algorithm); err != nil {
		return nil, err
	}
	a.filler, err = crypto.SignMessage(throwaway, rand.Reader, []byte("not a certificate"), hashOf(algorithm))
	return a, err
}

// identifierOf is the DER of a signature algorithm's AlgorithmIdentifier (RFC 5758 §3.2, RFC 4055 §5).
func identifierOf(algorithm x509.SignatureAlgorithm) ([]byte, error) {
	identifier := pkix.AlgorithmIdentifier{}
	switch algorithm {
	case x509.ECDSAWithSHA256:
		identifier.Algorithm = encoding.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	case x509.ECDSAWithSHA384:
		identifier.Algorithm = encoding.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	case x509.SHA256WithRSA:
		identifier.Algorithm, identifier.Parameters = encoding.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, encoding.NullRawValue
	default:
		return nil, fmt.Errorf("a CA does not sign with %s", algorithm)
	}
	return encoding.Marshal(identifier)
}

// token is the right to sign one TBS, which was linted, with one key, once.
type token struct {
	authority *authority
	tbs       []byte // DER of the TBSCertificate or TBSCertList
	algorithm []byte // DER of the AlgorithmIdentifier that follows it
	spent     atomic.Bool
}

// lintCertificate builds the TBSCertificate of template and lints it, for all but the lints in except.
func (a *authority) lintCertificate(template *x509.Certificate, pub crypto.PublicKey, except map[string]string) (*token, error) {
	der, err := a.build(template, pub)
	if err != nil {
		return nil, fmt.Errorf("building the certificate: %w", err)
	}
	if err := a.lints.certificate(der, template, pub, except); err != nil {
		return nil, fmt.Errorf("linting the certificate: %w", err)
	}
	return a.newToken(der)
}

// build makes a whole certificate of template that nobody can use: its signature is by the throwaway key, if
// it is a CA's, or over something else.
func (a *authority) build(template *x509.Certificate, pub crypto.PublicKey) ([]byte, error) {
	if template.IsCA {
		template.SignatureAlgorithm = a.algorithm
		return x509.CreateCertificate(rand.Reader, template, a.stand, pub, a.throwaway)
	}
	tbs, err := tbsCertificate(template, a.stand, pub, a.name)
	if err != nil {
		return nil, err
	}
	return assemble(tbs, a.name, a.filler)
}

// lintCRL builds the TBSCertList of template and lints it.
func (a *authority) lintCRL(template *x509.RevocationList) (*token, error) {
	template.SignatureAlgorithm = a.algorithm
	der, err := x509.CreateRevocationList(rand.Reader, template, a.stand, a.throwaway)
	if err != nil {
		return nil, fmt.Errorf("building the CRL: %w", err)
	}
	if err := a.lints.crl(der, template); err != nil {
		return nil, fmt.Errorf("linting the CRL: %w", err)
	}
	return a.newToken(der)
}

// newToken takes the throwaway key's signature off what was linted.
func (a *authority) newToken(linted []byte) (*token, error) {
	tbs, algorithm, ok := split(linted)
	if !ok {
		return nil, errors.New("what was linted is not a signed structure")
	}
	return &token{authority: a, tbs: tbs, algorithm: algorithm}, nil
}

// sign spends t: it signs the very bytes that were linted, and checks the
// result with the CA's public key and against those bytes.
func (a *authority) sign(t *token) ([]byte, error) {
	if t.authority != a {
		return nil, errors.New("signing: this was linted for another issuer")
	}
	if !t.spent.CompareAndSwap(false, true) {
		return nil, errors.New("signing: this was signed before")
	}
	signature, err := crypto.SignMessage(a.Key, rand.Reader, t.tbs, hashOf(a.algorithm))
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	// A key machine that fails can give a signature that betrays the key, or none.
	if err := a.Certificate.CheckSignature(a.algorithm, t.tbs, signature); err != nil {
		return nil, fmt.Errorf("signing: the key made a signature that does not verify: %w", err)
	}
	der, err := assemble(t.tbs, t.algorithm, signature)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if tbs, algorithm, ok := split(der); !ok || !bytes.Equal(tbs, t.tbs) || !bytes.Equal(algorithm, t.algorithm) {
		return nil, errors.New("signing: what was signed is not what was linted")
	}
	return der, nil
}

func hashOf(algorithm x509.SignatureAlgorithm) crypto.Hash {
	if algorithm == x509.ECDSAWithSHA384 {
		return crypto.SHA384
	}
	return crypto.SHA256
}

// assemble makes the outer structure of a certificate or CRL (RFC 5280 §4.1, §5.1).
func assemble(tbs, algorithm, signature []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)+len(algorithm)+len(signature)+16))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(algorithm)
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}

// split is assemble backwards; the parts are copies.
func split(der []byte) (tbs, algorithm []byte, ok bool) {
	input := cryptobyte.String(der)
	var body, first, second cryptobyte.String
	var signature []byte
	ok = input.ReadASN1(&body, asn1.SEQUENCE) && input.Empty() &&
		body.ReadASN1Element(&first, asn1.SEQUENCE) &&
		body.ReadASN1Element(&second, asn1.SEQUENCE) &&
		body.ReadASN1BitStringAsBytes(&signature) && body.Empty()
	return bytes.Clone(first), bytes.Clone(second), ok
}
