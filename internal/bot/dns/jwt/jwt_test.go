package jwt_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/cairn-ca/cairn/internal/bot/dns/jwt"
)

func TestAnotherLibraryVerifies(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Sign(key, map[string]string{"kid": "k"}, map[string]any{"iss": "me", "exp": 1})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := parsed.Verify(&key.PublicKey)
	if err != nil || string(claims) != `{"exp":1,"iss":"me"}` || parsed.Signatures[0].Protected.KeyID != "k" {
		t.Errorf("%s, %v", claims, err)
	}
}

func TestKeys(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	write := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for text, good := range map[string]bool{
		write("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)):           true,
		write("CERTIFICATE", []byte("x")) + write("PRIVATE KEY", pkcs8(key)): true,
		write("PRIVATE KEY", pkcs8(other)):                                   false,
		write("PRIVATE KEY", []byte("x")):                                    false,
		write("CERTIFICATE", []byte("x")):                                    false,
		"":                                                                   false,
	} {
		if _, err := jwt.ParseKey([]byte(text)); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
