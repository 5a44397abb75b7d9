package azure_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/azure"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
)

// set is a record set, as the service has it.
type set struct {
	TTL        int
	TXTRecords []struct {
		Value []string `json:"value"`
	}
	Metadata map[string]string `json:"metadata,omitempty"`
}

// cloud is Azure: its resource manager with DNS, Entra, and the metadata service of a machine.
type cloud struct {
	*httptest.Server
	key         *rsa.PrivateKey
	certificate []byte

	mu     sync.Mutex
	sets   map[string]*set // by the path of the resource, in lower case
	etags  map[string]int
	faster int      // changes that somebody else is faster with
	tokens []string // how each token was asked for
	next   string   // where lists go on, when it is not at the service itself
}

const subscriptions = "/subscriptions/11111111-1111-1111-1111-111111111111"

func newCloud(t *testing.T) *cloud {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bot"}}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{key: key, certificate: certificate, sets: make(map[string]*set), etags: make(map[string]int)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tenant/oauth2/v2.0/token", c.token)
	mux.HandleFunc("GET /metadata/identity/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		c.machine(w, r, r.Header.Get("Metadata") == "true" && r.FormValue("api-version") == "2018-02-01", "machine")
	})
	mux.HandleFunc("GET /msi/token", func(w http.ResponseWriter, r *http.Request) {
		c.machine(w, r, r.Header.Get("X-IDENTITY-HEADER") == "app-secret" && r.FormValue("api-version") == "2019-08-01", "app service")
	})
	mux.HandleFunc("/subscriptions", c.authorized(c.list))
	mux.HandleFunc("/subscriptions/", c.authorized(c.resource))
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) grant(w http.ResponseWriter, how, quote string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens = append(c.tokens, how)
	_, _ = fmt.Fprintf(w, `{"token_type": "Bearer", "expires_in": %s3599%s, "access_token": "token%d"}`, quote, quote, len(c.tokens))
}

func (c *cloud) machine(w http.ResponseWriter, r *http.Request, ok bool, how string) {
	if !ok || r.FormValue("resource") != "https://management.azure.com" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.grant(w, strings.TrimSpace(how+" "+r.FormValue("client_id")), `"`)
}

func (c *cloud) token(w http.ResponseWriter, r *http.Request) {
	assertion, scope := r.FormValue("client_assertion"), r.FormValue("scope")
	switch {
	case r.FormValue("grant_type") != "client_credentials" || r.FormValue("client_id") != "app":
	case r.FormValue("client_secret") == "app-secret":
		c.grant(w, "secret "+scope, "")
		return
	case r.FormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
	case assertion == "federated":
		c.grant(w, "federated "+scope, "")
		return
	default:
		parsed, err := jose.ParseSignedCompact(assertion, []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			break
		}
		thumb := sha1.Sum(c.certificate)
		var claims struct {
			Iss, Sub, Aud, Jti string
			Exp                int64
		}
		text, err := parsed.Verify(&c.key.PublicKey)
		if err == nil && json.Unmarshal(text, &claims) == nil && claims.Iss == "app" && claims.Sub == "app" && claims.Jti != "" && claims.Aud == c.URL+"/tenant/oauth2/v2.0/token" &&
			parsed.Signatures[0].Protected.ExtraHeaders["x5t"] == base64.RawURLEncoding.EncodeToString(thumb[:]) && time.Until(time.Unix(claims.Exp, 0)) > 0 {
			c.grant(w, "certificate "+scope, "")
			return
		}
	}
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, `{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}`)
}

