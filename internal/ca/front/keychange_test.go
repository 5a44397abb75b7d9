package front_test

import (
	"crypto"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// rollover is the payload of a keyChange request: signed with key, for an account and its old key.
func (c *client) rollover(key crypto.Signer, header acme.Header, account string, old crypto.Signer) string {
	c.t.Helper()
	oldKey, err := jwk(c.t, old).MarshalJSON()
	if err != nil {
		c.t.Fatal(err)
	}
	return c.signInner(key, header, fmt.Sprintf(`{"account":%q,"oldKey":%s}`, account, oldKey))
}

func (c *client) signInner(key crypto.Signer, header acme.Header, payload string) string {
	c.t.Helper()
	if header.URL == "" {
		header.URL = c.url + "/key-change"
	}
	if header.KeyID == "" && header.Key == nil {
		header.Key = jwk(c.t, key)
	}
	body, err := acme.SignJWS(key, header, []byte(payload))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(body)
}

func TestK01AndK02EachCheckOfAKeyChange(t *testing.T) {
	a := newAuthority(t, nil)
	c, other := a.register(), a.register()
	fresh := newKey(t)
	good := func() string { return c.rollover(fresh, acme.Header{}, c.kid, c.key) }
	forged := strings.Replace(good(), `"signature":"`, `"signature":"AAAA`, 1)
	for name, payload := range map[string]string{
		"2: not a JWS":              `{"account":"x"}`,
		"2: empty":                  ``,
		"3: kid inside":             c.rollover(fresh, acme.Header{KeyID: c.kid}, c.kid, c.key),
		"4: wrong signature":        forged,
		"4: signed by another key":  c.rollover(newKey(t), acme.Header{Key: jwk(t, fresh)}, c.kid, c.key),
		"5: not a keyChange":        c.signInner(fresh, acme.Header{}, `"x"`),
		"5: account of wrong type":  c.signInner(fresh, acme.Header{}, `{"account":1,"oldKey":{}}`),
		"5: without oldKey":         c.signInner(fresh, acme.Header{}, `{"account":"`+c.kid+`"}`),
		"6: another url":            c.rollover(fresh, acme.Header{URL: c.url + "/new-order"}, c.kid, c.key),
		"7: another account":        c.rollover(fresh, acme.Header{}, other.kid, c.key),
		"8: another old key":        c.rollover(fresh, acme.Header{}, c.kid, other.key),
		"8: the new key as the old": c.rollover(fresh, acme.Header{}, c.kid, fresh),
		"K02: a nonce inside":       c.rollover(fresh, acme.Header{Nonce: "AAAA"}, c.kid, c.key),
	} {
		t.Log(name)
		before := c.dump()
		c.post("/key-change", payload).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
		if c.dump() != before {
			t.Error("the database changed")
		}
	}
	dead := a.register()
	dead.post(dead.kid, `{"status":"deactivated"}`).want(http.StatusOK)
	dead.post("/key-change", dead.rollover(newKey(t), acme.Header{}, dead.kid, dead.key)).
		wantProblem(http.StatusUnauthorized, acme.TypeUnauthorized)
	c.post("/key-change", good()).want(http.StatusOK)
}

func TestK03KeyThatIsTaken(t *testing.T) {
	a := newAuthority(t, nil)
	c, other := a.register(), a.register()
	for key, holder := range map[crypto.Signer]string{other.key: other.kid, c.key: c.kid} {
		r := c.post("/key-change", c.rollover(key, acme.Header{}, c.kid, c.key))
		r.wantProblem(http.StatusConflict, acme.TypeMalformed)
		if r.location() != holder {
			t.Errorf("Location %q, want %q", r.location(), holder)
		}
	}
}

func TestK04AndV13KeyChange(t *testing.T) {
	c := newAuthority(t, nil).register()
	_, o := c.order("a.test")
	old := *c
	c.key = newKey(t)
	before := read[acme.Account](old.fetch(old.kid))
	r := old.post("/key-change", c.rollover(c.key, acme.Header{}, c.kid, old.key)).want(http.StatusOK)
	if after := read[acme.Account](r); after.Orders != before.Orders || after.Status != acme.StatusValid {
		t.Errorf("the account is %s", r.body)
	}
	old.fetch(old.kid).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	c.fetch(c.kid).want(http.StatusOK)
	// What was pending goes on, with the key that the account has now (RFC 8555 §8.3).
	authz := read[acme.Authorization](c.fetch(o.Authorizations[0]).want(http.StatusOK))
	c.post(authz.Challenges[0].URL, `{}`).want(http.StatusOK)
	id := o.Authorizations[0][strings.LastIndex(o.Authorizations[0], "/")+1:]
	c.view(func(tx *store.Tx) error {
		saved, err := tx.Authz(id)
		if err != nil {
			return err
		}
		want := acme.KeyAuthorization(authz.Challenges[0].Token, jwk(t, c.key).Thumbprint())
		if got := saved.Challenges[0].KeyAuthorization; got != want {
			t.Errorf("key authorization %q, want %q", got, want)
		}
		return nil
	})
	// The old key is free again.
	old.kid = ""
	if got := old.post("/new-account", `{"termsOfServiceAgreed":true}`).want(http.StatusCreated).location(); got == c.kid {
		t.Error("the old key leads to the account still")
	}
}

func TestK05WeakAndBlockedKeys(t *testing.T) {
	c := newAuthority(t, nil).register()
	weak := smallRSA(t)
	c.post("/key-change", c.rollover(weak, acme.Header{}, c.kid, c.key)).wantProblem(http.StatusBadRequest, acme.TypeBadPublicKey)
	blocked := newKey(t)
	c.block(blocked)
	c.post("/key-change", c.rollover(blocked, acme.Header{}, c.kid, c.key)).wantProblem(http.StatusBadRequest, acme.TypeBadPublicKey)
	stranger := &client{authority: c.authority, key: blocked}
	stranger.post("/new-account", `{"termsOfServiceAgreed":true}`).wantProblem(http.StatusBadRequest, acme.TypeBadPublicKey)
}
