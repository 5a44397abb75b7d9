package acme

import "encoding/base64"

// MAC is the MAC of message as a binding has it.
func MAC(algorithm string, key []byte, message string) string {
	hash, _ := macHash(algorithm)
	return base64.RawURLEncoding.EncodeToString(computeMAC(hash, key, []byte(message)))
}

// ParseAnyJWS is ParseJWS by the decoder for all of JSON alone.
func ParseAnyJWS(body []byte) (*JWS, *Problem) {
	parts, problem := splitAnyJWS(body)
	if problem != nil {
		return nil, problem
	}
	header, problem := parseAnyHeader(parts.protected)
	if problem != nil {
		return nil, problem
	}
	return &JWS{Header: header, Payload: parts.payload, signed: parts.signed, signature: parts.signature}, nil
}
