package acme

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"fmt"

	"github.com/go-jose/go-jose/v4/json"
)

// Header is the protected header of a JWS (RFC 8555 §6.2).
type Header struct {
	Algorithm string
	Nonce     string // "" if there is none, as in the inner JWS of a keyChange
	URL       string
	KeyID     string // an account's URL; exactly one of KeyID and Key is set
	Key       *Key
}

// JWS is a flattened JSON JWS (RFC 7515 §7.2.2) whose form has been checked. Its
// signature has not: nothing in it is to be believed before Verify.
type JWS struct {
	Header  Header
	Payload []byte // empty for POST-as-GET (RFC 8555 §6.3)

	signed    []byte // what the signature is over
	signature []byte
}

// ParseJWS reads the body of a request and enforces the form that RFC 8555 §6.2 asks for.
func ParseJWS(body []byte) (*JWS, *Problem) {
	parts, problem := splitJWS(body)
	if problem != nil {
		return nil, problem
	}
	header, problem := parseHeader(parts.protected)
	if problem != nil {
		return nil, problem
	}
	return &JWS{Header: header, Payload: parts.payload, signed: parts.signed, signature: parts.signature}, nil
}

// flattened is a flattened JSON JWS, decoded; what it means is not checked.
type flattened struct {
	protected, payload, signature []byte
	signed                        []byte // what the signature is over
}

// splitJWS reads a flattened JSON JWS (RFC 7515 §7.2.2) and refuses the other forms, and
// headers that nothing protects (RFC 8555 §6.2).
func splitJWS(body []byte) (parts flattened, problem *Problem) {
	if members, ok := plainMembers(body); ok && len(members) == 3 {
		if parts, ok = joined(members); ok {
			return parts, nil
		}
	}
	return splitAnyJWS(body)
}

// joined takes the three members of a JWS, if those they are and nothing is wrong with them.
func joined(members []plainMember) (parts flattened, ok bool) {
	var protected, payload string
	for _, m := range members {
		data, problem := DecodeBase64URL(m.name, m.value)
		if problem != nil {
			return parts, false
		}
		switch m.name {
		case "protected":
			parts.protected, protected = data, m.value
		case "payload":
			parts.payload, payload = data, m.value
		case "signature":
			parts.signature = data
		default:
			return parts, false
		}
	}
	parts.signed = []byte(protected + "." + payload)
	return parts, true
}

// splitAnyJWS is splitJWS for whatever JSON there is.
func splitAnyJWS(body []byte) (parts flattened, problem *Problem) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return parts, Problemf(TypeMalformed, "the body is not a JSON object with unique members: send a JWS in flattened JSON serialization (RFC 8555 §6.2)")
	}
	if _, ok := members["signatures"]; ok {
		return parts, Problemf(TypeMalformed, `the JWS has "signatures": send one signature, in flattened JSON serialization (RFC 8555 §6.2)`)
	}
	if _, ok := members["header"]; ok {
		return parts, Problemf(TypeMalformed, `the JWS has an unprotected "header", which RFC 8555 §6.2 forbids`)
	}
	var protectedText, payloadText string
	if parts.protected, protectedText, problem = decodeMember(members, "protected"); problem != nil {
		return parts, problem
	}
	if parts.payload, payloadText, problem = decodeMember(members, "payload"); problem != nil {
		return parts, problem
	}
	if parts.signature, _, problem = decodeMember(members, "signature"); problem != nil {
		return parts, problem
	}
	parts.signed = []byte(protectedText + "." + payloadText)
	return parts, nil
}

