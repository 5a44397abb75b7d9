// Package aws is how Amazon Web Services know who asks: it finds credentials where AWS's own tools do, and signs
// requests with them. In this order they are taken from: what is given, the environment, a web identity
// (Kubernetes), the files under ~/.aws, the container (ECS, EKS), the instance (EC2).
// See https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html.
//
// Files, variables and addresses in them are the operator's. The metadata service of the machine is asked over
// plain HTTP, at the addresses that AWS has for it, and never through a proxy.
package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns/credential"
	"github.com/cairn-ca/cairn/internal/bot/dns/rest"
)

// Credentials are a key pair, and the token that belongs to those that end.
type Credentials struct {
	AccessKey, Secret, Token string
	Expires                  time.Time // zero means never
}

// Config says where credentials may come from.
type Config struct {
	Given      Credentials // wins over everything
	Profile    string      // in ~/.aws; wins over the environment. "" means AWS_PROFILE, or "default" after all else in the environment
	Role       string      // assumed at the end, with whatever was found; "" means none
	ExternalID string      // which the role may want
	Region     string      // "" means AWS_REGION, AWS_DEFAULT_REGION or that of the profile, or us-east-1
	// Addresses of services; "" means AWS's own.
	STS, Metadata string
	HTTP          *http.Client                              // nil means http.DefaultClient
	Lookup        func(name string) (value string, ok bool) // the environment; nil means an empty one
	Environ       []string                                  // of credential_process; nil means that of this process
}

// Source finds credentials, and finds new ones when they end. It can be used by several goroutines at once.
type Source struct {
	config Config

	mu     sync.Mutex // guards found
	found  Credentials
	region string
}

// early is how long before their end credentials are replaced.
const early = 5 * time.Minute

// regionForm keeps what goes into the name of a host to what a region looks like.
var regionForm = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$`)

// ErrNone is returned when there are no credentials anywhere.
var ErrNone = errors.New("no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`, or give this machine a role")

// New reads what names a region; credentials are looked for when they are needed.
func New(config Config) (*Source, error) {
	if config.Lookup == nil {
		config.Lookup = func(string) (string, bool) { return "", false }
	}
	s := &Source{config: config}
	s.region = cmp.Or(config.Region, s.env("AWS_REGION"), s.env("AWS_DEFAULT_REGION"))
	if s.region == "" {
		if profiles, err := s.profiles(); err == nil {
			s.region = profiles[s.profileName()]["region"]
		}
	}
	s.region = cmp.Or(s.region, "us-east-1")
	if !regionForm.MatchString(s.region) {
		return nil, fmt.Errorf("AWS: %.40q is no region: one looks like us-east-1", s.region)
	}
	if (config.Given.AccessKey == "") != (config.Given.Secret == "") {
		return nil, errors.New("AWS: an access key and a secret key belong together: give both, or none")
	}
	return s, nil
}

// Region is the region that the operator works in.
func (s *Source) Region() string { return s.region }

func (s *Source) env(name string) string {
	value, _ := s.config.Lookup(name)
	return value
}

func (s *Source) profileName() string {
	return cmp.Or(s.config.Profile, s.env("AWS_PROFILE"), s.env("AWS_DEFAULT_PROFILE"), "default")
}

// Credentials returns what is valid at now and for some minutes more.
func (s *Source) Credentials(ctx context.Context, now time.Time) (Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found.AccessKey != "" && (s.found.Expires.IsZero() || now.Add(early).Before(s.found.Expires)) {
		return s.found, nil
	}
	found, err := s.find(ctx)
	if err == nil && s.config.Role != "" {
		found, err = s.assume(ctx, found, role{arn: s.config.Role, external: s.config.ExternalID})
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("AWS credentials: %w", err)
	}
	if found.AccessKey == "" || found.Secret == "" {
		return Credentials{}, fmt.Errorf("AWS credentials: %w", ErrNone)
	}
	s.found = found
	return found, nil
}

// find goes through the places.
func (s *Source) find(ctx context.Context) (Credentials, error) {
	if s.config.Given.AccessKey != "" {
		return s.config.Given, nil
	}
	if s.config.Profile == "" {
		if found := s.fromEnvironment(); found.AccessKey != "" {
			return found, nil
		}
		if file, arn := s.env("AWS_WEB_IDENTITY_TOKEN_FILE"), s.env("AWS_ROLE_ARN"); file != "" && arn != "" {
			return s.webIdentity(ctx, file, role{arn: arn, session: s.env("AWS_ROLE_SESSION_NAME")})
		}
	}
	profiles, err := s.profiles()
	if err != nil {
		return Credentials{}, err
	}
	name := s.profileName()
	if _, ok := profiles[name]; ok {
		found, err := s.fromProfile(ctx, profiles, name, nil)
		if err != nil || found.AccessKey != "" {
			return found, err
		}
	} else if name != "default" {
		return Credentials{}, fmt.Errorf("there is no profile %q in ~/.aws/config and ~/.aws/credentials: `aws configure --profile NAME` makes one", name)
	}
	if s.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" || s.env("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "" {
		return s.fromContainer(ctx)
	}
	return s.fromInstance(ctx)
}

