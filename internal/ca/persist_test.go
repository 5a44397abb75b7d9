package ca_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// startPersist is an authority that offers dns-persist-01 under two names.
func startPersist(t *testing.T, draft acme.PersistDraft) *proving {
	return startProving(t, func(c *ca.Config) {
		c.Challenges, c.CAAIdentities = ca.Challenges{Persist: draft}, []string{"authority.example", "ca.example.net"}
	})
}

// accountURI is how a record under domain names the client's account, in a draft.
func (p *proving) accountURI(draft acme.PersistDraft, domain string) string {
	p.Helper()
	if draft != acme.PersistDraft02 {
		return p.client.AccountURL()
	}
	directory, err := p.client.Directory(p.ctx)
	if err != nil {
		p.Fatal(err)
	}
	meta := directory.Meta
	if !slices.Equal(meta.IssuerDomainNames, []string{"authority.example", "ca.example.net"}) || meta.AccountHashPrefix == "" {
		p.Fatalf("the directory's meta is %+v", meta)
	}
	thumbprint := strings.TrimPrefix(p.client.KeyAuthorization("x"), "x.")
	return acme.HashedAccountURI(meta.AccountHashPrefix, domain, thumbprint, p.client.AccountURL())
}

func (p *proving) persist(domain string, record acme.PersistRecord) {
	p.zone.add(acme.DNSPersist01Name(domain)+".", record.String())
}

// TestDNSPersist01 gets a certificate for a name, its wildcard, and a name far below that, by two records, in each draft.
func TestDNSPersist01(t *testing.T) {
	for _, draft := range []acme.PersistDraft{acme.PersistDraft00, acme.PersistDraft01, acme.PersistDraft02} {
		t.Run(string(draft), func(t *testing.T) {
			p := startPersist(t, draft)
			names := []string{"a.test", "*.b.test", "x.y.b.test"}
			uri := func(domain string) string { return p.accountURI(draft, domain) }
			p.zone.add("_validation-persist.a.test.", "other.example; accounturi=https://other.example/1")
			p.persist("a.test", acme.PersistRecord{Issuer: "ca.example.net", AccountURI: uri("a.test")})
			p.persist("b.test", acme.PersistRecord{Issuer: "authority.example", AccountURI: uri("b.test"), Wildcard: true})
			o := p.order(p.client, names...)
			for i := range names {
				challenge := p.offered(p.client, o, i, acme.DNSPersist01)
				p.checkPersistChallenge(draft, challenge)
				if problem := p.respond(p.client, o, i, challenge.URL, struct{}{}); problem != nil {
					t.Fatalf("%s: %v", names[i], problem)
				}
				authorization, err := p.client.Authorization(p.ctx, o.Authorizations[i])
				if err != nil || time.Until(*authorization.Expires) > 10*24*time.Hour {
					t.Errorf("BR §3.2.2.4.22: the authorization lasts until %v (%v)", authorization.Expires, err)
				}
			}
			p.checkCA(p.finish(o, names...))
		})
	}
}

// checkPersistChallenge checks the members of a challenge, which are other ones in each draft.
func (p *proving) checkPersistChallenge(draft acme.PersistDraft, c acme.Challenge) {
	p.Helper()
	want := acme.Challenge{Type: acme.DNSPersist01, URL: c.URL, Status: acme.StatusPending}
	names := []string{"authority.example", "ca.example.net"}
	switch draft {
	case acme.PersistDraft00:
		want.IssuerDomains = names
	case acme.PersistDraft01:
		want.IssuerDomains, want.AccountURI = names, p.client.AccountURL()
	case acme.PersistDraft02:
		want.IssuerDomainNames = names
	}
	if fmt.Sprint(c) != fmt.Sprint(want) {
		p.Errorf("the challenge is %+v, want %+v", c, want)
	}
}

