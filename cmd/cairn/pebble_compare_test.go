package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// otherwise is what Pebble's answers have and those of `cairn pebble` lack, on purpose.
var otherwise = map[string]struct{ lacks, why string }{
	"nonce by PUT": {"header Replay-Nonce", "the request is refused before anything else"},

	"list of another's orders": {"status 404, ours 403; type is urn:ietf:params:acme:error:malformed", "as with all that is another's"},

	"renewal information of no ID":               {"status 400, ours 404", "there is no such URL"},
	"renewal information set":                    {"header Cache-Control; header Replay-Nonce; link rel=\"index\"", setWhy},
	"renewal information set by no JSON":         {"header Cache-Control; header Replay-Nonce; link rel=\"index\"", setWhy},
	"renewal information set for no certificate": {"header Cache-Control; header Replay-Nonce; link rel=\"index\"", setWhy},
	"renewal information set by GET":             {"header Cache-Control; link rel=\"index\"", setWhy},
}

const (
	setWhy = "the management interface speaks no ACME"
)

// TestPebbleAnswersAlike tells Pebble and `cairn pebble` the same story. Whatever Pebble's answers have, ours must have: the
// status, headers, members, the type of a problem. Ours may have more.
func TestPebbleAnswersAlike(t *testing.T) {
	config := func() pebbletest.Config {
		return pebbletest.Config{
			Environment: []string{"PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_VA_ALWAYS_VALID=1", "PEBBLE_AUTHZREUSE=0", "PEBBLE_ALTERNATE_ROOTS=1"},
			Members:     map[string]any{"keyAlgorithm": "rsa", "retryAfter": map[string]int{"authz": 1, "order": 1}},
		}
	}
	theirs, ours := story(startTeller(t, config())), story(asPebble(t, config()))
	if len(theirs) != len(ours) {
		t.Fatalf("%d answers of Pebble's, %d of ours", len(theirs), len(ours))
	}
	seen := make(map[string]bool)
	for i, want := range theirs {
		if line := difference(want, ours[i]); line != otherwise[want.what].lacks {
			t.Errorf("%s: differs in %q, expected was %q\n%s\n%s", want.what, line, otherwise[want.what].lacks, want.body, ours[i].body)
		}
		seen[want.what] = true
	}
	for what := range otherwise {
		if !seen[what] {
			t.Errorf("%s is not in the story", what)
		}
	}
}

// told is an answer with its place in the story.
type told struct {
	what string
	answer
}

// difference is what theirs has and ours lacks.
func difference(theirs, ours told) string {
	theirStatus, theirParts := theirs.shape()
	ourStatus, ourParts := ours.shape()
	var missing []string
	if theirStatus != ourStatus {
		missing = append(missing, "status "+theirStatus+", ours "+ourStatus)
	}
	for _, part := range theirParts {
		if !slices.Contains(ourParts, part) {
			missing = append(missing, part)
		}
	}
	return strings.Join(missing, "; ")
}

// story is told to both.
func story(c *teller) (list []told) {
	note := func(what string, a answer) answer {
		list = append(list, told{what, a})
		return a
	}
	tellOfAccounts(c, note)
	tellOfOrders(c, note)
	tellOfCertificates(c, note)
	tellOfManagement(c, note)
	tellOfEnds(c, note)
	return list
}

type noter = func(what string, a answer) answer

