package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// reasons are those that a subscriber may give (RFC 5280 §5.3.1, BR §7.2.2).
var reasons = map[string]int{
	"unspecified": 0, "keycompromise": 1, "affiliationchanged": 3, "superseded": 4, "cessationofoperation": 5,
}

// revoke has the CA revoke a certificate, and then deletes its files unless they are to be kept.
func (a *app) revoke(ctx context.Context) error {
	if (a.certPath == "") == (a.certName == "") {
		return errors.New("Error! Exactly one of --cert-path or --cert-name must be specified!")
	}
	var reason *int
	if a.reason != "" {
		code, ok := reasons[strings.ToLower(a.reason)]
		if !ok {
			return usagef("argument --reason: invalid choice: %q", a.reason)
		}
		reason = &code
	}
	l, leaf, path, err := a.toRevoke()
	if err != nil {
		return err
	}
	var conf *lineage.Conf
	if l != nil {
		conf = l.Conf
	}
	s, err := a.settle(conf)
	if err != nil {
		return err
	}
	client, err := a.connect(ctx, &s, false)
	if err != nil {
		return a.explainServer(err, &s)
	}
	if err := client.Revoke(ctx, leaf, reason, nil); err != nil {
		return a.explainServer(err, &s)
	}
	a.say("\nCongratulations! You have successfully revoked the certificate that was located at %s.", path)
	if l == nil || a.keepAfterRevoke {
		return nil
	}
	return a.deleteRevoked(l)
}

// toRevoke finds the certificate, and the lineage that it belongs to, if it belongs to one.
func (a *app) toRevoke() (l *lineage.Lineage, leaf *x509.Certificate, path string, err error) {
	if a.certName != "" {
		if l, err = a.store.Load(a.certName); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = withHint(fmt.Errorf("no certificate found with name %s", a.certName), "cairnbot certificates lists the names")
			}
			return nil, nil, "", err
		}
		leaf, err = leafOf(l)
		return l, leaf, l.Path(lineage.Cert), err
	}
	text, err := os.ReadFile(a.certPath)
	if err != nil {
		return nil, nil, "", fmt.Errorf("reading the certificate to revoke: %w", err)
	}
	chain, err := acme.ParseChain(text)
	if err != nil {
		return nil, nil, "", fmt.Errorf("reading the certificate to revoke: %s: %w", a.certPath, err)
	}
	l, err = a.store.Find(a.certPath)
	if errors.Is(err, fs.ErrNotExist) {
		l, err = nil, nil
	}
	return l, chain[0], a.certPath, err
}

// deleteRevoked removes the files of a certificate that nobody should use any more.
func (a *app) deleteRevoked(l *lineage.Lineage) error {
	err := a.store.Delete(l.Name)
	if errors.Is(err, lineage.ErrShared) {
		a.say("Not deleting revoked certificates due to overlapping archive dirs.")
		return nil
	}
	if err != nil {
		return fmt.Errorf("deleting the files of %s: %w", l.Name, err)
	}
	a.say("Deleted all files relating to certificate %s.", l.Name)
	return nil
}
