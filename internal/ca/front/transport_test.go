package front_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
)

func TestT01PayloadsAreUTF8(t *testing.T) {
	c := newAuthority(t, nil).register()
	c.post(c.kid, "{\"contact\":[\"mailto:\xff@a.test\"]}").wantProblem(http.StatusBadRequest, acme.TypeMalformed)
}

func TestT02PlainHTTPNeverReachesACME(t *testing.T) {
	a := newAuthority(t, nil)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		r := httptest.NewRequest(method, "http://ca.test/new-nonce", nil)
		w := httptest.NewRecorder()
		a.front.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s over plain HTTP: status %d", method, w.Code)
		}
	}
}

func TestT03ScriptsOfAnyOrigin(t *testing.T) {
	c := newAuthority(t, nil).register()
	for name, r := range map[string]*answer{
		"directory": c.get("/directory"),
		"newNonce":  c.get("/new-nonce"),
		"success":   c.fetch(c.kid),
		"problem":   c.post("/new-order", `{}`),
		"no method": c.get("/new-order"),
		"nothing":   c.get("/nothing"),
		"preflight": c.do(http.MethodOptions, "/new-order", nil, nil).want(http.StatusNoContent),
	} {
		exposed := strings.Split(r.Header.Get("Access-Control-Expose-Headers"), ", ")
		slices.Sort(exposed)
		if r.Header.Get("Access-Control-Allow-Origin") != "*" || !slices.Equal(exposed, []string{"Link", "Location", "RateLimit", "RateLimit-Policy", "Replay-Nonce", "Retry-After"}) {
			t.Errorf("%s: headers %v", name, r.Header)
		}
		if r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: may be cached", name)
		}
	}
	h := c.do(http.MethodOptions, "/new-order", nil, nil).Header
	if !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Content-Type") {
		t.Errorf("preflight: headers %v", h)
	}
}

func TestT06MediaType(t *testing.T) {
	c := newAuthority(t, nil).register()
	for contentType, want := range map[string]int{
		"application/jose+json":                       http.StatusOK,
		"Application/JOSE+JSON":                       http.StatusOK,
		"application/jose+json; charset=utf-8":        http.StatusOK,
		`application/jose+json;charset="UTF-8"`:       http.StatusOK,
		"application/jose+json; charset=latin1":       http.StatusUnsupportedMediaType,
		"application/jose+json; v=1":                  http.StatusUnsupportedMediaType,
		"application/jose+json; v=1; charset=utf-8":   http.StatusUnsupportedMediaType,
		"application/jose":                            http.StatusUnsupportedMediaType,
		"application/json":                            http.StatusUnsupportedMediaType,
		"application/x-www-form-urlencoded":           http.StatusUnsupportedMediaType,
		"":                                            http.StatusUnsupportedMediaType,
		"application/jose+json, application/json":     http.StatusUnsupportedMediaType,
		"application/jose+json; charset=utf-8; x=\"y": http.StatusUnsupportedMediaType,
	} {
		r := c.do(http.MethodPost, c.relative(c.kid), http.Header{"Content-Type": {contentType}}, c.sign(c.kid, ""))
		if r.StatusCode != want {
			t.Errorf("Content-Type %q: status %d, want %d", contentType, r.StatusCode, want)
		}
		if want != http.StatusOK {
			r.wantProblem(want, acme.TypeMalformed)
		}
	}
	twice := http.Header{"Content-Type": {acme.MediaJOSE, acme.MediaJOSE}}
	c.do(http.MethodPost, c.relative(c.kid), twice, c.sign(c.kid, "")).wantProblem(http.StatusUnsupportedMediaType, acme.TypeMalformed)
}

// everything lists the URL of each resource that a signature is needed for.
func everything(c *client) []string {
	c.t.Helper()
	key := newKey(c.t)
	_, orderURL := c.issue(key, "everything.test")
	o := read[acme.Order](c.fetch(orderURL).want(http.StatusOK))
	challenge := read[acme.Authorization](c.fetch(o.Authorizations[0])).Challenges[0].URL
	return []string{c.kid, c.kid + "/orders", orderURL, o.Authorizations[0], challenge, o.Certificate,
		o.Finalize, c.url + "/new-account", c.url + "/new-order", c.url + "/revoke-cert", c.url + "/key-change"}
}

