package google_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/google"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
)

// set is a record set, as the service has it.
type set struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	TTL     int      `json:"ttl"`
	Rrdatas []string `json:"rrdatas"`
}

// cloud is Google Cloud: DNS, its authorization servers, and the metadata service of a machine.
type cloud struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu        sync.Mutex
	sets      map[string]set // by zone and name
	conflicts int            // changes that somebody else is faster with
	polls     int            // of a change, before it is done
	tokens    []string       // how each token was asked for
	quota     string
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{key: key, sets: make(map[string]set)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", c.token)
	mux.HandleFunc("POST /sts", c.sts)
	mux.HandleFunc("POST /impersonate", c.impersonate)
	mux.HandleFunc("GET /oidc", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "bearer ci" || r.URL.RawQuery != "audience=x" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"value": "oidc-token"}`)
	})
	mux.HandleFunc("GET /computeMetadata/v1/", c.metadata)
	mux.HandleFunc("GET /dns/v1/projects/{project}/managedZones", c.zones)
	mux.HandleFunc("GET /dns/v1/projects/{project}/managedZones/{zone}/rrsets", c.read)
	mux.HandleFunc("POST /dns/v1/projects/{project}/managedZones/{zone}/changes", c.change)
	mux.HandleFunc("GET /dns/v1/projects/{project}/managedZones/{zone}/changes/7", func(w http.ResponseWriter, _ *http.Request) {
		c.polls--
		_, _ = io.WriteString(w, map[bool]string{true: `{"status":"done"}`, false: `{"status":"pending"}`}[c.polls < 0])
	})
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) grant(w http.ResponseWriter, how string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens = append(c.tokens, how)
	_, _ = fmt.Fprintf(w, `{"access_token": "ya29.%d", "expires_in": 3599, "token_type": "Bearer"}`, len(c.tokens))
}

func (c *cloud) token(w http.ResponseWriter, r *http.Request) {
	switch r.FormValue("grant_type") {
	case "refresh_token":
		if r.FormValue("client_id") == "cid" && r.FormValue("client_secret") == "csecret" && r.FormValue("refresh_token") == "refresh" {
			c.grant(w, "refresh")
			return
		}
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		parsed, err := jose.ParseSignedCompact(r.FormValue("assertion"), []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			break
		}
		text, err := parsed.Verify(&c.key.PublicKey)
		var claims struct {
			Iss, Scope, Aud string
			Iat, Exp        int64
		}
		if err == nil && json.Unmarshal(text, &claims) == nil && claims.Iss == "bot@project.example" && claims.Aud == c.URL+"/token" &&
			claims.Exp-claims.Iat == 3600 && time.Since(time.Unix(claims.Iat, 0)) < time.Minute && parsed.Signatures[0].Protected.KeyID == "kid" {
			c.grant(w, "assertion "+claims.Scope)
			return
		}
	}
	w.WriteHeader(http.StatusBadRequest)
	_, _ = io.WriteString(w, `{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}`)
}

func (c *cloud) sts(w http.ResponseWriter, r *http.Request) {
	subject := r.FormValue("subject_token")
	if strings.HasPrefix(subject, "%7B") { // a signed request, escaped once more
		text, _ := url.QueryUnescape(subject)
		var signed struct {
			URL, Method string
			Headers     []struct{ Key, Value string }
		}
		_ = json.Unmarshal([]byte(text), &signed)
		subject = signed.Method + " " + signed.URL
		for _, header := range signed.Headers {
			subject += " " + header.Key
		}
	}
	c.grant(w, "sts "+subject+" "+r.FormValue("subject_token_type")+" for "+r.FormValue("audience")+" "+r.FormValue("scope"))
}

func (c *cloud) impersonate(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Header.Get("Authorization") != fmt.Sprintf("Bearer ya29.%d", len(c.tokens)) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	c.tokens = append(c.tokens, "impersonate "+string(body))
	_, _ = fmt.Fprintf(w, `{"accessToken": "ya29.%d", "expireTime": %q}`, len(c.tokens), time.Now().Add(time.Hour).Format(time.RFC3339))
}

func (c *cloud) metadata(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Metadata-Flavor") != "Google" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.Header().Set("Metadata-Flavor", "Google")
	if strings.HasSuffix(r.URL.Path, "/project-id") {
		_, _ = io.WriteString(w, "machine-project")
		return
	}
	c.grant(w, "metadata "+r.FormValue("scopes"))
}

// refused refuses what has no valid token.
func (c *cloud) refused(w http.ResponseWriter, r *http.Request) bool {
	c.quota = r.Header.Get("X-Goog-User-Project")
	if len(c.tokens) > 0 && r.Header.Get("Authorization") == fmt.Sprintf("Bearer ya29.%d", len(c.tokens)) && r.PathValue("project") != "forbidden" {
		return false
	}
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, `{"error": {"code": 403, "message": "The caller does not have permission", "errors": [{"message": "x"}]}}`)
	return true
}

func (c *cloud) zones(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused(w, r) {
		return
	}
	switch name := r.FormValue("dnsName"); name {
	case "sub.dyn.test.":
		_, _ = io.WriteString(w, `{"managedZones": [{"name": "internal", "dnsName": "sub.dyn.test.", "visibility": "private"}, {"name": "sub", "dnsName": "sub.dyn.test.", "visibility": "public"}]}`)
	case "dyn.test.":
		_, _ = io.WriteString(w, `{"managedZones": [{"name": "`+r.PathValue("project")+`-top", "dnsName": "dyn.test."}]}`)
	default:
		_, _ = io.WriteString(w, `{"managedZones": []}`)
	}
}

func (c *cloud) read(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused(w, r) {
		return
	}
	if r.PathValue("zone") == "absent" {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error": {"message": "The 'parameters.managedZone' resource named 'absent' does not exist."}}`)
		return
	}
	list := []set{}
	if s, ok := c.sets[r.PathValue("zone")+" "+r.FormValue("name")]; ok && r.FormValue("type") == "TXT" {
		list = append(list, s)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"rrsets": list})
}

