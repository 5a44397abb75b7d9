package ca_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/ca/profile"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// startPossession is an authority whose profile "classic" has terms, and whose profile "plain" has none.
func startPossession(t *testing.T, terms rules.Possession, others ...*x509.Certificate) *proving {
	return startProving(t, func(c *ca.Config) {
		c.Challenges = ca.Challenges{Possession: true, Authorities: others}
		first, plain := profile.Classic(), profile.Classic()
		first.Possession, plain.Name = terms, "plain"
		first.Reuse, plain.Reuse = 0, 0
		c.Profiles = profile.List{first, plain}
	})
}

// plain gets a certificate by dns-01 under the profile that asks for no possession.
func (p *proving) plain(names ...string) *catest.Obtained {
	p.Helper()
	o, err := p.client.NewOrder(p.ctx, acme.NewOrder{Identifiers: identifiers(names...), Profile: "plain"})
	if err != nil {
		p.Fatal(err)
	}
	p.byDNS(o)
	return p.finish(o, names...)
}

// byDNS answers each dns-01 challenge of an order.
func (p *proving) byDNS(o *acme.Order) {
	p.Helper()
	for _, url := range o.Authorizations {
		authorization, err := p.client.Authorization(p.ctx, url)
		if err != nil {
			p.Fatal(err)
		}
		i := slices.IndexFunc(authorization.Challenges, func(c acme.Challenge) bool { return c.Type == acme.DNS01 })
		if i < 0 {
			continue
		}
		challenge := authorization.Challenges[i]
		p.zone.add(acme.DNS01Name(authorization.Identifier.Value)+".", acme.DNS01Value(p.client.KeyAuthorization(challenge.Token)))
		if _, err := p.client.Post(p.ctx, challenge.URL, struct{}{}, nil); err != nil {
			p.Fatal(err)
		}
		if _, err := p.client.WaitAuthorization(p.ctx, url); err != nil {
			p.Fatal(err)
		}
	}
}

// signed is a response for a challenge by key.
func (p *proving) signed(challenge acme.Challenge, key crypto.Signer, chain [][]byte, names ...string) *acme.PossessionResponse {
	p.Helper()
	account, err := acme.NewKey(p.key.Public())
	if err != nil {
		p.Fatal(err)
	}
	response, err := acme.SignPossession(key, acme.Possession{Challenge: challenge, Identifiers: identifiers(names...), AccountKey: account, Chain: chain})
	if err != nil {
		p.Fatal(err)
	}
	return response
}

// prove answers the proof-of-possession-01 challenge of a new order for name and gives the problem, or nil.
func (p *proving) possess(name string, key crypto.Signer, chain ...[]byte) (*acme.Order, *acme.Problem) {
	p.Helper()
	o := p.order(p.client, name)
	challenge := p.offered(p.client, o, 0, acme.ProofOfPossession01)
	return o, p.respond(p.client, o, 0, challenge.URL, p.signed(challenge, key, chain, name))
}

// TestPossessionSuffices renews by the key of a certificate that was issued on dns-01; what is issued on that proof
// cannot prove anything again, else a name that was lost could be renewed for ever.
func TestPossessionSuffices(t *testing.T) {
	p := startPossession(t, rules.Possession{Within: 24 * time.Hour})
	first := p.plain("a.test", "*.b.test")
	leaf := first.Chain.Certificates[0].Raw
	for _, name := range []string{"a.test", "x.b.test", "*.b.test"} {
		o := p.order(p.client, name)
		challenge := p.offered(p.client, o, 0, acme.ProofOfPossession01)
		if want := base64.RawURLEncoding.EncodeToString(leaf); !slices.Contains(challenge.Certs, want) {
			t.Errorf("%s: the challenge lists %d certificates, and not the one there is", name, len(challenge.Certs))
		}
		if problem := p.respond(p.client, o, 0, challenge.URL, p.signed(challenge, first.Key, nil, name)); problem != nil {
			t.Fatalf("%s: %v", name, problem)
		}
		if name != "a.test" {
			continue
		}
		second := p.finish(o, name)
		_, problem := p.possess(name, second.Key)
		if problem == nil || problem.Type != acme.TypeUnauthorized || !strings.Contains(problem.Detail, "another proof of control") {
			t.Errorf("a certificate that was issued on possession: %v, want unauthorized", problem)
		}
	}
	p.checkCA(first)
}

