package google

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns/aws"
	"github.com/cairn-ca/cairn/internal/bot/dns/credential"
	"github.com/cairn-ca/cairn/internal/bot/dns/rest"
)

// exchange gives the token of another identity provider for one of Google's (RFC 8693 §2.1; https://google.aip.dev/auth/4117).
func (t *tokens) exchange(ctx context.Context, f file, scope string) (granted, error) {
	subject, err := t.subject(ctx, f)
	if err != nil {
		return granted{}, fmt.Errorf("getting the token of the other identity provider: %w", err)
	}
	form := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"audience": {f.Audience}, "scope": {scope}, "subject_token": {subject}, "subject_token_type": {f.SubjectTokenType},
	}
	if f.UserProject != "" {
		options, err := json.Marshal(map[string]string{"userProject": f.UserProject})
		if err != nil {
			return granted{}, err
		}
		form.Set("options", string(options))
	}
	return t.post(ctx, f.TokenURL, form)
}

// subject finds the token of the other provider.
func (t *tokens) subject(ctx context.Context, f file) (string, error) {
	s := f.CredentialSource
	switch {
	case strings.HasPrefix(s.EnvironmentID, "aws"):
		return t.signedForAWS(ctx, f, time.Now())
	case s.File != "":
		text, err := credential.File(s.File)
		if err != nil {
			return "", err
		}
		return s.token([]byte(text), s.File)
	case s.URL != "":
		return t.subjectFromURL(ctx, s)
	case len(s.Executable) > 0:
		return "", errors.New("credential_source is an executable, which is not run: have it write its token to a file, and give credential_source.file")
	}
	return "", errors.New("credential_source has neither file nor url")
}

// token takes what is wanted out of a text.
func (s source) token(text []byte, where string) (string, error) {
	token := strings.TrimSpace(string(text))
	if s.Format.Type == "json" {
		var members map[string]json.RawMessage
		token = ""
		if json.Unmarshal(text, &members) != nil || json.Unmarshal(members[s.Format.Field], &token) != nil {
			return "", fmt.Errorf("%s has no member %q with a token", where, s.Format.Field)
		}
	}
	if token == "" {
		return "", fmt.Errorf("%s has no token in it", where)
	}
	return token, nil
}

// subjectFromURL asks an address that the file names: over TLS, or the metadata service of this machine. The token that it answers
// with goes to Google, and to nobody else, so a file from a stranger gains nothing by naming one of our own services.
func (t *tokens) subjectFromURL(ctx context.Context, s source) (string, error) {
	where, err := url.Parse(s.URL)
	if err != nil || where.Host == "" {
		return "", errors.New("credential_source.url is not an address")
	}
	query, err := url.ParseQuery(where.RawQuery)
	if err != nil {
		return "", errors.New("credential_source.url has a query that cannot be read")
	}
	near := local(where.Hostname())
	client, err := rest.New(rest.Config{Service: "the identity provider", Base: where.Scheme + "://" + where.Host, HTTP: t.config.HTTP, Plain: near, Direct: near})
	if err != nil {
		return "", err
	}
	header := make(http.Header)
	for name, value := range s.Headers {
		if strings.ContainsAny(name+value, "\r\n") || slices.Contains([]string{"host", "content-length", "transfer-encoding"}, strings.ToLower(name)) {
			return "", fmt.Errorf("credential_source.headers has %.40q, which is refused", name)
		}
		header.Set(name, value)
	}
	answer, err := client.Do(ctx, rest.Request{Path: strings.Split(strings.TrimPrefix(where.Path, "/"), "/"), Query: query, Header: header})
	if err != nil {
		return "", err
	}
	return s.token(answer.Body, where.Host)
}

var verification = regexp.MustCompile(`^https://sts\.(\{region\}|[a-z0-9-]+)\.amazonaws\.com(\.cn)?\?Action=GetCallerIdentity&Version=2011-06-15$`)

// signedForAWS signs a request to AWS for Google to send: its answer says who signed it (https://google.aip.dev/auth/4117).
// It is valid for this audience alone, and nothing is sent to AWS from here but to find credentials.
func (t *tokens) signedForAWS(ctx context.Context, f file, now time.Time) (string, error) {
	if !verification.MatchString(f.CredentialSource.VerificationURL) {
		return "", errors.New("regional_cred_verification_url is not the address that Google writes there")
	}
	source, err := aws.New(aws.Config{HTTP: t.config.HTTP, Lookup: t.config.Lookup, Environ: t.config.Environ})
	if err != nil {
		return "", err
	}
	credentials, err := source.Credentials(ctx, now)
	if err != nil {
		return "", err
	}
	address := strings.ReplaceAll(f.CredentialSource.VerificationURL, "{region}", source.Region())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("X-Goog-Cloud-Target-Resource", f.Audience)
	aws.Sign(request, nil, credentials, aws.Scope{Region: source.Region(), Service: "sts"}, now)
	type header struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	headers := []header{{"Host", request.URL.Host}}
	for name := range request.Header {
		headers = append(headers, header{name, request.Header.Get(name)})
	}
	slices.SortFunc(headers, func(a, b header) int { return strings.Compare(a.Key, b.Key) })
	text, err := json.Marshal(map[string]any{"url": address, "method": http.MethodPost, "headers": headers})
	return url.QueryEscape(string(text)), err
}
