package ca_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

func startOnion(t *testing.T) *proving {
	return startProving(t, func(c *ca.Config) { c.Challenges, c.CAAIdentities = ca.Challenges{Onion: true}, []string{"ca.example"} })
}

func onionService(t *testing.T) (name string, key ed25519.PrivateKey) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return acme.OnionName(public), key
}

// proveOnion answers the onion-csr-01 challenge of each of an order's authorizations with key.
func (p *proving) proveOnion(o *acme.Order, key ed25519.PrivateKey) {
	p.Helper()
	for i := range o.Authorizations {
		challenge := p.offered(p.client, o, i, acme.OnionCSR01)
		if nonce, err := base64.StdEncoding.Strict().DecodeString(challenge.Nonce); err != nil || len(nonce) < 8 || challenge.Token != "" {
			p.Errorf("the challenge is %+v", challenge)
		}
		csr, err := acme.NewOnionCSR(key, challenge.Nonce)
		if err != nil {
			p.Fatal(err)
		}
		if problem := p.respond(p.client, o, i, challenge.URL, acme.OnionCSRResponse{CSR: base64.RawURLEncoding.EncodeToString(csr)}); problem != nil {
			p.Fatal(problem)
		}
	}
}

// finalizeOnion sends a finalize request with CAA records and returns the problem, or nil.
func (p *proving) finalizeOnion(o *acme.Order, sets map[string]acme.OnionCAA) *acme.Problem {
	p.Helper()
	p.leaf = catest.NewKey(p.T)
	csr, err := catest.CSR(p.leaf, o.Identifiers)
	if err != nil {
		p.Fatal(err)
	}
	_, err = p.client.Post(p.ctx, o.Finalize, acme.Finalize{CSR: base64.RawURLEncoding.EncodeToString(csr), OnionCAA: sets}, nil)
	problem, ok := errors.AsType[*acme.Problem](err)
	if err != nil && !ok {
		p.Fatal(err)
	}
	return problem
}

func signCAA(t *testing.T, key ed25519.PrivateKey, caa *string, valid time.Duration) acme.OnionCAA {
	t.Helper()
	set, err := acme.SignOnionCAA(key, caa, time.Now().Add(valid).Unix())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestOnion obtains a certificate for an onion service, a name below it and its wildcard (RFC 9799).
func TestOnion(t *testing.T) {
	p := startOnion(t)
	directory, err := p.client.Directory(p.ctx)
	if err != nil || !directory.Meta.InBandOnionCAARequired {
		t.Errorf("the directory is %+v: %v", directory, err)
	}
	name, key := onionService(t)
	names := []string{name, "www." + name, "*." + name}
	o := p.order(p.client, names...)
	for _, url := range o.Authorizations {
		authorization, err := p.client.Authorization(p.ctx, url)
		if err != nil || len(authorization.Challenges) != 1 {
			t.Errorf("the authorization is %+v: %v", authorization, err)
		}
	}
	p.proveOnion(o, key)
	caa := fmt.Sprintf("caa 128 issue \"ca.example; validationmethods=onion-csr-01; accounturi=%s\"\ncaa 0 iodef \"mailto:a@b.test\"\n", p.client.AccountURL())
	if problem := p.finalizeOnion(o, map[string]acme.OnionCAA{name: signCAA(t, key, &caa, time.Hour)}); problem != nil {
		t.Fatal(problem)
	}
	o, err = p.client.WaitOrder(p.ctx, o, acme.StatusValid)
	if err != nil || o.Status != acme.StatusValid {
		t.Fatalf("the order is %+v: %v", o, err)
	}
	chain, err := p.client.Certificate(p.ctx, o.Certificate, acme.CertificateRequest{PublicKey: p.leaf.Public(), Identifiers: o.Identifiers})
	if err != nil {
		t.Fatal(err)
	}
	leaf := chain.Certificates[0]
	got := slices.Clone(leaf.DNSNames)
	slices.Sort(got)
	slices.Sort(names)
	if !slices.Equal(got, names) {
		t.Errorf("the certificate is for %v", got)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	catest.CheckCA(t, p.Dir, leaf)
}

// Each thing that can be wrong with the CSR of a response.
func TestOnionCSR01Refuses(t *testing.T) {
	p := startOnion(t)
	name, key := onionService(t)
	_, other := onionService(t)
	sign := func(key ed25519.PrivateKey, nonce string) []byte {
		csr, err := acme.NewOnionCSR(key, nonce)
		if err != nil {
			t.Fatal(err)
		}
		return csr
	}
	for what, c := range map[string]struct {
		csr   func(nonce string) []byte
		want  acme.ProblemType
		words string
	}{
		"another key":      {func(nonce string) []byte { return sign(other, nonce) }, acme.TypeUnauthorized, "key of the CSR"},
		"another nonce":    {func(string) []byte { return sign(key, "AAAAAAAAAAAAAAAAAAAAAA==") }, acme.TypeUnauthorized, "caSigningNonce"},
		"the nonce's text": {func(nonce string) []byte { return sign(key, base64.StdEncoding.EncodeToString([]byte(nonce))) }, acme.TypeUnauthorized, "octets"},
		"no CSR":           {func(string) []byte { return []byte("CSR") }, acme.TypeBadCSR, "PKCS #10"},
		"a forged one": {func(nonce string) []byte {
			csr := sign(key, nonce)
			csr[len(csr)-1] ^= 1
			return csr
		}, acme.TypeUnauthorized, "signature"},
		"no nonces": {func(string) []byte {
			csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{name}}, key)
			if err != nil {
				t.Fatal(err)
			}
			return csr
		}, acme.TypeBadCSR, "caSigningNonce"},
	} {
		o := p.order(p.client, name)
		challenge := p.offered(p.client, o, 0, acme.OnionCSR01)
		response := acme.OnionCSRResponse{CSR: base64.RawURLEncoding.EncodeToString(c.csr(challenge.Nonce))}
		problem := p.respond(p.client, o, 0, challenge.URL, response)
		if problem == nil || problem.Type != c.want || !strings.Contains(problem.Detail, c.words) {
			t.Errorf("%s: %v, want %s with %q", what, problem, c.want.Name(), c.words)
		}
	}
	// A response without a CSR is refused at once, and costs nothing.
	o := p.order(p.client, name)
	challenge := p.offered(p.client, o, 0, acme.OnionCSR01)
	for _, response := range []any{struct{}{}, acme.OnionCSRResponse{CSR: "+++"}, map[string]int{"csr": 1}} {
		_, err := p.client.Post(p.ctx, challenge.URL, response, nil)
		if problem, ok := errors.AsType[*acme.Problem](err); !ok || problem.Type != acme.TypeMalformed {
			t.Errorf("%v: %v, want malformed", response, err)
		}
	}
	p.proveOnion(o, key)
}

