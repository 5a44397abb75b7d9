package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/pebbletest"
)

// asPebble starts `cairn pebble` in the place of Pebble.
func asPebble(t *testing.T, c pebbletest.Config) *teller {
	t.Helper()
	path, err := exec.LookPath("cairn") // testscript puts it there
	if err != nil {
		t.Fatal(err)
	}
	c.Program = []string{path, "pebble"}
	return startTeller(t, c)
}

// startTeller starts a Pebble.
func startTeller(t *testing.T, c pebbletest.Config) *teller {
	t.Helper()
	if c.Directory == "" {
		c.Directory = t.TempDir()
	}
	server, err := pebbletest.StartConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	bundle, err := os.ReadFile(server.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	return &teller{
		t: t, server: server, base: strings.TrimSuffix(server.Directory, "/dir"), key: ecKey(t),
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
	}
}

// teller sends requests to a Pebble and remembers what came back.
type teller struct {
	t      *testing.T
	server *pebbletest.Server
	base   string
	http   *http.Client
	key    *ecdsa.PrivateKey
	kid    string
	nonce  string
}

// answer is what came back.
type answer struct {
	*http.Response
	body []byte
}

func (a answer) location() string { return a.Header.Get("Location") }

// member is a member of the body as text; "" if there is none.
func (a answer) member(name string) string {
	var members map[string]any
	if json.Unmarshal(a.body, &members) != nil || members[name] == nil {
		return ""
	}
	return fmt.Sprint(members[name])
}

// list is a member of the body that is a list of strings.
func (a answer) list(name string) (list []string) {
	var members map[string]json.RawMessage
	if json.Unmarshal(a.body, &members) == nil {
		_ = json.Unmarshal(members[name], &list) // no such list is an empty one
	}
	return list
}

// shape is what of an answer does not depend on whose it is: status, media type, which headers
// there are, the type of a problem, the names of the members.
func (a answer) shape() (status string, parts []string) {
	mediaType, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if len(a.body) > 0 {
		parts = append(parts, "media "+mediaType)
	}
	for _, name := range []string{"Location", "Replay-Nonce", "Retry-After", "Cache-Control"} {
		if a.Header.Get(name) != "" {
			parts = append(parts, "header "+name)
		}
	}
	for _, link := range a.Header.Values("Link") {
		_, relation, _ := strings.Cut(link, ">;")
		parts = append(parts, "link "+relation)
	}
	var members map[string]any
	if json.Unmarshal(a.body, &members) == nil {
		parts = append(parts, memberNames("", members)...)
		for _, name := range []string{"type", "status", "Status"} {
			if value, ok := members[name].(string); ok {
				parts = append(parts, name+" is "+value)
			}
		}
	}
	slices.Sort(parts)
	return fmt.Sprint(a.StatusCode), slices.Compact(parts)
}

// memberNames lists the members of a value, those of members included. In a list, each counts once.
func memberNames(path string, value any) (list []string) {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			if path == "/meta/profiles" {
				continue
			}
			list = append(list, "member "+path+"/"+name)
			list = append(list, memberNames(path+"/"+name, inner)...)
		}
	case []any:
		for _, inner := range value {
			list = append(list, memberNames(path+"[]", inner)...)
		}
	}
	return list
}

// do sends one request.
func (c *teller) do(method, url string, header http.Header, body []byte) answer {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header = http.Header{"User-Agent": {"cairn-test/1"}, "Content-Type": {acme.MediaJOSE}}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := c.http.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if nonce := response.Header.Get("Replay-Nonce"); nonce != "" {
		c.nonce = nonce
	}
	return answer{response, text}
}

func (c *teller) get(url string) answer { c.t.Helper(); return c.do(http.MethodGet, url, nil, nil) }

// sign signs a payload for a URL, as the account or, where there is none, with its key.
func (c *teller) sign(url, payload string, change func(*acme.Header)) []byte {
	c.t.Helper()
	if c.nonce == "" {
		c.get(c.base + "/nonce-plz")
	}
	h := acme.Header{Nonce: c.nonce, URL: url, KeyID: c.kid}
	if c.kid == "" {
		h.Key = jwkOf(c.t, c.key.Public())
	}
	if change != nil {
		change(&h)
	}
	c.nonce = ""
	body, err := acme.SignJWS(c.key, h, []byte(payload))
	if err != nil {
		c.t.Fatal(err)
	}
	return body
}

// post sends a signed request; no payload makes it a POST-as-GET.
func (c *teller) post(url, payload string) answer {
	c.t.Helper()
	return c.do(http.MethodPost, url, nil, c.sign(url, payload, nil))
}

// register makes an account.
func (c *teller) register() answer {
	c.t.Helper()
	a := c.post(c.base+"/sign-me-up", `{"termsOfServiceAgreed":true,"contact":["mailto:a@example.org"]}`)
	c.kid = a.location()
	return a
}

// until asks for a resource until its status is not one of those.
func (c *teller) until(url string, not ...string) answer {
	c.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		a := c.post(url, "")
		if !slices.Contains(not, a.member("status")) || time.Now().After(deadline) {
			return a
		}
	}
}

// ordered places an order and proves what it takes; it is ready then.
func (c *teller) ordered(names ...string) (url string, order answer) {
	c.t.Helper()
	order = c.post(c.base+"/order-plz", orderFor(names...))
	url = order.location()
	for _, authz := range order.list("authorizations") {
		c.prove(authz)
	}
	return url, c.until(url, "pending")
}

// prove responds to the http-01 or the dns-01 challenge of an authorization.
func (c *teller) prove(authz string) answer {
	c.t.Helper()
	response := c.post(c.challenge(authz), `{}`)
	c.until(authz, "pending", "processing")
	return response
}

// challenge finds the http-01 challenge of an authorization, or else the dns-01 challenge.
func (c *teller) challenge(authz string) (url string) {
	c.t.Helper()
	var a acme.Authorization
	if err := json.Unmarshal(c.post(authz, "").body, &a); err != nil {
		c.t.Fatal(err)
	}
	for _, one := range a.Challenges {
		if one.Type == acme.HTTP01 || one.Type == acme.DNS01 && url == "" {
			url = one.URL
		}
	}
	return url
}

// issue gets a certificate: the chain in DER and the key.
func (c *teller) issue(names ...string) (url string, chain [][]byte, key *ecdsa.PrivateKey) {
	c.t.Helper()
	key = ecKey(c.t)
	order, ready := c.ordered(names...)
	c.post(ready.member("finalize"), csrFor(c.t, key, names...))
	url = c.until(order, "processing", "ready").member("certificate")
	return url, ders(c.post(url, "").body), key
}

func ders(text []byte) (list [][]byte) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		list = append(list, block.Bytes)
	}
	return list
}

func orderFor(names ...string) string {
	var o acme.NewOrder
	for _, name := range names {
		o.Identifiers = append(o.Identifiers, acme.IdentifierFor(name))
	}
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // it has nothing that cannot be encoded
	}
	return string(text)
}

func csrFor(t *testing.T, key crypto.Signer, names ...string) string {
	t.Helper()
	request := &x509.CertificateRequest{DNSNames: names}
	request.ExtraExtensions = []pkix.Extension{{Id: []int{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 0x03, 0x02, 0x01, 0x05}}}
	der, err := x509.CreateCertificateRequest(rand.Reader, request, key)
	if err != nil {
		t.Fatal(err)
	}
	return `{"csr":"` + base64.RawURLEncoding.EncodeToString(der) + `"}`
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func jwkOf(t *testing.T, public crypto.PublicKey) *acme.Key {
	t.Helper()
	key, err := acme.NewKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
