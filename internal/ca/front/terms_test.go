package front_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

const oldTerms = "https://ca.test/terms/2020"

// agreedBefore makes c's account one that agreed to other terms than there are now.
func (c *client) agreedBefore() {
	c.t.Helper()
	c.update(func(tx *store.Tx) error {
		before, err := tx.AccountByKey(jwk(c.t, c.key).Thumbprint())
		if err != nil {
			return err
		}
		return tx.UpdateAccount(before, before.Agree(rules.Policy{TermsOfService: oldTerms}))
	})
}

func TestA11ChangedTermsMustBeAgreedTo(t *testing.T) {
	a := newAuthority(t, func(c *front.Config) { c.Policy.AskAgain = true })
	c := a.register()
	_, o := c.ready("b.test")
	c.agreedBefore()
	var instance string
	for where, payload := range map[string]string{
		"/new-order": `{"identifiers":[{"type":"dns","value":"a.test"}]}`,
		"/new-authz": `{"identifier":{"type":"dns","value":"a.test"}}`,
	} {
		before := a.dump()
		r := c.post(where, payload)
		problem := r.wantProblem(http.StatusForbidden, acme.TypeUserActionRequired)
		if !slices.Equal(r.links("terms-of-service"), []string{terms}) || !strings.HasPrefix(problem.Instance, a.url+"/agree/") {
			t.Errorf("links %q, instance %q", r.Header.Values("Link"), problem.Instance)
		}
		if a.dump() != before {
			t.Error("the database changed")
		}
		instance = problem.Instance
	}
	// What was begun goes on, and whoever wants to go can.
	c.post(o.Finalize, csr(t, newKey(t), "b.test")).want(http.StatusOK)
	c.fetch(c.kid).want(http.StatusOK)
	// A09: an update is no agreement (RFC 8555 §7.3.2).
	c.post(c.kid, `{"termsOfServiceAgreed":true,"contact":[]}`).want(http.StatusOK)
	c.post("/new-order", `{"identifiers":[{"type":"dns","value":"a.test"}]}`).wantProblem(http.StatusForbidden, acme.TypeUserActionRequired)
	// To look is no agreement, either; the button is.
	page := a.get(a.relative(instance)).want(http.StatusOK)
	if !strings.Contains(string(page.body), terms) || !strings.Contains(string(page.body), `method="post"`) || strings.Contains(string(page.body), "<script") ||
		!strings.Contains(page.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the page is %s", page.body)
	}
	c.post("/new-order", `{"identifiers":[{"type":"dns","value":"a.test"}]}`).wantProblem(http.StatusForbidden, acme.TypeUserActionRequired)
	for range 2 {
		thanks := a.do(http.MethodPost, a.relative(instance), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, nil).want(http.StatusOK)
		if !strings.Contains(string(thanks.body), "Thank you") || strings.Contains(string(thanks.body), "<form") {
			t.Errorf("the page is %s", thanks.body)
		}
	}
	c.order("a.test")
}

func TestA11LinksThatAreNotGood(t *testing.T) {
	a := newAuthority(t, func(c *front.Config) { c.Policy.AskAgain = true })
	c, other := a.register(), a.register()
	c.agreedBefore()
	other.agreedBefore()
	link := c.post("/new-order", `{"identifiers":[{"type":"dns","value":"a.test"}]}`).wantProblem(http.StatusForbidden, acme.TypeUserActionRequired).Instance
	token := link[strings.LastIndex(link, "/")+1:]
	id := func(c *client) string { return c.kid[strings.LastIndex(c.kid, "/")+1:] }
	before := a.dump()
	for _, path := range []string{
		"/agree/", "/agree/" + id(c), "/agree/" + id(c) + "/", "/agree/" + id(c) + "/AAAA", "/agree/" + id(other) + "/" + token,
		"/agree/" + id(c) + "/" + token + "/", "/agree//" + token, "/agree/" + id(c) + "/" + token[:10], "/agree/%00/" + token,
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			a.do(method, path, nil, nil).want(http.StatusNotFound)
		}
	}
	a.do(http.MethodDelete, a.relative(link), nil, nil).want(http.StatusMethodNotAllowed)
	if a.dump() != before {
		t.Error("the database changed")
	}
	// A deactivated account agrees to nothing, and once nobody asks, there is no page.
	c.post(c.kid, `{"status":"deactivated"}`).want(http.StatusOK)
	a.do(http.MethodPost, a.relative(link), nil, nil).want(http.StatusForbidden)
	newAuthority(t, nil).get(a.relative(link)).wantProblem(http.StatusNotFound, acme.TypeMalformed)
}

// By default those who agreed to older terms go on.
func TestA11OlderAccountsGoOn(t *testing.T) {
	c := newAuthority(t, nil).register()
	c.agreedBefore()
	c.order("a.test")
}
