package front_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
)

// preauthorize begins an authorization without an order.
func (c *client) preauthorize(name string, subdomains bool) (url string, a acme.Authorization) {
	c.t.Helper()
	payload, err := json.Marshal(acme.NewAuthorization{Identifier: acme.IdentifierFor(name), Subdomains: subdomains})
	if err != nil {
		c.t.Fatal(err)
	}
	r := c.post("/new-authz", string(payload)).want(http.StatusCreated)
	return r.location(), read[acme.Authorization](r)
}

// proven is preauthorize with the challenge met.
func (c *client) proven(name string, subdomains bool) (url string) {
	c.t.Helper()
	url, authz := c.preauthorize(name, subdomains)
	c.post(authz.Challenges[0].URL, `{}`).want(http.StatusOK)
	if got := read[acme.Authorization](c.fetch(url).want(http.StatusOK)).Status; got != acme.StatusValid {
		c.t.Fatalf("the authorization is %s", got)
	}
	return url
}

func TestZ05NewAuthorization(t *testing.T) {
	c := newAuthority(t, nil).register()
	for _, name := range []string{"A.test", "10.1.2.3"} {
		url, authz := c.preauthorize(name, false)
		if authz.Status != acme.StatusPending || authz.Identifier != acme.IdentifierFor(name) || authz.Wildcard || authz.Subdomains ||
			authz.Expires == nil || len(authz.Challenges) < 2 {
			t.Errorf("the authorization is %+v", authz)
		}
		if later := read[acme.Authorization](c.fetch(url).want(http.StatusOK)); later.Status != authz.Status || later.Identifier != authz.Identifier {
			t.Errorf("later it is %+v", later)
		}
	}
	for payload, want := range map[string]struct {
		status int
		kind   acme.ProblemType
	}{
		`{"identifier":{"type":"dns","value":"*.a.test"}}`:   {403, acme.TypeRejectedIdentifier},
		`{"identifier":{"type":"dns","value":"a.example"}}`:  {403, acme.TypeRejectedIdentifier},
		`{"identifier":{"type":"email","value":"a@a.test"}}`: {403, acme.TypeUnsupportedIdentifier},
		`{"identifier":{"type":"dns","value":"a..test"}}`:    {403, acme.TypeMalformed},
		`{"identifier":{}}`:      {403, acme.TypeMalformed},
		`{}`:                     {403, acme.TypeMalformed},
		`{"identifier":"a"}`:     {400, acme.TypeMalformed},
		`{"identifiers":[]}`:     {403, acme.TypeMalformed},
		``:                       {400, acme.TypeMalformed},
		`{"identifier":[1,2,3]}`: {400, acme.TypeMalformed},
	} {
		t.Log(payload)
		before := c.dump()
		c.post("/new-authz", payload).wantProblem(want.status, want.kind)
		if c.dump() != before {
			t.Error("the database changed")
		}
	}
}

func TestZ06PreauthorizedNamesAreValidInOrders(t *testing.T) {
	a := newAuthority(t, nil)
	c := a.register()
	url := c.proven("a.test", false)
	for range 2 {
		_, o := c.order("a.test")
		if o.Status != acme.StatusReady || !slices.Equal(o.Authorizations, []string{url}) { // O05
			t.Errorf("the order is %+v", o)
		}
		if got := read[acme.Order](c.post(o.Finalize, csr(t, newKey(t), "a.test")).want(http.StatusOK)).Status; got != acme.StatusValid {
			t.Errorf("the order is %s", got)
		}
	}
	_, o := c.order("b.test", "a.test", "*.a.test", "x.a.test")
	if o.Status != acme.StatusPending || len(o.Authorizations) != 4 || o.Authorizations[1] != url {
		t.Errorf("the order is %+v", o)
	}
	// Another account has nothing of it, and what is pending or given up serves nobody.
	if _, o := a.register().order("a.test"); o.Status != acme.StatusPending {
		t.Errorf("another account's order is %+v", o)
	}
	c.post(url, `{"status":"deactivated"}`).want(http.StatusOK)
	c.preauthorize("a.test", false)
	if _, o := c.order("a.test"); o.Status != acme.StatusPending || slices.Contains(o.Authorizations, url) {
		t.Errorf("the order is %+v", o)
	}
}

