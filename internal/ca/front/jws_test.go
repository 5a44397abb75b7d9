package front_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// jws is a body whose signature means nothing.
func jws(protected, payload string) []byte {
	return []byte(`{"protected":"` + b64(protected) + `","payload":"` + b64(payload) + `","signature":"AAAA"}`)
}

func TestJ08EachAlgorithmRegisters(t *testing.T) {
	a := newAuthority(t, nil)
	signers := map[string]func() (crypto.Signer, error){
		"ES256": func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
		"ES384": func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
		"ES512": func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) },
		"RS256": func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
		"EdDSA": func() (crypto.Signer, error) { _, key, err := ed25519.GenerateKey(rand.Reader); return key, err },
	}
	for name, generate := range signers {
		key, err := generate()
		if err != nil {
			t.Fatal(err)
		}
		c := &client{authority: a, key: key}
		t.Log(name)
		c.kid = c.post("/new-account", `{"termsOfServiceAgreed":true}`).want(http.StatusCreated).location()
		c.order("a.test")
	}
}

func TestJ07AndJ09UnsupportedAlgorithmsAreToldWhatIsSupported(t *testing.T) {
	c := newAuthority(t, nil).register()
	for _, alg := range []string{"none", "HS256", "HS384", "HS512", "RS384", "PS256", "ES256K", "es256"} {
		body := jws(`{"alg":"`+alg+`","nonce":"`+c.nonce()+`","url":"`+c.kid+`","kid":"`+c.kid+`"}`, "")
		problem := c.send(c.relative(c.kid), body).wantProblem(http.StatusBadRequest, acme.TypeBadSignatureAlgorithm)
		if !slices.Equal(problem.Algorithms, acme.AlgorithmNames()) {
			t.Errorf("%s: algorithms %v", alg, problem.Algorithms)
		}
	}
}

func TestJ10UnacceptableKeys(t *testing.T) {
	a := newAuthority(t, nil)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{authority: a, key: small}
	c.post("/new-account", `{"termsOfServiceAgreed":true}`).wantProblem(http.StatusBadRequest, acme.TypeBadPublicKey)
}

func TestJ12KeysWhereAccountsSign(t *testing.T) {
	c := newAuthority(t, nil).register()
	urls := everything(c)
	for _, url := range append(urls[:7], c.url+"/new-order", c.url+"/key-change", c.url+"/directory", c.url+"/new-nonce") {
		body := c.signAs(acme.Header{URL: url, Key: jwk(t, c.key)}, "")
		c.send(c.relative(url), body).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	}
	c.post("/new-account", `{"termsOfServiceAgreed":true}`).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
}

func TestJ13AccountsThatDoNotExist(t *testing.T) {
	c := newAuthority(t, nil).register()
	id := strings.TrimPrefix(c.kid, c.url+"/account/")
	for _, kid := range []string{
		c.url + "/account/" + strings.Repeat("A", 24),
		c.url + "/account/" + id + "/",
		c.url + "/account/" + id + "?x",
		c.url + "/account//" + id,
		c.url + "/account/%41" + id[1:],
		c.url + "/order/" + id,
		"https://other.example/account/" + id,
		"https://user@127.0.0.1/account/" + id,
		strings.Replace(c.kid, "https:", "http:", 1),
		strings.Replace(c.kid, "https:", "HTTPS:", 1),
		id,
		"/account/" + id,
		"https://",
		"https:///account/" + id,
	} {
		body := c.signAs(acme.Header{URL: c.kid, KeyID: kid}, "")
		t.Log(kid)
		c.send(c.relative(c.kid), body).wantProblem(http.StatusBadRequest, acme.TypeAccountDoesNotExist)
	}
}

func TestJ14ABadSignatureChangesNothing(t *testing.T) {
	c := newAuthority(t, nil).register()
	forger := &client{c.authority, newKey(t), c.kid}
	before := c.dump()
	forger.post("/new-order", `{"identifiers":[{"type":"dns","value":"a.test"}]}`).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	forger.post(c.kid, `{"status":"deactivated"}`).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	body := forger.signAs(acme.Header{URL: c.url + "/new-account", Key: jwk(t, newKey(t))}, `{"termsOfServiceAgreed":true}`)
	c.send("/new-account", body).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	if c.dump() != before {
		t.Error("a request with a bad signature changed the database")
	}
}

func TestJ15SignedURL(t *testing.T) {
	c := newAuthority(t, nil).register()
	port := c.url[strings.LastIndex(c.url, ":"):]
	_, o := c.order("a.test")
	authz := o.Authorizations[0]
	for _, url := range []string{
		strings.Replace(authz, port, "", 1),
		strings.Replace(authz, port, ":1", 1),
		authz + "/",
		authz + "?",
		authz + "?x=y",
		authz + "#x",
		strings.Replace(authz, "/authz/", "/%61uthz/", 1),
		strings.Replace(authz, "/authz/", "//authz/", 1),
		strings.Replace(authz, "https://127.0.0.1", "HTTPS://127.0.0.1", 1),
		strings.Replace(authz, "https:", "http:", 1),
		strings.Replace(authz, "127.0.0.1", "ca.test", 1),
		c.relative(authz),
		c.kid,
	} {
		body := c.signAs(acme.Header{URL: url}, "")
		t.Log(url)
		c.send(c.relative(authz), body).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	}
	// And the other way round: the right URL is signed, and the request goes to a spelling of it.
	for _, path := range []string{c.relative(authz) + "?x=y", strings.Replace(c.relative(authz), "/authz/", "/%61uthz/", 1)} {
		c.send(path, c.sign(authz, "")).wantProblem(http.StatusNotFound, acme.TypeMalformed)
	}
	upper := http.Header{"Host": {"CA.TEST"}, "Content-Type": {acme.MediaJOSE}}
	body := c.signAs(acme.Header{URL: "https://CA.TEST" + c.relative(authz)}, "")
	c.do(http.MethodPost, c.relative(authz), upper, body).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	// The query of a page of orders is part of its URL.
	c.send(c.relative(c.kid)+"/orders?after=abc", c.sign(c.kid+"/orders", "")).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
}

func TestJ17BodiesAreBounded(t *testing.T) {
	c := newAuthority(t, nil).register()
	body := append(c.sign(c.kid, ""), strings.Repeat(" ", 1<<20)...)
	c.send(c.relative(c.kid), body).wantProblem(http.StatusRequestEntityTooLarge, acme.TypeMalformed)
	req, err := http.NewRequest(http.MethodPost, c.kid, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = -1 // chunked: its size is not known in advance
	req.Header = jose
	resp, err := c.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("chunked: status %d", resp.StatusCode)
	}
}
