// Package sakuracloud changes records with the API of Sakura Cloud, version 1.1 (https://manual.sakura.ad.jp/cloud-api/1.1/appliance/index.html).
// All records of a zone are one setting, which is replaced whole, and only if it still is what was read.
package sakuracloud

import (
	"cmp"
	"context"
	"encoding/json"
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

// Config says who asks.
type Config struct {
	Token, Secret string
	TTL           time.Duration // of records, when they have none; 0 means a minute
	Endpoint      string        // "" means Sakura's own
	HTTP          *http.Client  // nil means http.DefaultClient
}

// Provider changes records, one at a time.
type Provider struct {
	ttl    time.Duration
	client *rest.Client

	mu    sync.Mutex
	zones []item // nil before they were asked for
}

// item is a zone, as far as it matters here.
type item struct {
	ID       string
	Provider struct{ Class string }
	Status   struct{ Zone string }
	Settings struct {
		// DNS is kept with all its members, whatever they are; records are what one of them has.
		DNS map[string]json.RawMessage
	}
	SettingsHash string
}

// record is one record. What it has beyond these members is kept.
type record map[string]any

// endpoint is the address for all services that, like DNS, belong to no zone of the cloud's own.
const endpoint = "https://secure.sakura.ad.jp/cloud/zone/is1a/api/cloud/1.1"

// New checks the settings. It asks nobody.
func New(config Config) (*Provider, error) {
	if config.Token == "" || config.Secret == "" {
		return nil, errors.New("sakuracloud: api_token and api_secret are needed: make an API key that may create and delete")
	}
	client, err := rest.New(rest.Config{
		Service: "Sakura Cloud", Base: cmp.Or(config.Endpoint, endpoint), HTTP: config.HTTP,
		Hint: "check token and secret, and that the API key may create and delete",
		Authorize: func(request *http.Request, _ []byte) error {
			request.SetBasicAuth(config.Token, config.Secret)
			return nil
		}})
	ttl := config.TTL
	if ttl <= 0 {
		ttl = time.Minute
	}
	return &Provider{ttl: ttl, client: client}, err
}

// Add adds a record to its zone, unless it is there.
func (p *Provider) Add(ctx context.Context, r dns.Record) error {
	return p.change(ctx, r, func(zone string, records []record) []record {
		if slices.ContainsFunc(records, is(zone, r)) {
			return records
		}
		return append(slices.Clone(records), record{"Name": txt.Relative(r.Name, zone, "@"), "Type": "TXT", "RData": r.Value, "TTL": int(cmp.Or(r.TTL, p.ttl) / time.Second)})
	})
}

// Remove takes the record with this value away.
func (p *Provider) Remove(ctx context.Context, r dns.Record) error {
	return p.change(ctx, r, func(zone string, records []record) []record {
		return slices.DeleteFunc(slices.Clone(records), is(zone, r))
	})
}

func is(zone string, r dns.Record) func(record) bool {
	return func(one record) bool {
		return one["Type"] == "TXT" && one["Name"] == txt.Relative(r.Name, zone, "@") && one["RData"] == r.Value
	}
}

// change edits the records of a zone. Where somebody else has changed them meanwhile, it begins again.
func (p *Provider) change(ctx context.Context, r dns.Record, edit func(string, []record) []record) error {
	if err := txt.Check(r); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	zone, err := p.zone(ctx, r.Name)
	if err != nil {
		return err
	}
	for range 5 {
		if err = p.try(ctx, zone, edit); !rest.IsStatus(err, http.StatusConflict) {
			return err
		}
	}
	return fmt.Errorf("somebody else changes the same zone all the time: %w", err)
}

// try reads the zone and replaces its records.
func (p *Provider) try(ctx context.Context, zone item, edit func(string, []record) []record) error {
	path := []string{"commonserviceitem", zone.ID}
	var answer struct{ CommonServiceItem item }
	if _, err := p.client.JSON(ctx, rest.Request{Path: path}, &answer); err != nil {
		return err
	}
	settings := answer.CommonServiceItem.Settings.DNS
	var old []record
	if text := settings["ResourceRecordSets"]; text != nil {
		if err := json.Unmarshal(text, &old); err != nil {
			return errors.New("sakuracloud: the records of the zone cannot be read: nothing was changed")
		}
	}
	want := edit(zone.Status.Zone, old)
	if len(want) == len(old) {
		return nil
	}
	text, err := json.Marshal(want)
	if err != nil {
		return err
	}
	if settings == nil {
		settings = make(map[string]json.RawMessage)
	}
	settings["ResourceRecordSets"] = text
	_, err = p.client.Do(ctx, rest.Request{Method: "PUT", Path: path, JSON: map[string]any{"CommonServiceItem": map[string]any{
		"Settings": map[string]any{"DNS": settings}, "SettingsHash": answer.CommonServiceItem.SettingsHash,
	}}})
	return err
}

// zone finds the zone of a name among all that there are. Sakura's queries are JSON.
func (p *Provider) zone(ctx context.Context, name string) (item, error) {
	for from := 0; p.zones == nil || from > 0; {
		filter, err := json.Marshal(map[string]any{"Filter": map[string]string{"Provider.Class": "dns"}, "From": from, "Count": 500})
		if err != nil {
			return item{}, err
		}
		var page struct {
			CommonServiceItems []item
			Total              int
		}
		if _, err := p.client.JSON(ctx, rest.Request{Path: []string{"commonserviceitem"}, RawQuery: strings.ReplaceAll(url.QueryEscape(string(filter)), "+", "%20")}, &page); err != nil {
			p.zones = nil
			return item{}, err
		}
		p.zones = append(p.zones, page.CommonServiceItems...)
		from += len(page.CommonServiceItems)
		if len(page.CommonServiceItems) == 0 || from >= page.Total || from > 1<<20 {
			break
		}
	}
	i := txt.Longest(name, p.zones, func(z item) string {
		if z.Provider.Class != "dns" {
			return ""
		}
		return z.Status.Zone
	})
	if i < 0 {
		p.zones = nil
		return item{}, fmt.Errorf("sakuracloud: %w: %s; is this the API key of the right account?", txt.ErrNoZone, name)
	}
	return p.zones[i], nil
}

// Entry is the row of the registry.
func Entry() dns.Entry {
	return dns.Entry{
		Name: "sakuracloud", Title: "Sakura Cloud",
		Keys: []dns.Key{
			{Name: "api_token", Variable: "SAKURACLOUD_ACCESS_TOKEN", Help: "access token of an API key", Needed: true},
			{Name: "api_secret", Variable: "SAKURACLOUD_ACCESS_TOKEN_SECRET", Help: "its secret", Needed: true},
			{Name: "endpoint", Help: "address of the service, when it is not Sakura's"},
		},
		Propagation: 3 * time.Minute, TTL: time.Minute, AnyValue: true,
		Docs: "https://manual.sakura.ad.jp/cloud/api/apikey.html",
		New: func(s dns.Settings) (dns.Provider, error) {
			return New(Config{Token: s.Values["api_token"], Secret: s.Values["api_secret"], Endpoint: s.Values["endpoint"], HTTP: s.HTTP})
		},
	}
}
