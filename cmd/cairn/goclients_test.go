package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// A goClient is a program around somebody else's Go package. It takes a verb:
//
//	obtain CHALLENGE FILE NAME...   the chain to FILE, its key to FILE.key
//	revoke FILE [KEY]               by the account, or by the certificate's own key
//	key-change, deactivate          of the account, whose key is account.pem
//
// and from the environment DIRECTORY, ROOT, where challenges are shown (WWW, ALPN, ZONE),
// EAB_KID and EAB_HMAC, PROFILE, REPLACES (a chain's file, RFC 9773).
type goClient interface {
	// register takes the account of the key, which is made if there is none.
	register(ctx context.Context) error
	obtain(ctx context.Context, challenge string, key crypto.Signer, names []string) (chain []byte, err error)
	revoke(ctx context.Context, certificate *x509.Certificate, key crypto.Signer) error
	changeKey(ctx context.Context, key crypto.Signer) error
	deactivate(ctx context.Context) error
}

// runGoClient is the main function of such a program.
func runGoClient(with func(key crypto.Signer, over *http.Client) goClient) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := doGoClient(ctx, with, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func doGoClient(ctx context.Context, with func(crypto.Signer, *http.Client) goClient, verb string, args []string) error {
	account, err := keyFile("account.pem")
	if err != nil {
		return err
	}
	over, err := trusting(os.Getenv("ROOT"))
	if err != nil {
		return err
	}
	client := with(account, over)
	if err := client.register(ctx); err != nil {
		return fmt.Errorf("registering: %w", err)
	}
	switch verb {
	case "obtain":
		key, err := keyFile(args[1] + ".key")
		if err != nil {
			return err
		}
		chain, err := client.obtain(ctx, args[0], key, args[2:])
		if err != nil {
			return err
		}
		return os.WriteFile(args[1], chain, 0o600)
	case "revoke":
		return revokeFile(ctx, client, args)
	case "key-change":
		key, err := keyFile("account.new.pem")
		if err != nil {
			return err
		}
		if err := client.changeKey(ctx, key); err != nil {
			return err
		}
		return os.Rename("account.new.pem", "account.pem")
	case "deactivate":
		return client.deactivate(ctx)
	}
	return errors.New("no such verb")
}

func revokeFile(ctx context.Context, client goClient, args []string) error {
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	certificate, err := parsePEM(text)
	if err != nil {
		return err
	}
	var key crypto.Signer
	if len(args) == 2 {
		if key, err = keyFile(args[1]); err != nil {
			return err
		}
	}
	return client.revoke(ctx, certificate, key)
}

// parsePEM returns the first certificate of a chain.
func parsePEM(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// keyFile reads a private key, or makes it.
func keyFile(name string) (crypto.Signer, error) {
	text, err := os.ReadFile(name)
	if err == nil {
		block, _ := pem.Decode(text)
		return x509.ParseECPrivateKey(block.Bytes)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return key, writeKey(name, key)
}

func writeKey(name string, key crypto.Signer) error {
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	if err != nil {
		return err
	}
	return os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func trusting(root string) (*http.Client, error) {
	text, err := os.ReadFile(root)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}, nil
}

// showPage, showRecord and showCertificate put in place what answers a challenge.
func showPage(path, text string) error {
	file := filepath.Join(os.Getenv("WWW"), path)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o600)
}

func showRecord(name, value string) error {
	file, err := os.OpenFile(os.Getenv("ZONE"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%s. 60 IN TXT %q\n", name, value)
	return errors.Join(err, file.Close())
}

func showCertificate(name string, certificate *tls.Certificate) error {
	base := filepath.Join(os.Getenv("ALPN"), name)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	return errors.Join(os.WriteFile(base+".crt.pem", text, 0o600), writeKey(base+".key.pem", certificate.PrivateKey.(crypto.Signer)))
}
