// Package trust says how to trust a root certificate, and does it on this machine.
//
// A Page holds what there is to say about one authority: it is written as plain
// text (what `cairn up` and `cairn trust` print) and as the page at the root of
// the authority's listener. Every instruction compares the certificate's
// fingerprint before anything trusts it, since the certificate comes over a
// connection that nothing vouches for yet.
//
// A Store is the trust store of a machine: Install and Uninstall change it.
package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
)

// Page is what a person needs to know about one authority.
type Page struct {
	Directory string            // the URL of the ACME directory (RFC 8555 §7.1.1)
	RootPEM   string            // the URL of the root certificate, PEM; plain http serves best
	RootDER   string            // the same, DER; with https, a container's build cannot fetch it
	RootFile  string            // where the root is on this machine; empty for a page that others see
	Root      *x509.Certificate // the root certificate
	Names     []string          // what the authority issues for: domains, addresses and ranges
	Terms     string            // the URL of the terms of service; may be empty
	KeyNeeded bool              // nobody registers without an external account key (RFC 8555 §7.3.4)
}

// Fingerprint returns the SHA-256 of a certificate's DER in lower-case hexadecimal.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// FingerprintColons returns the same as OpenSSL and browsers write it: upper case, a colon after each octet.
func FingerprintColons(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// Hex returns the root's fingerprint in lower-case hexadecimal.
func (p Page) Hex() string { return Fingerprint(p.Root) }

// Colons returns the root's fingerprint as browsers show it.
func (p Page) Colons() string { return FingerprintColons(p.Root) }

// Subject names the root: its common name, or its whole subject where it has none.
func (p Page) Subject() string {
	if p.Root.Subject.CommonName != "" {
		return p.Root.Subject.CommonName
	}
	return p.Root.Subject.String()
}

// Expires is the day the root stops being valid, as 2006-01-02 in UTC.
func (p Page) Expires() string { return p.Root.NotAfter.UTC().Format("2006-01-02") }

// WriteSummary writes what `cairn up` prints: the permitted names before the
// fingerprint, so that nobody trusts the one without having seen the other.
func (p Page) WriteSummary(w io.Writer) error {
	if err := p.check(); err != nil {
		return err
	}
	var text strings.Builder
	row := func(what, value string) { fmt.Fprintf(&text, "%-18s %s\n", what, value) }
	row("Directory", p.Directory)
	row("Issues only for", wrap(strings.Join(p.Names, ", "), 19, 100))
	row("Root fingerprint", p.Colons())
	if p.RootFile != "" {
		row("Root certificate", p.RootFile)
	}
	row("Root to download", p.RootPEM)
	if p.Terms != "" {
		row("Terms of service", p.Terms)
	}
	if p.KeyNeeded {
		row("New accounts", "need a key: `cairn eab create` makes one, and shows how clients register with it")
	}
	fmt.Fprintf(&text, "\nTo get a certificate for a NAME from it, with\n\n")
	for _, client := range p.Clients() {
		fmt.Fprintf(&text, "  %s\n", client.Title())
		fmt.Fprintf(&text, "    %s\n", strings.ReplaceAll(client.Text, "\n", "\n    "))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// WriteText writes what `cairn trust` prints: the summary and how to trust the root everywhere.
func (p Page) WriteText(w io.Writer) error {
	if err := p.WriteSummary(w); err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\nTo trust it (%s, until %s)\n", p.Subject(), p.Expires())
	for _, in := range p.Instructions() {
		fmt.Fprintf(&text, "\n%s\n", in.System)
		if in.Before != "" {
			fmt.Fprintf(&text, "  %s\n", wrap(in.Before, 2, 100))
		}
		fmt.Fprintf(&text, "\n    %s\n", strings.ReplaceAll(in.Commands, "\n", "\n    "))
		if in.After != "" {
			fmt.Fprintf(&text, "\n  %s\n", wrap(in.After, 2, 100))
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// check refuses a page whose commands would not do what they say. The URLs end
// up in command lines that people copy, so they hold nothing a shell, PowerShell
// or a Dockerfile would take for anything but text.
func (p Page) check() error {
	if p.Root == nil {
		return errors.New("trust page: no root certificate")
	}
	for _, u := range []string{p.Directory, p.RootPEM, p.RootDER} {
		if err := checkURL(u); err != nil {
			return err
		}
	}
	if u, err := url.Parse(p.Terms); p.Terms != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("trust page: the terms %q are not an http or https URL", p.Terms)
	}
	return nil
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("trust page: %q is not an http or https URL", text)
	}
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/@%+=,[]?&"
	if strings.Trim(text, plain) != "" {
		return fmt.Errorf("trust page: URL %q has characters that do not belong in a command line", text)
	}
	return nil
}

// wrap breaks text at spaces into lines of at most width columns; all lines but
// the first are indented, and the first is taken to stand behind an indent too.
func wrap(text string, indent, width int) string {
	var out strings.Builder
	column := indent
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > width:
			out.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			out.WriteByte(' ')
			column++
		}
		out.WriteString(word)
		column += len(word)
	}
	return out.String()
}
