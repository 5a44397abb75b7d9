package acme_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
)

const newAccountURL = "https://ca.test/new-account"

// rfc7515Key is the key of RFC 7515 appendix A.1.
const rfc7515Key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"

func externalKey(t testing.TB, algorithm string) acme.ExternalKey {
	key, err := base64.RawURLEncoding.DecodeString(rfc7515Key)
	if err != nil {
		t.Fatal(err)
	}
	return acme.ExternalKey{ID: "key-1", Key: key, Algorithm: algorithm}
}

func bindingKey(t testing.TB) *acme.Key {
	key, problem := acme.ParseKey([]byte(`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`))
	if problem != nil {
		t.Fatal(problem)
	}
	return key
}

func TestX01BindingsVerify(t *testing.T) {
	for _, algorithm := range append(acme.MACNames(), "") {
		key, account := externalKey(t, algorithm), bindingKey(t)
		data, err := key.Bind(newAccountURL, account)
		if err != nil {
			t.Fatal(err)
		}
		binding, problem := acme.ParseBinding(data)
		if problem != nil {
			t.Fatal(problem)
		}
		if !binding.Verify(key.Key) || binding.KeyID != "key-1" || binding.URL != newAccountURL || !binding.Key.Equal(account) {
			t.Errorf("%s: %+v", algorithm, binding)
		}
		wrong := slices.Clone(key.Key)
		wrong[0] ^= 1
		if binding.Verify(wrong) || binding.Verify(nil) {
			t.Errorf("%s: another key verifies it", algorithm)
		}
	}
}

// What RFC 7515 §A.1.1 computes is what the code does: key, message and MAC are from there.
func TestMACOfRFC7515(t *testing.T) {
	const protected, payload, mac = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
		"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
		"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	if got := acme.MAC("HS256", externalKey(t, "").Key, protected+"."+payload); got != mac {
		t.Errorf("the MAC is %s", got)
	}
}

