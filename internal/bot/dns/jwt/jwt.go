// Package jwt signs what a client says about itself (RFC 7523) with an RSA key: RS256 of RFC 7518 §3.3, which Google and Microsoft take.
package jwt

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
)

// ParseKey finds the first RSA private key in PEM text. The text is in no error.
func ParseKey(text []byte) (*rsa.PrivateKey, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			continue
		}
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("the private key cannot be read: it must be in PEM, and have no password")
		}
		if key, ok := key.(*rsa.PrivateKey); ok {
			return key, nil
		}
		return nil, errors.New("the private key is no RSA key")
	}
	return nil, errors.New("there is no private key in PEM")
}

// Sign makes a token (RFC 7515 §3.1) of claims. The algorithm is added to header.
func Sign(key *rsa.PrivateKey, header map[string]string, claims any) (string, error) {
	protected := map[string]string{"alg": "RS256", "typ": "JWT"}
	for name, value := range header {
		protected[name] = value
	}
	first, err := json.Marshal(protected)
	if err != nil {
		return "", err
	}
	second, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(first) + "." + base64.RawURLEncoding.EncodeToString(second)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), err
}
