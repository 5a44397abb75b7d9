package front_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// threeChains is an authority whose certificates have three chains, the last two through certificates for the
// same issuer by other roots.
func threeChains(t *testing.T) *authority {
	var a *authority
	var crosses [][]byte
	a = newAuthority(t, func(c *front.Config) {
		c.Chains = func(rules.Certificate) []front.Chain {
			return []front.Chain{
				{ID: "default", Certificates: [][]byte{a.worker.issuer.Raw}},
				{ID: "root-2", Certificates: [][]byte{crosses[0]}},
				{ID: "root-1", Certificates: [][]byte{crosses[1]}},
			}
		}
	})
	for i := range 2 {
		key := newKey(t)
		root := &x509.Certificate{Subject: pkix.Name{CommonName: "another root"}, PublicKey: key.Public()}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 2)), Subject: a.worker.issuer.Subject, IsCA: true, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
		der, err := x509.CreateCertificate(rand.Reader, template, root, a.worker.key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		crosses = append(crosses, der)
	}
	return a
}

// links lists the targets of an answer's links with a relation.
func (r *answer) links(relation string) (targets []string) {
	for _, value := range r.Header.Values("Link") {
		if target, ok := strings.CutSuffix(value, `>;rel="`+relation+`"`); ok {
			targets = append(targets, strings.TrimPrefix(target, "<"))
		}
	}
	return targets
}

// accepting is fetch with an Accept header.
func (c *client) accepting(where, accept string) *answer {
	c.t.Helper()
	header := jose.Clone()
	header.Set("Accept", accept)
	return c.do(http.MethodPost, c.relative(where), header, c.sign(where, ""))
}

func TestF12Alternates(t *testing.T) {
	c := threeChains(t).register()
	der, order := c.issue(newKey(t), "a.test")
	url := read[acme.Order](c.fetch(order)).Certificate
	all := []string{url, url + "/root-2", url + "/root-1"}
	seen := map[string]bool{}
	for _, place := range all {
		r := c.fetch(place).want(http.StatusOK)
		chain := decodePEM(t, r.body)
		if len(chain) != 2 || string(chain[0]) != string(der) || r.Header.Get("Content-Type") != acme.MediaChain {
			t.Errorf("%s: %d certificates, %s", place, len(chain), r.Header.Get("Content-Type"))
		}
		seen[string(chain[1])] = true
		others := slices.DeleteFunc(slices.Clone(all), func(other string) bool { return other == place })
		if got := r.links("alternate"); !slices.Equal(got, others) {
			t.Errorf("%s: the alternates are %q, want %q", place, got, others)
		}
	}
	if len(seen) != len(all) {
		t.Errorf("there are %d different chains", len(seen))
	}
	c.fetch(url+"/root-3").wantProblem(http.StatusNotFound, acme.TypeMalformed)
	c.fetch(url+"/root-3/issuer").wantProblem(http.StatusNotFound, acme.TypeMalformed)
	c.post(url+"/root-1", `{}`).wantProblem(http.StatusBadRequest, acme.TypeMalformed)
	for _, place := range append(all, url+"/root-1/issuer") { // T11
		c.authority.register().fetch(place).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
		c.get(c.relative(place)).wantProblem(http.StatusMethodNotAllowed, acme.TypeMalformed)
	}
}

func TestF13Formats(t *testing.T) {
	c := threeChains(t).register()
	der, order := c.issue(newKey(t), "a.test")
	url := read[acme.Order](c.fetch(order)).Certificate
	const pkcs7 = acme.MediaPKCS7 + "; smime-type=certs-only"
	for accept, want := range map[string]string{
		"":                      acme.MediaChain,
		"*/*":                   acme.MediaChain,
		"application/*":         acme.MediaChain,
		acme.MediaChain:         acme.MediaChain,
		"text/html":             acme.MediaChain, // the default
		"nonsense":              acme.MediaChain,
		";;;,,,":                acme.MediaChain,
		acme.MediaCertificate:   acme.MediaCertificate,
		acme.MediaPKCS7:         pkcs7,
		pkcs7:                   pkcs7,
		"APPLICATION/PKIX-CERT": acme.MediaCertificate,
		acme.MediaCertificate + ", " + acme.MediaChain:                 acme.MediaChain,
		acme.MediaCertificate + ", " + acme.MediaChain + ";q=0.5":      acme.MediaCertificate,
		acme.MediaCertificate + ";q=0.1, " + pkcs7 + ";q=0.2, */*;q=0": pkcs7,
		acme.MediaChain + ";q=0, */*":                                  acme.MediaCertificate,
		acme.MediaCertificate + ";q=0":                                 acme.MediaChain,
		acme.MediaCertificate + ";q=2":                                 acme.MediaChain,
		acme.MediaCertificate + ";q=NaN":                               acme.MediaChain,
		"application/*;q=0.4, " + acme.MediaPKCS7 + ";q=0.3, */*;q=1":  acme.MediaChain,
	} {
		r := c.accepting(url, accept).want(http.StatusOK)
		if got := r.Header.Get("Content-Type"); got != want || r.Header.Get("Vary") != "Accept" || len(r.links("alternate")) != 2 {
			t.Errorf("Accept %q: Content-Type %q, want %q; Vary %q", accept, got, want, r.Header.Get("Vary"))
		}
	}
	r := c.accepting(url+"/root-1", acme.MediaCertificate).want(http.StatusOK)
	if string(r.body) != string(der) {
		t.Error("the body is not the certificate")
	}
	// Each issuer is where "up" points to, that of the chain that was asked for first.
	ups := r.links("up")
	if len(ups) != 3 {
		t.Fatalf("up: %q", ups)
	}
	for i, chain := range []string{url + "/root-1", url, url + "/root-2"} {
		issuer := c.fetch(ups[i]).want(http.StatusOK)
		if want := decodePEM(t, c.fetch(chain).body)[1]; string(issuer.body) != string(want) || issuer.Header.Get("Content-Type") != acme.MediaCertificate {
			t.Errorf("%s is not the issuer of %s", ups[i], chain)
		}
	}
	if got := c.fetch(url).links("up"); len(got) != 0 {
		t.Errorf("a chain has up: %q", got)
	}
}

// OpenSSL reads what we write.
func TestF13PKCS7(t *testing.T) {
	c := threeChains(t).register()
	_, order := c.issue(newKey(t), "a.test")
	url := read[acme.Order](c.fetch(order)).Certificate
	for _, place := range []string{url, url + "/root-1"} {
		file := filepath.Join(t.TempDir(), "chain.p7c")
		if err := os.WriteFile(file, c.accepting(place, acme.MediaPKCS7).want(http.StatusOK).body, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("openssl", "pkcs7", "-inform", "DER", "-in", file, "-print_certs").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		got, want := decodePEM(t, out), decodePEM(t, c.fetch(place).body)
		if len(got) != 2 || !slices.ContainsFunc(got, func(der []byte) bool { return string(der) == string(want[0]) }) ||
			!slices.ContainsFunc(got, func(der []byte) bool { return string(der) == string(want[1]) }) {
			t.Errorf("%d certificates, or other ones: %s", len(got), out)
		}
	}
}