// What is wrong with a record is said with the type that the draft gives it (§9.3.1).
func TestDNSPersist01Refuses(t *testing.T) {
	p := startPersist(t, acme.PersistDraft02)
	own := func(domain string) string { return p.accountURI(acme.PersistDraft02, domain) }
	directory, _ := p.client.Directory(p.ctx)
	prefix := directory.Meta.AccountHashPrefix
	thumbprint := strings.TrimPrefix(p.client.KeyAuthorization("x"), "x.")
	for i, c := range []struct {
		at     string // under which domain, with %s for the name
		record string // with %s for the name's own URI
		asked  string
		want   acme.ProblemType
		words  string
	}{
		{"%s", "authority.example; accounturi=", "%s", acme.TypeMalformed, "no accounturi"},
		{"%s", "authority.example; policy=wildcard", "%s", acme.TypeMalformed, "no accounturi"},
		{"%s", "authority.example; accounturi=%s; policy=wildcard; policy=wildcard", "%s", acme.TypeMalformed, "twice"},
		{"%s", "authority.example; accounturi=%s; persistUntil=tomorrow", "%s", acme.TypeMalformed, "persistUntil"},
		{"%s", "authority.example; accounturi=" + p.client.AccountURL(), "%s", acme.TypeMalformed, "accountHashPrefix"},
		{"%s", "authority.example; accounturi=" + prefix + "sha-512/" + thumbprint, "%s", acme.TypeMalformed, "sha-256"},
		{"%s", "authority.example; accounturi=" + prefix + "sha-256/AAAA", "%s", acme.TypeMalformed, "32 octets"},
		{"%s", "authority.example; accounturi=" + prefix + "sha-256/" + thumbprint, "%s", acme.TypeUnauthorized, "not that of this account"},
		{"%s", "authority.example; accounturi=" + own("other.test"), "%s", acme.TypeUnauthorized, "not that of this account"},
		{"%s", "authority.example; accounturi=%s; persistUntil=1721952000", "%s", acme.TypeUnauthorized, "ended on 2024-07-26T00:00:00Z"},
		{"%s", "authority.example; accounturi=%s", "*.%s", acme.TypeUnauthorized, "policy=wildcard"},
		{"%s", "authority.example; accounturi=%s; policy=none", "*.%s", acme.TypeUnauthorized, "policy=wildcard"},
		{"%s", "authority.example; accounturi=%s", "www.%s", acme.TypeUnauthorized, "below"},
		{"%s", "wrong.example; accounturi=%s", "%s", acme.TypeUnauthorized, `must begin with "authority.example;"`},
		{"other.%s", "authority.example; accounturi=%s", "%s", acme.TypeDNS, "NXDOMAIN"},
	} {
		name := fmt.Sprintf("n%d.test", i)
		fill := func(pattern string) string { return strings.ReplaceAll(pattern, "%s", name) }
		p.zone.add(acme.DNSPersist01Name(fill(c.at))+".", strings.ReplaceAll(c.record, "%s", own(name)))
		o := p.order(p.client, fill(c.asked))
		problem := p.respond(p.client, o, 0, p.offered(p.client, o, 0, acme.DNSPersist01).URL, struct{}{})
		if problem == nil || problem.Type != c.want || !strings.Contains(problem.Detail, c.words) {
			t.Errorf("%s for %s: %v, want %s with %q", c.record, c.asked, problem, c.want.Name(), c.words)
		}
	}
}

// An authorization ends with its record's persistUntil (draft -02 §4.1), and one good record is enough.
func TestDNSPersist01Until(t *testing.T) {
	p := startPersist(t, acme.PersistDraft01)
	until := time.Now().Add(2 * time.Hour).Truncate(time.Second)
	uri := p.accountURI(acme.PersistDraft01, "a.test")
	p.zone.add("_validation-persist.a.test.", "authority.example; nonsense")
	p.persist("a.test", acme.PersistRecord{Issuer: "authority.example", AccountURI: uri, Until: time.Unix(1, 0)})
	p.persist("a.test", acme.PersistRecord{Issuer: "authority.example", AccountURI: uri, Until: until})
	o := p.order(p.client, "a.test")
	if problem := p.respond(p.client, o, 0, p.offered(p.client, o, 0, acme.DNSPersist01).URL, struct{}{}); problem != nil {
		t.Fatal(problem)
	}
	authorization, err := p.client.Authorization(p.ctx, o.Authorizations[0])
	if err != nil || !authorization.Expires.Equal(until) {
		t.Errorf("the authorization lasts until %v, want %v (%v)", authorization.Expires, until, err)
	}
	p.checkCA(p.finish(o, "a.test"))
}

