package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// CAConfig describes the certificate of a CA.
type CAConfig struct {
	CommonName string        // the whole subject; at most 64 characters
	Names      acme.Subtrees // the only names that may be certified below; not empty
	NotBefore  time.Time     // cut to the second
	Lifetime   time.Duration // the last second of validity is NotBefore + Lifetime - 1 s

	// For an intermediate; empty leaves the extension out.
	IssuerURL string  // where its issuer's certificate is (AIA caIssuers, RFC 5280 §4.2.2.1)
	CRLURL    string  // where its issuer's CRL is (RFC 5280 §4.2.1.13)
	Usages    []Usage // which extended key usages certificates below it may have; nil means ServerAuth alone
}

// NewRoot makes the certificate of a root: self-signed, with key usages
// keyCertSign and cRLSign, without an extended key usage, and constrained to
// c.Names. The key is on P-384.
func NewRoot(key crypto.Signer, c CAConfig) ([]byte, error) {
	if pub, ok := key.Public().(*ecdsa.PublicKey); !ok || pub.Curve != elliptic.P384() {
		return nil, errors.New("making a root: its key is not on P-384")
	}
	template, err := caTemplate(key.Public(), c)
	if err != nil {
		return nil, fmt.Errorf("making a root: %w", err)
	}
	template.PublicKey = key.Public() // it is its own issuer
	template.AuthorityKeyId = template.SubjectKeyId
	der, err := signCA(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a root: %w", err)
	}
	return der, nil
}

// NewIntermediate makes the certificate of a CA under parent, whose key is
// parentKey: for certificates of c.Usages only, without a CA below it, and
// constrained to c.Names, which lie in the parent's and are of the same kinds.
// It does not outlive its parent.
func NewIntermediate(pub crypto.PublicKey, parent Issuer, c CAConfig) ([]byte, error) {
	if err := parent.check(); err != nil {
		return nil, fmt.Errorf("making an intermediate: %w", err)
	}
	template, err := caTemplate(pub, c)
	if err != nil {
		return nil, fmt.Errorf("making an intermediate: %w", err)
	}
	permitted := NamesOf(parent.Certificate)
	if missing := permitted.Missing(c.Names).Strings(); len(missing) != 0 {
		return nil, fmt.Errorf("making an intermediate: its parent does not permit %q", missing)
	}
	if kindsIn(permitted) != kindsIn(c.Names) {
		// GnuTLS 3.7 takes an empty intersection of two CAs' addresses for no constraint at all.
		return nil, errors.New("making an intermediate: its parent permits a kind of names (DNS, IPv4, IPv6) that it does not")
	}
	if template.NotAfter.After(parent.Certificate.NotAfter) {
		template.NotAfter = parent.Certificate.NotAfter
	}
	for _, address := range slices.Concat(list(c.IssuerURL), list(c.CRLURL)) {
		if err := checkURL(address); err != nil {
			return nil, fmt.Errorf("making an intermediate: %w", err)
		}
	}
	template.MaxPathLenZero = true
	setUsages(template, Profile{Usages: c.Usages}.usages())
	template.IssuingCertificateURL = list(c.IssuerURL)
	template.CRLDistributionPoints = list(c.CRLURL)
	der, err := signCA(template, parent.Certificate, pub, parent.Key)
	if err != nil {
		return nil, fmt.Errorf("making an intermediate: %w", err)
	}
	return der, nil
}

// NamesOf returns the names that cert's name constraints permit: what is among
// the permitted subtrees and not itself among the excluded ones. It reads the
// form that NewRoot and NewIntermediate write.
func NamesOf(cert *x509.Certificate) acme.Subtrees {
	var names acme.Subtrees
	for _, domain := range cert.PermittedDNSDomains {
		if !slices.Contains(cert.ExcludedDNSDomains, domain) {
			names.Domains = append(names.Domains, domain)
		}
	}
	for _, permitted := range cert.PermittedIPRanges {
		same := func(excluded *net.IPNet) bool { return excluded.String() == permitted.String() }
		addr, ok := netip.AddrFromSlice(permitted.IP)
		if ok && !slices.ContainsFunc(cert.ExcludedIPRanges, same) {
			bits, _ := permitted.Mask.Size()
			names.Ranges = append(names.Ranges, netip.PrefixFrom(addr, bits))
		}
	}
	return names
}

