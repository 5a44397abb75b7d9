package front_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// certID is the identifier of a certificate in DER.
func certID(t testing.TB, der []byte) acme.CertID {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	id, err := acme.CertIDOf(cert)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// RFC 9773 §4.1, §4.2: anybody may ask, with GET, and is told when to ask again.
func TestRenewalInfo(t *testing.T) {
	c := newAuthority(t, nil).register()
	der, _ := c.issue(newKey(t), "a.test")
	id := certID(t, der)
	r := c.get("/renewal-info/" + id.String()).want(http.StatusOK)
	info := read[acme.RenewalInfo](r)
	if window := info.SuggestedWindow; !window.End.After(window.Start) || info.ExplanationURL != "" {
		t.Errorf("the window is %s", r.body)
	}
	pause, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || pause < 4*3600 || pause > 8*3600 || r.Header.Get("Content-Type") != acme.MediaJSON || r.nonce() != "" {
		t.Errorf("the headers are %v", r.Header)
	}
	if r.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("scripts of other origins cannot read it")
	}
	if head := c.do(http.MethodHead, "/renewal-info/"+id.String(), nil, nil).want(http.StatusOK); len(head.body) != 0 || head.Header.Get("Retry-After") == "" {
		t.Errorf("HEAD gives %v", head.Header)
	}
	if options := c.do(http.MethodOptions, "/renewal-info/"+id.String(), nil, nil); options.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("Allow: %q", options.Header.Get("Allow"))
	}
	c.post("/renewal-info/"+id.String(), `{}`).wantProblem(http.StatusMethodNotAllowed, acme.TypeMalformed)

	start := time.Now().Add(-5 * time.Hour).Truncate(time.Second)
	asked := &rules.Renewal{Start: start, End: start.Add(time.Hour), Explanation: "https://ca.test/why"}
	c.update(func(tx *store.Tx) error { return tx.SetRenewal(id.Serial(), asked) })
	info = read[acme.RenewalInfo](c.get("/renewal-info/" + id.String()).want(http.StatusOK))
	if !info.SuggestedWindow.Start.Equal(asked.Start) || !info.SuggestedWindow.End.Equal(asked.End) || info.ExplanationURL != asked.Explanation {
		t.Errorf("when asked for, the window is %+v", info)
	}
	c.update(func(tx *store.Tx) error { return tx.SetRenewal(id.Serial(), nil) })
	c.post("/revoke-cert", `{"certificate":"`+b64(string(der))+`"}`).want(http.StatusOK)
	info = read[acme.RenewalInfo](c.get("/renewal-info/" + id.String()).want(http.StatusOK))
	if !info.SuggestedWindow.End.Before(time.Now()) || info.ExplanationURL != "" {
		t.Errorf("after its revocation the window is %+v", info)
	}
}

func TestRenewalInfoOfNothing(t *testing.T) {
	c := newAuthority(t, nil).register()
	der, _ := c.issue(newKey(t), "a.test")
	id := certID(t, der).String()
	key, serial, _ := strings.Cut(id, ".")
	foreign := certID(t, der)
	foreign.KeyID = []byte("somebody else's key!")
	for path, status := range map[string]int{
		"/renewal-info":                                      http.StatusNotFound,
		"/renewal-info/" + key:                               http.StatusNotFound,
		"/renewal-info/" + id + "/x":                         http.StatusNotFound,
		"/renewal-info/" + id + "?x":                         http.StatusNotFound,
		"/renewal-info/" + key + ".AQ":                       http.StatusNotFound,
		"/renewal-info/" + foreign.String():                  http.StatusNotFound,
		"/renewal-info/" + id + "=":                          http.StatusBadRequest,
		"/renewal-info/." + serial:                           http.StatusBadRequest,
		"/renewal-info/" + key + ".AA":                       http.StatusBadRequest,
		"/renewal-info/" + key + "." + serial + "." + serial: http.StatusBadRequest,
	} {
		c.get(path).wantProblem(status, acme.TypeMalformed)
	}
}

// replacing is the payload of an order for names that replaces the certificate id.
func replacing(t testing.TB, id string, names ...string) string {
	t.Helper()
	payload, err := json.Marshal(acme.NewOrder{Identifiers: identifiers(names...), Replaces: id})
	if err != nil {
		t.Fatal(err)
	}
	return string(payload)
}

