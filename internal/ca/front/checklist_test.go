package front_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// RFC 8555 §7.1.6: a client can deactivate its account, a server can revoke it, and neither comes back.
func TestA14AccountsEndForGood(t *testing.T) {
	for _, end := range []acme.Status{acme.StatusDeactivated, acme.StatusRevoked} {
		c := newAuthority(t, nil).register()
		c.update(func(tx *store.Tx) error {
			before, err := tx.AccountByKey(jwk(t, c.key).Thumbprint())
			if err != nil {
				return err
			}
			after := before
			after.Status = end
			return tx.UpdateAccount(before, after)
		})
		before := c.dump()
		for _, payload := range []string{``, `{}`, `{"status":"valid"}`, `{"status":"deactivated"}`, `{"status":"revoked"}`, `{"contact":[]}`} {
			problem := c.post(c.kid, payload).wantProblem(http.StatusUnauthorized, acme.TypeUnauthorized)
			if !strings.Contains(problem.Detail, string(end)) {
				t.Errorf("the problem does not say that the account is %s: %s", end, problem.Detail)
			}
		}
		if c.dump() != before {
			t.Errorf("an account that is %s changed the database", end)
		}
	}
}

// RFC 8555 §7.1.3, §7.1.4.
func TestO04Wildcards(t *testing.T) {
	c := newAuthority(t, nil).register()
	_, o := c.order("*.a.test", "a.test")
	if len(o.Authorizations) != 2 || o.Identifiers[0].Value != "*.a.test" {
		t.Fatalf("the order is %+v", o)
	}
	for i, wildcard := range []bool{true, false} {
		r := c.fetch(o.Authorizations[i]).want(http.StatusOK)
		authz := read[acme.Authorization](r)
		if authz.Identifier.Value != "a.test" || authz.Wildcard != wildcard || strings.Contains(string(r.body), `"wildcard"`) != wildcard {
			t.Errorf("the authorization is %s", r.body)
		}
		for _, challenge := range authz.Challenges {
			if wildcard && (challenge.Type == acme.HTTP01 || challenge.Type == acme.TLSALPN01) {
				t.Errorf("%s is offered for a wildcard", challenge.Type)
			}
		}
	}
	for _, name := range []string{"*.*.a.test", "a.*.test", "*a.test", "a*.test", "*", "*.", "a.test.*", "**.test", "*.10.1.2.3"} {
		c.post("/new-order", fmt.Sprintf(`{"identifiers":[{"type":"dns","value":%q}]}`, name)).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	}
}

// RFC 8555 §7.1.4: letters, digits and hyphens, in lower case, with labels that can be.
func TestO09DomainNames(t *testing.T) {
	c := newAuthority(t, nil).register()
	label := long(63)
	longest := label + "." + label + "." + label + "." + long(56) + ".test" // 253 octets
	if len(longest) != 253 {
		t.Fatal(len(longest))
	}
	for name, want := range map[string]string{
		"UPPER.Test": "upper.test", "a-1.test": "a-1.test", "1.test": "1.test", "xn--bcher-kva.test": "xn--bcher-kva.test",
		"XN--BCHER-KVA.test": "xn--bcher-kva.test", label + ".test": label + ".test", longest: longest,
	} {
		if _, o := c.order(name); len(o.Identifiers) != 1 || o.Identifiers[0].Value != want {
			t.Errorf("%s: the order is for %v, want %s", name, o.Identifiers, want)
		}
	}
	for _, name := range []string{
		"", ".", ".test", "a..test", "a.test.", "-a.test", "a-.test", "a_b.test", "a b.test", "a\u0000.test", "bücher.test", "a/b.test",
		long(64) + ".test", "a" + longest, "ab--c.test", "xn--.test", "xn--a.test", "xn--bcher-KVA1.test", "xn--zzzzzzzz.test", "a.1", "10.1.2.3", "[::1]", "::1",
		"xn--u-ccb.test", // decodes to a name that is not in NFC
	} {
		payload := strings.ReplaceAll(fmt.Sprintf(`{"identifiers":[{"type":"dns","value":%q}]}`, name), `\x00`, `\u0000`)
		c.post("/new-order", payload).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	}
}
