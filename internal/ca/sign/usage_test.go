package sign_test

import (
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

func TestParseUsage(t *testing.T) {
	for text, want := range map[string]sign.Usage{
		"serverAuth": sign.ServerAuth, "SERVERAUTH": sign.ServerAuth, "1.3.6.1.5.5.7.3.1": sign.ServerAuth,
		"clientAuth": sign.ClientAuth, "1.3.6.1.5.5.7.3.2": sign.ClientAuth, "1.3.6.1.5.5.7.3.17": "1.3.6.1.5.5.7.3.17",
	} {
		if got, err := sign.ParseUsage(text); err != nil || got != want {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "1", "1.2", "server", "1.3.6.1.5.5.7.3.9", "2.5.29.37.0", "1.3.6.1.4.1.11129.2.4.4",
		"1.3.6.01", "1.40.1", "3.1.1", "1.2.-3", "1.2.99999999999", "1..2", ".1.2", strings.Repeat("1.", 20) + "1",
	} {
		if got, err := sign.ParseUsage(text); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func FuzzParseUsage(f *testing.F) {
	for _, seed := range []string{"serverAuth", "1.3.6.1.5.5.7.3.17", "2.999.1", "1.2.3.", "2.5.29.37.0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		usage, err := sign.ParseUsage(text)
		if err != nil {
			return
		}
		if again, err := sign.ParseUsage(string(usage)); err != nil || again != usage {
			t.Errorf("%q is %q, and that is %q, %v", text, usage, again, err)
		}
	})
}

// The signer holds a profile's limits itself, whoever asks it.
func TestSignerHoldsTheProfile(t *testing.T) {
	h := newHierarchy(t, "test")
	limited := sign.Classic()
	limited.Name, limited.MaxNames = "limited", 2
	limited.Names = acme.Subtrees{Domains: []string{"a.test"}}
	limited.Identifiers, limited.Keys = []acme.IdentifierType{acme.DNS}, []acme.KeyType{acme.KeyP384}
	limited.ValidityLimit = func(time.Time) time.Duration { return 24 * time.Hour }
	signer, err := sign.New(sign.Config{
		Issuers: []sign.Issuer{h.intermediate}, Profiles: []sign.Profile{sign.Classic(), limited}, Journal: newMemory(),
	})
	check(t, err)
	request := func(order string, edit func(*sign.Request)) sign.Request {
		r := h.request(order, "a.test")
		r.Profile, r.PublicKey = "limited", newKey(t, elliptic.P384()).Public()
		if edit != nil {
			edit(&r)
		}
		return r
	}
	good, err := signer.Certificate(t.Context(), request("good", nil))
	check(t, err)
	if validity := good.NotAfter.Sub(good.NotBefore) + time.Second; validity != 24*time.Hour {
		t.Errorf("the limit of the day gives %s", validity)
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	for name, edit := range map[string]func(*sign.Request){
		"three names": func(r *sign.Request) {
			r.Identifiers = []acme.Identifier{acme.IdentifierFor("a.test"), acme.IdentifierFor("b.a.test"), acme.IdentifierFor("c.a.test")}
		},
		"another name":        func(r *sign.Request) { r.Identifiers[0] = acme.IdentifierFor("b.test") },
		"another kind of key": func(r *sign.Request) { r.PublicKey = newKey(t, elliptic.P256()).Public() },
		"Ed25519":             func(r *sign.Request) { r.Profile, r.PublicKey = "classic", edwards },
	} {
		if _, err := signer.Certificate(t.Context(), request(name, edit)); !errors.Is(err, sign.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A profile whose usages its issuer does not allow would make certificates that nobody accepts.
func TestIssuerMustAllowTheUsages(t *testing.T) {
	h := newHierarchy(t, "test")
	clients := sign.Classic()
	clients.Usages = []sign.Usage{sign.ClientAuth}
	_, err := sign.New(sign.Config{Issuers: []sign.Issuer{h.intermediate}, Profiles: []sign.Profile{clients}, Journal: newMemory()})
	if err == nil || !strings.Contains(err.Error(), "clientAuth") {
		t.Errorf("got %v", err)
	}
	if missing := sign.MissingUsages(h.intermediate.Certificate, []sign.Usage{sign.ServerAuth, sign.ClientAuth, "1.2.3.4"}); len(missing) != 2 {
		t.Errorf("missing are %q", missing)
	}
	if missing := sign.MissingUsages(h.root.Certificate, []sign.Usage{sign.ServerAuth, "1.2.3.4"}); len(missing) != 0 {
		t.Errorf("a root without usages does not allow %q", missing)
	}
}
