package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// quick are settings that leave nothing to chance.
func quick(more ...string) []string {
	return append([]string{"PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_VA_ALWAYS_VALID=1", "PEBBLE_AUTHZREUSE=0"}, more...)
}

// manage sends a request to the management interface.
func (c *teller) manage(method, path, body string) answer {
	c.t.Helper()
	return c.do(method, c.server.Management+path, nil, []byte(body))
}

func (c *teller) want(a answer, status int) answer {
	c.t.Helper()
	if a.StatusCode != status {
		c.t.Fatalf("status %d, not %d: %s", a.StatusCode, status, a.body)
	}
	return a
}

// A certificate chains to each root, has what its profile and its CSR say, and the keys are those of the CA.
func TestPebbleCertificate(t *testing.T) {
	c := asPebble(t, pebbletest.Config{Environment: quick("PEBBLE_ALTERNATE_ROOTS=2", "PEBBLE_CHAIN_LENGTH=3"), Members: map[string]any{
		"ocspResponderURL": "http://127.0.0.1:4002",
		"profiles":         map[string]any{"short": map[string]any{"description": "d", "validityPeriod": 3600, "promoteCommonName": true}},
	}})
	c.register()
	url, chain, _ := c.issue("a.example", "b.example")
	if len(chain) != 4 {
		t.Fatalf("a chain of %d", len(chain))
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	staple := slices.ContainsFunc(leaf.Extensions, func(e pkix.Extension) bool { return e.Id.String() == "1.3.6.1.5.5.7.1.24" })
	if !staple {
		t.Error("the CSR asks for stapling, and the certificate does not say so")
	}
	if got := leaf.NotAfter.Sub(leaf.NotBefore); got != time.Hour-time.Second || leaf.Subject.CommonName != "a.example" && leaf.Subject.CommonName != "b.example" {
		t.Errorf("it lasts %s and is for %s", got, leaf.Subject)
	}
	if !slices.Equal(leaf.OCSPServer, []string{"http://127.0.0.1:4002"}) || len(leaf.CRLDistributionPoints) != 0 {
		t.Errorf("it points to %q and %q", leaf.OCSPServer, leaf.CRLDistributionPoints)
	}
	for n, path := range []string{"", "/alternate/1", "/alternate/2"} {
		roots, between := x509.NewCertPool(), x509.NewCertPool()
		roots.AppendCertsFromPEM(c.want(c.manage(http.MethodGet, "/roots/"+strconv.Itoa(n), ""), 200).body)
		between.AppendCertsFromPEM(c.want(c.post(url+path, ""), 200).body)
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
			t.Errorf("chain %d: %v", n, err)
		}
	}
	block, _ := pem.Decode(c.manage(http.MethodGet, "/intermediate-keys/0", "").body)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := x509.ParseCertificate(chain[1])
	if err != nil || !key.PublicKey.Equal(issuer.PublicKey) {
		t.Errorf("the key is not that of the issuer (%v)", err)
	}
}

// What an order asks for with notBefore and notAfter is given, also beyond the profile.
func TestPebbleValidity(t *testing.T) {
	c := asPebble(t, pebbletest.Config{Environment: quick()})
	c.register()
	now := time.Now().UTC().Truncate(time.Second)
	for _, want := range [][2]time.Time{{now, now.Add(time.Hour)}, {now.Add(24 * time.Hour), now.Add(365 * 24 * time.Hour)}} {
		payload := strings.TrimSuffix(orderFor("a.example"), "}") + fmt.Sprintf(`,"notBefore":%q,"notAfter":%q}`, want[0].Format(time.RFC3339), want[1].Format(time.RFC3339))
		order := c.want(c.post(c.base+"/order-plz", payload), 201)
		c.prove(order.list("authorizations")[0])
		c.post(order.member("finalize"), csrFor(t, ecKey(t), "a.example"))
		url := c.until(order.location(), "pending", "processing", "ready").member("certificate")
		leaf, err := x509.ParseCertificate(ders(c.post(url, "").body)[0])
		if err != nil || !leaf.NotBefore.Equal(want[0]) || !leaf.NotAfter.Equal(want[1]) {
			t.Errorf("from %s to %s, not %s (%v)", leaf.NotBefore, leaf.NotAfter, want, err)
		}
	}
}

