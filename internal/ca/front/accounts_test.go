package front_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

func TestD01ToD04Directory(t *testing.T) {
	a := newAuthority(t, nil)
	r := a.get("/directory").want(http.StatusOK)
	if got := r.Header.Get("Content-Type"); got != acme.MediaJSON {
		t.Errorf("Content-Type %q", got)
	}
	d := read[acme.Directory](r)
	for _, url := range []string{d.NewNonce, d.NewAccount, d.NewOrder, d.RevokeCert, d.KeyChange, d.RenewalInfo} {
		if !strings.HasPrefix(url, a.url+"/") {
			t.Errorf("URL %q", url)
		}
	}
	if d.Meta == nil || d.Meta.TermsOfService != terms || d.Meta.Profiles["classic"] == "" || d.Meta.ExternalAccountRequired {
		t.Errorf("meta %+v", d.Meta)
	}
	members := read[map[string]json.RawMessage](r)
	if d.NewAuthz != a.url+"/new-authz" || len(members) != 9 { // D02: it is there, and so is its URL
		t.Errorf("the directory has %d members: %s", len(members), r.body)
	}
	if a.do(http.MethodHead, "/directory", nil, nil).want(http.StatusOK).ContentLength != int64(len(r.body)) {
		t.Error("HEAD and GET of the directory differ")
	}
	// D04: one member is unknown to every client, and another with every start.
	other := read[map[string]json.RawMessage](newAuthority(t, nil).get("/directory"))
	var unknown []string
	for name := range members {
		if _, ok := other[name]; !ok {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) != 1 {
		t.Errorf("unknown members: %q", unknown)
	}
}

func TestA01ToA03AndA05Registration(t *testing.T) {
	a := newAuthority(t, nil)
	c := a.stranger()
	r := c.post("/new-account", `{"termsOfServiceAgreed":true,"contact":["mailto:a@a.test"],"status":"revoked","orders":"x","unknown":1}`).want(http.StatusCreated)
	url := r.location()
	account := read[acme.Account](r)
	if account.Status != acme.StatusValid || account.Orders != url+"/orders" || !slices.Equal(account.Contact, []string{"mailto:a@a.test"}) || !account.TermsOfServiceAgreed {
		t.Errorf("the account is %s", r.body)
	}
	if members := read[map[string]any](r); len(members) != 4 { // A05
		t.Errorf("the account has members that nobody asked for: %s", r.body)
	}
	for _, payload := range []string{`{"termsOfServiceAgreed":true,"contact":["mailto:b@b.test"]}`, `{"onlyReturnExisting":true}`, `{}`, `{"contact":["tel:1"]}`} {
		again := c.post("/new-account", payload).want(http.StatusOK)
		if again.location() != url || string(again.body) != string(r.body) {
			t.Errorf("%s: %s at %s, want %s at %s", payload, again.body, again.location(), r.body, url)
		}
	}
}

func TestA04OnlyReturnExisting(t *testing.T) {
	a := newAuthority(t, nil)
	before := a.dump()
	a.stranger().post("/new-account", `{"onlyReturnExisting":true,"termsOfServiceAgreed":true}`).
		wantProblem(http.StatusBadRequest, acme.TypeAccountDoesNotExist)
	if a.dump() != before {
		t.Error("an account was created")
	}
}

func TestA06TermsOfService(t *testing.T) {
	a := newAuthority(t, nil)
	for _, payload := range []string{`{}`, `{"termsOfServiceAgreed":false}`} {
		a.stranger().post("/new-account", payload).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	}
	free := newAuthority(t, func(c *front.Config) { c.Policy.TermsOfService = "" })
	free.stranger().post("/new-account", `{}`).want(http.StatusCreated)
}

func TestA07AndA08Contacts(t *testing.T) {
	a := newAuthority(t, nil)
	for contact, want := range map[string]acme.ProblemType{
		"tel:+123":                   acme.TypeUnsupportedContact,
		"https://a.test":             acme.TypeUnsupportedContact,
		"mailto:":                    acme.TypeInvalidContact,
		"mailto:a":                   acme.TypeInvalidContact,
		"mailto:a@a.test?subject=b":  acme.TypeInvalidContact,
		"mailto:a@a.test,b@b.test":   acme.TypeInvalidContact,
		"a@a.test":                   acme.TypeInvalidContact,
		"mailto:A <a@a.test>":        acme.TypeInvalidContact,
		"mailto:" + long(400) + "@a": acme.TypeInvalidContact,
	} {
		payload := fmt.Sprintf(`{"termsOfServiceAgreed":true,"contact":[%q]}`, contact)
		a.stranger().post("/new-account", payload).wantProblem(http.StatusBadRequest, want)
	}
}

func long(n int) string { return strings.Repeat("a", n) }

func TestA09AndA10Update(t *testing.T) {
	c := newAuthority(t, nil).register()
	for _, step := range []struct{ payload, contact string }{
		{`{"contact":["mailto:a@a.test","mailto:b@a.test"]}`, "mailto:a@a.test mailto:b@a.test"},
		{`{"status":"valid","orders":"https://x","termsOfServiceAgreed":false,"unknown":[]}`, "mailto:a@a.test mailto:b@a.test"},
		{`{"status":"revoked"}`, "mailto:a@a.test mailto:b@a.test"},
		{`{"contact":["mailto:c@a.test"]}`, "mailto:c@a.test"},
		{`{"contact":null}`, "mailto:c@a.test"},
		{`{"contact":[]}`, ""},
	} {
		updated := c.post(c.kid, step.payload).want(http.StatusOK)
		for _, r := range []*answer{updated, c.fetch(c.kid)} {
			account := read[acme.Account](r)
			if strings.Join(account.Contact, " ") != step.contact || account.Status != acme.StatusValid ||
				account.Orders != c.kid+"/orders" || !account.TermsOfServiceAgreed {
				t.Errorf("after %s: %s", step.payload, r.body)
			}
		}
	}
}

func TestA12A13AndA16Deactivation(t *testing.T) {
	a := newAuthority(t, nil)
	c := a.register()
	orderURL, o := c.ready("a.test")
	if got := read[acme.Account](c.post(c.kid, `{"status":"deactivated"}`).want(http.StatusOK)).Status; got != acme.StatusDeactivated {
		t.Errorf("status %s", got)
	}
	before := c.dump()
	for _, url := range []string{c.kid, c.kid + "/orders", orderURL, o.Authorizations[0], c.url + "/directory", c.url + "/new-nonce"} {
		c.fetch(url).wantProblem(http.StatusUnauthorized, acme.TypeUnauthorized)
	}
	c.post(c.kid, `{"status":"valid"}`).wantProblem(http.StatusUnauthorized, acme.TypeUnauthorized)
	c.post("/new-order", `{"identifiers":[{"type":"dns","value":"a.test"}]}`).wantProblem(http.StatusUnauthorized, acme.TypeUnauthorized)
	c.post(o.Finalize, csr(t, newKey(t), "a.test")).wantProblem(http.StatusUnauthorized, acme.TypeUnauthorized)
	// A16: the key is spent.
	c.kid = ""
	for _, payload := range []string{`{"termsOfServiceAgreed":true}`, `{"onlyReturnExisting":true}`} {
		c.post("/new-account", payload).wantProblem(http.StatusUnauthorized, acme.TypeUnauthorized)
	}
	if c.dump() != before {
		t.Error("a deactivated account changed the database")
	}
}

// What an account asked for while it ended, or while its key was changed, is not done.
func TestA13RequestsUnderWay(t *testing.T) {
	c := newAuthority(t, nil).register()
	var asked rules.Account
	find := func(tx *store.Tx) (err error) {
		asked, err = tx.AccountByKey(jwk(t, c.key).Thumbprint())
		return err
	}
	c.view(find)
	c.view(func(tx *store.Tx) error { return front.Actor(tx, asked) })
	old := c.key
	c.key = newKey(t)
	(&client{c.authority, old, c.kid}).post("/key-change", c.rollover(c.key, acme.Header{}, c.kid, old)).want(http.StatusOK)
	c.view(func(tx *store.Tx) error {
		var problem *acme.Problem
		if err := front.Actor(tx, asked); !errors.As(err, &problem) || problem.Status != http.StatusForbidden {
			t.Errorf("after a change of key: %v", err)
		}
		return nil
	})
	c.view(find)
	c.post(c.kid, `{"status":"deactivated"}`).want(http.StatusOK)
	c.view(func(tx *store.Tx) error {
		var problem *acme.Problem
		if err := front.Actor(tx, asked); !errors.As(err, &problem) || problem.Status != http.StatusUnauthorized {
			t.Errorf("after deactivation: %v", err)
		}
		return nil
	})
}

func TestA15OneAccountForOneKey(t *testing.T) {
	c := newAuthority(t, nil).stranger()
	const clients = 12
	var mu sync.Mutex
	locations, statuses := map[string]bool{}, map[int]int{}
	var group sync.WaitGroup
	for range clients {
		body := c.sign("/new-account", `{"termsOfServiceAgreed":true}`)
		group.Go(func() {
			r := c.send("/new-account", body)
			mu.Lock()
			defer mu.Unlock()
			locations[r.location()] = true
			statuses[r.StatusCode]++
		})
	}
	group.Wait()
	if len(locations) != 1 || statuses[http.StatusCreated] != 1 || statuses[http.StatusOK] != clients-1 {
		t.Errorf("accounts %v, statuses %v", locations, statuses)
	}
}

// A page ends early where its orders have very many authorizations, and nothing is lost.
func TestO10OrdersForManyNames(t *testing.T) {
	c := newAuthority(t, nil).register()
	var names, want []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("n%d.test", i))
	}
	for range 11 {
		url, _ := c.order(names...)
		want = append(want, url)
	}
	slices.Sort(want)
	slices.Reverse(want)
	var got []string
	var pages []int
	for url := c.kid + "/orders"; url != ""; {
		r := c.fetch(url).want(http.StatusOK)
		list := read[acme.OrderList](r).Orders
		got, pages = append(got, list...), append(pages, len(list))
		url = next(r)
	}
	if !slices.Equal(got, want) || !slices.Equal(pages, []int{5, 5, 1}) {
		t.Errorf("%d orders on pages of %v", len(got), pages)
	}
}

