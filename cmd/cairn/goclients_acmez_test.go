package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// acmeZ is a client made of github.com/mholt/acmez/v3.
type acmeZ struct {
	*acmez.Client
	account acme.Account
}

func newACMEZ(key crypto.Signer, over *http.Client) goClient {
	low := &acme.Client{Directory: os.Getenv("DIRECTORY"), HTTPClient: over}
	return &acmeZ{Client: &acmez.Client{Client: low}, account: acme.Account{
		Contact: []string{"mailto:admin@example.org"}, TermsOfServiceAgreed: true, PrivateKey: key,
	}}
}

func (c *acmeZ) register(ctx context.Context) error {
	if kid := os.Getenv("EAB_KID"); kid != "" {
		if err := c.account.SetExternalAccountBinding(ctx, c.Client.Client, acme.EAB{KeyID: kid, MACKey: os.Getenv("EAB_HMAC")}); err != nil {
			return err
		}
	}
	account, err := c.NewAccount(ctx, c.account)
	c.account = account
	return err
}

func (c *acmeZ) obtain(ctx context.Context, challenge string, key crypto.Signer, names []string) ([]byte, error) {
	c.ChallengeSolvers = map[string]acmez.Solver{challenge: shower{c.account}}
	csr, err := acmez.NewCSR(key, names)
	if err != nil {
		return nil, err
	}
	params, err := acmez.OrderParametersFromCSR(c.account, csr)
	if err != nil {
		return nil, err
	}
	params.Profile = os.Getenv("PROFILE")
	if text, err := os.ReadFile(os.Getenv("REPLACES")); err == nil {
		if params.Replaces, err = parsePEM(text); err != nil {
			return nil, err
		}
		if err := c.askWhen(ctx, params.Replaces); err != nil {
			return nil, err
		}
	}
	chains, err := c.ObtainCertificate(ctx, params)
	if err != nil {
		return nil, err
	}
	return chains[0].ChainPEM, nil
}

// askWhen asks when a certificate is to be renewed (RFC 9773).
func (c *acmeZ) askWhen(ctx context.Context, certificate *x509.Certificate) error {
	info, err := c.GetRenewalInfo(ctx, certificate)
	if err != nil {
		return fmt.Errorf("asking for renewal information: %w", err)
	}
	window := info.SuggestedWindow
	if window.Start.Before(certificate.NotBefore) || !window.Start.Before(window.End) || window.End.After(certificate.NotAfter) {
		return fmt.Errorf("a certificate until %s is to be renewed from %s to %s", certificate.NotAfter, window.Start, window.End)
	}
	fmt.Printf("renew from %s to %s, ask again at %s\n", window.Start.Format(time.RFC3339), window.End.Format(time.RFC3339), info.RetryAfter.Format(time.RFC3339))
	return nil
}

// shower answers each challenge where the script's servers look.
type shower struct{ account acme.Account }

func (s shower) Present(_ context.Context, challenge acme.Challenge) error {
	switch challenge.Type {
	case "http-01":
		return showPage(challenge.HTTP01ResourcePath(), challenge.KeyAuthorization)
	case "dns-01":
		return showRecord(challenge.DNS01TXTRecordName(), challenge.DNS01KeyAuthorization())
	case "dns-account-01":
		return showRecord(challenge.DNSAccount01TXTRecordName(s.account), challenge.DNS01KeyAuthorization())
	default:
		certificate, err := acmez.TLSALPN01ChallengeCert(challenge)
		if err != nil {
			return err
		}
		return showCertificate(challenge.Identifier.Value, certificate)
	}
}

func (shower) CleanUp(_ context.Context, challenge acme.Challenge) error {
	if challenge.Type == "http-01" {
		return os.Remove(path.Join(os.Getenv("WWW"), challenge.HTTP01ResourcePath()))
	}
	return nil
}

func (c *acmeZ) revoke(ctx context.Context, certificate *x509.Certificate, key crypto.Signer) error {
	return c.RevokeCertificate(ctx, c.account, certificate, key, acme.ReasonSuperseded)
}

func (c *acmeZ) changeKey(ctx context.Context, key crypto.Signer) error {
	account, err := c.AccountKeyRollover(ctx, c.account, key)
	if err == nil && account.Location != c.account.Location {
		err = errors.New("the account has another URL now")
	}
	return err
}

func (c *acmeZ) deactivate(ctx context.Context) error {
	// The package updates accounts only as a whole.
	c.account.Status = "deactivated"
	account, err := c.UpdateAccount(ctx, c.account)
	if err == nil && account.Status != "deactivated" {
		err = fmt.Errorf("the account is %q", account.Status)
	}
	return err
}