func (s *Source) fromEnvironment() Credentials {
	key, secret := s.env("AWS_ACCESS_KEY_ID"), s.env("AWS_SECRET_ACCESS_KEY")
	if key == "" || secret == "" {
		return Credentials{}
	}
	return Credentials{AccessKey: key, Secret: secret, Token: s.env("AWS_SESSION_TOKEN")}
}

// Suffix is the end of the names of AWS's hosts in a region.
func Suffix(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "amazonaws.com.cn"
	case strings.HasPrefix(region, "eusc-"):
		return "amazonaws.eu"
	}
	return "amazonaws.com"
}

// role is what can be assumed.
type role struct {
	arn, external, session, seconds string
}

// issued is how STS, the metadata services and external programs write credentials.
type issued struct {
	AccessKeyID     string `xml:"AccessKeyId" json:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Token           string `xml:"-"` // the metadata services call it so
	Expiration      string
}

func (i issued) credentials() (Credentials, error) {
	c := Credentials{AccessKey: i.AccessKeyID, Secret: i.SecretAccessKey, Token: cmp.Or(i.SessionToken, i.Token)}
	if c.AccessKey == "" || c.Secret == "" {
		return Credentials{}, errors.New("the answer has no credentials in it")
	}
	if i.Expiration == "" {
		return c, nil
	}
	var err error
	if c.Expires, err = time.Parse(time.RFC3339, i.Expiration); err != nil {
		return Credentials{}, errors.New("the answer has credentials whose end cannot be read")
	}
	return c, nil
}

// sts makes a client of the Security Token Service, whose requests are signed with credentials, unless they are empty.
func (s *Source) sts(credentials Credentials) (*rest.Client, error) {
	base := cmp.Or(s.config.STS, "https://sts."+s.region+"."+Suffix(s.region))
	return rest.New(rest.Config{Service: "AWS STS", Base: base, HTTP: s.config.HTTP, Message: Message, Busy: Busy,
		Hint: "the role must exist, and its trust policy must name who asks",
		Authorize: func(request *http.Request, body []byte) error {
			if credentials.AccessKey != "" {
				Sign(request, body, credentials, Scope{Region: s.region, Service: "sts"}, time.Now())
			}
			return nil
		}})
}

func (r role) form(action string) map[string][]string {
	form := map[string][]string{"Action": {action}, "Version": {"2011-06-15"}, "RoleArn": {r.arn}, "RoleSessionName": {cmp.Or(r.session, "cairnbot")}}
	if r.external != "" {
		form["ExternalId"] = []string{r.external}
	}
	if r.seconds != "" {
		form["DurationSeconds"] = []string{r.seconds}
	}
	return form
}

// assume exchanges credentials for those of a role.
func (s *Source) assume(ctx context.Context, from Credentials, r role) (Credentials, error) {
	client, err := s.sts(from)
	if err != nil {
		return Credentials{}, err
	}
	var answer struct {
		Credentials issued `xml:"AssumeRoleResult>Credentials"`
	}
	if _, err := client.XML(ctx, rest.Request{Method: "POST", Path: []string{""}, Form: r.form("AssumeRole")}, &answer); err != nil {
		return Credentials{}, fmt.Errorf("assuming the role %s: %w", r.arn, err)
	}
	return answer.Credentials.credentials()
}

// webIdentity exchanges a token that somebody else has issued for credentials of a role.
func (s *Source) webIdentity(ctx context.Context, file string, r role) (Credentials, error) {
	token, err := credential.File(file)
	if err != nil {
		return Credentials{}, fmt.Errorf("reading the web identity token: %w", err)
	}
	client, err := s.sts(Credentials{})
	if err != nil {
		return Credentials{}, err
	}
	form := r.form("AssumeRoleWithWebIdentity")
	form["WebIdentityToken"] = []string{token}
	var answer struct {
		Credentials issued `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	if _, err := client.XML(ctx, rest.Request{Method: "POST", Path: []string{""}, Form: form}, &answer); err != nil {
		return Credentials{}, fmt.Errorf("assuming the role %s with the token of %s: %w", r.arn, file, err)
	}
	return answer.Credentials.credentials()
}

// path finds a file that a variable can name, and is under the home directory otherwise.
func (s *Source) path(variable, usual string) string {
	if file := s.env(variable); file != "" {
		return file
	}
	home := cmp.Or(s.env("HOME"), s.env("USERPROFILE"))
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".aws", usual)
}
