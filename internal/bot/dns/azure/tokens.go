package azure

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns/credential"
	"github.com/cairn-ca/cairn/internal/bot/dns/jwt"
	"github.com/cairn-ca/cairn/internal/bot/dns/rest"
)

// Identity is who asks. CLI, Managed and ManagedClient say so themselves. Otherwise it is an application with a secret,
// with a certificate, or with the token of somebody else's, whichever is given first; and the machine if none is.
type Identity struct {
	Tenant      string
	Client      string // the ID of the application
	Secret      string
	Certificate string // a file with the application's certificate and its key, in PEM
	TokenFile   string // a file with a token that the application trusts (workload identity federation)
	CLI         bool   // the command az says
	// ManagedClient chooses one of several identities that the machine has. Managed asks for one by
	// itself, with or without ManagedClient.
	Managed       bool
	ManagedClient string
	// Endpoint and Header are what App Service and Functions give to their programs (IDENTITY_ENDPOINT, IDENTITY_HEADER).
	Endpoint, Header string
	Metadata         string // address of the machine's metadata service; "" means the usual one
}

type cloud struct{ login, management string }

// clouds are Microsoft's own, by their names in lower case.
var clouds = func() map[string]cloud {
	list := map[string]cloud{
		"azurepubliccloud":       {"https://login.microsoftonline.com", "https://management.azure.com"},
		"azureusgovernmentcloud": {"https://login.microsoftonline.us", "https://management.usgovcloudapi.net"},
		"azurechinacloud":        {"https://login.chinacloudapi.cn", "https://management.chinacloudapi.cn"},
	}
	for other, name := range map[string]string{"": "azurepubliccloud", "public": "azurepubliccloud", "azurecloud": "azurepubliccloud",
		"usgovernment": "azureusgovernmentcloud", "azureusgovernment": "azureusgovernmentcloud", "china": "azurechinacloud"} {
		list[other] = list[name]
	}
	return list
}()

// patience is how long the metadata service of a machine may take.
const patience = 10 * time.Second

// tokens gets access tokens.
type tokens struct {
	config   Config
	resource string // what tokens are for
	key      *rsa.PrivateKey
	thumb    string
	present  credential.Token
}

func newTokens(config Config, cloud cloud) (*tokens, error) {
	t := &tokens{config: config, resource: cloud.management}
	t.present.Fetch = t.access
	i := &t.config.Identity
	if i.Managed || i.ManagedClient != "" || i.CLI { // said by the operator, and so the others are not meant
		i.Secret, i.Certificate, i.TokenFile = "", "", ""
	}
	application := i.Secret != "" || i.Certificate != "" || i.TokenFile != ""
	if application && (i.Client == "" || i.Tenant == "") {
		return nil, errors.New("azure: an application is known by tenant_id and sp_client_id: give both")
	}
	if i.Certificate != "" && i.Secret == "" {
		if err := t.readCertificate(i.Certificate); err != nil {
			return nil, fmt.Errorf("azure: reading the application's certificate: %w", err)
		}
	}
	return t, nil
}

// readCertificate reads the key, and the thumbprint of the certificate that Microsoft knows.
func (t *tokens) readCertificate(file string) error {
	text, err := credential.File(file)
	if err != nil {
		return err
	}
	if t.key, err = jwt.ParseKey([]byte(text)); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !t.key.PublicKey.Equal(certificate.PublicKey) {
			continue
		}
		thumb := sha1.Sum(certificate.Raw) // as Microsoft wants it; it chooses among certificates, and proves nothing
		t.thumb = base64.RawURLEncoding.EncodeToString(thumb[:])
		return nil
	}
	return fmt.Errorf("%s has no certificate for its key: put both into it", file)
}

// access gets a token for changes.
func (t *tokens) access(ctx context.Context, now time.Time) (string, time.Duration, error) {
	got, err := t.fetch(ctx, now)
	return got.AccessToken, time.Duration(got.ExpiresIn) * time.Second, err
}

// granted is a token, as RFC 6749 §5.1 has it. The machine's service writes the number as a string.
type granted struct {
	AccessToken string  `json:"access_token"`
	ExpiresIn   seconds `json:"expires_in"`
}

type seconds int

func (s *seconds) UnmarshalJSON(text []byte) error {
	number, err := strconv.Atoi(strings.Trim(string(text), `"`))
	*s = seconds(number)
	return err
}