// A record made with a key that the account had before still names it (draft -02 §4.2); so does one for all domains.
func TestDNSPersist01AfterKeyChange(t *testing.T) {
	p := startPersist(t, acme.PersistDraft02)
	p.persist("a.test", acme.PersistRecord{Issuer: "authority.example", AccountURI: p.accountURI(acme.PersistDraft02, "a.test")})
	p.persist("b.test", acme.PersistRecord{Issuer: "authority.example", AccountURI: p.accountURI(acme.PersistDraft02, "*")})
	for range 2 {
		p.client = p.changeKey()
	}
	names := []string{"a.test", "b.test"}
	o := p.order(p.client, names...)
	for i := range names {
		if problem := p.respond(p.client, o, i, p.offered(p.client, o, i, acme.DNSPersist01).URL, struct{}{}); problem != nil {
			t.Fatal(problem)
		}
	}
	p.checkCA(p.finish(o, names...))
}

// changeKey gives the account another key and returns a client that has it.
func (p *proving) changeKey() *acme.Client {
	p.Helper()
	directory, err := p.client.Directory(p.ctx)
	if err != nil {
		p.Fatal(err)
	}
	key := catest.NewKey(p.T)
	next, err := acme.NewKey(key.Public())
	if err != nil {
		p.Fatal(err)
	}
	old, err := acme.NewKey(p.key.Public())
	if err != nil {
		p.Fatal(err)
	}
	jwk, err := old.MarshalJSON()
	if err != nil {
		p.Fatal(err)
	}
	payload := fmt.Sprintf(`{"account":%q,"oldKey":%s}`, p.client.AccountURL(), jwk)
	inner, err := acme.SignJWS(key, acme.Header{URL: directory.KeyChange, Key: next}, []byte(payload))
	if err != nil {
		p.Fatal(err)
	}
	if _, err := p.client.Post(p.ctx, directory.KeyChange, json.RawMessage(inner), nil); err != nil {
		p.Fatal(err)
	}
	client := catest.NewClientWithKey(p.T, p.Page().Directory, p.Page().Root, key)
	if _, err := client.Register(p.ctx, acme.NewAccount{OnlyReturnExisting: true}); err != nil {
		p.Fatal(err)
	}
	p.key = key
	return client
}

// meddler does something between a proof and its record.
type meddler struct {
	work.Validator
	meddle func()
}

func (m meddler) Prove(ctx context.Context, r validate.Request) (validate.Result, error) {
	result, err := m.Validator.Prove(ctx, r)
	m.meddle()
	return result, err
}

// The record of an account that is deactivated while it is looked at proves nothing (draft -02 §4.2).
func TestDNSPersist01OfDeactivatedAccount(t *testing.T) {
	var p *proving
	saw := make(chan error, 1)
	p = startProving(t, func(c *ca.Config) {
		c.Challenges, c.CAAIdentities = ca.Challenges{Persist: acme.PersistDraft01}, []string{"authority.example"}
		c.Seams.Validator = func(v work.Validator) work.Validator {
			return meddler{v, func() { saw <- p.client.Deactivate(p.ctx) }}
		}
	})
	p.persist("a.test", acme.PersistRecord{Issuer: "authority.example", AccountURI: p.client.AccountURL()})
	o := p.order(p.client, "a.test")
	if _, err := p.client.Post(p.ctx, p.offered(p.client, o, 0, acme.DNSPersist01).URL, struct{}{}, nil); err == nil {
		t.Log("the response was answered before the account ended")
	}
	if err := <-saw; err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(p.Dir, "cairn.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(t.Context(), func(tx *store.Tx) error {
		a, err := tx.Authz(path.Base(o.Authorizations[0]))
		if err == nil && (a.Status != acme.StatusInvalid || a.Attempted().Error.Type != acme.TypeUnauthorized) {
			t.Errorf("the authorization is %+v", a)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
