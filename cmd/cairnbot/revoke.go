package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// reasons are those that a subscriber may give (RFC 5280 §5.3.1, BR §7.2.2).
var reasons = map[string]int{
	"unspecified": 0, "keycompromise": 1, "affiliationchanged": 3, "superseded": 4, "cessationofoperation": 5,
}

// revoke has the CA revoke a certificate, and then deletes its files unless they are to be kept.
func (a *app) revoke(ctx context.Context) error {
	if (a.certPath == "") == (a.certName == "") {
		return phrase("Error! Exactly one of --cert-path or --cert-name must be specified!")
	}
	var reason *int
	if a.reason != "" {
		code := reasons[a.reason] // the table lets no other pass
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
	if err := a.askToRevoke(ctx, &s, leaf, reason); err != nil {
		return a.explainServer(err, &s)
	}
	a.say("\nCongratulations! You have successfully revoked the certificate that was located at %s.", path)
	result := revokeJSON{Path: path, Serial: fmt.Sprintf("%x", leaf.SerialNumber)}
	a.result = &result
	if l == nil {
		return nil
	}
	a.forgetAdvice(l)
	if wanted, err := a.wantsDeletion(ctx, l); err != nil || !wanted {
		return err
	}
	deleted, err := a.deleteRevoked(l)
	if deleted {
		result.Deleted = l.Name
	}
	return err
}

// forgetAdvice has the next renewal ask the CA at once: what it said before the revocation, when to renew, is out of date.
func (a *app) forgetAdvice(l *lineage.Lineage) {
	state := a.shared.memory.Load(l.Name)
	if state.Advice == nil {
		return
	}
	state.Advice.Next = time.Time{}
	if err := a.shared.memory.Save(l.Name, state); err != nil {
		a.log.Warn("the CA may be asked later than it should when to renew", "name", l.Name, "error", err)
	}
}

// askToRevoke asks the CA, as the account or, with --key-path, as who holds the certificate's key (RFC 8555 §7.6).
func (a *app) askToRevoke(ctx context.Context, s *settings, leaf *x509.Certificate, reason *int) error {
	if a.keyPath == "" {
		client, err := a.connect(ctx, s, false)
		if err != nil {
			return err
		}
		return client.Revoke(ctx, leaf, reason, nil)
	}
	text, err := os.ReadFile(a.keyPath)
	if err != nil {
		return fmt.Errorf("reading the certificate's key: %w", err)
	}
	key, err := lineage.ParseKey(text)
	if err != nil {
		return fmt.Errorf("%s: %w", a.keyPath, err)
	}
	if public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(key.Public()) {
		return fmt.Errorf("%s is not the key of this certificate", a.keyPath)
	}
	config, err := a.clientConfig(s)
	if err != nil {
		return err
	}
	config.Key = key
	client, err := acme.NewClient(config)
	if err != nil {
		return err
	}
	return client.Revoke(ctx, leaf, reason, key)
}

// toRevoke finds the certificate, and the lineage that it belongs to, if it belongs to one.
func (a *app) toRevoke() (l *lineage.Lineage, leaf *x509.Certificate, path string, err error) {
	if a.certName != "" {
		if l, err = a.store.Load(a.certName); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = a.noSuch(a.certName)
			}
			return nil, nil, "", err
		}
		leaf, err = l.Leaf()
		return l, leaf, l.Path(lineage.Cert), err
	}
	text, err := os.ReadFile(a.certPath)
	if err != nil {
		return nil, nil, "", fmt.Errorf("reading the certificate to revoke: %w", err)
	}
	if leaf, err = firstCertificate(text); err != nil {
		return nil, nil, "", fmt.Errorf("reading the certificate to revoke: %s: %w", a.certPath, err)
	}
	l, err = a.store.Find(a.certPath)
	if errors.Is(err, fs.ErrNotExist) {
		l, err = nil, nil
	}
	return l, leaf, a.certPath, err
}

// firstCertificate finds the first certificate in PEM. There may be other text around it, as "openssl x509 -text" writes.
func firstCertificate(text []byte) (*x509.Certificate, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, errors.New("there is no certificate in PEM")
}

// wantsDeletion says whether the files of a revoked certificate go, too.
func (a *app) wantsDeletion(ctx context.Context, l *lineage.Lineage) (bool, error) {
	if a.given["delete-after-revoke"] {
		return a.deleteAfterRevoke, nil
	}
	text := "Would you like to delete the certificate(s) you just revoked, along with all earlier and later versions of the certificate?"
	for i, line := range a.references(l.Name) {
		if i == 0 {
			text += "\n\nThese settings of servers still name its files; such a server does not start again without them:\n"
		}
		text += fmt.Sprintf("\n  %s:%d: %s", line.File, line.Number, line.Text)
	}
	return a.ask.YesNo(ctx, ask.YesNo{
		Question: ask.Question{Text: text, Flag: "--delete-after-revoke or --no-delete-after-revoke", Force: true},
		Yes:      "Yes (recommended)", Default: ask.Yes,
	})
}

// deleteRevoked removes the files of a certificate that nobody should use any more.
func (a *app) deleteRevoked(l *lineage.Lineage) (bool, error) {
	err := a.store.Delete(l.Name)
	if errors.Is(err, lineage.ErrShared) {
		a.log.Warn("Not deleting revoked certificates due to overlapping archive dirs.", "error", err)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("deleting the files of %s: %w", l.Name, err)
	}
	a.forgetAll(l.Name)
	a.say("Deleted all files relating to certificate %s.", l.Name)
	return true, nil
}