// The lost account key of 2015: somebody else's account, which has the certificate's key.
func TestPossessionByAnotherAccount(t *testing.T) {
	p := startPossession(t, rules.Possession{Within: time.Hour})
	first := p.plain("a.test")
	p.key = catest.NewKey(t)
	p.client = catest.NewClientWithKey(t, p.Page().Directory, p.Page().Root, p.key)
	if _, err := p.client.Register(p.ctx, acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	o, problem := p.possess("a.test", first.Key)
	if problem != nil {
		t.Fatal(problem)
	}
	p.checkCA(p.finish(o, "a.test"))
}

// Each thing that can be wrong with a response.
func TestPossessionRefuses(t *testing.T) {
	p := startPossession(t, rules.Possession{Within: time.Hour})
	got := p.plain("a.test")
	revoked := p.plain("r.test")
	if err := p.client.Revoke(p.ctx, revoked.Chain.Certificates[0], nil, nil); err != nil {
		t.Fatal(err)
	}
	foreign, foreignKey := selfMade(t, "a.test", time.Now().Add(time.Hour))
	account, err := acme.NewKey(p.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	other, err := acme.NewKey(catest.NewKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	possession := func(c acme.Challenge) acme.Possession {
		return acme.Possession{Challenge: c, Identifiers: identifiers("a.test"), AccountKey: account}
	}
	for what, c := range map[string]struct {
		name  string
		key   crypto.Signer
		claim func(acme.Challenge) acme.Possession
		words string
	}{
		"another key":       {"a.test", catest.NewKey(t), possession, "not that of a certificate"},
		"another token":     {"a.test", got.Key, func(c acme.Challenge) acme.Possession { c.Token = "x"; return possession(c) }, "token"},
		"another challenge": {"a.test", got.Key, func(c acme.Challenge) acme.Possession { c.URL += "x"; return possession(c) }, `"url"`},
		"another name": {"a.test", got.Key, func(c acme.Challenge) acme.Possession {
			q := possession(c)
			q.Identifiers = identifiers("b.test")
			return q
		}, "identifiers"},
		"another account": {"a.test", got.Key, func(c acme.Challenge) acme.Possession { q := possession(c); q.AccountKey = other; return q }, "accountKey"},
		"not in certificate": {"b.test", got.Key, func(c acme.Challenge) acme.Possession {
			q := possession(c)
			q.Identifiers = identifiers("b.test")
			q.Chain = [][]byte{got.Chain.Certificates[0].Raw}
			return q
		}, "not for b.test"},
		"revoked": {"r.test", revoked.Key, func(c acme.Challenge) acme.Possession {
			q := possession(c)
			q.Identifiers = identifiers("r.test")
			q.Chain = [][]byte{revoked.Chain.Certificates[0].Raw}
			return q
		}, "revoked"},
		"of nobody": {"a.test", foreignKey, func(c acme.Challenge) acme.Possession { q := possession(c); q.Chain = [][]byte{foreign.Raw}; return q }, "neither of this CA"},
	} {
		o := p.order(p.client, c.name)
		challenge := p.offered(p.client, o, 0, acme.ProofOfPossession01)
		response, err := acme.SignPossession(c.key, c.claim(challenge))
		if err != nil {
			t.Fatal(err)
		}
		problem := p.respond(p.client, o, 0, challenge.URL, response)
		if problem == nil || problem.Type != acme.TypeUnauthorized || !strings.Contains(problem.Detail, c.words) {
			t.Errorf("%s: %v, want unauthorized with %q", what, problem, c.words)
		}
	}
	p.refuseForms(got)
}

// refuseForms sends responses that are not of the right form: they are refused at once, and cost nothing.
func (p *proving) refuseForms(got *catest.Obtained) {
	p.Helper()
	o := p.order(p.client, "a.test")
	challenge := p.offered(p.client, o, 0, acme.ProofOfPossession01)
	good := p.signed(challenge, got.Key, nil, "a.test")
	for what, response := range map[string]any{
		"nothing":             struct{}{},
		"no JWS":              map[string]string{"authorization": "x"},
		"too many":            acme.PossessionResponse{Authorization: good.Authorization, Certificates: make([]string, 9)},
		"not base64url":       acme.PossessionResponse{Authorization: good.Authorization, Certificates: []string{"+"}},
		"several signatures":  map[string]json.RawMessage{"authorization": json.RawMessage(`{"signatures":[],"payload":""}`)},
		"an algorithm of MAC": map[string]json.RawMessage{"authorization": json.RawMessage(`{"protected":"eyJhbGciOiJIUzI1NiIsInVybCI6IngiLCJraWQiOiJ4In0","payload":"","signature":""}`)},
	} {
		_, err := p.client.Post(p.ctx, challenge.URL, response, nil)
		if problem, ok := err.(*acme.Problem); err == nil || ok && problem.Status != 400 {
			p.Errorf("%s: %v, want 400", what, err)
		}
	}
	if problem := p.respond(p.client, o, 0, challenge.URL, good); problem != nil {
		p.Errorf("afterwards: %v", problem)
	}
}

// selfMade is a certificate of no CA.
func selfMade(t *testing.T, name string, until time.Time) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key := catest.NewKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: []string{name}, NotBefore: until.Add(-48 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf, key
}

// otherCA is another CA and a certificate of it.
func otherCA(t *testing.T, name string, until time.Time) (authority, leaf *x509.Certificate, key crypto.Signer) {
	t.Helper()
	caKey := catest.NewKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "other"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	if authority, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	key = catest.NewKey(t)
	end := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: until.Add(-48 * time.Hour), NotAfter: until}
	if der, err = x509.CreateCertificate(rand.Reader, end, authority, key.Public(), caKey); err != nil {
		t.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return authority, leaf, key
}

// TestPossessionAlso: where a profile asks for it beside another proof, the order has a second authorization for each name,
// and is ready only with both. A certificate of another CA is good for that, and for nothing more.
func TestPossessionAlso(t *testing.T) {
	authority, leaf, key := otherCA(t, "a.test", time.Now().Add(time.Hour))
	p := startPossession(t, rules.Possession{Also: true}, authority)
	o := p.order(p.client, "a.test")
	if len(o.Authorizations) != 2 || len(o.Identifiers) != 1 {
		t.Fatalf("the order is %+v", o)
	}
	gate, err := p.client.Authorization(p.ctx, o.Authorizations[1])
	if err != nil || len(gate.Challenges) != 1 || gate.Challenges[0].Type != acme.ProofOfPossession01 || gate.Identifier != o.Identifiers[0] {
		t.Fatalf("the second authorization is %+v: %v", gate, err)
	}
	p.byDNS(o)
	if status := p.status(o); status != acme.StatusPending {
		t.Errorf("with one proof the order is %s", status)
	}
	challenge := gate.Challenges[0]
	if problem := p.respond(p.client, o, 1, challenge.URL, p.signed(challenge, key, [][]byte{leaf.Raw}, "a.test")); problem != nil {
		t.Fatal(problem)
	}
	got := p.finish(o, "a.test")
	// The next order is gated anew, and the certificate that was issued opens it.
	o = p.order(p.client, "a.test")
	challenge = p.offered(p.client, o, 1, acme.ProofOfPossession01)
	if problem := p.respond(p.client, o, 1, challenge.URL, p.signed(challenge, got.Key, nil, "a.test")); problem != nil {
		t.Fatal(problem)
	}
	if status := p.status(o); status != acme.StatusPending {
		t.Errorf("with possession alone the order is %s", status)
	}
	p.byDNS(o)
	p.checkCA(p.finish(o, "a.test"))
}

func (p *proving) status(o *acme.Order) acme.Status {
	p.Helper()
	now, err := p.client.Order(p.ctx, o.URL)
	if err != nil {
		p.Fatal(err)
	}
	return now.Status
}

// A certificate of another CA that has expired opens nothing, and one that has not is never enough alone.
func TestPossessionOfOtherCertificates(t *testing.T) {
	authority, expired, key := otherCA(t, "a.test", time.Now().Add(-time.Second))
	p := startPossession(t, rules.Possession{Also: true}, authority)
	o := p.order(p.client, "a.test")
	challenge := p.offered(p.client, o, 1, acme.ProofOfPossession01)
	if problem := p.respond(p.client, o, 1, challenge.URL, p.signed(challenge, key, [][]byte{expired.Raw}, "a.test")); problem == nil || !strings.Contains(problem.Detail, "valid from") {
		t.Errorf("an expired certificate: %v", problem)
	}
	authority, good, key := otherCA(t, "a.test", time.Now().Add(time.Hour))
	p = startPossession(t, rules.Possession{Within: time.Hour}, authority)
	if _, problem := p.possess("a.test", key, good.Raw); problem == nil || problem.Type != acme.TypeUnauthorized || !strings.Contains(problem.Detail, "another CA's") {
		t.Errorf("another CA's certificate alone: %v", problem)
	}
}

// Without terms in the profile the type is not offered, whatever the authority would know to do.
func TestPossessionIsNotOffered(t *testing.T) {
	p := startPossession(t, rules.Possession{})
	o := p.order(p.client, "a.test")
	authorization, err := p.client.Authorization(p.ctx, o.Authorizations[0])
	if err != nil || len(o.Authorizations) != 1 || slices.ContainsFunc(authorization.Challenges, func(c acme.Challenge) bool { return c.Type == acme.ProofOfPossession01 }) {
		t.Errorf("the authorization is %+v: %v", authorization, err)
	}
}
