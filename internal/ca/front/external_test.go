package front_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// give makes a key for external account bindings.
func (a *authority) give(k rules.ExternalKey) acme.ExternalKey {
	a.t.Helper()
	a.update(func(tx *store.Tx) error {
		k = rules.NewExternalKey(k, tx.Now)
		return tx.InsertExternalKey(k)
	})
	return acme.ExternalKey{ID: k.ID, Key: k.MAC}
}

// bound is the payload of a newAccount request of c with a binding.
func (c *client) bound(key acme.ExternalKey) string {
	c.t.Helper()
	binding, err := key.Bind(c.url+"/new-account", jwk(c.t, c.key))
	if err != nil {
		c.t.Fatal(err)
	}
	return withBinding(string(binding))
}

func withBinding(binding string) string {
	return `{"termsOfServiceAgreed":true,"externalAccountBinding":` + binding + `}`
}

// used is how many accounts a key has bound.
func (a *authority) used(id string) (n int) {
	a.t.Helper()
	a.view(func(tx *store.Tx) error {
		key, err := tx.ExternalKey(id)
		n = key.Used
		return err
	})
	return n
}

func TestX01AndX03ExternalAccountBinding(t *testing.T) {
	a := newAuthority(t, nil)
	key := a.give(rules.ExternalKey{})
	for _, algorithm := range acme.MACNames() {
		c := a.stranger()
		key.Algorithm = algorithm
		payload := c.bound(key)
		r := c.post("/new-account", payload).want(http.StatusCreated)
		sent, got := read[map[string]json.RawMessage](&answer{t: t, body: []byte(payload)}), read[map[string]json.RawMessage](r)
		if string(got["externalAccountBinding"]) != string(sent["externalAccountBinding"]) {
			t.Errorf("%s: the account is %s", algorithm, r.body)
		}
		// It stays, and an account that exists needs no other one, nor a right one.
		c.kid = r.location()
		if again := c.fetch(c.kid).want(http.StatusOK); string(again.body) != string(r.body) {
			t.Errorf("later the account is %s", again.body)
		}
		c.kid = ""
		for _, payload := range []string{`{}`, withBinding(`{}`)} {
			if again := c.post("/new-account", payload).want(http.StatusOK); string(again.body) != string(r.body) {
				t.Errorf("found, the account is %s", again.body)
			}
		}
	}
	if used := a.used(key.ID); used != len(acme.MACNames()) {
		t.Errorf("the key was used %d times", used)
	}
}

func TestX01AndX02BindingsThatAreRefused(t *testing.T) {
	a := newAuthority(t, nil)
	key := a.give(rules.ExternalKey{})
	c, other := a.stranger(), a.stranger()
	bindTo := func(key acme.ExternalKey, url string, account *acme.Key) string {
		binding, err := key.Bind(url, account)
		if err != nil {
			t.Fatal(err)
		}
		return string(binding)
	}
	wrong := acme.ExternalKey{ID: key.ID, Key: []byte("another key")}
	unknown := acme.ExternalKey{ID: "unknown", Key: key.Key}
	good, mine := c.url+"/new-account", jwk(t, c.key)
	inner, err := acme.SignJWS(c.key, acme.Header{KeyID: key.ID, URL: good}, []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		binding string
		status  int
		kind    acme.ProblemType
	}{
		"not an object":      {`"x"`, 400, acme.TypeMalformed},
		"not a JWS":          {`{}`, 400, acme.TypeMalformed},
		"signed, not a MAC":  {string(inner), 400, acme.TypeBadSignatureAlgorithm},
		"another url":        {bindTo(key, c.url+"/new-order", mine), 400, acme.TypeMalformed},
		"another account":    {bindTo(key, good, jwk(t, other.key)), 400, acme.TypeMalformed},
		"X02: unknown kid":   {bindTo(unknown, good, mine), 403, acme.TypeUnauthorized},
		"X02: wrong MAC key": {bindTo(wrong, good, mine), 403, acme.TypeUnauthorized},
		"X02: cut MAC":       {strings.Replace(bindTo(key, good, mine), `"signature":"`, `"signature":"AAAA`, 1), 403, acme.TypeUnauthorized},
	} {
		t.Log(name)
		before := a.dump()
		c.post("/new-account", withBinding(test.binding)).wantProblem(test.status, test.kind)
		if a.dump() != before {
			t.Error("the database changed")
		}
	}
	if used := a.used(key.ID); used != 0 {
		t.Errorf("the key was used %d times", used)
	}
}

func TestX03BindingsThatAreIgnoredAreNotReflected(t *testing.T) {
	c := newAuthority(t, func(c *front.Config) { c.Policy.External = rules.Ignored }).stranger()
	r := c.post("/new-account", withBinding(`{"protected":"e30","payload":"","signature":""}`)).want(http.StatusCreated)
	if strings.Contains(string(r.body), "externalAccountBinding") {
		t.Errorf("the account is %s", r.body)
	}
}

