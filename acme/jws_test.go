package acme_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func keys(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	made := map[string]crypto.Signer{}
	for name, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		made[name] = key
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made["RS256"], made["EdDSA"] = rsaKey, edKey
	return made
}

func TestSignedRequestsVerifyUnderTheirOwnKeyOnly(t *testing.T) {
	all := keys(t)
	for name, signer := range all {
		key, err := acme.NewKey(signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		body, err := acme.SignJWS(signer, acme.Header{Nonce: "bm9uY2U", URL: "https://ca/x", Key: key}, []byte(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		jws, problem := acme.ParseJWS(body)
		if problem != nil {
			t.Fatalf("%s: %v", name, problem)
		}
		if jws.Header.Algorithm != name || jws.Header.Nonce != "bm9uY2U" || jws.Header.URL != "https://ca/x" || string(jws.Payload) != `{"a":1}` {
			t.Errorf("%s: parsed as %+v, payload %s", name, jws.Header, jws.Payload)
		}
		if problem := jws.Verify(jws.Header.Key); problem != nil {
			t.Errorf("%s: own key: %v", name, problem)
		}
		for other, otherSigner := range all { // J11: an algorithm for each kind of key
			otherKey, _ := acme.NewKey(otherSigner.Public())
			if other != name && jws.Verify(otherKey) == nil {
				t.Errorf("a request signed with %s verifies under a key for %s", name, other)
			}
		}
		broken := strings.Replace(string(body), b64(`{"a":1}`), b64(`{"a":2}`), 1)
		if jws, problem := acme.ParseJWS([]byte(broken)); problem != nil || jws.Verify(jws.Header.Key) == nil {
			t.Errorf("%s: a changed payload verifies", name)
		}
	}
}

// RFC 7638 §3.1 gives this key and its thumbprint.
func TestV06ThumbprintOfRFC7638(t *testing.T) {
	const jwk = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`
	key, problem := acme.ParseKey([]byte(jwk))
	if problem != nil {
		t.Fatal(problem)
	}
	if got, want := key.Thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"; got != want {
		t.Errorf("thumbprint %s, want %s", got, want)
	}
}

func TestParseJWSRefuses(t *testing.T) {
	signer := keys(t)["ES256"]
	key, _ := acme.NewKey(signer.Public())
	jwk, _ := json.Marshal(key)
	header := `{"alg":"ES256","nonce":"AA","url":"https://ca/x","jwk":` + string(jwk) + `}`
	flat := func(protected string) string {
		return `{"protected":"` + b64(protected) + `","payload":"","signature":"AAAA"}`
	}
	if _, problem := acme.ParseJWS([]byte(flat(header))); problem != nil {
		t.Fatalf("the base of all cases is refused: %v", problem)
	}
	without := func(member string) string {
		var members map[string]any
		_ = json.Unmarshal([]byte(header), &members)
		delete(members, member)
		out, _ := json.Marshal(members)
		return flat(string(out))
	}
	with := func(member string) string { return flat(strings.TrimSuffix(header, "}") + "," + member + "}") }
	alg := func(name string) string { return flat(strings.Replace(header, "ES256", name, 1)) }
	onlyKey := func(jwk string) string { return flat(`{"alg":"ES256","nonce":"AA","url":"u","jwk":` + jwk + `}`) }
	cases := []struct {
		name, body string
		want       acme.ProblemType
	}{
		{"empty", "", acme.TypeMalformed},
		{"not JSON", "hello", acme.TypeMalformed},
		{"null", "null", acme.TypeMalformed},
		{"array", "[]", acme.TypeMalformed},
		{"truncated", flat(header)[:40], acme.TypeMalformed},
		{"J01 compact", b64(header) + "." + b64("{}") + ".AAAA", acme.TypeMalformed},
		{"J01 general", `{"payload":"","signatures":[{"protected":"` + b64(header) + `","signature":"AAAA"}]}`, acme.TypeMalformed},
		{"J02 signatures beside signature", strings.TrimSuffix(flat(header), "}") + `,"signatures":[]}`, acme.TypeMalformed},
		{"J03 unprotected header", strings.TrimSuffix(flat(header), "}") + `,"header":{}}`, acme.TypeMalformed},
		{"J04 b64", with(`"b64":false`), acme.TypeMalformed},
		{"J04 crit", with(`"crit":["exp"]`), acme.TypeMalformed},
		{"J05 no payload", `{"protected":"` + b64(header) + `","signature":"AAAA"}`, acme.TypeMalformed},
		{"J05 payload null", `{"protected":"` + b64(header) + `","payload":null,"signature":"AAAA"}`, acme.TypeMalformed},
		{"no signature", `{"protected":"` + b64(header) + `","payload":""}`, acme.TypeMalformed},
		{"J06 no alg", without("alg"), acme.TypeMalformed},
		{"J06 no url", without("url"), acme.TypeMalformed},
		{"J06 neither jwk nor kid", without("jwk"), acme.TypeMalformed},
		{"J06 both jwk and kid", with(`"kid":"https://ca/a"`), acme.TypeMalformed},
		{"J06 empty kid", flat(`{"alg":"ES256","nonce":"AA","url":"u","kid":""}`), acme.TypeMalformed},
		{"J07 none", alg("none"), acme.TypeBadSignatureAlgorithm},
		{"J07 HS256", alg("HS256"), acme.TypeBadSignatureAlgorithm},
		{"J09 PS256", alg("PS256"), acme.TypeBadSignatureAlgorithm},
		{"J16 url not a string", flat(`{"alg":"ES256","nonce":"AA","url":7,"kid":"k"}`), acme.TypeMalformed},
		{"N06 nonce not base64url", flat(`{"alg":"ES256","nonce":"a+b","url":"u","kid":"k"}`), acme.TypeMalformed},
		{"T04 padding", strings.Replace(flat(header), `"AAAA"`, `"AAA="`, 1), acme.TypeMalformed},
		{"T04 standard alphabet", strings.Replace(flat(header), `"AAAA"`, `"AA+/"`, 1), acme.TypeMalformed},
		{"T04 line break", strings.Replace(flat(header), `"AAAA"`, `"AA\nAA"`, 1), acme.TypeMalformed},
		{"T04 stray bits", strings.Replace(flat(header), `"AAAA"`, `"AB"`, 1), acme.TypeMalformed},
		{"J17 duplicate member", strings.TrimSuffix(flat(header), "}") + `,"payload":"AAAA"}`, acme.TypeMalformed},
		{"J17 duplicate in header", with(`"url":"https://other"`), acme.TypeMalformed},
		{"J10 point off the curve", onlyKey(`{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`), acme.TypeBadPublicKey},
		{"J10 Ed448", onlyKey(`{"kty":"OKP","crv":"Ed448","x":"` + strings.Repeat("A", 76) + `"}`), acme.TypeBadPublicKey},
		{"J10 symmetric", onlyKey(`{"kty":"oct","k":"AAAA"}`), acme.TypeBadPublicKey},
		{"J10 private", onlyKey(strings.TrimSuffix(string(jwk), "}") + `,"d":"AAAA"}`), acme.TypeBadPublicKey},
		{"jwk not an object", onlyKey(`"x"`), acme.TypeMalformed},
		{"deep nesting", strings.Repeat("[", 100000), acme.TypeMalformed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, problem := acme.ParseJWS([]byte(c.body))
			if problem == nil || problem.Type != c.want {
				t.Fatalf("got %v, want %s", problem, c.want)
			}
			if (c.want == acme.TypeBadSignatureAlgorithm) != (len(problem.Algorithms) > 0) {
				t.Errorf("algorithms listed: %v", problem.Algorithms)
			}
		})
	}
}

func FuzzParseJWS(f *testing.F) {
	signer := keys(f)["EdDSA"]
	key, _ := acme.NewKey(signer.Public())
	seed, _ := acme.SignJWS(signer, acme.Header{Nonce: "AA", URL: "u", Key: key}, []byte("{}"))
	f.Add(seed)
	f.Add([]byte(`{"protected":"e30","payload":"","signature":""}`))
	byAccount, _ := acme.SignJWS(signer, acme.Header{Nonce: "AA", URL: "u", KeyID: "k"}, []byte("{}"))
	f.Add(byAccount)
	f.Add(append([]byte(" \n"), append(byAccount, '\t')...))
	for _, change := range [][2]string{{`"payload"`, `"pay\u006coad"`}, {`","`, `","payload":"","`}, {`","`, `" , "`}, {`}`, `,}`}, {`"payload"`, `"header":"","payload"`}} {
		f.Add([]byte(strings.Replace(string(byAccount), change[0], change[1], 1)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		jws, problem := acme.ParseJWS(body)
		if slow, why := acme.ParseAnyJWS(body); !reflect.DeepEqual(jws, slow) || (problem == nil) != (why == nil) || problem != nil && problem.Error() != why.Error() {
			t.Fatalf("the quick way reads %+v (%v), the long way %+v (%v)", jws, problem, slow, why)
		}
		if (jws == nil) == (problem == nil) {
			t.Fatal("neither or both of a JWS and a problem")
		}
		if jws != nil && jws.Header.Key != nil {
			jws.Verify(jws.Header.Key)
		}
	})
}

func FuzzNormalizeIdentifier(f *testing.F) {
	for _, seed := range []string{"example.com", "*.Example.org", "xn--nxasmq6b.test", "10.0.0.1", "::1", "a..b", "-a", "*"} {
		f.Add("dns", seed)
		f.Add("ip", seed)
	}
	f.Fuzz(func(t *testing.T, kind, value string) {
		id, problem := acme.Identifier{Type: acme.IdentifierType(kind), Value: value}.Normalize()
		if problem != nil {
			return
		}
		again, problem := id.Normalize()
		if problem != nil || again != id {
			t.Fatalf("%q normalizes to %q, and that to %q (%v)", value, id, again, problem)
		}
	})
}