// Faults come as often as was asked, to whom it was asked, and can be taken back.
func TestPebbleFaults(t *testing.T) {
	c := asPebble(t, pebbletest.Config{Environment: quick()})
	c.register()
	c.want(c.manage(http.MethodPost, "/cairn/faults", `{"resource":"newOrder","status":429,"retryAfter":"7s","times":2}`), 200)
	for range 2 {
		a := c.want(c.post(c.base+"/order-plz", orderFor("a.example")), 429)
		if a.member("type") != string(acme.TypeRateLimited) || a.Header.Get("Replay-Nonce") == "" {
			t.Errorf("%s, %v", a.body, a.Header)
		}
		if after := a.Header.Get("Retry-After"); after != "7" {
			if _, err := http.ParseTime(after); err != nil {
				t.Errorf("Retry-After is %q", after)
			}
		}
	}
	c.want(c.post(c.base+"/order-plz", orderFor("a.example")), 201)
	c.want(c.manage(http.MethodPost, "/cairn/faults", `{"status":503}`), 200)
	if a := c.want(c.get(c.base+"/dir"), 503); a.member("type") != string(acme.TypeServerInternal) {
		t.Errorf("%s", a.body)
	}
	c.want(c.manage(http.MethodDelete, "/cairn/faults", ""), 200)
	c.want(c.manage(http.MethodPost, "/cairn/faults", `{"resource":"directory","delay":"300ms"}`), 200)
	began := time.Now()
	c.want(c.get(c.base+"/dir"), 200)
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	for _, wrong := range []string{`x`, `{}`, `{"status":200}`, `{"status":429,"resource":"x"}`, `{"status":429,"delay":"x"}`, `{"delay":"11m"}`, `{"delay":"-1s"}`, `{"statuz":429}`, `{"status":500,"times":-1}`} {
		c.want(c.manage(http.MethodPost, "/cairn/faults", wrong), 400)
	}
	c.want(c.manage(http.MethodPut, "/cairn/faults", ""), 405)
}

// With its clock the whole server goes: what it issues, and what expires.
func TestPebbleClock(t *testing.T) {
	c := asPebble(t, pebbletest.Config{Environment: quick()})
	c.register()
	early := c.post(c.base+"/order-plz", orderFor("a.example"))
	c.want(c.manage(http.MethodPost, "/cairn/clock", `{"advance":"8760h"}`), 200)
	if got := c.post(early.location(), "").member("status"); got != "invalid" {
		t.Errorf("a year later, the order is %s", got)
	}
	_, chain, _ := c.issue("b.example")
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if ahead := time.Until(leaf.NotBefore); ahead < 8700*time.Hour || ahead > 8770*time.Hour {
		t.Errorf("the certificate begins in %s", ahead)
	}
	c.want(c.manage(http.MethodPost, "/cairn/clock", `{"now":"2040-01-01T00:00:00Z"}`), 200)
	var now struct{ Now time.Time }
	if err := json.Unmarshal(c.manage(http.MethodGet, "/cairn/clock", "").body, &now); err != nil || now.Now.Year() != 2040 {
		t.Errorf("it is %s (%v)", now.Now, err)
	}
	c.want(c.manage(http.MethodPost, "/cairn/clock", `{"reset":true}`), 200)
	if err := json.Unmarshal(c.manage(http.MethodGet, "/cairn/clock", "").body, &now); err != nil || time.Since(now.Now) > time.Minute {
		t.Errorf("it is %s (%v)", now.Now, err)
	}
	c.want(c.manage(http.MethodPost, "/cairn/clock", `{"advanse":"1h"}`), 400)
	c.want(c.manage(http.MethodDelete, "/cairn/clock", ""), 405)
}

// A directory that is kept has the same root and the same accounts at the next start; otherwise nothing is left.
func TestPebbleKeeps(t *testing.T) {
	dir := t.TempDir()
	start := func(flags ...string) *teller {
		c := pebbletest.Config{Environment: quick("TMPDIR=" + filepath.Join(dir, "tmp")), Arguments: flags}
		return asPebble(t, c)
	}
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	keep := filepath.Join(dir, "kept")
	first := start("-keep", keep)
	first.register()
	root := first.manage(http.MethodGet, "/roots/0", "").body
	first.server.End()
	second := start("--keep", keep)
	if !bytes.Equal(second.manage(http.MethodGet, "/roots/0", "").body, root) {
		t.Error("the root is another one")
	}
	second.key = first.key
	second.want(second.post(second.base+"/sign-me-up", `{"onlyReturnExisting":true}`), 200)
	if info, err := os.Stat(filepath.Join(keep, "keys.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the keys are in %v (%v)", info, err)
	}
	third := start()
	if bytes.Equal(third.manage(http.MethodGet, "/roots/0", "").body, root) {
		t.Error("a root is kept without -keep")
	}
	third.server.End()
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// With a place for CRLs, certificates point to theirs, and it lists what is revoked.
func TestPebbleCRL(t *testing.T) {
	c := asPebble(t, pebbletest.Config{Environment: quick(), Cairn: map[string]any{"crlListenAddress": "127.0.0.1:0"}})
	c.register()
	_, chain, _ := c.issue("a.example")
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.CRLDistributionPoints) != 1 || len(leaf.IssuingCertificateURL) != 1 {
		t.Fatalf("it points to %q and %q", leaf.CRLDistributionPoints, leaf.IssuingCertificateURL)
	}
	c.want(c.post(c.base+"/revoke-cert", `{"certificate":"`+b64(chain[0])+`","reason":1}`), 200)
	issuer, err := x509.ParseCertificate(c.get(leaf.IssuingCertificateURL[0]).body)
	if err != nil || !bytes.Equal(issuer.Raw, chain[1]) {
		t.Fatalf("the issuer is another one (%v)", err)
	}
	list, err := x509.ParseRevocationList(c.get(leaf.CRLDistributionPoints[0]).body)
	if err != nil || list.CheckSignatureFrom(issuer) != nil || len(list.RevokedCertificateEntries) != 1 ||
		list.RevokedCertificateEntries[0].SerialNumber.Cmp(leaf.SerialNumber) != 0 {
		t.Errorf("the CRL is %+v (%v)", list, err)
	}
}

