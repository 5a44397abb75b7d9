package aws_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns/aws"
)

// cloud is STS and the metadata service of a machine.
type cloud struct {
	*httptest.Server
	role   string // that the instance has
	issued int
	forms  []string // that STS got
}

func newCloud(t *testing.T) *cloud {
	c := &cloud{role: "instance-role"}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sts/{$}", c.sts)
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, "imds-token")
	})
	metadata := func(answer func() string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-aws-ec2-metadata-token") != "imds-token" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			if answer() == "" {
				w.WriteHeader(http.StatusNotFound)
			}
			_, _ = io.WriteString(w, answer())
		}
	}
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/{$}", metadata(func() string { return c.role }))
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/instance-role", metadata(func() string {
		return `{"Code":"Success","AccessKeyId":"INSTANCE","SecretAccessKey":"s","Token":"t","Expiration":"2030-01-02T00:00:00Z"}`
	}))
	mux.HandleFunc("GET /container/creds", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "container-token" || r.URL.RawQuery != "id=1" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, `{"AccessKeyId":"CONTAINER","SecretAccessKey":"s","Token":"t","Expiration":"2030-01-02T00:00:00Z"}`)
	})
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) sts(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	action := r.PostForm.Get("Action")
	signed := strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=")
	if r.PostForm.Get("RoleArn") == "arn:forbidden" || signed != (action == "AssumeRole") {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform sts:AssumeRole</Message></Error></ErrorResponse>`)
		return
	}
	c.issued++
	c.forms = append(c.forms, strings.Split(r.Header.Get("Authorization"), "/")[0]+"|"+r.PostForm.Encode())
	_, _ = fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials><AccessKeyId>ROLE%[2]d</AccessKeyId>
<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2030-01-02T00:00:00Z</Expiration></Credentials></%[1]sResult></%[1]sResponse>`, action, c.issued)
}

var now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// home writes files into a directory, and returns an environment that has it as home.
func home(t *testing.T, files map[string]string, variables ...string) (string, func(string) (string, bool)) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, ".aws", name), []byte(strings.ReplaceAll(text, "HOME", dir)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	environment := map[string]string{"HOME": dir}
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		environment[name] = strings.ReplaceAll(value, "HOME", dir)
	}
	return dir, func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	}
}

const config = `[default]
region = eu-central-1
[profile static]
aws_access_key_id = STATIC
aws_secret_access_key = s  # a comment
s3 =
  addressing_style = path
[profile role]
role_arn = arn:role
source_profile = static
external_id = x y
role_session_name = me
[profile chain]
role_arn = arn:second
source_profile = role
[profile self]
role_arn = arn:self
source_profile = self
aws_access_key_id = SELF
aws_secret_access_key = s
[profile ring]
role_arn = arn:ring
source_profile = ring2
[profile ring2]
role_arn = arn:ring2
source_profile = ring
[profile ec2]
role_arn = arn:ec2
credential_source = Ec2InstanceMetadata
[profile web]
role_arn = arn:web
web_identity_token_file = HOME/.aws/token
[profile process]
credential_process = "HOME/.aws/program" --a 'b c'
[profile broken]
credential_process = HOME/.aws/absent
[profile mfa]
role_arn = arn:role
source_profile = static
mfa_serial = arn:mfa
[profile sso]
sso_session = x
[profile forbidden]
role_arn = arn:forbidden
source_profile = static
[profile alone]
role_arn = arn:role
`

const program = "#!/bin/sh\n[ \"$2\" = 'b c' ] && echo '{\"Version\":1,\"AccessKeyId\":\"PROCESS\",\"SecretAccessKey\":\"s\"}'\n"