func (c *cloud) authorized(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.tokens) == 0 || r.Header.Get("Authorization") != fmt.Sprintf("Bearer token%d", len(c.tokens)) || strings.Contains(r.URL.Path, "forbidden") {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"error": {"code": "AuthorizationFailed", "message": "The client does not have authorization."}}`)
			return
		}
		handler(w, r)
	}
}

func (c *cloud) list(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("api-version") != "2022-12-01" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, `{"value": [{"id": "`+subscriptions+`", "subscriptionId": "11111111-1111-1111-1111-111111111111"}]}`)
}

// resource answers for lists of zones, in two pages, and for record sets.
func (c *cloud) resource(w http.ResponseWriter, r *http.Request) {
	path := strings.ToLower(r.URL.Path)
	kind := map[string]string{"2018-05-01": "dnszones", "2020-06-01": "privatednszones"}[r.FormValue("api-version")]
	if strings.HasSuffix(path, "/microsoft.network/"+kind) {
		zone := func(group, name string) string {
			return fmt.Sprintf(`{"id": "%s/resourceGroups/%s/providers/Microsoft.Network/%s/%s", "name": %q}`, subscriptions, group, kind, name, name)
		}
		if r.FormValue("$skiptoken") == "2" {
			_, _ = fmt.Fprintf(w, `{"value": [%s]}`, zone("two", "sub.dyn.test"))
			return
		}
		next := c.next
		if next == "" {
			next = c.URL
		}
		_, _ = fmt.Fprintf(w, `{"value": [%s], "nextLink": "%s%s?api-version=%s&$skiptoken=2"}`, zone("one", "dyn.test"), next, r.URL.Path, r.FormValue("api-version"))
		return
	}
	if !strings.Contains(path, "/"+kind+"/") || kind == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.record(w, r, path)
}

func (c *cloud) record(w http.ResponseWriter, r *http.Request, path string) {
	old := c.sets[path]
	if c.faster > 0 && r.Method != "GET" {
		c.faster--
		c.etags[path]++
		if old != nil {
			old.TXTRecords = append(old.TXTRecords, struct {
				Value []string `json:"value"`
			}{[]string{"faster"}})
		}
	}
	etag := fmt.Sprintf("etag%d", c.etags[path])
	if r.Method != "GET" && (old != nil && r.Header.Get("If-Match") != etag || old == nil && r.Header.Get("If-None-Match") != "*") {
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	switch {
	case r.Method == "GET" && old == nil:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"code": "NotFound", "message": "The resource record does not exist."}`)
	case r.Method == "GET":
		_ = json.NewEncoder(w).Encode(map[string]any{"etag": etag, "properties": old})
	case r.Method == "PUT":
		var body struct{ Properties *set }
		if json.NewDecoder(r.Body).Decode(&body) != nil || body.Properties == nil || len(body.Properties.TXTRecords) == 0 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.sets[path] = body.Properties
		c.etags[path]++
		w.WriteHeader(http.StatusCreated)
	case r.Method == "DELETE":
		delete(c.sets, path)
	}
}

func path(group, zone, record string) string {
	return strings.ToLower(subscriptions + "/resourceGroups/" + group + "/providers/Microsoft.Network/" + zone + "/TXT/" + record)
}

func (c *cloud) values(path string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []string{}
	if s := c.sets[path]; s != nil {
		for _, value := range s.TXTRecords {
			list = append(list, strings.Join(value.Value, ""))
		}
	}
	slices.Sort(list)
	return list
}