// decodeMember returns the bytes behind a base64url member of a JWS, and its text.
func decodeMember(members map[string]json.RawMessage, name string) ([]byte, string, *Problem) {
	raw, ok := members[name]
	if !ok {
		return nil, "", Problemf(TypeMalformed, "the JWS has no member %q", name)
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil || bytes.Equal(raw, []byte("null")) {
		return nil, "", Problemf(TypeMalformed, "the member %q of the JWS is not a string", name)
	}
	data, problem := DecodeBase64URL(name, text)
	return data, text, problem
}

// DecodeBase64URL decodes the base64url of RFC 8555 §6.1: no padding, no line
// breaks, no other alphabet. The problem calls the value field.
func DecodeBase64URL(field, text string) ([]byte, *Problem) {
	// The decoder of the standard library would skip line breaks.
	if isBase64URL(text) {
		if data, err := base64.RawURLEncoding.Strict().DecodeString(text); err == nil {
			return data, nil
		}
	}
	return nil, Problemf(TypeMalformed, "%q is not base64url without padding (RFC 8555 §6.1)", field)
}

// parseHeader reads a protected header. Members that it does not know are ignored (RFC 7515 §4),
// but for those that would change the meaning of the JWS.
func parseHeader(protected []byte) (Header, *Problem) {
	if members, ok := plainMembers(protected); ok {
		if h, ok := plainHeader(members); ok {
			return h, nil
		}
	}
	return parseAnyHeader(protected)
}

// plainHeader is the header that names its account, as nearly all do, if nothing is wrong with it.
func plainHeader(members []plainMember) (h Header, ok bool) {
	for _, m := range members {
		switch m.name {
		case "alg":
			h.Algorithm = m.value
		case "nonce":
			h.Nonce = m.value
		case "url":
			h.URL = m.value
		case "kid":
			h.KeyID = m.value
		default:
			return h, false
		}
	}
	return h, h.KeyID != "" && h.check(false, true) == nil
}

// parseAnyHeader is parseHeader for whatever JSON there is.
func parseAnyHeader(protected []byte) (Header, *Problem) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(protected, &members); err != nil || members == nil {
		return Header{}, Problemf(TypeMalformed, "the protected header is not a JSON object with unique members")
	}
	for _, name := range []string{"crit", "b64"} { // RFC 7515 §4.1.11, RFC 7797 §3
		if _, ok := members[name]; ok {
			return Header{}, Problemf(TypeMalformed, "the protected header has %q, which ACME does not use", name)
		}
	}
	var h Header
	for name, field := range map[string]*string{"alg": &h.Algorithm, "nonce": &h.Nonce, "url": &h.URL, "kid": &h.KeyID} {
		if raw, ok := members[name]; ok {
			if err := json.Unmarshal(raw, field); err != nil || bytes.Equal(raw, []byte("null")) {
				return Header{}, Problemf(TypeMalformed, "the member %q of the protected header is not a string", name)
			}
		}
	}
	_, hasKey := members["jwk"]
	_, hasKeyID := members["kid"]
	if problem := h.check(hasKey, hasKeyID); problem != nil {
		return Header{}, problem
	}
	if raw, ok := members["jwk"]; ok {
		key, problem := ParseKey(raw)
		if problem != nil {
			return Header{}, problem
		}
		h.Key = key
	}
	return h, nil
}

// check enforces which members of a header go together (RFC 8555 §6.2).
func (h Header) check(hasKey, hasKeyID bool) *Problem {
	switch {
	case h.Algorithm == "":
		return Problemf(TypeMalformed, `the protected header has no "alg"`)
	case !knownAlgorithm(h.Algorithm):
		return badAlgorithm("algorithm %.32q is not supported: use one of those listed", h.Algorithm)
	case h.URL == "":
		return Problemf(TypeMalformed, `the protected header has no "url" (RFC 8555 §6.4)`)
	case hasKey && hasKeyID:
		return Problemf(TypeMalformed, `the protected header has both "jwk" and "kid": send one of them (RFC 8555 §6.2)`)
	case !hasKey && !hasKeyID:
		return Problemf(TypeMalformed, `the protected header has neither "jwk" nor "kid": send one of them (RFC 8555 §6.2)`)
	case hasKeyID && h.KeyID == "":
		return Problemf(TypeMalformed, `the "kid" of the protected header is empty: it must be the account's URL (RFC 8555 §6.2)`)
	case !isBase64URL(h.Nonce): // RFC 8555 §6.5.2: malformed, not badNonce
		return Problemf(TypeMalformed, `the "nonce" of the protected header is not base64url (RFC 8555 §6.5.2)`)
	}
	return nil
}

// Verify checks the signature of j under key. The algorithm must be the one for that kind
// of key, so that a signature is never checked under an algorithm that its maker did not mean.
func (j *JWS) Verify(key *Key) *Problem {
	want, ok := algorithmFor(key.Public())
	if !ok {
		return Problemf(TypeBadPublicKey, "keys of this kind cannot sign requests")
	}
	if j.Header.Algorithm != want.name {
		if j.Header.Key != nil {
			return Problemf(TypeBadPublicKey, `"alg" is %s, but the key in "jwk" signs with %s`, j.Header.Algorithm, want.name)
		}
		return badAlgorithm(`"alg" is %s, but the account's key signs with %s`, j.Header.Algorithm, want.name)
	}
	if !want.verify(key.Public(), j.signed, j.signature) {
		return Problemf(TypeMalformed, "the signature of the JWS does not verify under the key that it names")
	}
	return nil
}

// SignJWS signs payload with key, an RSA, P-256, P-384, P-521 or Ed25519 key, and returns
// the flattened JSON. It sets h.Algorithm. No payload makes a POST-as-GET (RFC 8555 §6.3).
func SignJWS(key crypto.Signer, h Header, payload []byte) ([]byte, error) {
	a, ok := algorithmFor(key.Public())
	if !ok {
		return nil, fmt.Errorf("signing a JWS: keys of type %T are not supported", key.Public())
	}
	header := struct {
		Algorithm string `json:"alg"`
		Nonce     string `json:"nonce,omitempty"`
		URL       string `json:"url"`
		KeyID     string `json:"kid,omitempty"`
		Key       *Key   `json:"jwk,omitempty"`
	}{a.name, h.Nonce, h.URL, h.KeyID, h.Key}
	protected, err := json.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("encoding the header of a JWS: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	jws := map[string]string{"protected": encode(protected), "payload": encode(payload)}
	signature, err := a.sign(key, []byte(jws["protected"]+"."+jws["payload"]))
	if err != nil {
		return nil, fmt.Errorf("signing a JWS: %w", err)
	}
	jws["signature"] = encode(signature)
	return json.Marshal(jws)
}
