package acme

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// PersistDraft is a version of draft-ietf-acme-dns-persist. What it changes is on the wire.
type PersistDraft string

// The versions of draft-ietf-acme-dns-persist that Cairn knows.
const (
	PersistDraft00 PersistDraft = "-00" // a record names the account by its URL
	PersistDraft01 PersistDraft = "-01" // likewise, and the challenge says the URL
	PersistDraft02 PersistDraft = "-02" // a record names the account by a hash
)

// DNSPersist01Label stands before the domain in the name of the TXT record that answers a
// dns-persist-01 challenge (draft-ietf-acme-dns-persist, BR §3.2.2.4.22).
const DNSPersist01Label = "_validation-persist."

// DNSPersist01Name is the name of the TXT record that answers a dns-persist-01 challenge for domain.
func DNSPersist01Name(domain string) string { return DNSPersist01Label + domain }

// MaxIssuerDomains is how many names a CA may offer for dns-persist-01 records.
const MaxIssuerDomains = 10

// PersistRecord is what a TXT record says for dns-persist-01: that one account of one CA may have
// certificates for the domain that it stands under.
type PersistRecord struct {
	Issuer     string    // a name of the CA, in lower case and without a final dot
	AccountURI string    // the account's URL, or its HashedAccountURI
	Wildcard   bool      // policy=wildcard: good for wildcards and subdomains, too
	Until      time.Time // persistUntil: not good after that second; zero for no end
}

// String writes the record as the value of a TXT record. What is longer than 255 octets goes
// into several strings of one record (RFC 1035 §3.3.14).
func (r PersistRecord) String() string {
	text := r.Issuer + "; accounturi=" + r.AccountURI
	if r.Wildcard {
		text += "; policy=wildcard"
	}
	if !r.Until.IsZero() {
		text += "; persistUntil=" + strconv.FormatInt(r.Until.Unix(), 10)
	}
	return text
}

// HashedAccountURI is how records name an account from draft -02 on: a URI under the CA's
// prefix (AccountHashPrefix in the directory's meta) that tells nothing about the account to who does
// not know it. domain is the name that the record stands under, or "*" for a
// URI that is the same for all domains. thumbprint is that of the account's key (RFC 7638).
func HashedAccountURI(prefix, domain, thumbprint, accountURL string) string {
	digest := sha256.Sum256(append([]byte{byte(len(domain))}, domain+thumbprint+accountURL...))
	return prefix + hashAlgorithm + base64.RawURLEncoding.EncodeToString(digest[:])
}

// hashAlgorithm is the name of SHA-256 in the registry of RFC 6920 §9.4, as a step of a path.
const hashAlgorithm = "sha-256/"

// CheckHashedAccountURI says what is wrong with the form of a HashedAccountURI under prefix.
func CheckHashedAccountURI(uri, prefix string) error {
	rest, ok := strings.CutPrefix(uri, prefix)
	if !ok {
		return fmt.Errorf("its accounturi does not begin with %s, the accountHashPrefix of the directory", prefix)
	}
	hash, ok := strings.CutPrefix(rest, hashAlgorithm)
	if !ok {
		return errors.New("its accounturi has another hash than sha-256")
	}
	if digest, problem := DecodeBase64URL("accounturi", hash); problem != nil || len(digest) != sha256.Size {
		return errors.New("the hash in its accounturi is not base64url of 32 octets")
	}
	return nil
}

// ParsePersistRecord reads the value of a TXT record (RFC 8659 §4.2). Parameters that it
// does not know are ignored. The error is in words that follow "the record is malformed:".
func ParsePersistRecord(text string) (PersistRecord, error) {
	value, err := ParseIssueValue(text)
	if err != nil {
		return PersistRecord{}, err
	}
	r := PersistRecord{Issuer: value.Issuer}
	seen := map[string]bool{}
	for _, p := range value.Parameters {
		if seen[p.Tag] {
			return PersistRecord{}, fmt.Errorf("it has the parameter %.32q twice", p.Tag)
		}
		seen[p.Tag] = true
		if err := r.set(p.Tag, p.Value); err != nil {
			return PersistRecord{}, err
		}
	}
	switch {
	case r.Issuer == "":
		return PersistRecord{}, errors.New("it does not begin with the domain name of a CA")
	case r.AccountURI == "":
		return PersistRecord{}, errors.New("it has no accounturi, which must name the account")
	}
	return r, nil
}

// set takes a parameter, whose tag is in lower case (RFC 8659 §4.2: tags match in any case).
func (r *PersistRecord) set(tag, value string) error {
	switch tag {
	case "accounturi":
		r.AccountURI = value
	case "policy":
		r.Wildcard = strings.EqualFold(value, "wildcard")
	case "persistuntil":
		seconds, err := strconv.ParseUint(value, 10, 64)
		if errors.Is(err, strconv.ErrRange) {
			err = nil // the number that comes with it is the largest there is
		}
		if err != nil {
			return errors.New("its persistUntil is not a number of seconds since 1970")
		}
		r.Until = time.Unix(int64(min(seconds, maxUntil)), 0).UTC()
	}
	return nil
}

// maxUntil is the last second of the year 9999: what lies beyond has no form in RFC 3339.
const maxUntil = 253402300799
