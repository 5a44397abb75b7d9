package ca_test

import (
	"context"
	"crypto"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// proving is an authority with a DNS server, and one account of it.
type proving struct {
	*testing.T
	*catest.Authority
	zone   *zone
	key    crypto.Signer // of the account
	leaf   crypto.Signer // of the last certificate that was finalized by hand
	client *acme.Client
	ctx    context.Context
}

func startProving(t *testing.T, change func(*ca.Config)) *proving {
	t.Helper()
	z := newZone(t)
	a := catest.Start(t, "", func(c *ca.Config) {
		c.Resolvers = []string{z.address}
		if change != nil {
			change(c)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	p := &proving{T: t, Authority: a, zone: z, key: catest.NewKey(t), ctx: ctx}
	p.client = catest.NewClientWithKey(t, a.Page().Directory, a.Page().Root, p.key)
	if _, err := p.client.Register(ctx, acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// order places an order for names.
func (p *proving) order(client *acme.Client, names ...string) *acme.Order {
	p.Helper()
	o, err := client.NewOrder(p.ctx, acme.NewOrder{Identifiers: identifiers(names...)})
	if err != nil {
		p.Fatal(err)
	}
	return o
}

func identifiers(names ...string) (ids []acme.Identifier) {
	for _, name := range names {
		ids = append(ids, acme.IdentifierFor(name))
	}
	return ids
}

// offered is the challenge of a type for the i-th authorization of an order.
func (p *proving) offered(client *acme.Client, o *acme.Order, i int, kind acme.ChallengeType) acme.Challenge {
	p.Helper()
	authorization, err := client.Authorization(p.ctx, o.Authorizations[i])
	if err != nil {
		p.Fatal(err)
	}
	for _, challenge := range authorization.Challenges {
		if challenge.Type == kind {
			return challenge
		}
	}
	p.Fatalf("%s is not offered for %s: %+v", kind, authorization.Identifier, authorization.Challenges)
	return acme.Challenge{}
}

// respond sends a response to a challenge of the i-th authorization and waits for the outcome, a problem or nil.
func (p *proving) respond(client *acme.Client, o *acme.Order, i int, url string, response any) *acme.Problem {
	p.Helper()
	if _, err := client.Post(p.ctx, url, response, nil); err != nil {
		p.Fatal(err)
	}
	authorization, err := client.WaitAuthorization(p.ctx, o.Authorizations[i])
	if err != nil {
		p.Fatal(err)
	}
	problem := authorization.Challenges[0].Error
	if len(authorization.Challenges) != 1 || (problem == nil) != (authorization.Status == acme.StatusValid) {
		p.Fatalf("the authorization is %+v", authorization)
	}
	return problem
}

// finish gets the certificate of an order whose names are proven, and checks the whole authority.
func (p *proving) finish(o *acme.Order, names ...string) *catest.Obtained {
	p.Helper()
	o, err := p.client.WaitOrder(p.ctx, o, acme.StatusReady)
	if err != nil {
		p.Fatal(err)
	}
	got, err := catest.Finalize(p.ctx, p.client, o, identifiers(names...))
	if err != nil {
		p.Fatal(err)
	}
	return got
}

func (p *proving) checkCA(got *catest.Obtained) {
	p.Helper()
	if err := p.Stop(); err != nil {
		p.Error(err)
	}
	catest.CheckCA(p.T, p.Dir, got.Chain.Certificates[0])
}

// TestDNSAccount01 proves a wildcard and its base name by records under the account's own label.
func TestDNSAccount01(t *testing.T) {
	p := startProving(t, nil)
	names := []string{"*.a.test", "a.test"}
	o := p.order(p.client, names...)
	for i := range names {
		challenge := p.offered(p.client, o, i, acme.DNSAccount01)
		p.zone.add(acme.DNSAccount01Name(p.client.AccountURL(), "a.test")+".", acme.DNS01Value(p.client.KeyAuthorization(challenge.Token)))
		if problem := p.respond(p.client, o, i, challenge.URL, struct{}{}); problem != nil {
			t.Fatal(problem)
		}
	}
	p.checkCA(p.finish(o, names...))
}

// Another account's record is none.
func TestDNSAccount01OfAnotherAccount(t *testing.T) {
	p := startProving(t, nil)
	o := p.order(p.client, "a.test")
	challenge := p.offered(p.client, o, 0, acme.DNSAccount01)
	p.zone.add(acme.DNSAccount01Name(p.client.AccountURL()+"x", "a.test")+".", acme.DNS01Value(p.client.KeyAuthorization(challenge.Token)))
	if problem := p.respond(p.client, o, 0, challenge.URL, struct{}{}); problem == nil || problem.Type != acme.TypeDNS {
		t.Errorf("the problem is %v, want dns", problem)
	}
}
