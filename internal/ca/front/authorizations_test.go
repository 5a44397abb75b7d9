package front_test

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
)

func TestZ01AndZ03Authorization(t *testing.T) {
	c := newAuthority(t, nil).register()
	_, o := c.order("a.test")
	r := c.fetch(o.Authorizations[0]).want(http.StatusOK)
	authz := read[acme.Authorization](r)
	if authz.Status != acme.StatusPending || authz.Identifier != identifiers("a.test")[0] || authz.Expires == nil || len(authz.Challenges) < 2 {
		t.Errorf("the authorization is %s", r.body)
	}
	if strings.Contains(string(r.body), "wildcard") {
		t.Errorf("wildcard must be absent unless it is true: %s", r.body)
	}
	c.post(authz.Challenges[0].URL, `{}`).want(http.StatusOK)
	valid := read[acme.Authorization](c.fetch(o.Authorizations[0]))
	if valid.Status != acme.StatusValid || len(valid.Challenges) != 1 || valid.Challenges[0].Status != acme.StatusValid ||
		valid.Challenges[0].Validated == nil || !valid.Expires.After(*authz.Expires) {
		t.Errorf("the authorization is %+v", valid)
	}
}

func TestZ04Deactivation(t *testing.T) {
	c := newAuthority(t, nil).register()
	for name, place := range map[string]func(...string) (string, acme.Order){"pending": c.order, "valid": c.ready} {
		url, o := place("a.test")
		authz := o.Authorizations[0]
		c.post(authz, `{"status":"valid"}`).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
		c.post(authz, `{}`).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
		for range 2 {
			if got := read[acme.Authorization](c.post(authz, `{"status":"deactivated"}`).want(http.StatusOK)).Status; got != acme.StatusDeactivated {
				t.Errorf("%s: the authorization is %s", name, got)
			}
		}
		if got := read[acme.Order](c.fetch(url)).Status; got != acme.StatusInvalid {
			t.Errorf("%s: the order is %s", name, got)
		}
		c.post(o.Finalize, csr(t, newKey(t), "a.test")).wantProblem(http.StatusForbidden, acme.TypeOrderNotReady)
	}
	c.worker.outcome = acme.Problemf(acme.TypeConnection, "nobody there")
	_, o := c.order("a.test")
	challenge := read[acme.Authorization](c.fetch(o.Authorizations[0])).Challenges[0].URL
	c.post(challenge, `{}`).want(http.StatusOK)
	c.post(o.Authorizations[0], `{"status":"deactivated"}`).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
}

func TestV01AndV02Challenge(t *testing.T) {
	c := newAuthority(t, nil).register()
	_, o := c.order("a.test")
	challenge := read[acme.Authorization](c.fetch(o.Authorizations[0])).Challenges[0]
	for payload, want := range map[string]acme.ProblemType{
		`[]`: acme.TypeMalformed, `null`: acme.TypeMalformed, `"x"`: acme.TypeMalformed, `{`: acme.TypeMalformed, `{"a":1,"a":2}`: acme.TypeMalformed,
	} {
		c.post(challenge.URL, payload).wantProblem(http.StatusBadRequest, want)
	}
	r := c.fetch(challenge.URL).want(http.StatusOK)
	got := read[acme.Challenge](r)
	if !reflect.DeepEqual(got, challenge) || got.Status != acme.StatusPending || got.Type != acme.HTTP01 || len(got.Token) != 43 || c.worker.checked.Load() != 0 {
		t.Errorf("the challenge is %s", r.body)
	}
	if up := "<" + o.Authorizations[0] + `>;rel="up"`; !slices.Contains(r.Header.Values("Link"), up) {
		t.Errorf("Link %q, want %s", r.Header.Values("Link"), up)
	}
	r = c.post(challenge.URL, `{"keyAuthorization":"ignored"}`).want(http.StatusOK)
	if got := read[acme.Challenge](r); got.Status != acme.StatusValid || got.Validated == nil || got.Error != nil {
		t.Errorf("the challenge is %s", r.body)
	}
}

func TestV03FinalChallengesAreNotRestarted(t *testing.T) {
	c := newAuthority(t, nil).register()
	for name, outcome := range map[string]*acme.Problem{"a.test": nil, "b.test": acme.Problemf(acme.TypeConnection, "nobody there")} {
		c.worker.outcome = outcome
		c.worker.checked.Store(0)
		_, o := c.order(name)
		challenge := read[acme.Authorization](c.fetch(o.Authorizations[0])).Challenges[0].URL
		first := c.post(challenge, `{}`).want(http.StatusOK)
		before := c.dump()
		again := c.post(challenge, `{}`).want(http.StatusOK)
		if string(first.body) != string(again.body) || c.dump() != before || c.worker.checked.Load() != 1 {
			t.Errorf("%s, then %s; %d validations", first.body, again.body, c.worker.checked.Load())
		}
		authz := read[acme.Authorization](c.fetch(o.Authorizations[0])) // Z03: the one that was attempted stays
		if len(authz.Challenges) != 1 || authz.Challenges[0].URL != challenge {
			t.Errorf("the authorization is %+v", authz)
		}
	}
}

func TestV04ProcessingChallenge(t *testing.T) {
	hold := make(chan struct{})
	a := newAuthority(t, func(c *front.Config) { c.ChallengeWait = time.Millisecond })
	a.worker.hold = hold
	c := a.register()
	_, o := c.order("a.test")
	challenge := read[acme.Authorization](c.fetch(o.Authorizations[0])).Challenges[0].URL
	for _, r := range []*answer{c.post(challenge, `{}`), c.post(challenge, `{}`), c.fetch(challenge)} {
		if got := read[acme.Challenge](r.want(http.StatusOK)); got.Status != acme.StatusProcessing || r.Header.Get("Retry-After") != "1" {
			t.Errorf("%s with Retry-After %q", r.body, r.Header.Get("Retry-After"))
		}
	}
	r := c.fetch(o.Authorizations[0]).want(http.StatusOK)
	if got := read[acme.Authorization](r); got.Status != acme.StatusPending || r.Header.Get("Retry-After") != "1" {
		t.Errorf("%s with Retry-After %q", r.body, r.Header.Get("Retry-After"))
	}
	close(hold)
	a.worker.running.Wait()
	r = c.fetch(challenge).want(http.StatusOK)
	if got := read[acme.Challenge](r); got.Status != acme.StatusValid || r.Header.Get("Retry-After") != "" || a.worker.checked.Load() != 1 {
		t.Errorf("%s with Retry-After %q after %d validations", r.body, r.Header.Get("Retry-After"), a.worker.checked.Load())
	}
}