func TestX04AndD05BindingsThatAreRequired(t *testing.T) {
	a := newAuthority(t, func(c *front.Config) { c.Policy.External = rules.Required })
	if d := read[acme.Directory](a.get("/directory")); !d.Meta.ExternalAccountRequired {
		t.Errorf("meta %+v", d.Meta)
	}
	c := a.stranger()
	for _, payload := range []string{`{"termsOfServiceAgreed":true}`, withBinding(`null`)} {
		c.post("/new-account", payload).wantProblem(http.StatusBadRequest, acme.TypeExternalAccountRequired)
	}
	c.post("/new-account", `{"onlyReturnExisting":true}`).wantProblem(http.StatusBadRequest, acme.TypeAccountDoesNotExist)
	c.post("/new-account", c.bound(a.give(rules.ExternalKey{}))).want(http.StatusCreated)
	c.post("/new-account", `{}`).want(http.StatusOK)
}

func TestX05KeysEnd(t *testing.T) {
	a := newAuthority(t, nil)
	now := time.Now()
	for name, key := range map[string]rules.ExternalKey{
		"expired":         {Expires: now.Add(-time.Minute)},
		"revoked":         {},
		"used as allowed": {Uses: 1},
	} {
		given := a.give(key)
		switch name {
		case "revoked":
			a.update(func(tx *store.Tx) error {
				before, err := tx.ExternalKey(given.ID)
				if err != nil {
					return err
				}
				return tx.UpdateExternalKey(before, before.Revoke(tx.Now))
			})
		case "used as allowed":
			c := a.stranger()
			c.post("/new-account", c.bound(given)).want(http.StatusCreated)
		}
		c := a.stranger()
		problem := c.post("/new-account", c.bound(given)).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
		if !strings.Contains(problem.Detail, given.ID) {
			t.Errorf("%s: %s", name, problem.Detail)
		}
	}
}

// However many come at once, a key binds as many accounts as it may.
func TestX05UsesAreCountedAtOnce(t *testing.T) {
	a := newAuthority(t, nil)
	const clients, uses = 12, 3
	key := a.give(rules.ExternalKey{Uses: uses})
	var mu sync.Mutex
	statuses := map[int]int{}
	var group sync.WaitGroup
	for range clients {
		c := a.stranger()
		body := c.sign("/new-account", c.bound(key))
		group.Go(func() {
			r := c.send("/new-account", body)
			mu.Lock()
			defer mu.Unlock()
			statuses[r.StatusCode]++
		})
	}
	group.Wait()
	if statuses[http.StatusCreated] != uses || statuses[http.StatusForbidden] != clients-uses || a.used(key.ID) != uses {
		t.Errorf("statuses %v, used %d times", statuses, a.used(key.ID))
	}
}

func TestX05KeysForSomeNamesAlone(t *testing.T) {
	a := newAuthority(t, nil)
	c := a.stranger()
	names, err := acme.ParseSubtrees([]string{"corp.test", "10.1.0.0/16"})
	if err != nil {
		t.Fatal(err)
	}
	c.kid = c.post("/new-account", c.bound(a.give(rules.ExternalKey{Names: names}))).want(http.StatusCreated).location()
	c.order("corp.test", "a.corp.test", "*.corp.test", "10.1.2.3")
	for _, id := range identifiers("a.test", "*.test", "10.2.0.1") {
		data, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		problem := c.post("/new-order", fmt.Sprintf(`{"identifiers":[%s]}`, data)).wantProblem(http.StatusForbidden, acme.TypeRejectedIdentifier)
		if !strings.Contains(problem.Detail, "corp.test, 10.1.0.0/16") {
			t.Errorf("the scope is not in: %s", problem.Detail)
		}
		if _, wildcard := id.Base(); !wildcard {
			c.post("/new-authz", fmt.Sprintf(`{"identifier":%s}`, data)).wantProblem(http.StatusForbidden, acme.TypeRejectedIdentifier)
		}
	}
	// The scope is not that of the authority's policy: the policy still holds.
	c.post("/new-order", `{"identifiers":[{"type":"dns","value":"a.example"}]}`).wantProblem(http.StatusForbidden, acme.TypeRejectedIdentifier)
}

// Keys from the configuration bind like those in the store.
func TestX02KeysFromTheConfiguration(t *testing.T) {
	key := acme.ExternalKey{ID: "kid-1", Key: []byte("0123456789abcdef0123456789abcdef")}
	a := newAuthority(t, func(c *front.Config) { c.ExternalKeys = map[string][]byte{key.ID: key.Key} })
	for range 2 {
		c := a.stranger()
		c.post("/new-account", c.bound(key)).want(http.StatusCreated)
	}
	c := a.stranger()
	c.post("/new-account", c.bound(acme.ExternalKey{ID: key.ID, Key: []byte("x")})).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
}