// What Pebble does by chance is done: nonces are refused, proofs serve again or not, orders come in pages.
func TestPebbleChance(t *testing.T) {
	c := asPebble(t, pebbletest.Config{Environment: []string{"PEBBLE_WFE_NONCEREJECT=50", "PEBBLE_VA_ALWAYS_VALID=1", "PEBBLE_AUTHZREUSE=100"}})
	refused := 0
	for range 200 {
		if a := c.post(c.base+"/sign-me-up", `{"termsOfServiceAgreed":true}`); a.member("type") == string(acme.TypeBadNonce) {
			refused++
		} else {
			c.want(a, a.StatusCode)
		}
	}
	if refused < 40 || refused > 160 {
		t.Errorf("of 200 nonces, %d were refused", refused)
	}

	c = asPebble(t, pebbletest.Config{Environment: []string{"PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_VA_ALWAYS_VALID=1", "PEBBLE_AUTHZREUSE=100", "PEBBLE_WFE_ORDERS_PER_PAGE=2"}})
	c.register()
	c.ordered("a.example")
	for range 4 {
		if a := c.post(c.base+"/order-plz", orderFor("a.example")); a.member("status") != "ready" {
			t.Errorf("a proof that should serve again does not: %s", a.body)
		}
	}
	pages, url := 0, c.post(c.kid, "").member("orders")
	seen := make(map[string]bool)
	for ; url != "" && pages < 9; pages++ {
		page := c.want(c.post(url, ""), 200)
		for _, order := range page.list("orders") {
			seen[order] = true
		}
		url = page.next()
	}
	if pages != 3 || len(seen) != 5 {
		t.Errorf("%d orders on %d pages", len(seen), pages)
	}
}

// External accounts: without a binding there is no account; one with a configured key there is. Its form is RFC 8555's.
func TestPebbleExternalAccounts(t *testing.T) {
	c := asPebble(t, pebbletest.Config{Environment: quick(), Members: map[string]any{
		"externalAccountBindingRequired": true,
		"externalAccountMACKeys":         map[string]string{"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"},
	}})
	if a := c.want(c.register(), 403); a.member("type") != string(acme.TypeExternalAccountRequired) {
		t.Errorf("%s", a.body)
	}
	url := c.base + "/sign-me-up"
	bound := func(kid, mac string) answer {
		return c.post(url, `{"termsOfServiceAgreed":true,"externalAccountBinding":`+binding(t, c, kid, mac)+`}`)
	}
	c.want(bound("kid-2", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"), 403)
	c.want(bound("kid-1", "b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH"), 403)
	c.want(bound("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"), 201)
}

// In strict mode, what clients should not send any more is refused.
func TestPebbleStrict(t *testing.T) {
	c := asPebble(t, pebbletest.Config{Environment: quick(), Arguments: []string{"-strict"}})
	c.register()
	order := c.post(c.base+"/order-plz", orderFor("a.example"))
	challenge := c.challenge(order.list("authorizations")[0])
	c.want(c.post(challenge, `{"keyAuthorization":"x"}`), 400)
	c.want(c.post(c.base+"/order-plz", `{"resource":"new-order","identifiers":[{"type":"dns","value":"a.example"}]}`), 400)
	c.want(c.post(challenge, `{}`), 200)
}

func b64(octets []byte) string { return base64.RawURLEncoding.EncodeToString(octets) }

// binding is an external account binding (RFC 8555 §7.3.4), by the text of that section alone.
func binding(t *testing.T, c *teller, kid, mac string) string {
	t.Helper()
	key, err := base64.RawURLEncoding.DecodeString(mac)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(jwkOf(t, c.key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	signed := b64(fmt.Appendf(nil, `{"alg":"HS256","kid":%q,"url":"%s/sign-me-up"}`, kid, c.base)) + "." + b64(jwk)
	sum := hmac.New(sha256.New, key)
	sum.Write([]byte(signed))
	protected, payload, _ := strings.Cut(signed, ".")
	return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, protected, payload, b64(sum.Sum(nil)))
}

// next is the page that follows one of a list; "" if there is none.
func (a answer) next() string {
	for _, link := range a.Header.Values("Link") {
		if url, ok := strings.CutSuffix(link, `>;rel="next"`); ok {
			return strings.TrimPrefix(url, "<")
		}
	}
	return ""
}