func (c *cloud) change(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused(w, r) {
		return
	}
	var body struct{ Additions, Deletions []set }
	_ = json.NewDecoder(r.Body).Decode(&body)
	name := append(body.Additions, body.Deletions...)[0].Name
	key := r.PathValue("zone") + " " + name
	if c.conflicts > 0 {
		c.conflicts--
		old := c.sets[key]
		c.sets[key] = set{Name: name, Type: "TXT", TTL: 300, Rrdatas: append(slices.Clone(old.Rrdatas), fmt.Sprintf("\"faster%d\"", c.conflicts))}
	}
	old, there := c.sets[key]
	if there != (len(body.Deletions) == 1) || there && (!slices.Equal(old.Rrdatas, body.Deletions[0].Rrdatas) || old.TTL != body.Deletions[0].TTL) {
		w.WriteHeader(map[bool]int{true: http.StatusPreconditionFailed, false: http.StatusConflict}[len(body.Deletions) == 1])
		_, _ = io.WriteString(w, `{"error": {"message": "Precondition not met"}}`)
		return
	}
	delete(c.sets, key)
	if len(body.Additions) == 1 {
		c.sets[key] = body.Additions[0]
	}
	_, _ = io.WriteString(w, `{"id": "7", "status": "pending"}`)
}

func (c *cloud) values(zone, name string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []string{}
	for _, value := range c.sets[zone+" "+name].Rrdatas {
		list = append(list, txt.Unquote(value))
	}
	slices.Sort(list)
	return list
}

