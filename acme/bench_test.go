package acme_test

import (
	"testing"

	"github.com/cairn-ca/cairn/acme"
)

// BenchmarkParseJWS reads the body of a newOrder request and checks its form; that of a POST-as-GET has no payload.
func BenchmarkParseJWS(b *testing.B) {
	key := keys(b)["ES256"]
	for _, request := range []struct{ name, payload string }{
		{"order", `{"identifiers":[{"type":"dns","value":"www.example.org"}]}`}, {"get", ""},
	} {
		b.Run(request.name, func(b *testing.B) {
			header := acme.Header{Nonce: "oFvnlFP1wIhRlYS2jTaXbA", URL: "https://ca.example/new-order", KeyID: "https://ca.example/account/V5n4bqKl2mXhQ0Wc8TzYdR1E"}
			body, err := acme.SignJWS(key, header, []byte(request.payload))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, problem := acme.ParseJWS(body); problem != nil {
					b.Fatal(problem)
				}
			}
		})
	}
}

// BenchmarkVerify checks the signature of a JWS that has been read.
func BenchmarkVerify(b *testing.B) {
	all := keys(b)
	for _, name := range []string{"ES256", "ES384", "RS256", "EdDSA"} {
		b.Run(name, func(b *testing.B) {
			key, err := acme.NewKey(all[name].Public())
			if err != nil {
				b.Fatal(err)
			}
			body, err := acme.SignJWS(all[name], acme.Header{Nonce: "bm9uY2U", URL: "https://ca.example/x", KeyID: "https://ca.example/account/x"}, nil)
			if err != nil {
				b.Fatal(err)
			}
			jws, problem := acme.ParseJWS(body)
			if problem != nil {
				b.Fatal(problem)
			}
			b.ReportAllocs()
			for b.Loop() {
				if problem := jws.Verify(key); problem != nil {
					b.Fatal(problem)
				}
			}
		})
	}
}

// BenchmarkSignJWS is the client's part.
func BenchmarkSignJWS(b *testing.B) {
	key := keys(b)["ES256"]
	header := acme.Header{Nonce: "bm9uY2U", URL: "https://ca.example/x", KeyID: "https://ca.example/account/x"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := acme.SignJWS(key, header, []byte(`{}`)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseKey reads the key of a new account.
func BenchmarkParseKey(b *testing.B) {
	key, err := acme.NewKey(keys(b)["ES256"].Public())
	if err != nil {
		b.Fatal(err)
	}
	text, err := key.MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, problem := acme.ParseKey(text); problem != nil {
			b.Fatal(problem)
		}
	}
}
