package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/revoked"
)

// listed is a certificate with what is known of it.
type listed struct {
	lineage *lineage.Lineage
	leaf    *x509.Certificate
	revoked bool // known for sure
}

// certificates lists what is on this machine.
func (a *app) certificates(ctx context.Context) error {
	lineages, broken, err := a.store.List()
	if err != nil {
		return err
	}
	var list []listed
	leaves, errs := readLeaves(lineages)
	for i, l := range lineages {
		leaf, err := leaves[i], errs[i]
		switch {
		case err != nil:
			broken = append(broken, lineage.Broken{Path: l.ConfPath(), Err: err})
		case a.matches(l, leaf):
			list = append(list, listed{lineage: l, leaf: leaf})
		}
	}
	a.askRevoked(ctx, list)
	var blocks []string
	result := certificatesJSON{Certificates: []certificateJSON{}}
	for _, c := range list {
		if a.json {
			result.Certificates = append(result.Certificates, describeLineage(c, time.Now()))
			continue
		}
		blocks = append(blocks, certificateBlock(c, time.Now()))
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
	if len(blocks) > 0 {
		a.say("%s", strings.Join(blocks, "\n")) // at once: there may be thousands
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

// readLeaves reads the certificates that are live, on as many processors as there are.
func readLeaves(lineages []*lineage.Lineage) ([]*x509.Certificate, []error) {
	leaves, errs := make([]*x509.Certificate, len(lineages)), make([]error, len(lineages))
	workers := runtime.GOMAXPROCS(0)
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for i := w; i < len(lineages); i += workers {
				leaves[i], errs[i] = lineages[i].Leaf()
			}
		})
	}
	running.Wait()
	return leaves, errs
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
func certificateBlock(c listed, now time.Time) string {
	l, leaf := c.lineage, c.leaf
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
		leaf.NotAfter.UTC().Format("2006-01-02 15:04:05+00:00"), c.validity(params.Server, now),
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
func (c listed) validity(server string, now time.Time) string {
	var wrong []string
	if strings.Contains(server, "staging") {
		wrong = append(wrong, "TEST_CERT")
	}
	left := c.leaf.NotAfter.Sub(now)
	switch {
	case left <= 0:
		wrong = append(wrong, "EXPIRED")
	case c.revoked:
		wrong = append(wrong, "REVOKED")
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

// askRevoked finds out which certificates are revoked: as certbot does, from OCSP servers where they name one, and with
// --check-revocation from their CAs' lists, too. Let's Encrypt has lists alone, and they take a while.
func (a *app) askRevoked(ctx context.Context, list []listed) {
	config := revoked.Config{Lists: a.checkRevocation, Log: a.log}
	if a.checkRevocation {
		config.Limit = time.Minute
	}
	questions := make([]revoked.Certificate, len(list))
	asks := false
	for i, c := range list {
		if len(c.leaf.OCSPServer) == 0 && (!a.checkRevocation || len(c.leaf.CRLDistributionPoints) == 0) {
			continue
		}
		questions[i] = questionAbout(c.lineage, c.leaf)
		asks = true
	}
	if !asks {
		return
	}
	for i, status := range revoked.Check(ctx, config, questions, time.Now()) {
		list[i].revoked = status == revoked.Revoked
	}
}

// questionAbout is a certificate with its issuer, for its CA's services; without that nobody is asked.
func questionAbout(l *lineage.Lineage, leaf *x509.Certificate) revoked.Certificate {
	text, err := os.ReadFile(l.Path(lineage.Chain))
	if err != nil {
		return revoked.Certificate{}
	}
	issuer, err := firstCertificate(text)
	if err != nil {
		return revoked.Certificate{}
	}
	return revoked.Certificate{Leaf: leaf, Issuer: issuer}
}

// isRevoked asks the OCSP server of one certificate, if it names one. Not to know is no reason to renew.
func (a *app) isRevoked(ctx context.Context, l *lineage.Lineage, leaf *x509.Certificate) bool {
	if len(leaf.OCSPServer) == 0 {
		return false
	}
	answers := revoked.Check(ctx, revoked.Config{Log: a.log}, []revoked.Certificate{questionAbout(l, leaf)}, time.Now())
	return answers[0] == revoked.Revoked
}