func (c *cloud) start(t *testing.T, config azure.Config) *azure.Provider {
	t.Helper()
	config.Management, config.Login, config.Identity.Metadata = c.URL, c.URL, c.URL
	p, err := azure.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

const name = "_acme-challenge.www.sub.dyn.test."

var app = azure.Identity{Tenant: "tenant", Client: "app", Secret: "app-secret"}

func TestOtherValuesAreKept(t *testing.T) {
	c := newCloud(t)
	where := path("two", "dnsZones/sub.dyn.test", "_acme-challenge.www")
	var theirs set
	if err := json.Unmarshal([]byte(`{"TTL": 300, "TXTRecords": [{"value": ["the", "irs"]}], "metadata": {"a": "b"}}`), &theirs); err != nil {
		t.Fatal(err)
	}
	c.sets[where] = &theirs
	p := c.start(t, azure.Config{Identity: app})
	long := "ca.test; accounturi=https://ca.test/1; " + strings.Repeat("y", 300)
	c.faster = 1
	for _, value := range []string{"one", "one", long} {
		must(t, p.Add(t.Context(), dns.Record{Name: name, Value: value, TTL: 77 * time.Second}))
	}
	if got := c.values(where); !slices.Equal(got, []string{long, "faster", "one", "theirs"}) || c.sets[where].Metadata["a"] != "b" || c.sets[where].TTL != 77 {
		t.Errorf("got %q, %+v", got, c.sets[where])
	}
	for _, value := range []string{"one", "one", long, "theirs", "faster"} {
		must(t, p.Remove(t.Context(), dns.Record{Name: name, Value: value}))
	}
	if len(c.sets) != 0 {
		t.Errorf("left %v", c.sets)
	}
	must(t, p.Add(t.Context(), dns.Record{Name: name, Value: "one"}))
	c.faster = 10
	if err := p.Add(t.Context(), dns.Record{Name: name, Value: "never"}); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("got %v", err)
	}
}

func TestZones(t *testing.T) {
	c := newCloud(t)
	group := subscriptions + "/resourceGroups/"
	for _, test := range []struct {
		config azure.Config
		name   string
		want   string // where it goes, or a part of the error
	}{
		{azure.Config{}, "_acme-challenge.dyn.test.", path("one", "dnsZones/dyn.test", "_acme-challenge")},
		{azure.Config{}, "dyn.test.", path("one", "dnsZones/dyn.test", "@")},
		{azure.Config{Subscription: "11111111-1111-1111-1111-111111111111", ResourceGroup: "two"}, name, path("two", "dnsZones/sub.dyn.test", "_acme-challenge.www")},
		{azure.Config{Private: true}, name, path("two", "privateDnsZones/sub.dyn.test", "_acme-challenge.www")},
		{azure.Config{Zone: "dyn.test"}, name, path("one", "dnsZones/dyn.test", "_acme-challenge.www.sub")},
		{azure.Config{Zones: []string{"other.test:" + group + "x", "dyn.test:" + group + "y/"}}, name, path("y", "dnsZones/dyn.test", "_acme-challenge.www.sub")},
		{azure.Config{Zones: []string{"dyn.test:" + group + "y/providers/Microsoft.Network/dnsZones/proofs.test/TXT/all"}}, name, path("y", "dnsZones/proofs.test", "all")},
		{azure.Config{Zones: []string{"dyn.test:" + group + "y/providers/Microsoft.Network/dnsZones/proofs.test"}}, "a.proofs.test.", path("y", "dnsZones/proofs.test", "a")},
		{azure.Config{Zones: []string{"other.test:" + group + "x"}}, name, "dns_azure_zone1"},
		{azure.Config{}, "_acme-challenge.elsewhere.example.", txt.ErrNoZone.Error()},
		{azure.Config{Subscription: "forbidden"}, name, `The client does not have authorization. (the identity needs the role "DNS Zone Contributor"`},
	} {
		clear(c.sets)
		test.config.Identity = app
		err := c.start(t, test.config).Add(t.Context(), dns.Record{Name: test.name, Value: "x"})
		if c.sets[test.want] == nil && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v: %v; have %v, want %s", test.config, err, c.sets, test.want)
		}
	}
	c.next = "https://evil.example"
	err := c.start(t, azure.Config{Identity: app}).Add(t.Context(), dns.Record{Name: name, Value: "x"})
	if err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("got %v", err)
	}
}