// What CAA records of onion services are refused for (RFC 9799 §6).
func TestOnionCAARefuses(t *testing.T) {
	p := startOnion(t)
	name, key := onionService(t)
	_, other := onionService(t)
	o := p.order(p.client, name)
	p.proveOnion(o, key)
	text := func(s string) *string { return &s }
	for what, c := range map[string]struct {
		sets map[string]acme.OnionCAA
		want acme.ProblemType
	}{
		"none":            {nil, acme.TypeOnionCAARequired},
		"another service": {map[string]acme.OnionCAA{"x.onion": signCAA(t, key, nil, time.Hour)}, acme.TypeOnionCAARequired},
		"expired":         {map[string]acme.OnionCAA{name: signCAA(t, key, nil, -time.Second)}, acme.TypeMalformed},
		"for a day":       {map[string]acme.OnionCAA{name: signCAA(t, key, nil, 24*time.Hour)}, acme.TypeMalformed},
		"another key":     {map[string]acme.OnionCAA{name: signCAA(t, other, nil, time.Hour)}, acme.TypeUnauthorized},
		"not records":     {map[string]acme.OnionCAA{name: signCAA(t, key, text("caa issue x"), time.Hour)}, acme.TypeMalformed},
		"not closed":      {map[string]acme.OnionCAA{name: signCAA(t, key, text(`caa 0 issue "ca.example`), time.Hour)}, acme.TypeMalformed},
		"a tab in a tag":  {map[string]acme.OnionCAA{name: signCAA(t, key, text("caa 0 issue\t \";\""), time.Hour)}, acme.TypeMalformed},
		"another CA":      {map[string]acme.OnionCAA{name: signCAA(t, key, text(`caa 0 issue "other.example"`), time.Hour)}, acme.TypeCAA},
		"nobody":          {map[string]acme.OnionCAA{name: signCAA(t, key, text(`caa 0 issue ";"`), time.Hour)}, acme.TypeCAA},
		"another account": {map[string]acme.OnionCAA{name: signCAA(t, key, text(`caa 0 issue "ca.example; accounturi=https://ca.example/1"`), time.Hour)}, acme.TypeCAA},
		"another method":  {map[string]acme.OnionCAA{name: signCAA(t, key, text(`caa 0 issue "ca.example; validationmethods=http-01"`), time.Hour)}, acme.TypeCAA},
		"critical":        {map[string]acme.OnionCAA{name: signCAA(t, key, text(`caa 128 tbs "x"`), time.Hour)}, acme.TypeCAA},
	} {
		problem := p.finalizeOnion(o, c.sets)
		if problem == nil || problem.Type != c.want || len(problem.Subproblems) != 1 {
			t.Errorf("%s: %v, want %s", what, problem, c.want.Name())
		}
	}
	caa := "caa 0 issuewild \";\"\ncaa 0 other \"x\"" // neither counts here
	if problem := p.finalizeOnion(o, map[string]acme.OnionCAA{name: signCAA(t, key, &caa, time.Hour)}); problem != nil {
		t.Error(problem)
	}
}

// Names under .onion are refused unless they are asked for, and only version 3 is taken.
func TestOnionNames(t *testing.T) {
	name, _ := onionService(t)
	closed := startProving(t, func(c *ca.Config) {
		names, err := acme.ParseSubtrees([]string{"onion"})
		if err != nil {
			t.Fatal(err)
		}
		c.Names = names
	})
	open := startOnion(t)
	other := "a" + name[1:] // not the name of a key: its checksum is wrong
	if other == name {
		other = "b" + name[1:]
	}
	for _, c := range []struct {
		p    *proving
		name string
	}{{closed, name}, {open, "expyuzz4wqqyqhjn.onion"}, {open, "onion"}, {open, "*.onion"}, {open, other}} {
		_, err := c.p.client.NewOrder(c.p.ctx, acme.NewOrder{Identifiers: identifiers(c.name)})
		if problem, ok := errors.AsType[*acme.Problem](err); !ok || problem.Type != acme.TypeRejectedIdentifier {
			t.Errorf("%s: %v, want rejectedIdentifier", c.name, err)
		}
	}
}