// account is the file of a service account, with members replaced.
func (c *cloud) account(members ...string) string {
	der, _ := x509.MarshalPKCS8PrivateKey(c.key)
	file := map[string]any{"type": "service_account", "project_id": "project", "private_key_id": "kid", "client_email": "bot@project.example", "token_uri": c.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}
	for _, member := range members {
		name, value, _ := strings.Cut(member, "=")
		file[name] = value
	}
	text, _ := json.Marshal(file)
	return string(text)
}

func (c *cloud) start(t *testing.T, config google.Config) *google.Provider {
	t.Helper()
	config.Endpoint, config.Metadata = c.URL, c.URL
	if config.Trusted == nil {
		config.Trusted = []string{strings.TrimPrefix(c.URL, "http://")}
	}
	p, err := google.New(config)
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

func TestOtherValuesAreKept(t *testing.T) {
	c := newCloud(t)
	c.sets["sub "+name] = set{Name: name, Type: "TXT", TTL: 300, Rrdatas: []string{`"theirs"`}}
	p := c.start(t, google.Config{JSON: c.account()})
	long := `ca.test; accounturi="https://ca.test/1"; ` + strings.Repeat("y", 300)
	c.conflicts = 2
	for _, value := range []string{"one", "one", long} {
		must(t, p.Add(t.Context(), dns.Record{Name: name, Value: value}))
	}
	if got := c.values("sub", name); !slices.Equal(got, []string{long, "faster0", "faster1", "one", "theirs"}) {
		t.Errorf("got %q", got)
	}
	c.conflicts = 1
	for _, value := range []string{"one", "one", long} {
		must(t, p.Remove(t.Context(), dns.Record{Name: name, Value: value}))
	}
	if got := c.values("sub", name); !slices.Equal(got, []string{"faster0", "faster0", "faster1", "theirs"}) {
		t.Errorf("left %q", got)
	}
	c.polls = 1
	must(t, p.Settle(t.Context()))
	if len(c.tokens) != 1 || c.polls >= 0 {
		t.Errorf("tokens were asked for with %q, %d polls are left", c.tokens, c.polls)
	}
	c.conflicts = 10
	if err := p.Add(t.Context(), dns.Record{Name: name, Value: "never"}); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("got %v", err)
	}
}

func TestTheLastValueTakesTheSetWithIt(t *testing.T) {
	c := newCloud(t)
	p := c.start(t, google.Config{JSON: c.account(), Project: "other"})
	record := dns.Record{Name: "_acme-challenge.dyn.test.", Value: "one", TTL: 77 * time.Second}
	must(t, p.Add(t.Context(), record))
	if s := c.sets["other-top "+record.Name]; s.TTL != 77 {
		t.Errorf("made %+v in %v", s, c.sets)
	}
	must(t, p.Remove(t.Context(), record))
	if len(c.sets) != 0 {
		t.Errorf("left %v", c.sets)
	}
	err := p.Add(t.Context(), dns.Record{Name: "_acme-challenge.elsewhere.example.", Value: "x"})
	if !errors.Is(err, txt.ErrNoZone) || !strings.Contains(err.Error(), "--dns-google-project") {
		t.Errorf("got %v", err)
	}
	must(t, c.start(t, google.Config{JSON: c.account(), Private: true}).Add(t.Context(), dns.Record{Name: name, Value: "private"}))
	must(t, c.start(t, google.Config{JSON: c.account(), Zone: "given"}).Add(t.Context(), dns.Record{Name: name, Value: "given"}))
	if got := append(c.values("internal", name), c.values("given", name)...); !slices.Equal(got, []string{"private", "given"}) {
		t.Errorf("got %q", got)
	}
	err = c.start(t, google.Config{JSON: c.account(), Zone: "absent"}).Add(t.Context(), record)
	if !errors.Is(err, txt.ErrNoZone) || !strings.Contains(err.Error(), `no managed zone "absent"`) {
		t.Errorf("got %v", err)
	}
	err = c.start(t, google.Config{JSON: c.account(), Project: "forbidden"}).Add(t.Context(), record)
	if err == nil || !strings.Contains(err.Error(), "The caller does not have permission (the account needs the role roles/dns.admin") {
		t.Errorf("got %v", err)
	}
}

