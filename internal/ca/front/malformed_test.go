package front_test

import (
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
)

// bad is a request that must be refused.
type bad struct {
	name   string
	where  string // a path or URL
	body   []byte
	status int
	kind   acme.ProblemType
}

// scene is what malformed requests are about.
type scene struct {
	*client               // with an account
	other         *client // with another account
	pending       acme.Order
	ready         acme.Order
	theirs        string // an order of other's
	theirFinalize string
	certificate   []byte // of client's
	theirCert     []byte // of other's
}

func newScene(t testing.TB) *scene {
	a := newAuthority(t, nil)
	s := &scene{client: a.register(), other: a.register()}
	_, s.pending = s.client.order("pending.test")
	_, s.ready = s.client.ready("ready.test")
	var theirs acme.Order
	s.theirs, theirs = s.other.ready("theirs.test")
	s.theirFinalize = theirs.Finalize
	s.certificate, _ = s.client.issue(newKey(t), "cert.test")
	s.theirCert, _ = s.other.issue(newKey(t), "their-cert.test")
	return s
}

func TestT04J01ToJ05AndJ17FormsThatAreRefused(t *testing.T) { refuse(t, badForms) }

func TestJ04J06J11AndJ16HeadersThatAreRefused(t *testing.T) { refuse(t, badHeaders) }

func TestJ10J11AndJ12KeysThatAreRefused(t *testing.T) { refuse(t, badSigners) }

// Each problem has the members and the media type of RFC 8555 §6.7, and a type that is registered, or proposed in a
// draft that docs/divergences.md names.
func TestE01ToE04Problems(t *testing.T) {
	s := newScene(t)
	registered := strings.Fields(`accountDoesNotExist alreadyReplaced alreadyRevoked autoRenewalCanceled
		autoRenewalExpired autoRenewalCancellationInvalid autoRenewalRevocationNotSupported badCSR badNonce badPublicKey
		badRevocationReason badSignatureAlgorithm caa compound connection dns externalAccountRequired incorrectResponse
		invalidContact malformed onionCAARequired orderNotReady rateLimited rejectedIdentifier serverInternal tls
		unauthorized unknownDelegation unsupportedContact unsupportedIdentifier userActionRequired invalidProfile`)
	rows := []bad{
		{name: "no nonce", where: "/new-order", body: jws(`{"alg":"ES256","url":"`+s.url+`/new-order","kid":"`+s.kid+`"}`, anOrder)},
		{name: "several names", where: "/new-order", body: s.sign("/new-order", `{"identifiers":[{"type":"dns","value":"a.example"},{"type":"dns","value":"-"}]}`)},
		{name: "not there", where: "/nothing", body: s.sign("/nothing", ``)},
		{name: "profile", where: "/new-order", body: s.sign("/new-order", `{"identifiers":[{"type":"dns","value":"a.test"}],"profile":"none"}`)},
	}
	for _, part := range []func(*scene) []bad{badForms, badHeaders, badSigners, badPayloads, badAccounts, badRights} {
		rows = append(rows, part(s)...)
	}
	for _, row := range rows {
		r := s.send(s.relative(row.where), row.body)
		if r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: media type %q", row.name, r.Header.Get("Content-Type"))
		}
		problem := read[map[string]any](r)
		if problem["status"] != float64(r.StatusCode) || problem["detail"] == "" || problem["identifier"] != nil {
			t.Errorf("%s: %s", row.name, r.body)
		}
		subproblems, _ := problem["subproblems"].([]any)
		for _, one := range append(subproblems, problem) {
			urn, _ := one.(map[string]any)["type"].(string)
			name, ours := strings.CutPrefix(urn, "urn:ietf:params:acme:error:")
			if !ours || !slices.Contains(registered, name) {
				t.Errorf("%s: type %q", row.name, urn)
			}
		}
	}
}

func TestMalformedRequests(t *testing.T) { refuse(t, badPayloads, badAccounts, badRights) }