// RFC 9444 §4.2: one authorization beforehand, many names below it.
func TestSubdomainsAuthorizedBeforehand(t *testing.T) {
	c := newAuthority(t, nil).register()
	if d := read[acme.Directory](c.get("/directory")); !d.Meta.SubdomainAuthAllowed {
		t.Errorf("meta %+v", d.Meta)
	}
	_, authz := c.preauthorize("corp.test", true)
	if !authz.Subdomains || authz.Wildcard || len(authz.Challenges) != 2 || authz.Challenges[0].Type != acme.DNS01 {
		t.Fatalf("the authorization is %+v", authz)
	}
	url := c.proven("corp.test", true)
	_, o := c.order("corp.test", "a.corp.test", "b.c.corp.test")
	if o.Status != acme.StatusReady || !slices.Equal(o.Authorizations, []string{url}) || len(o.Identifiers) != 3 {
		t.Errorf("the order is %+v", o)
	}
	der, _ := c.issue(newKey(t), "a.corp.test")
	for _, name := range []string{"*.corp.test", "xcorp.test", "test"} {
		if _, o := c.order(name); o.Status != acme.StatusPending || slices.Contains(o.Authorizations, url) {
			t.Errorf("%s: the order is %+v", name, o)
		}
	}
	// R02: who may act for the names may revoke.
	other := c.authority.register()
	other.post("/revoke-cert", revocation(der, "")).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	other.proven("corp.test", true)
	other.post("/revoke-cert", revocation(der, "")).want(http.StatusOK)
}

// RFC 9444 §4.3: an order says that control of a domain above can be proven.
func TestSubdomainsAuthorizedInAnOrder(t *testing.T) {
	a := newAuthority(t, nil)
	c := a.register()
	ask := func(names ...string) acme.Order {
		request := acme.NewOrder{Identifiers: identifiers(names...), Ancestors: map[string]string{}}
		for _, name := range names {
			request.Ancestors[name] = "corp.test"
		}
		payload, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		return read[acme.Order](c.post("/new-order", string(payload)).want(http.StatusCreated))
	}
	o := ask("a.corp.test", "b.c.corp.test")
	if !slices.Equal(o.Identifiers, identifiers("a.corp.test", "b.c.corp.test")) || len(o.Authorizations) != 1 {
		t.Fatalf("the order is %+v", o)
	}
	authz := read[acme.Authorization](c.fetch(o.Authorizations[0]).want(http.StatusOK))
	if authz.Identifier.Value != "corp.test" || !authz.Subdomains || len(authz.Challenges) != 2 {
		t.Errorf("the authorization is %+v", authz)
	}
	c.post(authz.Challenges[0].URL, `{}`).want(http.StatusOK)
	if got := read[acme.Order](c.post(o.Finalize, csr(t, newKey(t), "a.corp.test", "b.c.corp.test")).want(http.StatusOK)); got.Status != acme.StatusValid {
		t.Errorf("the order is %+v", got)
	}
	if again := ask("d.corp.test"); again.Status != acme.StatusReady || !slices.Equal(again.Authorizations, o.Authorizations) {
		t.Errorf("the next order is %+v", again)
	}
	for _, wrong := range []string{
		`{"type":"dns","value":"a.corp.test","ancestorDomain":"other.test"}`,
		`{"type":"dns","value":"a.corp.test","ancestorDomain":"a.corp.test"}`,
		`{"type":"dns","value":"a.corp.test","ancestorDomain":"b.a.corp.test"}`,
		`{"type":"dns","value":"a.corp.test","ancestorDomain":"rp.test"}`,
		`{"type":"dns","value":"a.corp.test","ancestorDomain":"-"}`,
		`{"type":"dns","value":"a.corp.test","ancestorDomain":1}`,
		`{"type":"dns","value":"*.a.corp.test","ancestorDomain":"corp.test"}`,
		`{"type":"ip","value":"10.1.2.3","ancestorDomain":"corp.test"}`,
	} {
		t.Log(wrong)
		c.post("/new-order", `{"identifiers":[`+wrong+`]}`).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	}
}

// Where the policy does not allow it, the identifier itself is authorized (RFC 9444 §4.2, §4.3).
func TestSubdomainsThatAreNotAllowed(t *testing.T) {
	c := newAuthority(t, nil).register()
	for _, suffix := range []string{"test"} { // many people's
		if _, authz := c.preauthorize(suffix, true); authz.Subdomains || len(authz.Challenges) < 3 {
			t.Errorf("the authorization is %+v", authz)
		}
	}
	r := c.post("/new-order", `{"identifiers":[{"type":"dns","value":"a.test","ancestorDomain":"test"}]}`).want(http.StatusCreated)
	authz := read[acme.Authorization](c.fetch(read[acme.Order](r).Authorizations[0]))
	if authz.Identifier.Value != "a.test" || authz.Subdomains {
		t.Errorf("the authorization is %+v", authz)
	}
	off := newAuthority(t, func(c *front.Config) { c.Policy.NoSubdomains = true }).register()
	if d := read[acme.Directory](off.get("/directory")); d.Meta.SubdomainAuthAllowed {
		t.Errorf("meta %+v", d.Meta)
	}
	if _, authz := off.preauthorize("corp.test", true); authz.Subdomains {
		t.Errorf("the authorization is %+v", authz)
	}
}