func tellOfAccounts(c *teller, note noter) {
	newAccount := c.base + "/sign-me-up"
	note("directory", c.get(c.base+"/dir"))
	note("directory by PUT", c.do(http.MethodPut, c.base+"/dir", nil, nil))
	note("directory without a user agent", c.do(http.MethodGet, c.base+"/dir", http.Header{"User-Agent": {""}}, nil))
	note("nonce", c.get(c.base+"/nonce-plz"))
	note("nonce by HEAD", c.do(http.MethodHead, c.base+"/nonce-plz", nil, nil))
	note("nonce by PUT", c.do(http.MethodPut, c.base+"/nonce-plz", nil, nil))
	note("new account by GET", c.get(newAccount))
	note("another media type", c.do(http.MethodPost, newAccount, http.Header{"Content-Type": {"application/json"}}, c.sign(newAccount, `{}`, nil)))
	note("no JWS", c.do(http.MethodPost, newAccount, nil, []byte(`{}`)))
	note("no JSON", c.do(http.MethodPost, newAccount, nil, []byte(`x`)))
	note("unknown nonce", c.do(http.MethodPost, newAccount, nil, c.sign(newAccount, `{}`, func(h *acme.Header) { h.Nonce = "AAAA" })))
	note("another URL", c.do(http.MethodPost, newAccount, nil, c.sign(c.base+"/dir", `{}`, nil)))
	note("no such account to find", c.post(newAccount, `{"onlyReturnExisting":true}`))
	note("terms not agreed", c.post(newAccount, `{}`))
	note("contact that is no URL", c.post(newAccount, `{"termsOfServiceAgreed":true,"contact":["mailto:x"]}`))
	note("contact by telephone", c.post(newAccount, `{"termsOfServiceAgreed":true,"contact":["tel:1"]}`))
	note("no account's URL", func() answer {
		c.kid = "invalid"
		defer func() { c.kid = "" }()
		return c.post(c.base+"/order-plz", orderFor("a.example"))
	}())
	note("unknown account", func() answer {
		c.kid = c.base + "/my-account/1"
		defer func() { c.kid = "" }()
		return c.post(c.base+"/order-plz", orderFor("a.example"))
	}())
	note("new account", c.register())
	key := c.kid
	c.kid = ""
	note("the same account", c.post(newAccount, `{"termsOfServiceAgreed":true}`))
	note("account to find", c.post(newAccount, `{"onlyReturnExisting":true}`))
	c.kid = key
	note("account", c.post(c.kid, ""))
	note("account, other contacts", c.post(c.kid, `{"contact":["mailto:b@example.org"]}`))
	note("directory by POST", c.post(c.base+"/dir", ""))
	note("nonce by POST", c.post(c.base+"/nonce-plz", ""))
	note("used nonce", func() answer {
		body := c.sign(c.kid, "", nil)
		c.do(http.MethodPost, c.kid, nil, body)
		return c.do(http.MethodPost, c.kid, nil, body)
	}())
	changeKey(c, note)
}

// changeKey gives the account another key, and then one that is taken.
func changeKey(c *teller, note noter) {
	url := c.base + "/rollover-account-key"
	change := func(to *teller) answer {
		old, err := json.Marshal(jwkOf(c.t, c.key.Public()))
		if err != nil {
			c.t.Fatal(err)
		}
		inner, err := acme.SignJWS(to.key, acme.Header{URL: url, Key: jwkOf(c.t, to.key.Public())},
			fmt.Appendf(nil, `{"account":%q,"oldKey":%s}`, c.kid, old))
		if err != nil {
			c.t.Fatal(err)
		}
		return c.post(url, string(inner))
	}
	next := &teller{key: ecKey(c.t)}
	note("key change", change(next))
	c.key = next.key
	other := *c
	other.key, other.kid = ecKey(c.t), ""
	other.register()
	note("key change to a key that is taken", change(&other))
	note("key change that is none", c.post(url, `{}`))
}

