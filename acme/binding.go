package acme

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"encoding/base64"
	"fmt"

	"github.com/go-jose/go-jose/v4/json"
)

// Binding is an external account binding: an account's key under a MAC whose key a CA gave to
// somebody outside of ACME (RFC 8555 §7.3.4). Its form has been checked. Its MAC has
// not: nothing in it is to be believed before Verify.
type Binding struct {
	Algorithm string // HS256, HS384 or HS512
	KeyID     string // names the MAC key; printable ASCII
	URL       string // of newAccount
	Key       *Key   // the payload: the account's key

	signed, mac []byte
}

// macAlgorithms are the MACs that a binding may have (RFC 7518 §3.2).
var macAlgorithms = []struct {
	name string
	hash crypto.Hash
}{{"HS256", crypto.SHA256}, {"HS384", crypto.SHA384}, {"HS512", crypto.SHA512}}

// maxKeyID bounds the name of a MAC key, which comes from a peer and goes into a query and into problems.
const maxKeyID = 128

// ParseBinding reads the "externalAccountBinding" of a newAccount request and enforces
// the form of RFC 8555 §7.3.4. Every problem names the member.
func ParseBinding(data []byte) (*Binding, *Problem) {
	binding, problem := parseBinding(data)
	if problem != nil {
		problem.Detail = `in "externalAccountBinding": ` + problem.Detail
		return nil, problem
	}
	return binding, nil
}

func parseBinding(data []byte) (*Binding, *Problem) {
	parts, problem := splitJWS(data)
	if problem != nil {
		return nil, problem
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(parts.protected, &members); err != nil || members == nil {
		return nil, Problemf(TypeMalformed, "the protected header is not a JSON object with unique members")
	}
	for name, why := range map[string]string{
		"nonce": "leave it out (RFC 8555 §7.3.4)", "jwk": `name the MAC key in "kid" instead (RFC 8555 §7.3.4)`,
		"crit": "ACME does not use it", "b64": "ACME does not use it",
	} {
		if _, ok := members[name]; ok {
			return nil, Problemf(TypeMalformed, "the protected header has %q: %s", name, why)
		}
	}
	b := &Binding{signed: parts.signed, mac: parts.signature}
	for name, field := range map[string]*string{"alg": &b.Algorithm, "kid": &b.KeyID, "url": &b.URL} {
		raw, ok := members[name]
		if !ok {
			return nil, Problemf(TypeMalformed, "the protected header has no %q", name)
		}
		if err := json.Unmarshal(raw, field); err != nil || bytes.Equal(raw, []byte("null")) {
			return nil, Problemf(TypeMalformed, "the member %q of the protected header is not a string", name)
		}
	}
	if _, ok := macHash(b.Algorithm); !ok {
		problem := Problemf(TypeBadSignatureAlgorithm, "algorithm %.32q is not one of the MACs that can bind an account: use one of those listed", b.Algorithm)
		problem.Algorithms = MACNames()
		return nil, problem
	}
	if !isKeyID(b.KeyID) {
		return nil, Problemf(TypeMalformed, `"kid" is not the key identifier that the CA gave: that is 1 to %d printable ASCII characters`, maxKeyID)
	}
	if b.Key, problem = ParseKey(parts.payload); problem != nil {
		problem.Detail = "the payload must be the account's key: " + problem.Detail
		return nil, problem
	}
	return b, nil
}

// MACNames lists the algorithms that an external account binding may have.
func MACNames() []string {
	names := make([]string, len(macAlgorithms))
	for i, a := range macAlgorithms {
		names[i] = a.name
	}
	return names
}

func macHash(name string) (crypto.Hash, bool) {
	for _, a := range macAlgorithms {
		if a.name == name {
			return a.hash, true
		}
	}
	return 0, false
}

func isKeyID(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return id != "" && len(id) <= maxKeyID
}

// Verify reports whether b was made with key. It compares in constant time.
func (b *Binding) Verify(key []byte) bool {
	hash, ok := macHash(b.Algorithm)
	return ok && len(key) > 0 && hmac.Equal(computeMAC(hash, key, b.signed), b.mac)
}

func computeMAC(hash crypto.Hash, key, message []byte) []byte {
	mac := hmac.New(hash.New, key)
	mac.Write(message) // never fails
	return mac.Sum(nil)
}

// ExternalKey is a MAC key that a CA gave to somebody, with its name.
type ExternalKey struct {
	ID        string
	Key       []byte // what is behind the base64url that the CA shows
	Algorithm string // HS256, HS384 or HS512; "" means HS256
}

// Bind makes the "externalAccountBinding" for a newAccount request that goes to url
// and is signed with the key of account (RFC 8555 §7.3.4).
func (k ExternalKey) Bind(url string, account *Key) (json.RawMessage, error) {
	name := k.Algorithm
	if name == "" {
		name = "HS256"
	}
	hash, ok := macHash(name)
	if !ok || !isKeyID(k.ID) || len(k.Key) == 0 {
		return nil, fmt.Errorf("binding an account to an external one: algorithm %q, key identifier %q or the key cannot be used", name, k.ID)
	}
	protected, err := json.Marshal(map[string]string{"alg": name, "kid": k.ID, "url": url})
	if err != nil {
		return nil, fmt.Errorf("encoding the header of an external account binding: %w", err)
	}
	payload, err := account.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encoding the payload of an external account binding: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	jws := map[string]string{"protected": encode(protected), "payload": encode(payload)}
	jws["signature"] = encode(computeMAC(hash, k.Key, []byte(jws["protected"]+"."+jws["payload"])))
	return json.Marshal(jws)
}
