package sign

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3/lint"
	_ "github.com/zmap/zlint/v3/lints/community" // registers its lints
	_ "github.com/zmap/zlint/v3/lints/rfc"       // registers its lints
)

// lintSources are the authorities whose lints a certificate of a private CA must
// pass. The Baseline Requirements and the root programmes are not among them:
// they are about public CAs, and refuse private names.
func lintSources() lint.SourceList {
	return lint.SourceList{
		lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC5891,
		lint.RFC6960, lint.RFC6962, lint.RFC8813, lint.Community,
	}
}

// leftOut are the lints of these sources that do not run, each with its reason.
func leftOut() map[string]string {
	return map[string]string{
		"e_cert_issued_by_compromised_emudhra_ca": "compares the signature with eight keys of another CA, which ours are not, " +
			"and takes nineteen twentieths of the time of all lints",
		"n_san_iana_pub_suffix_empty": "refuses names of one label, such as localhost, which a private CA certifies",
	}
}

// linter says whether a certificate or CRL may be signed. It is safe for concurrent use.
type linter struct {
	certificates []*lint.CertificateLint
	crls         []*lint.RevocationListLint
	config       lint.Configuration
}

func newLinter() (*linter, error) {
	registry, err := lint.GlobalRegistry().Filter(lint.FilterOptions{
		IncludeSources: lintSources(),
		ExcludeNames:   slices.Sorted(maps.Keys(leftOut())), // an unknown name is an error
	})
	if err != nil {
		return nil, fmt.Errorf("choosing lints: %w", err)
	}
	return &linter{
		certificates: registry.CertificateLints().Lints(),
		crls:         registry.RevocationListLints().Lints(),
		config:       registry.GetConfiguration(),
	}, nil
}

// leftOut are the lints that do not run on p's certificates, each with its reason.
func (p Profile) leftOut() map[string]string {
	out := map[string]string{}
	if p.LeastRSA > 0 && p.LeastRSA < minRSABits {
		for _, name := range []string{"e_rsa_mod_less_than_2048_bits", "e_mp_modulus_must_be_2048_bits_or_more"} {
			out[name] = "the profile is for tests, which have small keys"
		}
	}
	if !p.KeyID {
		out["w_ext_subject_key_identifier_missing_sub_cert"] = "the profile leaves the subject key identifier out, which RFC 5280 §4.2.1.2 " +
			"would have there (SHOULD) and BR §7.1.2.7.6 would not (NOT RECOMMENDED)"
	}
	return out
}

// certificate lints der, which was built from asked for the key pub. The lints in except do not run.
func (l *linter) certificate(der []byte, asked *x509.Certificate, pub crypto.PublicKey, except map[string]string) error {
	ours, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	theirs, err := zx509.ParseCertificate(der)
	if err != nil {
		return err
	}
	if err := corresponds(ours, theirs, asked, pub); err != nil {
		return err
	}
	var findings []string
	for _, one := range l.certificates {
		if _, out := except[one.Name]; out {
			continue
		}
		findings = report(findings, one.Name, run(one, theirs))
	}
	return refuse(findings)
}

// run executes a lint that has no configuration: lint.CertificateLint.Execute looks for one each time. A lint of
// these sources is about all certificates, so there is no other filter.
func run(one *lint.CertificateLint, c *zx509.Certificate) (result *lint.LintResult) {
	defer func() {
		if broken := recover(); broken != nil {
			result = &lint.LintResult{Status: lint.Fatal, Details: fmt.Sprintf("the lint broke: %v", broken)}
		}
	}()
	rule := one.Lint()
	switch {
	case !rule.CheckApplies(c):
		return &lint.LintResult{Status: lint.NA}
	case !one.CheckEffective(c):
		return &lint.LintResult{Status: lint.NE}
	}
	return rule.Execute(c)
}