func tellOfOrders(c *teller, note noter) {
	newOrder := c.base + "/order-plz"
	note("no names", c.post(newOrder, `{"identifiers":[]}`))
	note("no JSON in the payload", c.post(newOrder, `x`))
	note("blocked name", c.post(newOrder, orderFor("www.blocked-domain.example")))
	note("unknown kind of name", c.post(newOrder, `{"identifiers":[{"type":"email","value":"a@example.org"}]}`))
	note("name with an underscore and a space", c.post(newOrder, `{"identifiers":[{"type":"dns","value":"a _.example"}]}`))
	note("name with a final dot", c.post(newOrder, `{"identifiers":[{"type":"dns","value":"a.example."}]}`))
	note("address as a domain", c.post(newOrder, `{"identifiers":[{"type":"dns","value":"127.0.0.1"}]}`))
	note("two wildcards", c.post(newOrder, `{"identifiers":[{"type":"dns","value":"*.*.example"}]}`))
	note("wildcard in the middle", c.post(newOrder, `{"identifiers":[{"type":"dns","value":"a.*.example"}]}`))
	note("no address", c.post(newOrder, `{"identifiers":[{"type":"ip","value":"1.2.3"}]}`))
	note("unknown profile in another case", c.post(newOrder, `{"Profile":"x","identifiers":[{"type":"dns","value":"a.example"}]}`))
	note("unknown profile", c.post(newOrder, `{"profile":"x","identifiers":[{"type":"dns","value":"a.example"}]}`))
	note("order for an address", c.post(newOrder, orderFor("127.0.0.1")))
	note("order for a wildcard", c.post(newOrder, orderFor("*.a.example")))
	wildcard := c.post(newOrder, orderFor("*.b.example")).list("authorizations")[0]
	note("authorization of a wildcard", c.post(wildcard, ""))
	note("authorization given up", c.post(wildcard, `{"status":"deactivated"}`))
	note("authorization with a strange status", c.post(wildcard, `{"status":"valid"}`))
	placed := note("order", c.post(newOrder, orderFor("a.example", "b.example")))
	url := placed.location()
	note("order by GET", c.get(url))
	note("order again", c.post(url, ""))
	note("order with a payload", c.post(url, `{}`))
	note("order that is not there", c.post(c.base+"/my-order/x", ""))
	note("authorization that is not there", c.post(c.base+"/authZ/x", ""))
	note("certificate that is not there", c.post(c.base+"/certZ/x", ""))
	note("finalize that is not there", c.post(c.base+"/finalize-order/x", csrFor(c.t, ecKey(c.t), "a.example")))
	note("finalize too early", c.post(placed.member("finalize"), csrFor(c.t, ecKey(c.t), "a.example", "b.example")))
	authz := placed.list("authorizations")
	note("authorization", c.post(authz[0], ""))
	note("challenge", c.post(c.challenge(authz[0]), ""))
	response := c.challenge(authz[0])
	note("response", c.prove(authz[0]))
	note("response again", c.post(response, `{}`))
	note("authorization that is valid", c.post(authz[0], ""))
	c.prove(authz[1])
	ready := note("order that is ready", c.until(url, "pending"))
	finalize := ready.member("finalize")
	note("finalize without a CSR", c.post(finalize, `{"csr":"AAAA"}`))
	note("finalize for other names", c.post(finalize, csrFor(c.t, ecKey(c.t), "a.example", "c.example")))
	note("finalize with the key of the account", c.post(finalize, csrFor(c.t, c.key, "a.example", "b.example")))
	note("finalize", c.post(finalize, csrFor(c.t, ecKey(c.t), "a.example", "b.example")))
	note("order that is valid", c.until(url, "processing", "ready"))
	note("finalize again", c.post(finalize, csrFor(c.t, ecKey(c.t), "a.example", "b.example")))
	note("list of orders", c.post(strings.Replace(c.kid, "/my-account/", "/list-orderz/", 1), ""))
	note("list of another's orders", c.post(c.base+"/list-orderz/x", ""))
}