// RFC 9773 §5: what is accepted is reflected, now and later; the rest is refused.
func TestReplaces(t *testing.T) {
	a := newAuthority(t, nil)
	c := a.register()
	der, _ := c.issue(newKey(t), "a.test", "b.test")
	id := certID(t, der).String()
	foreign := certID(t, der)
	foreign.KeyID = []byte("somebody else's key!")
	key, _, _ := strings.Cut(id, ".")

	c.post("/new-order", replacing(t, "x", "a.test")).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	c.post("/new-order", replacing(t, foreign.String(), "a.test")).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	c.post("/new-order", replacing(t, key+".AQ", "a.test")).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	c.post("/new-order", replacing(t, id, "c.test")).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	a.register().post("/new-order", replacing(t, id, "a.test")).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)

	r := c.post("/new-order", replacing(t, id, "a.test", "c.test")).want(http.StatusCreated)
	if got := read[acme.Order](r); got.Replaces != id {
		t.Errorf("the order replaces %q", got.Replaces)
	}
	if got := read[acme.Order](c.fetch(r.location())); got.Replaces != id || got.Status != acme.StatusPending {
		t.Errorf("later the order is %+v", got)
	}
	c.post("/new-order", replacing(t, id, "a.test")).wantProblem(http.StatusConflict, acme.TypeAlreadyReplaced)

	// An order that has failed replaces nothing; one that has led to a certificate does so for ever.
	for _, authz := range read[acme.Order](c.fetch(r.location())).Authorizations {
		if got := read[acme.Authorization](c.fetch(authz)); got.Status == acme.StatusPending {
			c.post(authz, `{"status":"deactivated"}`).want(http.StatusOK)
		}
	}
	second := c.post("/new-order", replacing(t, id, "b.test", "a.test")).want(http.StatusCreated)
	o := read[acme.Order](second)
	if o.Status != acme.StatusReady {
		t.Fatalf("with authorizations that are valid, the order is %s", o.Status)
	}
	c.post(o.Finalize, csr(t, newKey(t), "a.test", "b.test")).want(http.StatusOK)
	if got := read[acme.Order](c.fetch(second.location())); got.Status != acme.StatusValid || got.Replaces != id {
		t.Errorf("in the end the order is %+v", got)
	}
	c.post("/new-order", replacing(t, id, "a.test")).wantProblem(http.StatusConflict, acme.TypeAlreadyReplaced)
}

// Of twenty orders that replace the same certificate at once, one wins.
func TestReplacesOnce(t *testing.T) {
	c := newAuthority(t, nil).register()
	der, _ := c.issue(newKey(t), "a.test")
	payload := replacing(t, certID(t, der).String(), "a.test")
	for range 3 { // the second and third time, a failed order is replaced by another
		var won, lost atomic.Int32
		var all sync.WaitGroup
		orders := make(chan string, 20)
		for range 20 {
			body := c.sign("/new-order", payload)
			all.Go(func() {
				switch r := c.send("/new-order", body); r.StatusCode {
				case http.StatusCreated:
					won.Add(1)
					orders <- r.location()
				case http.StatusConflict:
					lost.Add(1)
				default:
					t.Errorf("status %d: %s", r.StatusCode, r.body)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 || lost.Load() != 19 {
			t.Fatalf("%d orders replace the certificate, %d do not", won.Load(), lost.Load())
		}
		for _, authz := range read[acme.Order](c.fetch(<-orders)).Authorizations {
			c.post(authz, `{"status":"deactivated"}`).want(http.StatusOK)
		}
	}
}

// O05: valid authorizations serve the next order, which lists them and is ready when all are
// valid. Pending ones are never shared, and a name is not its wildcard.
func TestO05AuthorizationsAreReused(t *testing.T) {
	c := newAuthority(t, nil).register()
	_, first := c.ready("a.test", "b.test")
	_, second := c.order("b.test", "a.test")
	if second.Status != acme.StatusReady || second.Authorizations[0] != first.Authorizations[1] || second.Authorizations[1] != first.Authorizations[0] {
		t.Errorf("the second order is %+v after %+v", second, first)
	}
	_, third := c.order("a.test", "c.test")
	_, fourth := c.order("c.test", "*.a.test")
	if third.Status != acme.StatusPending || third.Authorizations[0] != first.Authorizations[0] || third.Authorizations[1] == fourth.Authorizations[0] {
		t.Errorf("pending orders are %+v and %+v", third, fourth)
	}
	if wildcard := read[acme.Authorization](c.fetch(fourth.Authorizations[1])); wildcard.Status != acme.StatusPending || !wildcard.Wildcard {
		t.Errorf("the wildcard's authorization is %+v", wildcard)
	}
	_, stranger := c.authority.register().order("a.test")
	if stranger.Status != acme.StatusPending || stranger.Authorizations[0] == first.Authorizations[0] {
		t.Error("another account's authorization was given away")
	}
	c.post(first.Authorizations[0], `{"status":"deactivated"}`).want(http.StatusOK)
	if _, after := c.order("a.test"); after.Status != acme.StatusPending {
		t.Error("what was given up is reused")
	}
}

func TestOrdersAreReusedIfTheProfileSaysSo(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		t.Run(fmt.Sprint(reuse), func(t *testing.T) {
			c := newAuthority(t, func(c *front.Config) { c.Policy.Profiles[0].ReuseOrders = reuse }).register()
			url, _ := c.order("a.test", "b.test")
			same, _ := c.order("b.test", "A.test")
			if (same == url) != reuse {
				t.Errorf("two orders for the same names: %s, %s", url, same)
			}
			other, _ := c.order("a.test")
			stranger, _ := c.authority.register().order("a.test", "b.test")
			if other == url || stranger == url {
				t.Error("an order for other names or of another account was taken for the same")
			}
		})
	}
}
