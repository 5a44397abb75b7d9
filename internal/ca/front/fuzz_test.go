package front_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cairn-ca/cairn/acme"
)

// serve hands a POST to the front without a network.
func (a *authority) serve(where string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, a.absolute(where), bytes.NewReader(body))
	r.Header.Set("Content-Type", acme.MediaJOSE)
	w := httptest.NewRecorder()
	a.front.ServeHTTP(w, r)
	return w
}

// checkAnswer fails for whatever no request may cause.
func checkAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code >= 500 || w.Header().Get("Replay-Nonce") == "" {
		t.Fatalf("status %d, nonce %q: %s", w.Code, w.Header().Get("Replay-Nonce"), w.Body)
	}
	if w.Code >= 400 && w.Header().Get("Content-Type") != acme.MediaProblem {
		t.Fatalf("status %d with %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
}

// FuzzRequest sends anything to any place.
func FuzzRequest(f *testing.F) {
	c := newAuthority(f, nil).register()
	_, o := c.order("a.test")
	f.Add("/new-order", c.sign("/new-order", anOrder))
	f.Add("/new-account", c.stranger().sign("/new-account", `{"termsOfServiceAgreed":true}`))
	f.Add("/revoke-cert", []byte(`{"protected":"e30","payload":"","signature":""}`))
	f.Add(c.relative(o.Finalize), jws(`{"alg":"ES256","nonce":"AAAA","url":"x","kid":"x"}`, `{}`))
	f.Add("/order/a/b?c=d", []byte("{"))
	f.Add("/challenge/a/%2f", []byte(nil))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, c.url+"/", bytes.NewReader(body))
		r.Header.Set("Content-Type", acme.MediaJOSE)
		if parsed, err := r.URL.Parse(path); err == nil {
			r.URL.Path, r.URL.RawPath, r.URL.RawQuery = parsed.Path, parsed.RawPath, parsed.RawQuery
		}
		w := httptest.NewRecorder()
		c.front.ServeHTTP(w, r)
		checkAnswer(t, w)
	})
}

// FuzzPayload signs anything, and sends it where a payload is read.
func FuzzPayload(f *testing.F) {
	c := newAuthority(f, nil).register()
	_, pending := c.order("a.test")
	_, ready := c.ready("a.test")
	challenge := read[acme.Authorization](c.fetch(pending.Authorizations[0])).Challenges[0].URL
	places := []string{c.url + "/new-order", c.kid, ready.Finalize, pending.Authorizations[0], challenge,
		c.url + "/revoke-cert", c.url + "/key-change", c.kid + "/orders", c.url + "/directory"}
	for i, payload := range []string{anOrder, `{"contact":["mailto:a@a.test"]}`, `{"csr":"MIIB"}`, `{"status":"valid"}`, `{}`,
		`{"certificate":"MIIB","reason":1}`, string(c.sign("/key-change", `{"account":"x","oldKey":{}}`)), ``, `null`} {
		f.Add(uint8(i), []byte(payload))
	}
	f.Add(uint8(5), []byte(revocation(c.worker.issuer.Raw, "1")))
	f.Fuzz(func(t *testing.T, place uint8, payload []byte) {
		where := places[int(place)%len(places)]
		nonce := httptest.NewRecorder()
		c.front.ServeHTTP(nonce, httptest.NewRequest(http.MethodHead, c.url+"/new-nonce", nil))
		body, err := acme.SignJWS(c.key, acme.Header{Nonce: nonce.Header().Get("Replay-Nonce"), URL: where, KeyID: c.kid}, payload)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(payload, []byte("deactivated")) {
			return // that would be the end of the account, as it should
		}
		checkAnswer(t, c.serve(where, body))
	})
}

// FuzzRevokedCertificate sends anything as the certificate to revoke.
func FuzzRevokedCertificate(f *testing.F) {
	c := newAuthority(f, nil).register()
	der, _ := c.issue(newKey(f), "a.test")
	f.Add(c.worker.issuer.Raw)
	f.Add(der[:len(der)-1])
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, certificate []byte) {
		if bytes.Equal(certificate, der) {
			return
		}
		nonce := httptest.NewRecorder()
		c.front.ServeHTTP(nonce, httptest.NewRequest(http.MethodHead, c.url+"/new-nonce", nil))
		header := acme.Header{Nonce: nonce.Header().Get("Replay-Nonce"), URL: c.url + "/revoke-cert", KeyID: c.kid}
		body, err := acme.SignJWS(c.key, header, []byte(revocation(certificate, "")))
		if err != nil {
			t.Fatal(err)
		}
		w := c.serve("/revoke-cert", body)
		checkAnswer(t, w)
		if w.Code < 400 {
			t.Fatalf("revoked: %x", certificate)
		}
	})
}
