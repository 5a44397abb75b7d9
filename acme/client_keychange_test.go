package acme_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"testing"

	"github.com/cairn-ca/cairn/acme"
)

// TestChangeKey changes the key of an account at Pebble, to another kind and back.
func TestChangeKey(t *testing.T) {
	_, config := pebbleConfig(t)
	client, err := acme.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := client.ChangeKey(ctx, newKey(t)); err == nil {
		t.Error("a client without an account has changed its key")
	}
	if _, err := client.Register(ctx, acme.NewAccount{TermsOfServiceAgreed: true}); err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, next := range []crypto.Signer{rsaKey, p384, newKey(t)} {
		if err := client.ChangeKey(ctx, next); err != nil {
			t.Fatal(err)
		}
		old := client
		config.Key, config.AccountURL = next, client.AccountURL()
		if client, err = acme.NewClient(config); err != nil {
			t.Fatal(err)
		}
		if account, err := client.Account(ctx); err != nil || account.Status != acme.StatusValid {
			t.Fatalf("with the new key: %+v, %v", account, err)
		}
		if _, err := old.Account(ctx); err == nil {
			t.Error("the old key is still good")
		}
		found, err := acme.NewClient(acme.ClientConfig{Directory: config.Directory, Key: next, HTTP: config.HTTP})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := found.Register(ctx, acme.NewAccount{OnlyReturnExisting: true}); err != nil || found.AccountURL() != client.AccountURL() {
			t.Errorf("the new key has the account %q, %v", found.AccountURL(), err)
		}
	}
	// A key that has an account already (RFC 8555 §7.3.5).
	var problem *acme.Problem
	if err := client.ChangeKey(ctx, config.Key); !errors.As(err, &problem) {
		t.Errorf("the key was changed to itself: %v", err)
	}
}

// TestSetContact changes an account's contact at Pebble, and removes it.
func TestSetContact(t *testing.T) {
	_, config := pebbleConfig(t)
	client, err := acme.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Register(t.Context(), acme.NewAccount{TermsOfServiceAgreed: true, Contact: []string{"mailto:a@example.org"}}); err != nil {
		t.Fatal(err)
	}
	for _, contact := range [][]string{{"mailto:b@example.org", "mailto:c@example.org"}, nil, {"mailto:d@example.org"}} {
		if _, err := client.SetContact(t.Context(), contact); err != nil {
			t.Fatal(err)
		}
		if account, err := client.Account(t.Context()); err != nil || !slices.Equal(account.Contact, contact) {
			t.Errorf("the contact is %v, want %v (%v)", account.Contact, contact, err)
		}
	}
}