const dnsScope, allScope = "https://www.googleapis.com/auth/ndev.clouddns.readwrite", "https://www.googleapis.com/auth/cloud-platform"

func TestWhereTokensComeFrom(t *testing.T) {
	c := newCloud(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	external := func(source string, more string) string {
		return fmt.Sprintf(`{"type":"external_account","audience":"//iam.googleapis.com/pool","subject_token_type":"urn:jwt","token_url":"%s/sts","credential_source":%s%s}`, c.URL, source, more)
	}
	user := `{"type":"authorized_user","client_id":"cid","client_secret":"csecret","refresh_token":"refresh","quota_project_id":"quota","token_uri":"` + c.URL + `/token"}`
	environment := func(pairs ...string) func(string) (string, bool) {
		return func(name string) (string, bool) {
			for _, pair := range pairs {
				if key, value, _ := strings.Cut(pair, "="); key == name {
					return value, true
				}
			}
			return "", false
		}
	}
	plain, asJSON := write("token", "file-token\n"), write("token.json", `{"id_token": "json-token"}`)
	for _, test := range []struct {
		name   string
		config google.Config
		want   []string
	}{
		{"the machine", google.Config{}, []string{"metadata " + dnsScope}},
		{"a service account", google.Config{File: write("account", c.account())}, []string{"assertion " + dnsScope}},
		{"GOOGLE_APPLICATION_CREDENTIALS", google.Config{Project: "p", Lookup: environment("GOOGLE_APPLICATION_CREDENTIALS=" + write("user", user))}, []string{"refresh"}},
		{"gcloud's file", google.Config{Lookup: environment("GCE_PROJECT=p", "HOME="+filepath.Dir(filepath.Dir(filepath.Dir(write("h/.config/gcloud/application_default_credentials.json", user)))))}, []string{"refresh"}},
		{"a file", google.Config{JSON: external(`{"file":"`+plain+`"}`, "")}, []string{"sts file-token urn:jwt for //iam.googleapis.com/pool " + dnsScope}},
		{"JSON in a file", google.Config{JSON: external(`{"file":"`+asJSON+`","format":{"type":"json","subject_token_field_name":"id_token"}}`, "")}, []string{"sts json-token urn:jwt for //iam.googleapis.com/pool " + dnsScope}},
		{"an address, and acting as another", google.Config{JSON: external(`{"url":"`+c.URL+`/oidc?audience=x","headers":{"authorization":"bearer ci"},"format":{"type":"json","subject_token_field_name":"value"}}`,
			`,"service_account_impersonation_url":"`+c.URL+`/impersonate"`)},
			[]string{"sts oidc-token urn:jwt for //iam.googleapis.com/pool " + allScope, `impersonate {"lifetime":"3600s","scope":["` + dnsScope + `"]}`}},
		{"AWS", google.Config{JSON: external(`{"environment_id":"aws1","regional_cred_verification_url":"https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}`, ""),
			Lookup: environment("AWS_ACCESS_KEY_ID=k", "AWS_SECRET_ACCESS_KEY=s", "AWS_REGION=eu-west-1")},
			[]string{"sts POST https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15 Authorization Host X-Amz-Date X-Goog-Cloud-Target-Resource urn:jwt for //iam.googleapis.com/pool " + dnsScope}},
		{"impersonated", google.Config{Project: "p", JSON: `{"type":"impersonated_service_account","source_credentials":` + user + `,"service_account_impersonation_url":"` + c.URL + `/impersonate","delegates":["d"]}`},
			[]string{"refresh", `impersonate {"delegates":["d"],"lifetime":"3600s","scope":["` + dnsScope + `"]}`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c.tokens, c.quota = nil, ""
			must(t, c.start(t, test.config).Add(t.Context(), dns.Record{Name: name, Value: test.name}))
			if !slices.Equal(c.tokens, test.want) {
				t.Errorf("got %q\nwant %q", c.tokens, test.want)
			}
			if strings.Contains(test.want[0], "refresh") && test.name != "impersonated" && c.quota != "quota" {
				t.Errorf("quota project %q", c.quota)
			}
		})
	}
}

// TestCredentialsOfAStranger: nothing is sent to where a file points, unless that is Google.
func TestCredentialsOfAStranger(t *testing.T) {
	c := newCloud(t)
	plain := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(plain, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	external := func(url, source string) string {
		return `{"type":"external_account","project_id":"p","audience":"a","subject_token_type":"t","token_url":"` + url + `","credential_source":` + source + `}`
	}
	file := `{"file":"` + plain + `"}`
	for _, text := range []string{
		c.account(), // its token_uri is this server, which is not trusted now
		c.account("token_uri=https://oauth2.googleapis.com.evil.example/token"),
		c.account("token_uri=https://evil.example/oauth2.googleapis.com"),
		c.account("token_uri=https://oauth2.googleapis.com@evil.example/token"),
		c.account("token_uri=http://oauth2.googleapis.com/token"),
		c.account("universe_domain=evil.example", "token_uri=https://oauth2.evil.example/token"),
		external("https://evil.example/v1/token", file),
		external("https://sts.googleapis.com/v1/token", `{"url":"http://evil.example/"}`),
		external("https://sts.googleapis.com/v1/token", `{"url":"https://user:pw@evil.example/","headers":{"Host":"x"}}`),
		external("https://sts.googleapis.com/v1/token", `{"url":"`+c.URL+`/oidc","headers":{"x":"a\r\nb: c"}}`),
		external("https://sts.googleapis.com/v1/token", `{"executable":{"command":"/bin/true"}}`),
		external("https://sts.googleapis.com/v1/token", `{}`),
		external("https://sts.googleapis.com/v1/token", `{"file":"/dev/zero"}`),
		external("https://sts.googleapis.com/v1/token", `{"environment_id":"aws1","regional_cred_verification_url":"https://evil.example/"}`),
	} {
		refuse := &http.Client{Transport: only(strings.TrimPrefix(c.URL, "http://"))}
		p, err := google.New(google.Config{JSON: text, Trusted: []string{"trusted.example"}, HTTP: refuse, Endpoint: c.URL, Metadata: c.URL})
		if err == nil {
			err = p.Add(t.Context(), dns.Record{Name: name, Value: "x"})
		}
		if err == nil || strings.Contains(err.Error(), "asked for") || strings.Contains(err.Error(), "PRIVATE KEY") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if len(c.tokens) > 0 {
		t.Errorf("tokens were given: %q", c.tokens)
	}
}

// only is a transport that goes to one host alone.
type only string

func (host only) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != string(host) {
		return nil, fmt.Errorf("asked for %s", r.URL)
	}
	return http.DefaultTransport.RoundTrip(r)
}

func TestSettings(t *testing.T) {
	c := newCloud(t)
	for text, good := range map[string]bool{
		c.account(): true, "x": false, `{"type":"gdch_service_account"}`: false, c.account("private_key=x"): false, c.account("universe_domain=a/b"): false,
	} {
		if _, err := google.Entry().New(dns.Settings{Values: map[string]string{"service_account": text, "universe_domain": "x.test"}}); (err == nil) != good {
			t.Errorf("%.60s: %v", text, err)
		}
	}
	for _, values := range []map[string]string{{"credentials_file": "/nonexistent"}, {"allow_private_zone": "perhaps"}, {"endpoint": "x"}} {
		if _, err := google.Entry().New(dns.Settings{Values: values}); err == nil {
			t.Errorf("%v was accepted", values)
		}
	}
}
