package google

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns/credential"
	"github.com/cairn-ca/cairn/internal/bot/dns/jwt"
	"github.com/cairn-ca/cairn/internal/bot/dns/rest"
)

const (
	scopeDNS = "https://www.googleapis.com/auth/ndev.clouddns.readwrite"
	scopeAll = "https://www.googleapis.com/auth/cloud-platform" // to act as somebody else
	patience = 5 * time.Second                                  // with the machine's metadata service
)

// file is a credentials file of any kind (https://google.aip.dev/auth/4110 and following).
type file struct {
	Type           string
	ProjectID      string `json:"project_id"`
	QuotaProjectID string `json:"quota_project_id"`
	UniverseDomain string `json:"universe_domain"`
	TokenURI       string `json:"token_uri"` // "service_account"

	ClientEmail  string `json:"client_email"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`

	ClientID     string `json:"client_id"` // "authorized_user"
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`

	Audience         string // "external_account"
	SubjectTokenType string `json:"subject_token_type"`
	TokenURL         string `json:"token_url"`
	CredentialSource source `json:"credential_source"`
	UserProject      string `json:"workforce_pool_user_project"`

	ImpersonationURL string `json:"service_account_impersonation_url"` // "external_account", "impersonated_service_account"
	Delegates        []string
	Source           json.RawMessage `json:"source_credentials"`
}

// source is where the token of another identity provider comes from.
type source struct {
	File    string
	URL     string
	Headers map[string]string
	Format  struct {
		Type  string
		Field string `json:"subject_token_field_name"`
	}
	EnvironmentID   string `json:"environment_id"` // aws1
	VerificationURL string `json:"regional_cred_verification_url"`
	Executable      json.RawMessage
}

// tokens gets access tokens.
type tokens struct {
	config   Config
	file     file // of kind "" where only the machine itself can know
	universe string
	present  credential.Token
}

func newTokens(config Config) (*tokens, error) {
	t := &tokens{config: config, universe: "googleapis.com"}
	t.present.Fetch = t.access
	text, where, err := t.read()
	if err != nil {
		return nil, err
	}
	if text == "" {
		return t, nil
	}
	if err := json.Unmarshal([]byte(text), &t.file); err != nil {
		return nil, fmt.Errorf("%s is not the JSON of Google's credentials: `gcloud iam service-accounts keys create FILE --iam-account ACCOUNT` makes such a file", where)
	}
	if !slices.Contains([]string{"service_account", "authorized_user", "external_account", "impersonated_service_account"}, t.file.Type) {
		return nil, fmt.Errorf("%s has credentials of the type %.40q: a service account, an authorized user and workload identity (external_account) are understood", where, t.file.Type)
	}
	t.universe = cmp.Or(t.file.UniverseDomain, t.universe)
	if t.universe != "googleapis.com" && !slices.Contains(config.Trusted, t.universe) {
		return nil, fmt.Errorf("%s is for the cloud %.60q, and no token is sent there only because a file says so: if it is right, say universe_domain = %.60s", where, t.universe, t.universe)
	}
	if t.file.Type == "service_account" {
		if _, err := jwt.ParseKey([]byte(t.file.PrivateKey)); err != nil {
			return nil, fmt.Errorf("%s: %w: make a new key for the service account", where, err)
		}
	}
	return t, nil
}

// read finds the text of the credentials, and says where it is from.
func (t *tokens) read() (text, where string, err error) {
	if t.config.JSON != "" {
		return t.config.JSON, "the setting service_account", nil
	}
	name, must := t.config.File, true
	if name == "" {
		name, _ = t.config.Lookup("GOOGLE_APPLICATION_CREDENTIALS")
	}
	if name == "" {
		must = false
		if dir, _ := t.config.Lookup("CLOUDSDK_CONFIG"); dir != "" {
			name = filepath.Join(dir, "application_default_credentials.json")
		} else if home, _ := t.config.Lookup("HOME"); home != "" {
			name = filepath.Join(home, ".config", "gcloud", "application_default_credentials.json")
		}
	}
	if name == "" {
		return "", "", nil
	}
	text, err = credential.File(name)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("reading the credentials: %w", err)
	}
	return text, name, nil
}

// access gets a token for changes, by acting as another account where that is asked for.
func (t *tokens) access(ctx context.Context, now time.Time) (string, time.Duration, error) {
	scope := scopeDNS
	impersonate := t.impersonation()
	if impersonate != "" {
		scope = scopeAll
	}
	got, err := t.fetch(ctx, t.file, scope, now)
	if err == nil && impersonate != "" {
		got, err = t.actAs(ctx, impersonate, got.AccessToken, now)
	}
	return got.AccessToken, time.Duration(got.ExpiresIn) * time.Second, err
}

// granted is a token, as RFC 6749 §5.1 has it.
type granted struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
}

// fetch gets the token of the credentials themselves.
func (t *tokens) fetch(ctx context.Context, f file, scope string, now time.Time) (granted, error) {
	switch f.Type {
	case "service_account":
		address := cmp.Or(f.TokenURI, "https://oauth2."+t.universe+"/token")
		assertion, err := assertion(f, scope, address, now)
		if err != nil {
			return granted{}, err
		}
		return t.post(ctx, address, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}) // RFC 7523 §2.1
	case "authorized_user":
		return t.post(ctx, cmp.Or(f.TokenURI, "https://oauth2."+t.universe+"/token"), url.Values{"grant_type": {"refresh_token"},
			"client_id": {f.ClientID}, "client_secret": {f.ClientSecret}, "refresh_token": {f.RefreshToken}})
	case "external_account":
		return t.exchange(ctx, f, scope)
	case "impersonated_service_account":
		var inner file
		if err := json.Unmarshal(f.Source, &inner); err != nil || inner.Type == f.Type {
			return granted{}, errors.New("the credentials have no usable source_credentials")
		}
		return t.fetch(ctx, inner, scope, now)
	}
	return t.machine(ctx, scope)
}

// assertion is a token that the service account signs for an hour
// (RFC 7523 §3; https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests).
func assertion(f file, scope, audience string, now time.Time) (string, error) {
	key, err := jwt.ParseKey([]byte(f.PrivateKey))
	if err != nil {
		return "", err
	}
	return jwt.Sign(key, map[string]string{"kid": f.PrivateKeyID}, map[string]any{
		"iss": f.ClientEmail, "scope": scope, "aud": audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
}

// post asks an authorization server, which must be Google's.
func (t *tokens) post(ctx context.Context, address string, form url.Values) (granted, error) {
	client, err := t.client(address, "")
	if err != nil {
		return granted{}, err
	}
	var answer granted
	_, err = client.JSON(ctx, rest.Request{Method: "POST", Form: form}, &answer)
	return answer, err
}

// client makes a client of an address that a credentials file names. Such files are passed around: one
// from a stranger must not have tokens sent elsewhere.
func (t *tokens) client(address, token string) (*rest.Client, error) {
	where, err := url.Parse(address)
	if err != nil || !t.trusted(where) {
		return nil, fmt.Errorf("the credentials name %.100q, which is none of Google's addresses: nothing is sent there", address)
	}
	return rest.New(rest.Config{Service: "Google", Base: address, HTTP: t.config.HTTP,
		Hint: "check that the account exists, that its key was not deleted, and that this machine's clock is right",
		Authorize: func(request *http.Request, _ []byte) error {
			if token != "" {
				request.Header.Set("Authorization", "Bearer "+token)
			}
			return nil
		}})
}

func (t *tokens) trusted(where *url.URL) bool {
	host := where.Hostname()
	google := strings.HasSuffix(host, ".googleapis.com") || host == "accounts.google.com" ||
		slices.ContainsFunc(t.config.Trusted, func(universe string) bool { return strings.HasSuffix(host, "."+universe) })
	return where.User == nil && (where.Scheme == "https" && google || slices.Contains(t.config.Trusted, where.Host))
}

// impersonation is the address to act as another account at, or "".
func (t *tokens) impersonation() string {
	if t.config.Impersonate != "" {
		return "https://iamcredentials." + t.universe + "/v1/projects/-/serviceAccounts/" + url.PathEscape(t.config.Impersonate) + ":generateAccessToken"
	}
	return t.file.ImpersonationURL
}

// actAs exchanges a token for that of a service account.
func (t *tokens) actAs(ctx context.Context, address, token string, now time.Time) (granted, error) {
	client, err := t.client(address, token)
	if err != nil {
		return granted{}, err
	}
	body := map[string]any{"scope": []string{scopeDNS}, "lifetime": "3600s"}
	if len(t.file.Delegates) > 0 {
		body["delegates"] = t.file.Delegates
	}
	var answer struct {
		AccessToken string    `json:"accessToken"`
		ExpireTime  time.Time `json:"expireTime"`
	}
	if _, err := client.JSON(ctx, rest.Request{Method: "POST", JSON: body}, &answer); err != nil {
		return granted{}, fmt.Errorf("acting as another service account (which needs roles/iam.serviceAccountTokenCreator): %w", err)
	}
	return granted{AccessToken: answer.AccessToken, ExpiresIn: int(answer.ExpireTime.Sub(now) / time.Second)}, nil
}

// machine asks the metadata service of a machine of Google's.
func (t *tokens) machine(ctx context.Context, scope string) (granted, error) {
	var answer granted
	_, err := t.metadata(ctx, rest.Request{Path: []string{"computeMetadata", "v1", "instance", "service-accounts", "default", "token"}, Query: url.Values{"scopes": {scope}}}, &answer)
	if err != nil {
		return granted{}, fmt.Errorf("there are no credentials: give a file of a service account, or run `gcloud auth application-default login` (%w)", err)
	}
	return answer, nil
}

// machineProject is the project that this machine belongs to.
func (t *tokens) machineProject(ctx context.Context) (string, error) {
	answer, err := t.metadata(ctx, rest.Request{Path: []string{"computeMetadata", "v1", "project", "project-id"}}, nil)
	return strings.TrimSpace(string(answer.Body)), err
}

func (t *tokens) metadata(ctx context.Context, request rest.Request, into any) (rest.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	base := t.config.Metadata
	if base == "" {
		host, _ := t.config.Lookup("GCE_METADATA_HOST")
		base = "http://" + cmp.Or(host, "169.254.169.254")
	}
	client, err := rest.New(rest.Config{Service: "Google metadata", Base: base, HTTP: t.config.HTTP, Plain: true, Direct: true})
	if err != nil {
		return rest.Answer{}, err
	}
	request.Header = http.Header{"Metadata-Flavor": {"Google"}}
	answer, err := client.JSON(ctx, request, into)
	if err == nil && answer.Header.Get("Metadata-Flavor") != "Google" {
		err = errors.New("the metadata service is not Google's")
	}
	return answer, err
}

// local reports whether plain HTTP to host stays on this machine, or on the link to its metadata service.
func local(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsLoopback() || ip.IsLinkLocalUnicast())
}