// refuse sends what is bad: each request gets its problem, and changes nothing.
func refuse(t *testing.T, parts ...func(*scene) []bad) {
	s := newScene(t)
	for _, part := range parts {
		for _, row := range part(s) {
			t.Run(row.name, func(t *testing.T) {
				before := s.dump()
				r := s.send(s.relative(row.where), row.body)
				r.t = t
				r.wantProblem(row.status, row.kind)
				if s.dump() != before {
					t.Error("the database changed")
				}
				if r.nonce() == "" {
					t.Error("no fresh nonce")
				}
				s.fetch(s.kid).want(http.StatusOK) // the server stays well
			})
		}
	}
	s.post(s.ready.Finalize, csr(t, newKey(t), "ready.test")).want(http.StatusOK)
	s.other.post(s.theirFinalize, csr(t, newKey(t), "theirs.test")).want(http.StatusOK)
}

const anOrder = `{"identifiers":[{"type":"dns","value":"new.test"}]}`

// edit changes the members of a signed request.
func edit(t testing.TB, body []byte, change func(map[string]any)) []byte {
	t.Helper()
	members := read[map[string]any](&answer{t: t, body: body})
	change(members)
	edited, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return edited
}

func set(name string, value any) func(map[string]any) {
	return func(m map[string]any) { m[name] = value }
}

func without(name string) func(map[string]any) { return func(m map[string]any) { delete(m, name) } }

// badForms are no JWS in flattened JSON (RFC 8555 §6.2).
func badForms(s *scene) []bad {
	where := s.url + "/new-order"
	signed := func() []byte { return s.sign(where, anOrder) }
	members := read[map[string]string](&answer{t: s.t, body: signed()})
	compact := members["protected"] + "." + members["payload"] + "." + members["signature"]
	deep := strings.Repeat(`[`, front.MaxBody/2) + strings.Repeat(`]`, front.MaxBody/2-16)
	rows := []bad{
		{name: "empty body", body: nil},
		{name: "not JSON", body: []byte("hello")},
		{name: "null", body: []byte("null")},
		{name: "an array", body: []byte("[]")},
		{name: "an empty object", body: []byte("{}")},
		{name: "truncated", body: signed()[:40]},
		{name: "something after it", body: append(signed(), '{', '}')},
		{name: "nested deeply", body: []byte(deep)},
		{name: "nested deeply in a member", body: []byte(`{"x":` + strings.Repeat(`{"x":`, 9000) + `1` + strings.Repeat(`}`, 9001))},
		{name: "NUL", body: []byte("{\x00}")},
		{name: "compact serialization", body: []byte(compact)},
		{name: "compact serialization as a string", body: []byte(`"` + compact + `"`)},
		{name: "general serialization", body: edit(s.t, signed(), func(m map[string]any) {
			m["signatures"] = []any{map[string]any{"protected": m["protected"], "signature": m["signature"]}}
			delete(m, "protected")
			delete(m, "signature")
		})},
		{name: "signatures beside signature", body: edit(s.t, signed(), set("signatures", []any{}))},
		{name: "an unprotected header", body: edit(s.t, signed(), set("header", map[string]any{"kid": s.kid}))},
		{name: "an empty unprotected header", body: edit(s.t, signed(), set("header", map[string]any{}))},
		{name: "no payload", body: edit(s.t, signed(), without("payload"))},
		{name: "no protected", body: edit(s.t, signed(), without("protected"))},
		{name: "no signature", body: edit(s.t, signed(), without("signature"))},
		{name: "payload null", body: edit(s.t, signed(), set("payload", nil))},
		{name: "payload an object", body: edit(s.t, signed(), set("payload", map[string]any{}))},
		{name: "protected an object", body: edit(s.t, signed(), set("protected", map[string]any{}))},
		{name: "signature a number", body: edit(s.t, signed(), set("signature", 1))},
		{name: "payload padded", body: edit(s.t, signed(), set("payload", "e30="))},
		{name: "payload with a line break", body: edit(s.t, signed(), set("payload", "e3\n0"))},
		{name: "payload in the alphabet of base64", body: edit(s.t, signed(), set("payload", "+/+/"))},
		{name: "payload of impossible length", body: edit(s.t, signed(), set("payload", "A"))},
		{name: "protected padded", body: edit(s.t, signed(), func(m map[string]any) { m["protected"] = m["protected"].(string) + "=" })},
		{name: "signature padded", body: edit(s.t, signed(), func(m map[string]any) { m["signature"] = m["signature"].(string) + "==" })},
		{name: "payload twice", body: append([]byte(`{"payload":"",`), signed()[1:]...)},
		{name: "member in another case", body: []byte(strings.Replace(string(signed()), `"payload"`, `"Payload"`, 1))},
		{name: "signature of another payload", body: edit(s.t, signed(), set("payload", b64(`{}`)))},
		{name: "empty signature", body: edit(s.t, signed(), set("signature", ""))},
		{name: "signature too short", body: edit(s.t, signed(), func(m map[string]any) { m["signature"] = m["signature"].(string)[:80] })},
		{name: "signature in DER", body: edit(s.t, signed(), set("signature", derSignature(s)))},
	}
	for i := range rows {
		rows[i].where, rows[i].status, rows[i].kind = where, http.StatusBadRequest, acme.TypeMalformed
	}
	return append(rows, bad{"oversized", where, append(signed(), strings.Repeat(" ", front.MaxBody)...),
		http.StatusRequestEntityTooLarge, acme.TypeMalformed})
}

