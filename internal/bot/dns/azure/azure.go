// Package azure changes records in Azure DNS (https://learn.microsoft.com/rest/api/dns/). Whoever asks needs the role
// "DNS Zone Contributor" for the zone, or one that may read it and change its TXT records.
package azure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/rest"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
)

// Config says who asks, and where zones are.
type Config struct {
	Identity    Identity
	Environment string // AzurePublicCloud (also "" and "public"), AzureUSGovernmentCloud ("usgovernment"), AzureChinaCloud ("china")
	// Zones say where a zone is: "example.com:/subscriptions/ID/resourceGroups/NAME", which can go on with
	// "/providers/Microsoft.Network/dnsZones/ZONE" and "/TXT/NAME" where the domain's proof is elsewhere by an alias.
	Zones []string
	// Without Zones, they are looked for in this subscription and resource group, each of which may be "".
	Subscription, ResourceGroup string
	Zone                        string        // the zone's name, when it is not to be found by the name of the record
	Private                     bool          // private zones are taken, and no others
	TTL                         time.Duration // of records, when they have none; 0 means a minute
	Management                  string        // address of the service; "" means that of the environment
	Login                       string        // address that gives tokens; "" means that of the environment
	HTTP                        *http.Client  // nil means http.DefaultClient
	Environ                     []string      // of the command az; nil means that of this process
}

// Provider changes records. Sets are replaced whole, and only if they still are what was read.
type Provider struct {
	config Config
	client *rest.Client
	given  []place
	api    api

	mu    sync.Mutex
	found []place // nil before they were asked for
}

// api is what differs between public and private zones.
type api struct{ version, kind, ttl, records string }

var (
	public  = api{"2018-05-01", "dnsZones", "TTL", "TXTRecords"}
	private = api{"2020-06-01", "privateDnsZones", "ttl", "txtRecords"}
)

// place is where a zone is.
type place struct {
	name                string // what lies in it or below it goes there
	subscription, group string
	zone                string
	record              string // the only one, inside the zone, or ""
}

// New checks the settings. It asks nobody.
func New(config Config) (*Provider, error) {
	cloud, ok := clouds[strings.ToLower(config.Environment)]
	if !ok {
		return nil, fmt.Errorf("azure: the environment %.40q is unknown: it is AzurePublicCloud, AzureUSGovernmentCloud or AzureChinaCloud", config.Environment)
	}
	if config.TTL <= 0 {
		config.TTL = time.Minute
	}
	config.Management = cmp.Or(config.Management, cloud.management)
	config.Login = cmp.Or(config.Login, cloud.login)
	p := &Provider{config: config, api: public}
	if config.Private {
		p.api = private
	}
	for _, text := range config.Zones {
		places, err := parseZone(text)
		if err != nil {
			return nil, err
		}
		p.given = append(p.given, places...)
	}
	tokens, err := newTokens(config, cloud)
	if err != nil {
		return nil, err
	}
	p.client, err = rest.New(rest.Config{
		Service: "Azure DNS", Base: config.Management, HTTP: config.HTTP,
		Hint: `the identity needs the role "DNS Zone Contributor" for the zone`,
		Authorize: func(request *http.Request, _ []byte) error {
			token, err := tokens.present.Get(request.Context(), time.Now())
			request.Header.Set("Authorization", "Bearer "+token)
			return err
		}})
	return p, err
}

// parseZone reads one of Config.Zones.
func parseZone(text string) ([]place, error) {
	name, id, ok := strings.Cut(text, ":")
	parts := strings.Split(strings.TrimSuffix(strings.TrimSpace(id), "/"), "/")
	same := func(i int, word string) bool { return len(parts) > i && strings.EqualFold(parts[i], word) }
	if !ok || strings.TrimSpace(name) == "" || len(parts) < 5 || slices.Contains(parts[1:], "") || !same(1, "subscriptions") || !same(3, "resourceGroups") {
		return nil, fmt.Errorf("azure: %.200q does not say where a zone is: write example.com:/subscriptions/ID/resourceGroups/NAME", text)
	}
	p := place{name: strings.TrimSpace(name), subscription: parts[2], group: parts[4]}
	p.zone = p.name
	if len(parts) == 5 {
		return []place{p}, nil
	}
	if !same(5, "providers") || !same(6, "Microsoft.Network") || len(parts) != 9 && len(parts) != 11 || len(parts) == 11 && !same(9, "TXT") {
		return nil, fmt.Errorf("azure: %.200q does not say where a zone is: behind the resource group comes nothing, or /providers/Microsoft.Network/dnsZones/ZONE, and then nothing, or /TXT/NAME", text)
	}
	p.zone = parts[8]
	if len(parts) == 11 {
		p.record = parts[10]
	}
	// Aliases have been followed by now, so the name can be one of the other zone.
	return []place{p, {name: p.zone, subscription: p.subscription, group: p.group, zone: p.zone}}, nil
}

// Add puts a value beside those that are there.
func (p *Provider) Add(ctx context.Context, r dns.Record) error {
	return p.change(ctx, r, func(values []value) []value {
		if slices.ContainsFunc(values, is(r.Value)) {
			return values
		}
		return append(slices.Clone(values), value{Value: dns.Chunks(r.Value)})
	})
}

// Remove takes this value away, and the record set with the last one.
func (p *Provider) Remove(ctx context.Context, r dns.Record) error {
	return p.change(ctx, r, func(values []value) []value {
		return slices.DeleteFunc(slices.Clone(values), is(r.Value))
	})
}

