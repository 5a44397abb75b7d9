package acme

import (
	"crypto/sha256"
	"encoding/base32"
)

// base32Lower is the base32 of RFC 4648 §6 in lower case and without padding, as names in the DNS have it.
var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// DNS01Name is the name of the TXT record that answers a dns-01 challenge for domain (RFC 8555 §8.4).
func DNS01Name(domain string) string { return DNS01Label + domain }

// DNSAccount01Name is the name of the TXT record that answers a dns-account-01
// challenge for domain (draft-ietf-acme-dns-account-label). Its first label is made of the
// account's URL, so that several accounts can answer at once without each other's records in the
// way. The URL counts as the client has it: an account that is reached under
// two names of an authority has two labels. The record's value is that of dns-01.
func DNSAccount01Name(accountURL, domain string) string {
	digest := sha256.Sum256([]byte(accountURL))
	return "_" + base32Lower.EncodeToString(digest[:10]) + "." + DNS01Name(domain)
}