func TestWhereTokensComeFrom(t *testing.T) {
	c := newCloud(t)
	dir := t.TempDir()
	write := func(name string, text []byte, mode os.FileMode) string {
		if err := os.WriteFile(filepath.Join(dir, name), text, mode); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	certificate := write("certificate", append(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(c.key)}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.certificate})...), 0o600)
	token := write("token", []byte("federated\n"), 0o600)
	write("az", []byte("#!/bin/sh\n[ \"$*\" = 'account get-access-token --output json --resource https://management.azure.com --tenant tenant' ] && echo '{\"accessToken\": \"token1\", \"expires_on\": 4102444800}'\n"), 0o700)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	const scope = " https://management.azure.com/.default"
	for want, identity := range map[string]azure.Identity{
		"secret" + scope:      app,
		"certificate" + scope: {Tenant: "tenant", Client: "app", Certificate: certificate},
		"federated" + scope:   {Tenant: "tenant", Client: "app", TokenFile: token},
		"machine":             {},
		"machine app":         {Client: "app"},
		"machine other":       {Tenant: "tenant", Client: "app", Secret: "x", ManagedClient: "other"},
		"app service":         {Managed: true, Client: "app", Endpoint: c.URL + "/msi/token", Header: "app-secret"},
		"az":                  {Tenant: "tenant", CLI: true},
	} {
		c.tokens = nil
		if identity.CLI {
			c.tokens = []string{"az"}
		}
		must(t, c.start(t, azure.Config{Identity: identity}).Add(t.Context(), dns.Record{Name: name, Value: want}))
		if !slices.Equal(c.tokens, []string{want}) {
			t.Errorf("got %q, want %s", c.tokens, want)
		}
	}
	wrong := app
	wrong.Secret = "another-secret"
	err := c.start(t, azure.Config{Identity: wrong}).Add(t.Context(), dns.Record{Name: name, Value: "x"})
	if err == nil || !strings.Contains(err.Error(), "AADSTS7000215: Invalid client secret provided. (check tenant") || strings.Contains(err.Error(), wrong.Secret) {
		t.Errorf("got %v", err)
	}
	if err := c.start(t, azure.Config{Identity: app}).Add(t.Context(), dns.Record{Name: "a/../b.dyn.test.", Value: "x"}); err == nil || errors.Is(err, txt.ErrNoZone) {
		t.Errorf("got %v", err)
	}
}

func TestSettings(t *testing.T) {
	lookup := func(name string) (string, bool) {
		value, ok := map[string]string{"AZURE_FEDERATED_TOKEN_FILE": "/t", "AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t"}[name]
		return value, ok
	}
	for _, c := range []struct {
		settings dns.Settings
		good     bool
	}{
		{dns.Settings{}, true},
		{dns.Settings{Lookup: lookup, Values: map[string]string{"use_workload_identity_credentials": "true"}}, true},
		{dns.Settings{Values: map[string]string{"use_workload_identity_credentials": "true"}}, false},
		{dns.Settings{Values: map[string]string{"msi_system_assigned": "perhaps"}}, false},
		{dns.Settings{Values: map[string]string{"sp_client_secret": "x"}}, false},
		{dns.Settings{Values: map[string]string{"tenant_id": "t", "sp_client_id": "c", "sp_certificate_path": "/nonexistent"}}, false},
		{dns.Settings{Values: map[string]string{"environment": "AzureChinaCloud", "zone1": "a.test:/subscriptions/1/resourceGroups/g", "zone50": "b.test:/subscriptions/1/resourceGroups/g"}}, true},
		{dns.Settings{Values: map[string]string{"environment": "Mars"}}, false},
		{dns.Settings{Values: map[string]string{"zone2": "a.test:/subscriptions/1"}}, false},
		{dns.Settings{Values: map[string]string{"zone2": "a.test:/subscriptions/1/resourceGroups/../x/y"}}, false},
		{dns.Settings{Values: map[string]string{"arm_endpoint": "http://arm.example"}}, false},
	} {
		if _, err := azure.Entry().New(c.settings); (err == nil) != c.good {
			t.Errorf("%v: %v", c.settings.Values, err)
		}
	}
}