// value is one value of a set: its strings.
type value struct {
	Value []string `json:"value"`
}

// is reports whether a value is the text.
func is(text string) func(value) bool {
	return func(v value) bool { return strings.Join(v.Value, "") == text }
}

// set is a record set. Reading takes names of members in any case.
type set struct {
	Etag       string `json:"etag"`
	Properties struct {
		TTL        int
		TXTRecords []value
		Metadata   map[string]string
	}
}

// change edits a record set. Where somebody else has changed it meanwhile, it begins again.
func (p *Provider) change(ctx context.Context, r dns.Record, edit func([]value) []value) error {
	if err := txt.Check(r); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	where, err := p.zone(ctx, r.Name)
	if err != nil {
		return err
	}
	path := []string{"subscriptions", where.subscription, "resourceGroups", where.group, "providers", "Microsoft.Network", p.api.kind, where.zone, "TXT",
		cmp.Or(where.record, txt.Relative(r.Name, where.zone, "@"))}
	for range 5 {
		if err = p.try(ctx, path, r, edit); !rest.IsStatus(err, http.StatusPreconditionFailed, http.StatusConflict) {
			return err
		}
	}
	return fmt.Errorf("somebody else changes the same record all the time: %w", err)
}

// try reads the set and replaces it.
func (p *Provider) try(ctx context.Context, path []string, r dns.Record, edit func([]value) []value) error {
	query := url.Values{"api-version": {p.api.version}}
	var old set
	answer, err := p.client.JSON(ctx, rest.Request{Path: path, Query: query, Accept: []int{http.StatusNotFound}}, &old)
	if err != nil {
		return err
	}
	// A zone that is not there answers the same way; writing tells.
	there := answer.Status != http.StatusNotFound
	want := edit(old.Properties.TXTRecords)
	if len(want) == len(old.Properties.TXTRecords) {
		return nil
	}
	condition := http.Header{"If-None-Match": {"*"}}
	if there {
		condition = http.Header{"If-Match": {old.Etag}}
	}
	if len(want) == 0 {
		_, err := p.client.Do(ctx, rest.Request{Method: "DELETE", Path: path, Query: query, Header: condition, Accept: []int{http.StatusNotFound}})
		return err
	}
	properties := map[string]any{p.api.ttl: int(cmp.Or(r.TTL, p.config.TTL) / time.Second), p.api.records: want}
	if len(old.Properties.Metadata) > 0 {
		properties["metadata"] = old.Properties.Metadata
	}
	_, err = p.client.Do(ctx, rest.Request{Method: "PUT", Path: path, Query: query, Header: condition, JSON: map[string]any{"properties": properties}})
	return err
}

// zone finds where a name belongs.
func (p *Provider) zone(ctx context.Context, name string) (place, error) {
	if p.config.Zone != "" {
		name = p.config.Zone
	}
	places := p.given
	if len(places) == 0 {
		if p.found == nil {
			found, err := p.look(ctx)
			if err != nil {
				return place{}, err
			}
			p.found = found
		}
		places = p.found
	}
	i := txt.Longest(name, places, func(z place) string { return z.name })
	if i < 0 {
		return place{}, fmt.Errorf("azure: %w: %s (among %d zones); a line like `dns_azure_zone1 = example.com:/subscriptions/ID/resourceGroups/NAME` says where it is", txt.ErrNoZone, name, len(places))
	}
	return places[i], nil
}

// look asks for all zones that there are.
func (p *Provider) look(ctx context.Context) ([]place, error) {
	subscriptions := []string{p.config.Subscription}
	if p.config.Subscription == "" {
		subscriptions = nil
		err := p.pages(ctx, []string{"subscriptions"}, "2022-12-01", func(item item) {
			subscriptions = append(subscriptions, item.SubscriptionID)
		})
		if err != nil {
			return nil, err
		}
	}
	found := []place{}
	for _, subscription := range subscriptions {
		path := []string{"subscriptions", subscription}
		if p.config.ResourceGroup != "" {
			path = append(path, "resourceGroups", p.config.ResourceGroup)
		}
		err := p.pages(ctx, append(path, "providers", "Microsoft.Network", p.api.kind), p.api.version, func(item item) {
			if places, err := parseZone(item.Name + ":" + item.ID); err == nil {
				found = append(found, places[0])
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// item is an element of a list.
type item struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	SubscriptionID string `json:"subscriptionId"`
}

// pages goes through a list. The address of the next page is taken only if it is on the same server.
func (p *Provider) pages(ctx context.Context, path []string, version string, take func(item)) error {
	query := url.Values{"api-version": {version}}
	for range 1000 {
		var page struct {
			Value    []item `json:"value"`
			NextLink string `json:"nextLink"`
		}
		if _, err := p.client.JSON(ctx, rest.Request{Path: path, Query: query}, &page); err != nil {
			return err
		}
		for _, item := range page.Value {
			take(item)
		}
		if page.NextLink == "" {
			return nil
		}
		next, err := url.Parse(page.NextLink)
		base, _ := url.Parse(p.config.Management)
		if err != nil || next.Host != base.Host || next.Scheme != base.Scheme {
			return errors.New("azure: a list goes on at another server, which is not asked")
		}
		path, query = strings.Split(strings.TrimPrefix(next.Path, "/"), "/"), next.Query()
	}
	return nil
}
