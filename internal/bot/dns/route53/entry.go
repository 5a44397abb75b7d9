package route53

import (
	"fmt"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/aws"
)

// Entry is the row of the registry.
func Entry() dns.Entry {
	return dns.Entry{
		Name: "route53", Title: "Amazon Route 53",
		Keys: []dns.Key{
			{Name: "access_key_id", Variable: "AWS_ACCESS_KEY_ID", Help: "access key; when it is left out, AWS's own variables, ~/.aws and the machine's role are tried"},
			{Name: "secret_access_key", Variable: "AWS_SECRET_ACCESS_KEY", Help: "secret that belongs to it"},
			{Name: "session_token", Variable: "AWS_SESSION_TOKEN", Help: "token that belongs to both, where they are temporary"},
			{Name: "profile", Variable: "AWS_PROFILE", Help: "profile in ~/.aws"},
			{Name: "region", Variable: "AWS_REGION", Help: "region, which matters in China and for governments"},
			{Name: "hosted_zone_id", Variable: "AWS_HOSTED_ZONE_ID", Help: "ID of the hosted zone; found by name when it is left out"},
			{Name: "assume_role_arn", Variable: "AWS_ASSUME_ROLE_ARN", Help: "role to assume"},
			{Name: "external_id", Variable: "AWS_EXTERNAL_ID", Help: "external ID that the role wants"},
			{Name: "private_zone", Variable: "AWS_PRIVATE_ZONE", Help: "true looks among private hosted zones, and no others"},
			{Name: "endpoint", Help: "address of the service, when it is not AWS's"},
		},
		Optional: true, Propagation: 2 * time.Minute, TTL: 10 * time.Second, AnyValue: true,
		Docs: "https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html",
		New: func(s dns.Settings) (dns.Provider, error) {
			lookup := s.Getter("HOME", "USERPROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
			get := func(key, variable string) string {
				if value := s.Values[key]; value != "" {
					return value
				}
				value, _ := lookup(variable)
				return value
			}
			private := get("private_zone", "AWS_PRIVATE_ZONE")
			if lower := strings.ToLower(private); lower != "" && lower != "true" && lower != "false" {
				return nil, fmt.Errorf("route53: private_zone is %.40q: write true or false", private)
			}
			return New(Config{
				AWS: aws.Config{
					Given:   aws.Credentials{AccessKey: s.Values["access_key_id"], Secret: s.Values["secret_access_key"], Token: s.Values["session_token"]},
					Profile: s.Values["profile"], Region: s.Values["region"],
					Role: get("assume_role_arn", "AWS_ASSUME_ROLE_ARN"), ExternalID: get("external_id", "AWS_EXTERNAL_ID"),
					HTTP: s.HTTP, Lookup: lookup, Environ: s.Environ,
				},
				Zone: get("hosted_zone_id", "AWS_HOSTED_ZONE_ID"), Private: strings.EqualFold(private, "true"), Endpoint: s.Values["endpoint"],
			})
		},
	}
}