// crl lints der, which was built from asked.
func (l *linter) crl(der []byte, asked *x509.RevocationList) error {
	ours, err := x509.ParseRevocationList(der)
	if err != nil {
		return err
	}
	theirs, err := zx509.ParseRevocationList(der)
	if err != nil {
		return err
	}
	want, count := asked.Number, len(asked.RevokedCertificateEntries)
	switch {
	case ours.Number.Cmp(want) != 0 || theirs.Number.Cmp(want) != 0:
		return errors.New("the CRL has another number than was asked for")
	case len(ours.RevokedCertificateEntries) != count || len(theirs.RevokedCertificates) != count:
		return errors.New("the CRL has another number of entries than was asked for")
	case !bytes.Equal(ours.RawTBSRevocationList, theirs.RawTBSRevocationList):
		return errors.New("two parsers disagree about the CRL")
	}
	for i, entry := range asked.RevokedCertificateEntries {
		if ours.RevokedCertificateEntries[i].SerialNumber.Cmp(entry.SerialNumber) != 0 ||
			theirs.RevokedCertificates[i].SerialNumber.Cmp(entry.SerialNumber) != 0 {
			return fmt.Errorf("entry %d of the CRL has another serial than was asked for", i)
		}
	}
	var findings []string
	for _, one := range l.crls {
		findings = report(findings, one.Name, one.Execute(theirs, l.config))
	}
	return refuse(findings)
}

// report adds to findings what a lint found. It fails closed: whatever is not
// known to be harmless counts, a notice and a lint that broke included.
func report(findings []string, name string, result *lint.LintResult) []string {
	switch {
	case result == nil:
		return append(findings, name+": no result")
	case result.Status == lint.Pass || result.Status == lint.NA || result.Status == lint.NE:
		return findings
	}
	return append(findings, strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", name, result.Status, result.Details), ": "))
}

func refuse(findings []string) error {
	if len(findings) == 0 {
		return nil
	}
	slices.Sort(findings)
	return fmt.Errorf("%w: %s", ErrRefused, strings.Join(findings, "; "))
}

// corresponds checks that two parsers read the certificate alike, and as it was
// asked for: a name that one of them sees and another does not is the oldest
// trick there is.
func corresponds(ours *x509.Certificate, theirs *zx509.Certificate, asked *x509.Certificate, pub crypto.PublicKey) error {
	key, ok := ours.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	sameIP := func(a, b net.IP) bool { return a.Equal(b) }
	var differs string
	switch {
	case !ok || !key.Equal(pub):
		differs = "public key"
	case ours.SerialNumber.Cmp(asked.SerialNumber) != 0 || theirs.SerialNumber.Cmp(asked.SerialNumber) != 0:
		differs = "serial number"
	case !ours.NotBefore.Equal(asked.NotBefore) || !theirs.NotBefore.Equal(asked.NotBefore):
		differs = "notBefore"
	case !ours.NotAfter.Equal(asked.NotAfter) || !theirs.NotAfter.Equal(asked.NotAfter):
		differs = "notAfter"
	case !slices.Equal(ours.DNSNames, asked.DNSNames) || !slices.Equal(theirs.DNSNames, asked.DNSNames):
		differs = "list of DNS names"
	case !slices.EqualFunc(ours.IPAddresses, asked.IPAddresses, sameIP) || !slices.EqualFunc(theirs.IPAddresses, asked.IPAddresses, sameIP):
		differs = "list of addresses"
	case len(ours.EmailAddresses)+len(ours.URIs)+len(theirs.EmailAddresses)+len(theirs.URIs)+len(theirs.OtherNames) != 0:
		differs = "kind of alternative name"
	case ours.IsCA != asked.IsCA || theirs.IsCA != asked.IsCA:
		differs = "cA flag"
	case int(ours.KeyUsage) != int(asked.KeyUsage) || int(theirs.KeyUsage) != int(asked.KeyUsage):
		differs = "key usage"
	case !sameUsages(ours, asked):
		differs = "extended key usage"
	case ours.Subject.String() != asked.Subject.String():
		differs = "subject"
	case !bytes.Equal(ours.RawSubject, theirs.RawSubject) || !bytes.Equal(ours.RawIssuer, theirs.RawIssuer):
		differs = "subject or issuer"
	case !bytes.Equal(ours.RawTBSCertificate, theirs.RawTBSCertificate):
		differs = "TBSCertificate"
	default:
		return nil
	}
	return fmt.Errorf("two parsers disagree, with each other or with the request: the %s differs", differs)
}

// sameUsages compares the extended key usages of two certificates.
func sameUsages(a, b *x509.Certificate) bool {
	return slices.Equal(a.ExtKeyUsage, b.ExtKeyUsage) &&
		slices.EqualFunc(a.UnknownExtKeyUsage, b.UnknownExtKeyUsage, asn1.ObjectIdentifier.Equal)
}