func tellOfCertificates(c *teller, note noter) {
	url, chain, _ := c.issue("c.example")
	if len(chain) != 2 {
		c.t.Fatalf("a chain of %d", len(chain))
	}
	note("certificate", c.post(url, ""))
	note("certificate with the other chain", c.post(url+"/alternate/1", ""))
	note("certificate with a chain that is not there", c.post(url+"/alternate/2", ""))
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		c.t.Fatal(err)
	}
	id := base64.RawURLEncoding.EncodeToString(leaf.AuthorityKeyId) + "." + base64.RawURLEncoding.EncodeToString(leaf.SerialNumber.Bytes())
	info := c.base + "/draft-ietf-acme-ari-03/renewalInfo/"
	note("renewal information", c.get(info+id))
	note("renewal information of nothing", c.get(info+strings.Split(id, ".")[0]+".AQECAwQFBgcICQ"))
	note("renewal information of no ID", c.get(info+"x"))
	replacing := strings.TrimSuffix(orderFor("c.example"), "}") + `,"replaces":"` + id + `"}`
	note("order that replaces", c.post(c.base+"/order-plz", replacing))
	note("order that replaces nothing known", c.post(c.base+"/order-plz", strings.Replace(replacing, id, "x", 1)))
	status := c.server.Management + "/cert-status-by-serial/"
	note("status of a certificate", c.get(status+leaf.SerialNumber.Text(16)))

	revoke := func(der []byte, more string) answer {
		return c.post(c.base+"/revoke-cert", `{"certificate":"`+base64.RawURLEncoding.EncodeToString(der)+`"`+more+`}`)
	}
	note("revocation for a strange reason", revoke(chain[0], `,"reason":7`))
	note("revocation of another's certificate", func() answer {
		other := *c
		other.key, other.kid = ecKey(c.t), ""
		other.register()
		return other.post(c.base+"/revoke-cert", `{"certificate":"`+base64.RawURLEncoding.EncodeToString(chain[0])+`"}`)
	}())
	note("revocation", revoke(chain[0], `,"reason":4`))
	note("revocation again", revoke(chain[0], `,"reason":4`))
	note("revocation of nothing", revoke([]byte("x"), ""))
	note("status of a revoked certificate", c.get(status+leaf.SerialNumber.Text(16)))
	_, second, key := c.issue("d.example")
	byKey := *c
	byKey.kid, byKey.key = "", key
	note("revocation by its key", byKey.post(c.base+"/revoke-cert", `{"certificate":"`+base64.RawURLEncoding.EncodeToString(second[0])+`"}`))
	c.nonce = byKey.nonce
}

func tellOfManagement(c *teller, note noter) {
	at := c.server.Management
	for _, path := range []string{"/roots/", "/intermediates/", "/root-keys/", "/intermediate-keys/"} {
		for _, n := range []string{"0", "1", "2", "x", ""} {
			note("management "+path+n, c.get(at+path+n))
		}
	}
	note("status of a serial that nothing has", c.get(at+"/cert-status-by-serial/"+big.NewInt(1<<40).Text(16)))
	note("status of no serial", c.get(at+"/cert-status-by-serial/xyz"))
	set := func(body string) answer {
		return c.do(http.MethodPost, at+"/set-renewal-info/", nil, []byte(body))
	}
	url, chain, _ := c.issue("e.example")
	text, err := json.Marshal(map[string]string{"Certificate": string(c.post(url, "").body), "ARIResponse": `{"x":1}`})
	if err != nil {
		c.t.Fatal(err)
	}
	note("renewal information set", set(string(text)))
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		c.t.Fatal(err)
	}
	id := base64.RawURLEncoding.EncodeToString(leaf.AuthorityKeyId) + "." + base64.RawURLEncoding.EncodeToString(leaf.SerialNumber.Bytes())
	note("renewal information as set", c.get(c.base+"/draft-ietf-acme-ari-03/renewalInfo/"+id))
	note("renewal information set by no JSON", set(`x`))
	note("renewal information set for no certificate", set(`{}`))
	note("renewal information set by GET", c.get(at+"/set-renewal-info/"))
	note("management, not there", c.get(at+"/x"))
}

func tellOfEnds(c *teller, note noter) {
	note("account given up", c.post(c.kid, `{"status":"deactivated"}`))
	note("order of an account that has ended", c.post(c.base+"/order-plz", orderFor("a.example")))
	kid := c.kid
	c.kid = ""
	note("new account with the key of one that has ended", c.post(c.base+"/sign-me-up", `{"termsOfServiceAgreed":true}`))
	c.kid = kid
}