func TestT07AndE07OnlyPostReads(t *testing.T) {
	c := newAuthority(t, nil).register()
	for _, url := range everything(c) {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			r := c.do(method, c.relative(url), nil, nil)
			r.wantProblem(http.StatusMethodNotAllowed, acme.TypeMalformed)
			if r.Header.Get("Allow") != "POST, OPTIONS" {
				t.Errorf("%s %s: Allow %q", method, url, r.Header.Get("Allow"))
			}
		}
		if r := c.do(http.MethodHead, c.relative(url), nil, nil); r.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("HEAD %s: status %d", url, r.StatusCode)
		}
	}
	c.do(http.MethodPut, "/directory", nil, nil).wantProblem(http.StatusMethodNotAllowed, acme.TypeMalformed)
}

func TestT08PostAsGet(t *testing.T) {
	c := newAuthority(t, nil).register()
	for _, url := range everything(c)[:6] {
		c.fetch(url).want(http.StatusOK)
	}
}

func TestT09PayloadWhereGetWasMeant(t *testing.T) {
	c := newAuthority(t, nil).register()
	urls := everything(c)
	before := c.fetch(c.kid).body
	if after := c.post(c.kid, `{}`).want(http.StatusOK).body; !bytes.Equal(before, after) {
		t.Errorf("an empty update changed the account: %s, then %s", before, after)
	}
	for _, url := range []string{urls[1], urls[2], urls[5], c.url + "/new-nonce", c.url + "/directory"} {
		c.post(url, `{}`).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	}
	members := read[map[string]string](&answer{t: t, body: c.sign(c.kid, "")})
	c.send(c.relative(c.kid), []byte(`{"protected":"`+members["protected"]+`","signature":"`+members["signature"]+`"}`)).
		wantProblem(http.StatusBadRequest, acme.TypeMalformed)
}

func TestT10DirectoryAndNonceByGetAndPost(t *testing.T) {
	c := newAuthority(t, nil).register()
	byGet, byPost := c.get("/directory").want(http.StatusOK), c.fetch("/directory").want(http.StatusOK)
	if !bytes.Equal(byGet.body, byPost.body) {
		t.Errorf("the directory by GET is %s, by POST %s", byGet.body, byPost.body)
	}
	c.get("/new-nonce").want(http.StatusNoContent)
	c.fetch("/new-nonce").want(http.StatusNoContent)
}

func TestT11WhatBelongsToOthers(t *testing.T) {
	a := newAuthority(t, nil)
	owner, other := a.register(), a.register()
	urls := everything(owner)
	for _, url := range urls[:6] {
		other.fetch(url).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	}
	other.post(urls[6], csr(t, newKey(t), "everything.test")).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	other.post(urls[3], `{"status":"deactivated"}`).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	other.post(urls[4], `{}`).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	other.post(urls[0], `{"status":"deactivated"}`).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	for _, url := range urls[:6] {
		owner.fetch(url).want(http.StatusOK)
	}
}

func TestT12LinkToTheDirectory(t *testing.T) {
	c := newAuthority(t, nil).register()
	want := "<" + c.url + `/directory>;rel="index"`
	for name, r := range map[string]*answer{
		"newNonce":  c.get("/new-nonce"),
		"success":   c.fetch(c.kid),
		"problem":   c.post("/new-order", `{}`),
		"no method": c.get("/new-order"),
		"nothing":   c.get("/nothing"),
		"bad nonce": c.send("/new-order", []byte("{}")),
	} {
		if !slices.Contains(r.Header.Values("Link"), want) {
			t.Errorf("%s: Link %q", name, r.Header.Values("Link"))
		}
	}
	if got := c.get("/directory").Header.Values("Link"); len(got) != 0 {
		t.Errorf("directory: Link %q", got)
	}
}