// derSignature is an ECDSA signature in the form of X.509, which is not that of JWS (RFC 7518 §3.4).
func derSignature(s *scene) string {
	der, err := s.key.Sign(rand.Reader, make([]byte, 32), crypto.SHA256)
	if err != nil {
		s.t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(der)
}

// badHeaders are wrong in the protected header.
func badHeaders(s *scene) []bad {
	where := s.url + "/new-order"
	header := func(alg, rest string) []byte {
		return jws(`{"alg":`+alg+`,"nonce":"`+s.nonce()+`"`+rest+`}`, anOrder)
	}
	url, kid := fmt.Sprintf(`,"url":%q`, where), fmt.Sprintf(`,"kid":%q`, s.kid)
	key, err := jwk(s.t, s.key).MarshalJSON()
	if err != nil {
		s.t.Fatal(err)
	}
	rows := []bad{
		{name: "header not JSON", body: jws("x", anOrder)},
		{name: "header null", body: jws("null", anOrder)},
		{name: "header an array", body: jws("[]", anOrder)},
		{name: "no alg", body: jws(`{"nonce":"`+s.nonce()+`"`+url+kid+`}`, anOrder)},
		{name: "alg a number", body: header("1", url+kid)},
		{name: "alg null", body: header("null", url+kid)},
		{name: "no url", body: header(`"ES256"`, kid)},
		{name: "url an array", body: header(`"ES256"`, kid+`,"url":["`+where+`"]`)},
		{name: "neither jwk nor kid", body: header(`"ES256"`, url)},
		{name: "both jwk and kid", body: header(`"ES256"`, url+kid+`,"jwk":`+string(key))},
		{name: "kid empty", body: header(`"ES256"`, url+`,"kid":""`)},
		{name: "kid a number", body: header(`"ES256"`, url+`,"kid":1`)},
		{name: "jwk where the account signs", body: s.signAs(acme.Header{URL: where, Key: jwk(s.t, s.key)}, anOrder)},
		{name: "jwk null", body: header(`"ES256"`, url+`,"jwk":null`)},
		{name: "jwk a string", body: header(`"ES256"`, url+`,"jwk":"x"`)},
		{name: "crit", body: header(`"ES256"`, url+kid+`,"crit":["b64"],"b64":false`)},
		{name: "crit unknown", body: header(`"ES256"`, url+kid+`,"crit":["exp"],"exp":1`)},
		{name: "b64", body: header(`"ES256"`, url+kid+`,"b64":false`)},
		{name: "kid twice", body: header(`"ES256"`, url+kid+kid)},
		{name: "nonce a number", body: jws(`{"alg":"ES256","nonce":1`+url+kid+`}`, anOrder)},
		{name: "nonce padded", body: jws(`{"alg":"ES256","nonce":"AAAA="`+url+kid+`}`, anOrder)},
		{name: "wrong signature", body: header(`"ES256"`, url+kid)},
	}
	for i := range rows {
		rows[i].where, rows[i].status, rows[i].kind = where, http.StatusBadRequest, acme.TypeMalformed
	}
	spent := s.nonce()
	s.send(s.relative(where), s.signAs(acme.Header{URL: where, Nonce: spent}, `{}`))
	return append(rows,
		bad{"no nonce", where, jws(`{"alg":"ES256"`+url+kid+`}`, anOrder), 400, acme.TypeBadNonce},
		bad{"nonce never issued", where, s.signAs(acme.Header{URL: where, Nonce: strings.Repeat("A", 32)}, anOrder), 400, acme.TypeBadNonce},
		bad{"nonce reused", where, s.signAs(acme.Header{URL: where, Nonce: spent}, anOrder), 400, acme.TypeBadNonce},
		bad{"url of another resource", where, s.signAs(acme.Header{URL: s.url + "/new-account"}, anOrder), 403, acme.TypeUnauthorized},
		bad{"url of another server", where, s.signAs(acme.Header{URL: "https://other.example/new-order"}, anOrder), 403, acme.TypeUnauthorized},
		bad{"url relative", where, s.signAs(acme.Header{URL: "/new-order"}, anOrder), 403, acme.TypeUnauthorized},
		bad{"alg none", where, header(`"none"`, url+kid), 400, acme.TypeBadSignatureAlgorithm},
		bad{"alg HS256", where, header(`"HS256"`, url+kid), 400, acme.TypeBadSignatureAlgorithm},
		bad{"alg RS512", where, header(`"RS512"`, url+kid), 400, acme.TypeBadSignatureAlgorithm},
		bad{"alg of another kind of key", where, header(`"RS256"`, url+kid), 400, acme.TypeBadSignatureAlgorithm},
		bad{"alg of another key than the account's", where, header(`"ES384"`, url+kid), 400, acme.TypeBadSignatureAlgorithm},
		bad{"alg of another kind of key", where, header(`"RS256"`, url+kid), 400, acme.TypeBadSignatureAlgorithm},
		bad{"account that does not exist", where, header(`"ES256"`, url+`,"kid":"`+s.url+`/account/AAAA"`), 400, acme.TypeAccountDoesNotExist},
		bad{"account of another server", where, header(`"ES256"`, url+`,"kid":"https://other.example/account/AAAA"`), 400, acme.TypeAccountDoesNotExist},
	)
}

// badSigners sign newAccount with a key that cannot have an account.
func badSigners(s *scene) []bad {
	where := s.url + "/new-account"
	header := func(alg, key string) []byte {
		return jws(fmt.Sprintf(`{"alg":%q,"nonce":%q,"url":%q,"jwk":%s}`, alg, s.nonce(), where, key), `{"termsOfServiceAgreed":true}`)
	}
	public := read[map[string]string](&answer{t: s.t, body: must(jwk(s.t, newKey(s.t)).MarshalJSON())})
	x, y := public["x"], public["y"]
	weak := &client{authority: s.authority, key: smallRSA(s.t)}
	rows := []bad{
		{name: "point off its curve", body: header("ES256", fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, y, x))},
		{name: "point at zero", body: header("ES256", `{"kty":"EC","crv":"P-256","x":"`+strings.Repeat("A", 43)+`","y":"`+strings.Repeat("A", 43)+`"}`)},
		{name: "unknown curve", body: header("ES256", fmt.Sprintf(`{"kty":"EC","crv":"P-192","x":%q,"y":%q}`, x, y))},
		{name: "key of another algorithm", body: header("ES384", fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, x, y))},
		{name: "private key", body: header("ES256", fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q,"d":%q}`, x, y, x))},
		{name: "symmetric key", body: header("ES256", `{"kty":"oct","k":"AAAA"}`)},
		{name: "Ed448", body: header("EdDSA", `{"kty":"OKP","crv":"Ed448","x":"`+strings.Repeat("A", 76)+`"}`)},
		{name: "Ed25519 of zeros", body: header("EdDSA", `{"kty":"OKP","crv":"Ed25519","x":"`+strings.Repeat("A", 43)+`"}`)},
		{name: "RSA of 1024 bits", body: weak.sign("/new-account", `{"termsOfServiceAgreed":true}`)},
		{name: "RSA with exponent 3", body: header("RS256", `{"kty":"RSA","e":"Aw","n":"`+strings.Repeat("_", 342)+`"}`)},
		{name: "RSA of a whole request", body: header("RS256", `{"kty":"RSA","e":"AQAB","n":"`+strings.Repeat("_", 30000)+`"}`)},
		{name: "empty key", body: header("ES256", `{}`)},
	}
	for i := range rows {
		rows[i].where, rows[i].status, rows[i].kind = where, http.StatusBadRequest, acme.TypeBadPublicKey
	}
	return append(rows,
		bad{"kid on newAccount", where, s.sign(where, `{"termsOfServiceAgreed":true}`), 400, acme.TypeMalformed},
		bad{"coordinate a number", where, header("ES256", `{"kty":"EC","crv":"P-256","x":1,"y":2}`), 400, acme.TypeMalformed},
		bad{"kty twice", where, header("ES256", fmt.Sprintf(`{"kty":"EC","kty":"EC","crv":"P-256","x":%q,"y":%q}`, x, y)), 400, acme.TypeMalformed},
	)
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

// badPayloads are signed well and say nothing that can be done.
func badPayloads(s *scene) []bad {
	var rows []bad
	malformed := func(where string, payloads ...string) {
		for _, payload := range payloads {
			name := fmt.Sprintf("%s: %.60q", s.relative(where), payload)
			rows = append(rows, bad{name, where, s.sign(where, payload), 400, acme.TypeMalformed})
		}
	}
	malformed("/new-order", ``, `{`, `null`, `[]`, `"x"`, `{}`, `{"identifiers":null}`, `{"identifiers":"a.test"}`,
		`{"identifiers":[1]}`, `{"identifiers":{"type":"dns","value":"a.test"}}`, `{"identifiers":[{"type":1,"value":"a.test"}]}`,
		`{"identifiers":[{"value":"a.test"}]}`, `{"identifiers":[{"type":"dns"}]}`, `{"identifiers":[null]}`,
		`{"identifiers":[{"type":"dns","value":"a.test","value":"b.test"}]}`,
		`{"identifiers":[],"identifiers":[{"type":"dns","value":"a.test"}]}`,
		`{"Identifiers":[{"type":"dns","value":"a.test"}]}`,
		anOrder+anOrder, "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"\xff.test\"}]}",
		`{"identifiers":[{"type":"dns","value":"a.test"}],"notAfter":"tomorrow"}`,
		`{"identifiers":[{"type":"dns","value":"a.test"}],"profile":1}`,
		`{"identifiers":[`+strings.Repeat(`{"type":"dns","value":"a.test"},`, 100)+`{"type":"dns","value":"a.test"}]}`,
		`{"identifiers":[{"type":"dns","value":"a.test."}]}`, `{"identifiers":[{"type":"dns","value":"a_b.test"}]}`,
		`{"identifiers":[{"type":"dns","value":"`+long(64)+`.test"}]}`, `{"identifiers":[{"type":"ip","value":"10.0.0.01"}]}`)
	malformed(s.ready.Finalize, ``, `{}`, `{"csr":null}`, `{"csr":1}`, `{"csr":"%"}`, `{"csr":"AA","csr":"AA"}`)
	malformed(s.pending.Authorizations[0], `{}`, `{"status":"valid"}`, `{"status":1}`, `[]`)
	malformed(s.kid, `[]`, `{"contact":"mailto:a@a.test"}`, `{"contact":[1]}`, `{"status":1}`, `{"status":"deactivated","status":"valid"}`)
	malformed("/revoke-cert", ``, `{}`, `{"certificate":1}`, `{"certificate":"AA=="}`, `{"certificate":"AAAA"}`)
	malformed("/key-change", ``, `{}`, `{"account":"x","oldKey":{}}`)
	malformed(s.kid+"/orders", `{}`)
	rows = append(rows,
		bad{"CSR for other names", s.ready.Finalize, s.sign(s.ready.Finalize, csr(s.t, newKey(s.t), "other.test")), 400, acme.TypeBadCSR},
		bad{"CSR with a weak key", s.ready.Finalize, s.sign(s.ready.Finalize, csr(s.t, smallRSA(s.t), "ready.test")), 400, acme.TypeBadCSR},
		bad{"CSR with the account's key", s.ready.Finalize, s.sign(s.ready.Finalize, csr(s.t, s.key, "ready.test")), 400, acme.TypeBadCSR},
		bad{"CSR that is noise", s.ready.Finalize, s.sign(s.ready.Finalize, csrPayload(make([]byte, 1000))), 400, acme.TypeBadCSR},
		bad{"order that is not ready", s.pending.Finalize, s.sign(s.pending.Finalize, csr(s.t, newKey(s.t), "pending.test")), 403, acme.TypeOrderNotReady},
		bad{"type of identifier", "/new-order", s.sign("/new-order", `{"identifiers":[{"type":"x","value":"a.test"}]}`), 400, acme.TypeUnsupportedIdentifier},
		bad{"name not ours to certify", "/new-order", s.sign("/new-order", `{"identifiers":[{"type":"dns","value":"example.com"}]}`), 403, acme.TypeRejectedIdentifier},
		bad{"profile", "/new-order", s.sign("/new-order", `{"identifiers":[{"type":"dns","value":"a.test"}],"profile":"x"}`), 400, acme.TypeInvalidProfile},
		bad{"reason", "/revoke-cert", s.sign("/revoke-cert", revocation(s.certificate, "6")), 400, acme.TypeBadRevocationReason},
	)
	return rows
}

// badAccounts are refused registrations and contacts.
func badAccounts(s *scene) []bad {
	stranger := s.stranger()
	register := func(name, payload string, kind acme.ProblemType) bad {
		return bad{name, "/new-account", stranger.sign("/new-account", payload), 400, kind}
	}
	return []bad{
		register("no payload", ``, acme.TypeMalformed),
		register("terms not agreed to", `{}`, acme.TypeMalformed),
		register("terms agreed to in words", `{"termsOfServiceAgreed":"yes"}`, acme.TypeMalformed),
		register("terms agreed to in another case", `{"TermsOfServiceAgreed":true}`, acme.TypeMalformed),
		register("terms twice", `{"termsOfServiceAgreed":false,"termsOfServiceAgreed":true}`, acme.TypeMalformed),
		register("contact not a list", `{"termsOfServiceAgreed":true,"contact":"mailto:a@a.test"}`, acme.TypeMalformed),
		register("contact by phone", `{"termsOfServiceAgreed":true,"contact":["tel:1"]}`, acme.TypeUnsupportedContact),
		register("contact without address", `{"termsOfServiceAgreed":true,"contact":["mailto:"]}`, acme.TypeInvalidContact),
		register("contact with a line break", `{"termsOfServiceAgreed":true,"contact":["mailto:a@a.test\r\nBcc: b@b.test"]}`, acme.TypeInvalidContact),
		register("no account to return", `{"termsOfServiceAgreed":true,"onlyReturnExisting":true}`, acme.TypeAccountDoesNotExist),
		{"contact in an update", s.kid, s.sign(s.kid, `{"contact":["tel:1"]}`), 400, acme.TypeUnsupportedContact},
	}
}

// badRights are requests about what belongs to another account.
func badRights(s *scene) []bad {
	foreign := func(name, where, payload string) bad {
		return bad{name, where, s.sign(where, payload), 403, acme.TypeUnauthorized}
	}
	theirs := read[acme.Order](s.other.fetch(s.theirs))
	challenge := read[acme.Authorization](s.other.fetch(theirs.Authorizations[0])).Challenges[0].URL
	return []bad{
		foreign("another's account", s.other.kid, ``),
		foreign("another's account, to end it", s.other.kid, `{"status":"deactivated"}`),
		foreign("another's orders", s.other.kid+"/orders", ``),
		foreign("another's order", s.theirs, ``),
		foreign("another's finalize", s.theirFinalize, csr(s.t, newKey(s.t), "theirs.test")),
		foreign("another's authorization", theirs.Authorizations[0], ``),
		foreign("another's authorization, to end it", theirs.Authorizations[0], `{"status":"deactivated"}`),
		foreign("another's challenge", challenge, `{}`),
		foreign("another's certificate", strings.Replace(s.theirs, "/order/", "/certificate/", 1), ``),
		foreign("another's certificate, to revoke it", "/revoke-cert", revocation(s.theirCert, "")),
		{"an order that does not exist", "/order/AAAA", s.sign("/order/AAAA", ``), 404, acme.TypeMalformed},
		{"a challenge that does not exist", challenge + "x", s.sign(challenge+"x", `{}`), 403, acme.TypeUnauthorized},
		{"a certificate not yet issued", "/certificate/x", s.sign("/certificate/x", ``), 404, acme.TypeMalformed},
	}
}
