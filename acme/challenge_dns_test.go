package acme_test

import (
	"testing"

	"github.com/cairn-ca/cairn/acme"
)

// The vector of draft-ietf-acme-dns-account-label.
func TestDNSAccount01Name(t *testing.T) {
	const account = "https://example.com/acme/acct/ExampleAccount"
	if got, want := acme.DNSAccount01Name(account, "example.org"), "_ujmmovf2vn55tgye._acme-challenge.example.org"; got != want {
		t.Errorf("the name is %s, want %s", got, want)
	}
	if acme.DNSAccount01Name(account+"/", "example.org") == acme.DNSAccount01Name(account, "example.org") {
		t.Error("another URL has the same label")
	}
}
