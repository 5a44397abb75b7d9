// Package dnsimple changes records with DNSimple's API, version 2 (https://developer.dnsimple.com/v2/). The token can be
// that of an account or that of a user; a user's is good for all accounts of this user.
package dnsimple

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/rest"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
)

// Config says who asks.
type Config struct {
	Token    string
	TTL      time.Duration // of records, when they have none; 0 means a minute
	Endpoint string        // "" means https://api.dnsimple.com; the sandbox is https://api.sandbox.dnsimple.com
	HTTP     *http.Client  // nil means http.DefaultClient
}

// Provider changes records. Each value is a record of its own.
type Provider struct {
	ttl    time.Duration
	client *rest.Client

	mu       sync.Mutex
	accounts []string // nil before they were asked for
}

// place is where a zone is.
type place struct{ account, zone string }

type record struct {
	ID      int    `json:"id,omitempty"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Content string `json:"content"`
	TTL     int    `json:"ttl"`
}

// New checks the settings. It asks nobody.
func New(config Config) (*Provider, error) {
	if config.Token == "" || strings.ContainsAny(config.Token, " \r\n") {
		return nil, errors.New("dnsimple: a token is needed: make one in the account's settings, under access tokens")
	}
	client, err := rest.New(rest.Config{
		Service: "DNSimple", Base: cmp.Or(config.Endpoint, "https://api.dnsimple.com"), HTTP: config.HTTP,
		Hint: "the token must exist, and may have to be allowed for this zone; tokens of the sandbox are good there alone",
		Authorize: func(request *http.Request, _ []byte) error {
			request.Header.Set("Authorization", "Bearer "+config.Token)
			return nil
		}})
	ttl := config.TTL
	if ttl <= 0 {
		ttl = time.Minute
	}
	return &Provider{ttl: ttl, client: client}, err
}

// Add makes a record, unless it is there.
func (p *Provider) Add(ctx context.Context, r dns.Record) error {
	where, found, err := p.find(ctx, r)
	if err != nil || len(found) > 0 {
		return err
	}
	_, err = p.client.Do(ctx, rest.Request{Method: "POST", Path: where.path("records"), JSON: record{
		Type: "TXT", Name: txt.Relative(r.Name, where.zone, ""), Content: r.Value, TTL: int(cmp.Or(r.TTL, p.ttl) / time.Second),
	}})
	return err
}

// Remove deletes the record with this value.
func (p *Provider) Remove(ctx context.Context, r dns.Record) error {
	where, found, err := p.find(ctx, r)
	for _, id := range found {
		_, failure := p.client.Do(ctx, rest.Request{Method: "DELETE", Path: where.path("records", strconv.Itoa(id)), Accept: []int{http.StatusNotFound}})
		err = errors.Join(err, failure)
	}
	return err
}

func (p place) path(rest ...string) []string {
	return append([]string{"v2", p.account, "zones", p.zone}, rest...)
}

// find returns where a record belongs, and the IDs of those that are it.
func (p *Provider) find(ctx context.Context, r dns.Record) (place, []int, error) {
	if err := txt.Check(r); err != nil {
		return place{}, nil, err
	}
	where, err := p.zone(ctx, r.Name)
	if err != nil {
		return place{}, nil, err
	}
	name := txt.Relative(r.Name, where.zone, "")
	var found []int
	for number := 1; number <= 1000; number++ {
		var page struct {
			Data       []record
			Pagination struct {
				Pages int `json:"total_pages"`
			}
		}
		query := url.Values{"name": {name}, "type": {"TXT"}, "per_page": {"100"}, "page": {strconv.Itoa(number)}}
		if _, err := p.client.JSON(ctx, rest.Request{Path: where.path("records"), Query: query}, &page); err != nil {
			return place{}, nil, err
		}
		for _, one := range page.Data {
			if one.Type == "TXT" && one.Name == name && (one.Content == r.Value || txt.Unquote(one.Content) == r.Value) {
				found = append(found, one.ID)
			}
		}
		if number >= page.Pagination.Pages {
			break
		}
	}
	return where, found, nil
}

// zone finds the longest zone of a name in all accounts.
func (p *Provider) zone(ctx context.Context, name string) (place, error) {
	accounts, err := p.all(ctx)
	if err != nil {
		return place{}, err
	}
	for _, candidate := range dns.Zones(name) {
		for _, account := range accounts {
			where := place{account, strings.TrimSuffix(candidate, ".")}
			answer, err := p.client.Do(ctx, rest.Request{Path: where.path(), Accept: []int{http.StatusNotFound}})
			if err != nil {
				return place{}, err
			}
			if answer.Status != http.StatusNotFound {
				return where, nil
			}
		}
	}
	return place{}, fmt.Errorf("dnsimple: %w: %s; is this the token of the right account?", txt.ErrNoZone, name)
}

// all lists the accounts that the token is good for.
func (p *Provider) all(ctx context.Context) ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.accounts != nil {
		return p.accounts, nil
	}
	type account struct {
		ID int `json:"id"`
	}
	var who struct {
		Data struct{ Account *account }
	}
	if _, err := p.client.JSON(ctx, rest.Request{Path: []string{"v2", "whoami"}}, &who); err != nil {
		return nil, err
	}
	if who.Data.Account != nil {
		p.accounts = []string{strconv.Itoa(who.Data.Account.ID)}
		return p.accounts, nil
	}
	var several struct{ Data []account }
	if _, err := p.client.JSON(ctx, rest.Request{Path: []string{"v2", "accounts"}}, &several); err != nil {
		return nil, err
	}
	for _, one := range several.Data {
		p.accounts = append(p.accounts, strconv.Itoa(one.ID))
	}
	return p.accounts, nil
}

// Entry is the row of the registry.
func Entry() dns.Entry {
	return dns.Entry{
		Name: "dnsimple", Title: "DNSimple",
		Keys: []dns.Key{
			{Name: "token", Variable: "DNSIMPLE_OAUTH_TOKEN", Help: "access token of an account or of a user", Needed: true},
			{Name: "base_url", Variable: "DNSIMPLE_BASE_URL", Help: "address of the service; that of the sandbox is https://api.sandbox.dnsimple.com"},
		},
		Propagation: 2 * time.Minute, TTL: time.Minute, AnyValue: true,
		Docs: "https://support.dnsimple.com/articles/api-access-token/",
		New: func(s dns.Settings) (dns.Provider, error) {
			return New(Config{Token: s.Values["token"], Endpoint: s.Values["base_url"], HTTP: s.HTTP})
		},
	}
}
