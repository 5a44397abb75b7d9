package aws

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns/credential"
	"github.com/cairn-ca/cairn/internal/bot/dns/rest"
)

// patience is how long the metadata service of a machine may take. Where there is none, nobody should wait longer.
const patience = 5 * time.Second

// fromInstance asks EC2's metadata service, in the way that needs a token first (IMDSv2): one that a
// server on this machine cannot be tricked into fetching.
func (s *Source) fromInstance(ctx context.Context) (Credentials, error) {
	if strings.EqualFold(s.env("AWS_EC2_METADATA_DISABLED"), "true") {
		return Credentials{}, ErrNone
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	base := cmp.Or(s.config.Metadata, s.env("AWS_EC2_METADATA_SERVICE_ENDPOINT"), "http://169.254.169.254")
	client, err := rest.New(rest.Config{Service: "EC2 metadata", Base: base, HTTP: s.config.HTTP, Plain: true, Direct: true})
	if err != nil {
		return Credentials{}, err
	}
	token, err := client.Do(ctx, rest.Request{Method: "PUT", Path: []string{"latest", "api", "token"},
		Header: http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {"300"}}})
	if err != nil {
		return Credentials{}, fmt.Errorf("%w (%w)", ErrNone, err)
	}
	header := http.Header{"X-Aws-Ec2-Metadata-Token": {strings.TrimSpace(string(token.Body))}}
	place := []string{"latest", "meta-data", "iam", "security-credentials", ""}
	roles, err := client.Do(ctx, rest.Request{Path: place, Header: header, Accept: []int{http.StatusNotFound}})
	name, _, _ := strings.Cut(string(roles.Body), "\n")
	if name = strings.TrimSpace(name); err == nil && (name == "" || roles.Status == http.StatusNotFound) {
		err = errors.New("this instance has no role: attach one that may change the hosted zone")
	}
	if err != nil {
		return Credentials{}, err
	}
	place[4] = name
	var answer issued
	if _, err := client.JSON(ctx, rest.Request{Path: place, Header: header}, &answer); err != nil {
		return Credentials{}, err
	}
	return answer.credentials()
}

// containerHosts are the addresses of the services that ECS and EKS have in a container. Anywhere else, the
// token must not go over plain HTTP.
var containerHosts = []string{"169.254.170.2", "169.254.170.23", "fd00:ec2::23"}

// fromContainer asks the service that the container's environment names.
func (s *Source) fromContainer(ctx context.Context) (Credentials, error) {
	address := s.env("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if path := s.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); path != "" {
		address = "http://169.254.170.2/" + strings.TrimPrefix(path, "/")
	}
	where, err := url.Parse(address)
	if err != nil || where.Host == "" {
		return Credentials{}, errors.New("AWS_CONTAINER_CREDENTIALS_FULL_URI is not an address")
	}
	ip := net.ParseIP(where.Hostname())
	known := slices.ContainsFunc(containerHosts, func(host string) bool { return ip.Equal(net.ParseIP(host)) }) && ip != nil
	token := s.env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if file := s.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		if token, err = credential.File(file); err != nil {
			return Credentials{}, fmt.Errorf("reading the container's token: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := rest.New(rest.Config{Service: "container credentials", Base: where.Scheme + "://" + where.Host, HTTP: s.config.HTTP, Plain: known, Direct: true,
		Authorize: func(request *http.Request, _ []byte) error {
			if token != "" {
				request.Header.Set("Authorization", token)
			}
			return nil
		}})
	if err != nil {
		return Credentials{}, err
	}
	var answer issued
	request := rest.Request{Path: strings.Split(strings.TrimPrefix(where.Path, "/"), "/"), Query: where.Query()}
	if _, err := client.JSON(ctx, request, &answer); err != nil {
		return Credentials{}, err
	}
	return answer.credentials()
}

// Message finds what AWS's XML says of a failure.
func Message(body []byte) string {
	var answer struct {
		Error struct {
			Code, Message string
		}
		Messages struct {
			Message []string
		}
	}
	if xml.Unmarshal(body, &answer) != nil {
		return ""
	}
	return strings.Trim(answer.Error.Code+": "+cmp.Or(answer.Error.Message, strings.Join(answer.Messages.Message, "; ")), ": ")
}

// Busy recognizes the refusals for load that AWS sends with status 400.
func Busy(answer rest.Answer) bool {
	code := Message(answer.Body)
	return answer.Status == http.StatusBadRequest &&
		(strings.HasPrefix(code, "Throttling") || strings.HasPrefix(code, "PriorRequestNotComplete"))
}
