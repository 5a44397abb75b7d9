package acme

import "encoding/base64"

// MAC is the MAC of message as a binding has it.
func MAC(algorithm string, key []byte, message string) string {
	hash, _ := macHash(algorithm)
	return base64.RawURLEncoding.EncodeToString(computeMAC(hash, key, []byte(message)))
}
