package acme_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// The vectors of draft-ietf-acme-dns-persist-02 §10.2.
func TestHashedAccountURI(t *testing.T) {
	const (
		prefix     = "https://ca.example/account-hash/"
		thumbprint = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
		account    = "https://ca.example/acct/123"
	)
	for domain, want := range map[string]string{
		"example.com": "5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw",
		"*":           "NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug",
	} {
		got := acme.HashedAccountURI(prefix, domain, thumbprint, account)
		if got != prefix+"sha-256/"+want {
			t.Errorf("%s: %s, want %s", domain, got, want)
		}
		if err := acme.CheckHashedAccountURI(got, prefix); err != nil {
			t.Error(err)
		}
	}
	for _, wrong := range []string{"", account, prefix, prefix + "sha-512/" + thumbprint, prefix + "sha-256/" + thumbprint[:42], prefix + "sha-256/" + thumbprint + "=", "x" + prefix + "sha-256/" + thumbprint} {
		if acme.CheckHashedAccountURI(wrong, prefix) == nil {
			t.Errorf("%q is a hashed account URI", wrong)
		}
	}
}

func TestParsePersistRecord(t *testing.T) {
	const uri = "https://ca.example/acct/123"
	until := time.Unix(1721952000, 0).UTC()
	for text, want := range map[string]acme.PersistRecord{
		"authority.example; accounturi=" + uri:                                     {Issuer: "authority.example", AccountURI: uri},
		" Authority.Example. ;accounturi = " + uri + " ":                           {Issuer: "authority.example", AccountURI: uri},
		"authority.example;accounturi=" + uri + ";policy=wildcard":                 {Issuer: "authority.example", AccountURI: uri, Wildcard: true},
		"authority.example; accounturi=" + uri + "; POLICY=WildCard":               {Issuer: "authority.example", AccountURI: uri, Wildcard: true},
		"authority.example; accounturi=" + uri + "; policy=other; new=x=y; empty=": {Issuer: "authority.example", AccountURI: uri},
		"a; accounturi=" + uri + "; policy=wildcard; persistUntil=1721952000":      {Issuer: "a", AccountURI: uri, Wildcard: true, Until: until},
		"a;\taccounturi=" + uri + ";persistuntil=001721952000":                     {Issuer: "a", AccountURI: uri, Until: until},
		"a; accounturi=x; persistUntil=" + strings.Repeat("9", 40):                 {Issuer: "a", AccountURI: "x", Until: time.Unix(253402300799, 0).UTC()},
	} {
		got, err := acme.ParsePersistRecord(text)
		if err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := acme.ParsePersistRecord(got.String()); err != nil || again != got {
			t.Errorf("%q, written and read again, is %+v, %v", text, again, err)
		}
	}
	for _, text := range []string{
		"", ";", "a", "a;", "a; ", "; accounturi=x", "a.; ;", "-a; accounturi=x", "a..b; accounturi=x", "a b; accounturi=x", "ü.example; accounturi=x",
		"a; accounturi", "a; accounturi=", "a; accounturi=x;", "a; accounturi=x; ; b=c", "a; accounturi=x y", "a; accounturi=x; accounturi=x", "a; accounturi=x; AccountURI=y",
		"a; accounturi=x; policy=wildcard; policy=wildcard", "a; accounturi=x; persistUntil=", "a; accounturi=x; persistUntil=-1", "a; accounturi=x; persistUntil=+1",
		"a; accounturi=x; persistUntil=1.5", "a; accounturi=x; persistUntil=0x10", "a; accounturi=x; persistUntil=1_0", "a; accounturi=x; =y", "a; accounturi=x; b_c=d", "a; accounturi=\x00", "a; policy=wildcard",
		strings.Repeat("a.", 130) + "a; accounturi=x",
	} {
		if got, err := acme.ParsePersistRecord(text); err == nil {
			t.Errorf("%q is %+v, and should be malformed", text, got)
		} else if strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%q is refused with %q", text, err)
		}
	}
}

// Whatever is read can be written and read again, and is for who it says it is for.
func FuzzParsePersistRecord(f *testing.F) {
	for _, seed := range []string{"", "authority.example; accounturi=https://ca.example/acct/123; policy=wildcard; persistUntil=1721952000", "a;b=c;accounturi=d", " A. ;\taccounturi = =x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := acme.ParsePersistRecord(text)
		if err != nil {
			if len(err.Error()) > 400 {
				t.Errorf("%q is refused with %q", text, err)
			}
			return
		}
		if again, err := acme.ParsePersistRecord(r.String()); err != nil || again != r || acme.IssuerOf(text) != r.Issuer {
			t.Errorf("%q is %+v and, written and read again, %+v: %v", text, r, again, err)
		}
	})
}
