// Package linode changes records with the API of Akamai's Linode, version 4 (https://techdocs.akamai.com/linode-api/reference/api).
// The token needs read and write access to domains. Linode's servers load zones every quarter of an hour.
package linode

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/rest"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
)

// Config says who asks.
type Config struct {
	Token    string
	TTL      time.Duration // of records, when they have none; 0 means 5 minutes, the least that Linode has
	Endpoint string        // "" means Linode's own
	HTTP     *http.Client  // nil means http.DefaultClient
}

// Provider changes records. Each value is a record of its own.
type Provider struct {
	ttl    time.Duration
	client *rest.Client
}

type domain struct {
	ID     int    `json:"id"`
	Domain string `json:"domain"`
	Type   string `json:"type"`
}

type record struct {
	ID     int    `json:"id,omitempty"`
	Type   string `json:"type"`
	Name   string `json:"name"`
	Target string `json:"target"`
	TTL    int    `json:"ttl_sec"`
}

// New checks the settings. It asks nobody.
func New(config Config) (*Provider, error) {
	if config.Token == "" {
		return nil, errors.New("linode: a token is needed: make one with access to domains at https://cloud.linode.com/profile/tokens")
	}
	if strings.ContainsAny(config.Token, " \r\n") {
		return nil, errors.New("linode: the token has a space in it, which no token has: copy it again")
	}
	client, err := rest.New(rest.Config{
		Service: "Linode", Base: cmp.Or(config.Endpoint, "https://api.linode.com"), HTTP: config.HTTP,
		Hint: "the token must exist, not be expired, and have read and write access to domains",
		Authorize: func(request *http.Request, _ []byte) error {
			request.Header.Set("Authorization", "Bearer "+config.Token)
			return nil
		}})
	return &Provider{ttl: max(config.TTL, 5*time.Minute), client: client}, err
}

// Add makes a record, unless it is there.
func (p *Provider) Add(ctx context.Context, r dns.Record) error {
	zone, found, err := p.find(ctx, r)
	if err != nil || len(found) > 0 {
		return err
	}
	_, err = p.client.Do(ctx, rest.Request{Method: "POST", Path: zone.path("records"), JSON: record{
		Type: "TXT", Name: txt.Relative(r.Name, zone.Domain, ""), Target: r.Value, TTL: int(max(r.TTL, p.ttl) / time.Second),
	}})
	return err
}

// Remove deletes the record with this value.
func (p *Provider) Remove(ctx context.Context, r dns.Record) error {
	zone, found, err := p.find(ctx, r)
	for _, one := range found {
		_, failure := p.client.Do(ctx, rest.Request{Method: "DELETE", Path: zone.path("records", strconv.Itoa(one.ID)), Accept: []int{http.StatusNotFound}})
		err = errors.Join(err, failure)
	}
	return err
}

func (d domain) path(rest ...string) []string {
	return append([]string{"v4", "domains", strconv.Itoa(d.ID)}, rest...)
}

// find returns the domain that a record belongs to, and the records that are it.
func (p *Provider) find(ctx context.Context, r dns.Record) (domain, []record, error) {
	if err := txt.Check(r); err != nil {
		return domain{}, nil, err
	}
	var names []map[string]string
	for _, zone := range dns.Zones(r.Name) {
		names = append(names, map[string]string{"domain": strings.TrimSuffix(zone, ".")})
	}
	filter, err := json.Marshal(map[string]any{"+or": names})
	if err != nil {
		return domain{}, nil, err
	}
	var domains []domain
	err = list(ctx, p, []string{"v4", "domains"}, http.Header{"X-Filter": {string(filter)}}, func(d domain) {
		if d.Type != "slave" { // which is written at its primary
			domains = append(domains, d)
		}
	})
	if err != nil {
		return domain{}, nil, err
	}
	i := txt.Longest(r.Name, domains, func(d domain) string { return d.Domain })
	if i < 0 {
		return domain{}, nil, fmt.Errorf("linode: %w: %s; is this the token of the right account?", txt.ErrNoZone, r.Name)
	}
	var found []record
	err = list(ctx, p, domains[i].path("records"), nil, func(one record) {
		same := one.Name == txt.Relative(r.Name, domains[i].Domain, "") || one.Name == strings.TrimSuffix(r.Name, ".")
		if one.Type == "TXT" && same && one.Target == r.Value {
			found = append(found, one)
		}
	})
	return domains[i], found, err
}

// list goes through all pages of a list. Their limit is for a server that never ends.
func list[T any](ctx context.Context, p *Provider, path []string, header http.Header, take func(T)) error {
	for number := 1; number <= 1000; number++ {
		var page struct {
			Data  []T `json:"data"`
			Pages int `json:"pages"`
		}
		query := url.Values{"page": {strconv.Itoa(number)}, "page_size": {"500"}}
		if _, err := p.client.JSON(ctx, rest.Request{Path: path, Query: query, Header: header}, &page); err != nil {
			return err
		}
		for _, one := range page.Data {
			take(one)
		}
		if number >= page.Pages {
			break
		}
	}
	return nil
}

// Entry is the row of the registry.
func Entry() dns.Entry {
	return dns.Entry{
		Name: "linode", Title: "Linode",
		Keys: []dns.Key{
			{Name: "key", Variable: "LINODE_TOKEN", Help: "API token with access to domains", Needed: true},
			{Name: "version", Help: "version of the API: 4, the only one that is left"},
			{Name: "endpoint", Help: "address of the service, when it is not Linode's"},
		},
		Propagation: 15 * time.Minute, TTL: 5 * time.Minute, AnyValue: true,
		Docs: "https://techdocs.akamai.com/cloud-computing/docs/manage-personal-access-tokens",
		New: func(s dns.Settings) (dns.Provider, error) {
			if version := s.Values["version"]; version != "" && version != "4" {
				return nil, fmt.Errorf("linode: version %.20q of the API is gone: make a token for version 4, and take the line `version` out", version)
			}
			return New(Config{Token: s.Values["key"], Endpoint: s.Values["endpoint"], HTTP: s.HTTP})
		},
	}
}