func TestO10OrdersList(t *testing.T) {
	c := newAuthority(t, nil).register()
	if got := string(c.fetch(c.kid + "/orders").want(http.StatusOK).body); got != `{"orders":[]}` {
		t.Errorf("without orders: %s", got)
	}
	const total = 103
	var want []string
	for range total {
		url, _ := c.order("a.test")
		want = append(want, url)
	}
	slices.Sort(want) // IDs sort by age, to the millisecond
	slices.Reverse(want)
	// An invalid one is left out; orders that come while we walk neither repeat nor hide any.
	_, spoilt := c.order("a.test")
	c.post(spoilt.Authorizations[0], `{"status":"deactivated"}`).want(http.StatusOK)
	var got []string
	pages := 0
	for url := c.kid + "/orders"; url != ""; pages++ {
		r := c.fetch(url).want(http.StatusOK)
		got = append(got, read[acme.OrderList](r).Orders...)
		url = next(r)
		c.order("late.test")
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %d orders, want %d, the newest first", len(got), len(want))
	}
	if pages != 3 {
		t.Errorf("%d pages", pages)
	}
	c.fetch(c.kid+"/orders?after=%2e").wantProblem(http.StatusNotFound, acme.TypeMalformed)
	other := c.register()
	if got := string(other.fetch(other.kid + "/orders").body); got != `{"orders":[]}` {
		t.Errorf("another account: %s", got)
	}
}

// next is the URL of the Link header with relation "next", or "".
func next(r *answer) string {
	for _, value := range r.Header.Values("Link") {
		if url, ok := strings.CutSuffix(value, `>;rel="next"`); ok {
			return strings.TrimPrefix(url, "<")
		}
	}
	return ""
}