// bindingWith makes a binding with other members in its header, and a right MAC for them.
func bindingWith(t testing.TB, header, payload string) string {
	encode := base64.RawURLEncoding.EncodeToString
	protected, body := encode([]byte(header)), encode([]byte(payload))
	mac := acme.MAC("HS256", externalKey(t, "").Key, protected+"."+body)
	data, err := json.Marshal(map[string]string{"protected": protected, "payload": body, "signature": mac})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestX01MalformedBindings(t *testing.T) {
	jwk, err := bindingKey(t).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	payload := string(jwk)
	good := bindingWith(t, `{"alg":"HS256","kid":"k","url":"u"}`, payload)
	if _, problem := acme.ParseBinding([]byte(good)); problem != nil {
		t.Fatal(problem)
	}
	for name, test := range map[string]struct {
		data string
		want acme.ProblemType
	}{
		"no object":         {`[]`, acme.TypeMalformed},
		"null":              {`null`, acme.TypeMalformed},
		"compact":           {`"a.b.c"`, acme.TypeMalformed},
		"general":           {strings.Replace(good, `{`, `{"signatures":[],`, 1), acme.TypeMalformed},
		"unprotected":       {strings.Replace(good, `{`, `{"header":{},`, 1), acme.TypeMalformed},
		"padded":            {strings.Replace(good, `"}`, `="}`, 1), acme.TypeMalformed},
		"nonce":             {bindingWith(t, `{"alg":"HS256","kid":"k","url":"u","nonce":"AAAA"}`, payload), acme.TypeMalformed},
		"jwk":               {bindingWith(t, `{"alg":"HS256","kid":"k","url":"u","jwk":`+payload+`}`, payload), acme.TypeMalformed},
		"crit":              {bindingWith(t, `{"alg":"HS256","kid":"k","url":"u","crit":["x"]}`, payload), acme.TypeMalformed},
		"no kid":            {bindingWith(t, `{"alg":"HS256","url":"u"}`, payload), acme.TypeMalformed},
		"no url":            {bindingWith(t, `{"alg":"HS256","kid":"k"}`, payload), acme.TypeMalformed},
		"no alg":            {bindingWith(t, `{"kid":"k","url":"u"}`, payload), acme.TypeMalformed},
		"kid of wrong type": {bindingWith(t, `{"alg":"HS256","kid":1,"url":"u"}`, payload), acme.TypeMalformed},
		"kid null":          {bindingWith(t, `{"alg":"HS256","kid":null,"url":"u"}`, payload), acme.TypeMalformed},
		"kid empty":         {bindingWith(t, `{"alg":"HS256","kid":"","url":"u"}`, payload), acme.TypeMalformed},
		"kid not ASCII":     {bindingWith(t, `{"alg":"HS256","kid":"ä","url":"u"}`, payload), acme.TypeMalformed},
		"kid too long":      {bindingWith(t, `{"alg":"HS256","kid":"`+strings.Repeat("k", 129)+`","url":"u"}`, payload), acme.TypeMalformed},
		"kid twice":         {bindingWith(t, `{"alg":"HS256","kid":"k","kid":"l","url":"u"}`, payload), acme.TypeMalformed},
		"ES256":             {bindingWith(t, `{"alg":"ES256","kid":"k","url":"u"}`, payload), acme.TypeBadSignatureAlgorithm},
		"none":              {bindingWith(t, `{"alg":"none","kid":"k","url":"u"}`, payload), acme.TypeBadSignatureAlgorithm},
		"empty payload":     {bindingWith(t, `{"alg":"HS256","kid":"k","url":"u"}`, ``), acme.TypeMalformed},
		"no key":            {bindingWith(t, `{"alg":"HS256","kid":"k","url":"u"}`, `{}`), acme.TypeBadPublicKey},
		"symmetric key":     {bindingWith(t, `{"alg":"HS256","kid":"k","url":"u"}`, `{"kty":"oct","k":"AAAA"}`), acme.TypeBadPublicKey},
	} {
		_, problem := acme.ParseBinding([]byte(test.data))
		if problem == nil || problem.Type != test.want || !strings.Contains(problem.Detail, "externalAccountBinding") {
			t.Errorf("%s: %v", name, problem)
		}
		if problem != nil && test.want == acme.TypeBadSignatureAlgorithm && !slices.Equal(problem.Algorithms, acme.MACNames()) {
			t.Errorf("%s: algorithms %v", name, problem.Algorithms)
		}
	}
}

func TestKeysThatCannotBind(t *testing.T) {
	good := externalKey(t, "")
	for name, key := range map[string]acme.ExternalKey{
		"no ID":         {Key: good.Key},
		"ID with space": {ID: "a b", Key: good.Key},
		"no key":        {ID: "a"},
		"no MAC":        {ID: "a", Key: good.Key, Algorithm: "ES256"},
	} {
		if data, err := key.Bind(newAccountURL, bindingKey(t)); err == nil {
			t.Errorf("%s: %s", name, data)
		}
	}
}

func FuzzParseBinding(f *testing.F) {
	key := externalKey(f, "HS384")
	good, err := key.Bind(newAccountURL, bindingKey(f))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(good), `{}`, `{"protected":"e30","payload":"","signature":""}`,
		bindingWith(f, `{"alg":"HS256","kid":"k","url":"u"}`, `{"kty":"oct"}`), bindingWith(f, `{"alg":"HS256","kid":"k","url":"u","nonce":"A"}`, `{}`)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		binding, problem := acme.ParseBinding(data)
		if (binding == nil) == (problem == nil) {
			t.Fatal("neither a binding nor a problem, or both")
		}
		if problem != nil {
			return
		}
		if binding.KeyID == "" || binding.Key == nil || !slices.Contains(acme.MACNames(), binding.Algorithm) {
			t.Errorf("%+v", binding)
		}
		if binding.Verify(nil) || binding.Verify([]byte("a key that nobody has")) {
			t.Error("verifies with any key")
		}
	})
}