// caTemplate is what a root and an intermediate have in common.
func caTemplate(pub crypto.PublicKey, c CAConfig) (*x509.Certificate, error) {
	if c.CommonName == "" || len([]rune(c.CommonName)) > maxCommonName {
		return nil, fmt.Errorf("the common name %q must have 1 to %d characters", c.CommonName, maxCommonName)
	}
	if c.Lifetime < time.Second {
		return nil, fmt.Errorf("a lifetime of %s is too short", c.Lifetime)
	}
	if len(c.Names.Strings()) == 0 {
		return nil, errors.New("no name is permitted")
	}
	if _, err := algorithmOf(pub); err != nil {
		return nil, err
	}
	id, err := keyIdentifier(pub)
	if err != nil {
		return nil, err
	}
	notBefore := c.NotBefore.UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(newSerial(time.Now())),
		Subject:               pkix.Name{CommonName: c.CommonName},
		SubjectKeyId:          id,
		NotBefore:             notBefore,
		NotAfter:              notBefore.Add(c.Lifetime - time.Second), // both ends count (RFC 5280 §4.1.2.5)
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	constrain(template, c.Names)
	return template, nil
}

// Names that nobody has: one under the reserved top-level domain of RFC 6761
// §6.4, with two labels as a constraint on URIs needs, the broadcast address
// and the unspecified one.
const (
	nowhereDomain = "nowhere.invalid"
	nowhereIPv4   = "255.255.255.255/32"
	nowhereIPv6   = "::/128"
)

// constrain adds critical name constraints to template (RFC 5280 §4.2.1.10):
// names are permitted, and nothing else of any kind that a server's name can have.
//
// A kind that must not occur at all (e-mail and URI always) cannot simply be
// excluded by the subtree that contains everything. Tried with OpenSSL 3.0,
// GnuTLS 3.7, Java 17 and Go 1.26:
//   - an empty excluded rfc822Name or URI excludes nothing for OpenSSL, and an
//     empty rfc822Name, URI or dNSName makes Java refuse the whole certificate;
//   - "." is refused by Go;
//   - for Java an IPv4 range matches the IPv6 addresses that begin with its
//     octets, and the other way round it fails: 0.0.0.0/0 excluded takes all of
//     IPv6 with it (and 0.0.0.0/32 takes ::1), ::/0 all of IPv4;
//   - a permitted IPv4 range alone leaves IPv6 free for GnuTLS, and a permitted
//     URI alone leaves other URIs free for GnuTLS.
//
// All four honour one name that nobody has, permitted and excluded at once: as
// something of the kind is permitted, the rest of it is not, and as that one is
// excluded, nothing remains. Names of the other kinds verify as before.
func constrain(template *x509.Certificate, names acme.Subtrees) {
	template.PermittedDNSDomainsCritical = true // it is that of the whole extension
	template.PermittedDNSDomains = names.Domains
	for _, prefix := range names.Ranges {
		template.PermittedIPRanges = append(template.PermittedIPRanges, ipNet(prefix))
	}
	exclude := func(prefix string) {
		nowhere := ipNet(netip.MustParsePrefix(prefix))
		template.PermittedIPRanges = append(template.PermittedIPRanges, nowhere)
		template.ExcludedIPRanges = append(template.ExcludedIPRanges, nowhere)
	}
	has := kindsIn(names)
	if !has.dns {
		template.PermittedDNSDomains = []string{nowhereDomain}
		template.ExcludedDNSDomains = []string{nowhereDomain}
	}
	if !has.ipv4 {
		exclude(nowhereIPv4)
	}
	if !has.ipv6 {
		exclude(nowhereIPv6)
	}
	template.PermittedEmailAddresses = []string{nowhereDomain}
	template.ExcludedEmailAddresses = []string{nowhereDomain}
	template.PermittedURIDomains = []string{nowhereDomain}
	template.ExcludedURIDomains = []string{nowhereDomain}
}

// kinds says which kinds of names there are.
type kinds struct{ dns, ipv4, ipv6 bool }

func kindsIn(names acme.Subtrees) kinds {
	k := kinds{dns: len(names.Domains) != 0}
	for _, prefix := range names.Ranges {
		k.ipv4 = k.ipv4 || prefix.Addr().Is4()
		k.ipv6 = k.ipv6 || prefix.Addr().Is6()
	}
	return k
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// list is a list of the one string, or of none if it is empty.
func list(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// signCA lints a CA's certificate and signs it with the key of parent, which is
// template itself for a root.
func signCA(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) ([]byte, error) {
	lints, err := newLinter()
	if err != nil {
		return nil, err
	}
	a, err := newAuthority(Issuer{Certificate: parent, Key: key}, lints)
	if err != nil {
		return nil, err
	}
	linted, err := a.lintCertificate(template, pub, nil)
	if err != nil {
		return nil, err
	}
	return a.sign(linted)
}