func TestT13URLsAreNotGuessed(t *testing.T) {
	c := newAuthority(t, nil).register()
	first, _ := c.order("a.test")
	second, _ := c.order("a.test")
	// What follows the time is random: 12 octets, 16 characters.
	if a, b := first[len(first)-16:], second[len(second)-16:]; a == b || len(first) != len(c.url+"/order/")+24 {
		t.Errorf("orders %s and %s", first, second)
	}
}

func TestUnknownPaths(t *testing.T) {
	c := newAuthority(t, nil).register()
	for _, path := range []string{"/", "/nothing", "/order", "/order/", "/order/a/b", "/order/a/finalize/", "/challenge/a",
		"//directory", "/directory/", "/Directory", "/account/%41", "/order/..", "/new-order?x=1", "/root.pem"} {
		c.get(path).wantProblem(http.StatusNotFound, acme.TypeMalformed)
		c.post(path, `{}`).wantProblem(http.StatusNotFound, acme.TypeMalformed)
	}
	for _, path := range []string{"/order/abc", "/authz/abc", "/challenge/abc/http-01", "/certificate/abc"} {
		c.fetch(path).wantProblem(http.StatusNotFound, acme.TypeMalformed)
	}
	_, o := c.order("a.test")
	c.post(strings.Replace(o.Authorizations[0], "/authz/", "/challenge/", 1)+"/dns-00", `{}`).wantProblem(http.StatusNotFound, acme.TypeMalformed)
}

func TestPageIsBesideTheProtocol(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("page " + r.URL.Path)) })
	a := newAuthority(t, func(c *front.Config) { c.Page = page })
	for _, path := range []string{"/", "/root.pem", "/root.der"} {
		if got := string(a.get(path).want(http.StatusOK).body); got != "page "+path {
			t.Errorf("GET %s: %q", path, got)
		}
	}
	a.get("/other").wantProblem(http.StatusNotFound, acme.TypeMalformed)
	a.send("/", []byte("{}")).wantProblem(http.StatusNotFound, acme.TypeMalformed)
	if got := read[acme.Directory](a.get("/directory")).Meta.Website; got != a.url+"/" {
		t.Errorf("website %q", got)
	}
}

// The names of the CA are equal: what was begun under one goes on under another.
func TestOneAccountUnderEachName(t *testing.T) {
	c := newAuthority(t, nil).register()
	port := c.url[strings.LastIndex(c.url, ":"):]
	for host, want := range map[string]string{
		"ca.test":              "https://ca.test",
		"CA.Test" + port:       "https://ca.test" + port,
		"ca.test:443":          "https://ca.test",
		"[::1]" + port:         "https://[::1]" + port,
		"[::1]":                "https://[::1]",
		"evil.example":         "https://ca.internal:8443",
		"ca.test.evil.example": "https://ca.internal:8443",
		"ca.test:99999":        "https://ca.internal:8443",
		"ca.test:08":           "https://ca.internal:8443",
		"CA.internal:8443":     "https://ca.internal:8443",
		"ca.internal:8444":     "https://ca.internal:8443",
	} {
		header := http.Header{"Host": {host}, "Content-Type": {acme.MediaJOSE}}
		directory := read[acme.Directory](c.do(http.MethodGet, "/directory", header, nil))
		if directory.NewOrder != want+"/new-order" {
			t.Errorf("Host %s: newOrder is %s, want it under %s", host, directory.NewOrder, want)
			continue
		}
		path := c.relative(c.kid)
		for _, kid := range []string{want + path, c.kid} {
			body := c.signAs(acme.Header{URL: want + path, KeyID: kid}, "")
			r := c.do(http.MethodPost, path, header, body).want(http.StatusOK)
			if got := read[acme.Account](r).Orders; got != want+path+"/orders" {
				t.Errorf("Host %s: the account's orders are at %s", host, got)
			}
		}
	}
}