func (t *tokens) fetch(ctx context.Context, now time.Time) (granted, error) {
	i := t.config.Identity
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {i.Client}, "scope": {t.resource + "/.default"}}
	switch {
	case i.Secret != "":
		form.Set("client_secret", i.Secret)
	case t.key != nil:
		assertion, err := t.assertion(now)
		if err != nil {
			return granted{}, err
		}
		form.Set("client_assertion", assertion)
	case i.TokenFile != "":
		token, err := credential.File(i.TokenFile)
		if err != nil {
			return granted{}, fmt.Errorf("reading the token for workload identity: %w", err)
		}
		form.Set("client_assertion", token)
	case i.CLI:
		return t.az(ctx, now)
	default:
		return t.machine(ctx)
	}
	if form.Has("client_assertion") {
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer") // RFC 7523 §2.2
	}
	return t.post(ctx, form)
}

// post asks Microsoft Entra (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow).
func (t *tokens) post(ctx context.Context, form url.Values) (granted, error) {
	client, err := rest.New(rest.Config{Service: "Microsoft Entra", Base: t.config.Login, HTTP: t.config.HTTP, Hint: "check tenant, client and secret; secrets end"})
	if err != nil {
		return granted{}, err
	}
	var answer granted
	_, err = client.JSON(ctx, rest.Request{Method: "POST", Path: []string{t.config.Identity.Tenant, "oauth2", "v2.0", "token"}, Form: form}, &answer)
	return answer, err
}

// assertion is a token that the application signs for ten minutes
// (https://learn.microsoft.com/entra/identity-platform/certificate-credentials).
func (t *tokens) assertion(now time.Time) (string, error) {
	client := t.config.Identity.Client
	return jwt.Sign(t.key, map[string]string{"x5t": t.thumb}, map[string]any{
		"aud": t.config.Login + "/" + url.PathEscape(t.config.Identity.Tenant) + "/oauth2/v2.0/token",
		"iss": client, "sub": client, "jti": rand.Text(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	})
}

// machine asks the service that a machine or an App Service has for its programs
// (https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token).
func (t *tokens) machine(ctx context.Context) (granted, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	i := t.config.Identity
	base, header, version := cmp.Or(i.Metadata, "http://169.254.169.254")+"/metadata/identity/oauth2/token", http.Header{"Metadata": {"true"}}, "2018-02-01"
	if i.Endpoint != "" && i.Header != "" {
		base, header, version = i.Endpoint, http.Header{"X-Identity-Header": {i.Header}}, "2019-08-01"
	}
	// App Service's endpoint is on the machine, with an address that only the machine knows.
	client, err := rest.New(rest.Config{Service: "Azure managed identity", Base: base, HTTP: t.config.HTTP, Plain: true, Direct: true})
	if err != nil {
		return granted{}, err
	}
	query := url.Values{"api-version": {version}, "resource": {t.resource}}
	if client := cmp.Or(i.ManagedClient, i.Client); client != "" && !i.Managed || i.ManagedClient != "" {
		query.Set("client_id", client)
	}
	var answer granted
	if _, err := client.JSON(ctx, rest.Request{Query: query, Header: header}, &answer); err != nil {
		return granted{}, fmt.Errorf("no application was configured (tenant_id, sp_client_id, sp_client_secret), and this machine's identity is not to be had: %w", err)
	}
	return answer, nil
}

// az asks Azure's command line, which a person has signed in with.
func (t *tokens) az(ctx context.Context, now time.Time) (granted, error) {
	argv := []string{"az", "account", "get-access-token", "--output", "json", "--resource", t.resource}
	if tenant := t.config.Identity.Tenant; tenant != "" {
		argv = append(argv, "--tenant", tenant)
	}
	output, err := credential.Output(ctx, t.config.Environ, argv)
	if err != nil {
		return granted{}, fmt.Errorf("the command az does not give a token (`az login` signs in): %w", err)
	}
	var answer struct {
		AccessToken string `json:"accessToken"`
		ExpiresOn   int64  `json:"expires_on"`
	}
	if err := json.Unmarshal(output, &answer); err != nil {
		return granted{}, errors.New("az did not print what it usually does")
	}
	left := seconds(300)
	if answer.ExpiresOn > 0 {
		left = seconds(time.Unix(answer.ExpiresOn, 0).Sub(now) / time.Second)
	}
	return granted{AccessToken: answer.AccessToken, ExpiresIn: left}, nil
}
