package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"golang.org/x/crypto/acme"
)

// xCrypto is a client made of golang.org/x/crypto/acme.
type xCrypto struct{ *acme.Client }

func newXCrypto(key crypto.Signer, over *http.Client) goClient {
	return xCrypto{&acme.Client{Key: key, HTTPClient: over, DirectoryURL: os.Getenv("DIRECTORY")}}
}

func (c xCrypto) register(ctx context.Context) error {
	account := &acme.Account{Contact: []string{"mailto:admin@example.org"}}
	if kid := os.Getenv("EAB_KID"); kid != "" {
		mac, err := base64.RawURLEncoding.DecodeString(os.Getenv("EAB_HMAC"))
		if err != nil {
			return err
		}
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: kid, Key: mac}
	}
	_, err := c.Register(ctx, account, acme.AcceptTOS)
	if errors.Is(err, acme.ErrAccountAlreadyExists) {
		_, err = c.GetReg(ctx, "")
	}
	return err
}

func (c xCrypto) obtain(ctx context.Context, challenge string, key crypto.Signer, names []string) ([]byte, error) {
	var ids []acme.AuthzID
	var csr x509.CertificateRequest
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			ids = append(ids, acme.IPIDs(name)...)
			csr.IPAddresses = append(csr.IPAddresses, ip)
		} else {
			ids = append(ids, acme.DomainIDs(name)...)
			csr.DNSNames = append(csr.DNSNames, name)
		}
	}
	order, err := c.AuthorizeOrder(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("ordering: %w", err)
	}
	for _, url := range order.AuthzURLs {
		if err := c.prove(ctx, challenge, url); err != nil {
			return nil, err
		}
	}
	if order, err = c.WaitOrder(ctx, order.URI); err != nil {
		return nil, fmt.Errorf("waiting for the order: %w", err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &csr, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := c.CreateOrderCert(ctx, order.FinalizeURL, request, true)
	var text bytes.Buffer
	for _, der := range chain {
		err = errors.Join(err, pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return text.Bytes(), err
}

func (c xCrypto) prove(ctx context.Context, challenge, url string) error {
	authz, err := c.GetAuthorization(ctx, url)
	if err != nil {
		return err
	}
	for _, offered := range authz.Challenges {
		if offered.Type != challenge {
			continue
		}
		if err := c.show(offered, authz.Identifier.Value); err != nil {
			return err
		}
		if _, err := c.Accept(ctx, offered); err != nil {
			return fmt.Errorf("answering the challenge: %w", err)
		}
		_, err := c.WaitAuthorization(ctx, authz.URI)
		return err
	}
	return fmt.Errorf("no %s is offered for %s", challenge, authz.Identifier.Value)
}

func (c xCrypto) show(challenge *acme.Challenge, name string) error {
	switch challenge.Type {
	case "http-01":
		text, err := c.HTTP01ChallengeResponse(challenge.Token)
		return errors.Join(err, showPage(c.HTTP01ChallengePath(challenge.Token), text))
	case "dns-01":
		value, err := c.DNS01ChallengeRecord(challenge.Token)
		return errors.Join(err, showRecord("_acme-challenge."+name, value))
	default:
		certificate, err := c.TLSALPN01ChallengeCert(challenge.Token, name)
		if err != nil {
			return err
		}
		return showCertificate(name, &certificate)
	}
}

func (c xCrypto) revoke(ctx context.Context, certificate *x509.Certificate, key crypto.Signer) error {
	return c.RevokeCert(ctx, key, certificate.Raw, acme.CRLReasonSuperseded)
}

func (c xCrypto) changeKey(ctx context.Context, key crypto.Signer) error {
	return c.AccountKeyRollover(ctx, key)
}

func (c xCrypto) deactivate(ctx context.Context) error { return c.DeactivateReg(ctx) }
