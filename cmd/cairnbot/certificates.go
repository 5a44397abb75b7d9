package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// certificates lists what is on this machine.
func (a *app) certificates(context.Context) error {
	lineages, broken, err := a.store.List()
	if err != nil {
		return err
	}
	var blocks []string
	result := certificatesJSON{Certificates: []certificateJSON{}}
	for _, l := range lineages {
		leaf, err := l.Leaf()
		switch {
		case err != nil:
			broken = append(broken, lineage.Broken{Path: l.ConfPath(), Err: err})
		case a.matches(l, leaf):
			blocks = append(blocks, certificateBlock(l, leaf, time.Now()))
			result.Certificates = append(result.Certificates, describeLineage(l, leaf, time.Now()))
		}
	}
	result.Invalid = invalidList(broken)
	a.result = result
	a.say("")
	a.frame()
	switch {
	case len(blocks) == 0 && len(broken) == 0:
		a.say("No certificates found.")
	case len(blocks) > 0 && a.certName == "" && len(a.domains) == 0:
		a.say("Found the following certs:")
	case len(blocks) > 0:
		a.say("Found the following matching certs:")
	}
	for _, block := range blocks {
		a.say("%s", block)
	}
	var invalid []string
	for _, b := range broken {
		invalid = append(invalid, b.Path)
		a.log.Warn("a renewal configuration is invalid", "path", b.Path, "error", b.Err)
	}
	a.list("\nThe following renewal configurations were invalid:", invalid)
	a.frame()
	return nil
}

// matches applies --cert-name and -d.
func (a *app) matches(l *lineage.Lineage, leaf *x509.Certificate) bool {
	if a.certName != "" && a.certName != l.Name {
		return false
	}
	return len(a.domains) == 0 || slices.ContainsFunc(acme.CertificateIdentifiers(leaf), func(id acme.Identifier) bool {
		return slices.Contains(a.domains, id.Value)
	})
}

// certificateBlock describes one certificate. Programs read "Domains:", which
// certbot wrote for years, as well as "Identifiers:", which it writes now.
func certificateBlock(l *lineage.Lineage, leaf *x509.Certificate, now time.Time) string {
	joined := strings.Join(values(acme.CertificateIdentifiers(leaf)), " ")
	params, _ := l.Conf.Params() // a lineage whose options are malformed can still be shown
	return fmt.Sprintf(`  Certificate Name: %s
    Serial Number: %x
    Key Type: %s
    Domains: %s
    Identifiers: %s
    Expiry Date: %s (%s)
    Certificate Path: %s
    Private Key Path: %s`,
		l.Name, leaf.SerialNumber, keyType(leaf), joined, joined,
		leaf.NotAfter.UTC().Format("2006-01-02 15:04:05+00:00"), validity(leaf, strings.Contains(params.Server, "staging"), now),
		l.Path(lineage.Fullchain), l.Path(lineage.Key))
}

func keyType(leaf *x509.Certificate) string {
	switch leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA"
	case *rsa.PublicKey:
		return "RSA"
	default:
		return leaf.PublicKeyAlgorithm.String()
	}
}

// validity says in certbot's words how long a certificate is good for.
func validity(leaf *x509.Certificate, test bool, now time.Time) string {
	var wrong []string
	if test {
		wrong = append(wrong, "TEST_CERT")
	}
	left := leaf.NotAfter.Sub(now)
	if left <= 0 {
		wrong = append(wrong, "EXPIRED")
	}
	switch hours := int(left.Hours()); {
	case len(wrong) > 0:
		return "INVALID: " + strings.Join(wrong, ", ")
	case hours >= 48:
		return fmt.Sprintf("VALID: %d days", hours/24)
	case hours >= 24:
		return "VALID: 1 day"
	default:
		return fmt.Sprintf("VALID: %d hour(s)", hours)
	}
}
