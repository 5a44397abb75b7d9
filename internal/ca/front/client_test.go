package front_test

import (
	"context"
	"encoding/base64"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// The client of package acme gets a certificate, revokes it and ends its account.
func TestWholeWayWithAClient(t *testing.T) {
	a := newAuthority(t, nil)
	ctx := context.Background()
	c, err := acme.NewClient(acme.ClientConfig{Directory: a.url + "/directory", Key: newKey(t), HTTP: a.server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Register(ctx, acme.NewAccount{TermsOfServiceAgreed: true}); err != nil {
		t.Fatal(err)
	}
	o, err := c.NewOrder(ctx, acme.NewOrder{Identifiers: identifiers("a.test", "b.test")})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range o.Authorizations {
		authz, err := c.Authorization(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Respond(ctx, authz.Challenges[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := c.WaitAuthorization(ctx, url); err != nil {
			t.Fatal(err)
		}
	}
	key := newKey(t)
	request, err := base64.RawURLEncoding.DecodeString(read[acme.Finalize](&answer{t: t, body: []byte(csr(t, key, "a.test", "b.test"))}).CSR)
	if err != nil {
		t.Fatal(err)
	}
	if o, err = c.Finalize(ctx, o, request); err != nil {
		t.Fatal(err)
	}
	if o, err = c.WaitOrder(ctx, o, acme.StatusValid); err != nil {
		t.Fatal(err)
	}
	chain, err := c.Certificate(ctx, o.Certificate, acme.CertificateRequest{PublicKey: key.Public(), Identifiers: o.Identifiers})
	if err != nil {
		t.Fatal(err)
	}
	leaf := chain.Certificates[0]
	reason := rules.Superseded
	if err := c.Revoke(ctx, leaf, &reason, nil); err != nil {
		t.Fatal(err)
	}
	if got := a.record(leaf.Raw); got.Reason != rules.Superseded || got.Revoked.IsZero() {
		t.Errorf("revoked %s for %d", got.Revoked, got.Reason)
	}
	if err := c.Deactivate(ctx); err != nil {
		t.Fatal(err)
	}
}