func TestWhereCredentialsComeFrom(t *testing.T) {
	files := map[string]string{"config": config, "credentials": "[default]\naws_access_key_id=DEFAULT\naws_secret_access_key=s\n", "token": "oidc\n", "program": program}
	for _, c := range []struct {
		name      string
		config    aws.Config
		files     map[string]string
		variables []string
		want      string // the access key, or a part of the error
		form      string // a part of what STS got
	}{
		{name: "given", config: aws.Config{Given: aws.Credentials{AccessKey: "GIVEN", Secret: "s"}}, files: files, want: "GIVEN"},
		{name: "given, with a role", config: aws.Config{Given: aws.Credentials{AccessKey: "GIVEN", Secret: "s"}, Role: "arn:r", ExternalID: "e"}, want: "ROLE1", form: "Credential=GIVEN|Action=AssumeRole&ExternalId=e"},
		{name: "environment", files: files, variables: []string{"AWS_ACCESS_KEY_ID=ENV", "AWS_SECRET_ACCESS_KEY=s", "AWS_PROFILE=static"}, want: "ENV"},
		{name: "a profile that is named", config: aws.Config{Profile: "static"}, files: files, variables: []string{"AWS_ACCESS_KEY_ID=ENV", "AWS_SECRET_ACCESS_KEY=s"}, want: "STATIC"},
		{name: "web identity", files: files, variables: []string{"AWS_WEB_IDENTITY_TOKEN_FILE=HOME/.aws/token", "AWS_ROLE_ARN=arn:k8s"}, want: "ROLE1", form: "|Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Ak8s&RoleSessionName=cairnbot&Version=2011-06-15&WebIdentityToken=oidc"},
		{name: "default", files: files, want: "DEFAULT"},
		{name: "role", files: files, variables: []string{"AWS_PROFILE=role"}, want: "ROLE1", form: "Credential=STATIC|Action=AssumeRole&ExternalId=x+y&RoleArn=arn%3Arole&RoleSessionName=me"},
		{name: "chain", files: files, variables: []string{"AWS_PROFILE=chain"}, want: "ROLE2", form: "Credential=ROLE1|Action=AssumeRole&RoleArn=arn%3Asecond"},
		{name: "self", files: files, variables: []string{"AWS_PROFILE=self"}, want: "ROLE1", form: "Credential=SELF|"},
		{name: "ring", files: files, variables: []string{"AWS_PROFILE=ring"}, want: "have each other as source_profile"},
		{name: "instance for a role", files: files, variables: []string{"AWS_PROFILE=ec2"}, want: "ROLE1", form: "Credential=INSTANCE|"},
		{name: "web identity of a profile", files: files, variables: []string{"AWS_PROFILE=web"}, want: "ROLE1", form: "WebIdentityToken=oidc"},
		{name: "process", files: files, variables: []string{"AWS_PROFILE=process"}, want: "PROCESS"},
		{name: "broken process", files: files, variables: []string{"AWS_PROFILE=broken"}, want: "running credential_process"},
		{name: "mfa", files: files, variables: []string{"AWS_PROFILE=mfa"}, want: "mfa_serial"},
		{name: "sso", files: files, variables: []string{"AWS_PROFILE=sso"}, want: "export-credentials"},
		{name: "forbidden", files: files, variables: []string{"AWS_PROFILE=forbidden"}, want: "trust policy"},
		{name: "no source", files: files, variables: []string{"AWS_PROFILE=alone"}, want: "neither source_profile"},
		{name: "no such profile", files: files, variables: []string{"AWS_PROFILE=absent"}, want: "no profile \"absent\""},
		{name: "container", variables: []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=URL/container/creds?id=1", "AWS_CONTAINER_AUTHORIZATION_TOKEN=container-token"}, want: "CONTAINER"},
		{name: "a container's service elsewhere", variables: []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://192.0.2.1/creds", "AWS_CONTAINER_AUTHORIZATION_TOKEN=container-token"}, want: "in the clear"},
		{name: "instance", want: "INSTANCE"},
		{name: "nothing", variables: []string{"AWS_EC2_METADATA_DISABLED=true"}, want: aws.ErrNone.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := newCloud(t)
			for i := range c.variables {
				c.variables[i] = strings.ReplaceAll(c.variables[i], "URL", cloud.URL)
			}
			_, c.config.Lookup = home(t, c.files, c.variables...)
			c.config.STS, c.config.Metadata = cloud.URL+"/sts", cloud.URL
			source, err := aws.New(c.config)
			if err != nil {
				t.Fatal(err)
			}
			got, err := source.Credentials(t.Context(), now)
			if got.AccessKey != c.want && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %q, %v, want %q", got.AccessKey, err, c.want)
			}
			if forms := strings.Join(cloud.forms, "\n"); !strings.Contains(forms, c.form) {
				t.Errorf("STS got %s, want %s", forms, c.form)
			}
		})
	}
}

func TestCredentialsAreReplacedBeforeTheirEnd(t *testing.T) {
	cloud := newCloud(t)
	source, err := aws.New(aws.Config{Given: aws.Credentials{AccessKey: "GIVEN", Secret: "s"}, Role: "arn:r", STS: cloud.URL + "/sts"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   time.Time
		want string
	}{{now, "ROLE1"}, {now.Add(time.Hour), "ROLE1"}, {now.Add(24*time.Hour - time.Minute), "ROLE2"}} {
		if got, err := source.Credentials(t.Context(), c.at); err != nil || got.AccessKey != c.want {
			t.Errorf("at %v: %q, %v, want %q", c.at, got.AccessKey, err, c.want)
		}
	}
}

func TestAnInstanceWithoutARole(t *testing.T) {
	cloud := newCloud(t)
	cloud.role = ""
	source, err := aws.New(aws.Config{Metadata: cloud.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Credentials(t.Context(), now); err == nil || !strings.Contains(err.Error(), "has no role") {
		t.Errorf("got %v", err)
	}
	cloud.Close()
	if _, err := source.Credentials(t.Context(), now); !errors.Is(err, aws.ErrNone) {
		t.Errorf("got %v", err)
	}
}

func TestSettings(t *testing.T) {
	_, lookup := home(t, map[string]string{"config": config})
	source, err := aws.New(aws.Config{Lookup: lookup})
	if err != nil || source.Region() != "eu-central-1" {
		t.Errorf("%v, %v", source, err)
	}
	for _, config := range []aws.Config{{Region: "evil.example/"}, {Region: "us-east-1.evil.example"}, {Given: aws.Credentials{AccessKey: "x"}}} {
		if _, err := aws.New(config); err == nil {
			t.Errorf("%+v was accepted", config)
		}
	}
	for region, want := range map[string]string{"us-east-1": "amazonaws.com", "cn-north-1": "amazonaws.com.cn", "eusc-de-east-1": "amazonaws.eu"} {
		if got := aws.Suffix(region); got != want {
			t.Errorf("%s: %s", region, got)
		}
	}
}
