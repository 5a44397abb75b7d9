// Package route53 changes records in Amazon Route 53
// (https://docs.aws.amazon.com/Route53/latest/APIReference/API_Operations_Amazon_Route_53.html).
//
// Whoever asks must be allowed route53:ListHostedZones and route53:ChangeResourceRecordSets. With route53:ListResourceRecordSets,
// values of others are kept; without it, as certbot's instructions have it, only those that this process added. With
// route53:GetChange, Settle knows when all servers have a change.
package route53

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/dns/aws"
	"github.com/cairn-ca/cairn/internal/bot/dns/rest"
	"github.com/cairn-ca/cairn/internal/bot/dns/txt"
)

// Config says who asks, and where.
type Config struct {
	AWS      aws.Config
	Zone     string        // the ID of the hosted zone; "" looks for it by the name of the record
	Private  bool          // private zones are looked through, and no others
	TTL      time.Duration // of records, when they have none; 0 means 10 seconds
	Endpoint string        // "" means that of the region's part of AWS
}

// Provider changes records. Sets are read and written whole, so one Provider makes one change at a time.
type Provider struct {
	config Config
	source *aws.Source
	client *rest.Client

	mu      sync.Mutex
	zones   []zone              // nil before they were asked for
	added   map[string][]string // by name: what this Provider has added, for when it may not look
	pending []string            // IDs of changes that Settle waits for
}

type zone struct {
	ID      string `xml:"Id"`
	Name    string
	Private bool `xml:"Config>PrivateZone"`
}

// set is a record set. Values are as zone files have them.
type set struct {
	Name   string
	Type   string
	TTL    int
	Values []string `xml:"ResourceRecords>ResourceRecord>Value"`
}

const (
	version   = "2013-04-01"
	namespace = "https://route53.amazonaws.com/doc/2013-04-01/"
)

// New checks the settings. It asks nobody.
func New(config Config) (*Provider, error) {
	source, err := aws.New(config.AWS)
	if err != nil {
		return nil, err
	}
	config.Zone = bare(config.Zone)
	if strings.Trim(config.Zone, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		return nil, fmt.Errorf("route53: %.40q is not the ID of a hosted zone: one looks like Z0123456789ABCDEFGHIJ", config.Zone)
	}
	endpoint, region := endpoint(source.Region())
	config.Endpoint = cmp.Or(config.Endpoint, endpoint)
	if config.TTL <= 0 {
		config.TTL = 10 * time.Second
	}
	p := &Provider{config: config, source: source, added: make(map[string][]string)}
	p.client, err = rest.New(rest.Config{
		Service: "Route 53", Base: config.Endpoint, HTTP: config.AWS.HTTP, Message: aws.Message, Busy: aws.Busy,
		Hint: "the policy must allow route53:ListHostedZones, route53:ListResourceRecordSets, route53:ChangeResourceRecordSets and route53:GetChange",
		Authorize: func(request *http.Request, body []byte) error {
			now := time.Now()
			credentials, err := source.Credentials(request.Context(), now)
			if err == nil {
				aws.Sign(request, body, credentials, aws.Scope{Region: region, Service: "route53"}, now)
			}
			return err
		}})
	return p, err
}

// bare is an ID without the path that AWS writes in front of it.
func bare(id string) string { return id[strings.LastIndex(id, "/")+1:] }

// endpoint is where Route 53 is, and the region that signatures are for: there is one for each part of AWS
// (https://docs.aws.amazon.com/general/latest/gr/r53.html).
func endpoint(region string) (address, signing string) {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "https://route53.amazonaws.com.cn", "cn-northwest-1"
	case strings.HasPrefix(region, "us-gov-"):
		return "https://route53.us-gov.amazonaws.com", "us-gov-west-1"
	case strings.HasPrefix(region, "eusc-"):
		return "https://route53.amazonaws.eu", "eusc-de-east-1"
	}
	return "https://route53.amazonaws.com", "us-east-1"
}

// Add puts a value beside those that are there.
func (p *Provider) Add(ctx context.Context, r dns.Record) error {
	return p.change(ctx, r, func(values []string) []string {
		if slices.Contains(values, r.Value) {
			return values
		}
		return append(slices.Clone(values), r.Value)
	})
}

// Remove takes this value away, and the record set with the last one.
func (p *Provider) Remove(ctx context.Context, r dns.Record) error {
	return p.change(ctx, r, func(values []string) []string {
		return slices.DeleteFunc(slices.Clone(values), func(value string) bool { return value == r.Value })
	})
}

func (p *Provider) change(ctx context.Context, r dns.Record, edit func([]string) []string) error {
	if err := txt.Check(r); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id, err := p.zone(ctx, r.Name)
	if err != nil {
		return err
	}
	old, seen, err := p.look(ctx, id, r)
	if err != nil {
		return err
	}
	have := values(old)
	want := edit(have)
	if slices.Equal(have, want) && (seen || len(have) == 0) {
		p.remember(r.Name, want)
		return nil
	}
	action, body := "UPSERT", set{Name: r.Name, Type: "TXT", TTL: p.seconds(r)}
	for _, value := range want {
		body.Values = append(body.Values, txt.Quote(value))
	}
	if len(want) == 0 {
		action, body = "DELETE", old // which must be exactly what is there
	}
	err = p.send(ctx, id, action, body)
	var refusal *rest.Error
	if action == "DELETE" && errors.As(err, &refusal) && refusal.Status == http.StatusBadRequest && strings.Contains(refusal.Message, "not found") {
		err = nil // somebody else was faster
	}
	if err == nil {
		p.remember(r.Name, want)
	}
	return err
}

func (p *Provider) seconds(r dns.Record) int {
	return int(cmp.Or(r.TTL, p.config.TTL) / time.Second)
}

func (p *Provider) remember(name string, values []string) {
	if len(values) == 0 {
		delete(p.added, name)
		return
	}
	p.added[name] = values
}

// values reads those of a set.
func values(s set) []string {
	list := make([]string, len(s.Values))
	for i, value := range s.Values {
		list[i] = txt.Unquote(value)
	}
	return list
}

// zone finds the hosted zone of a name. Several can have the same name; the first is taken, as Route 53 lists it.
func (p *Provider) zone(ctx context.Context, name string) (string, error) {
	if p.config.Zone != "" {
		return p.config.Zone, nil
	}
	if p.zones == nil {
		zones, err := p.list(ctx, name)
		if err != nil {
			return "", err
		}
		p.zones = zones
	}
	i := txt.Longest(name, p.zones, func(z zone) string { return z.Name })
	if i < 0 {
		kind := "public"
		if p.config.Private {
			kind = "private"
		}
		return "", fmt.Errorf("route53: %w: %s (among %d %s hosted zones); are these the credentials of the right account?", txt.ErrNoZone, name, len(p.zones), kind)
	}
	return bare(p.zones[i].ID), nil
}

// list asks for all hosted zones, 100 at a time, which is the most that Route 53 sends. Its page limit is for a server that never ends.
func (p *Provider) list(ctx context.Context, name string) ([]zone, error) {
	zones := []zone{}
	query := url.Values{"maxitems": {"100"}}
	for range 1000 {
		var page struct {
			Zones       []zone `xml:"HostedZones>HostedZone"`
			IsTruncated bool
			NextMarker  string
		}
		if _, err := p.client.XML(ctx, rest.Request{Path: []string{version, "hostedzone"}, Query: query}, &page); err != nil {
			if rest.IsStatus(err, http.StatusForbidden) {
				return p.listByName(ctx, name, err)
			}
			return nil, err
		}
		zones = p.keep(zones, page.Zones)
		if !page.IsTruncated || page.NextMarker == "" {
			break
		}
		query.Set("marker", page.NextMarker)
	}
	return zones, nil
}

func (p *Provider) keep(zones, page []zone) []zone {
	for _, z := range page {
		if z.Private == p.config.Private {
			zones = append(zones, z)
		}
	}
	return zones
}

// listByName asks for the zones that name can lie in, which other policies allow (lego's instructions).
func (p *Provider) listByName(ctx context.Context, name string, refused error) ([]zone, error) {
	var zones []zone
	for _, candidate := range dns.Zones(name) {
		var page struct {
			Zones []zone `xml:"HostedZones>HostedZone"`
		}
		query := url.Values{"dnsname": {candidate}, "maxitems": {"10"}}
		if _, err := p.client.XML(ctx, rest.Request{Path: []string{version, "hostedzonesbyname"}, Query: query}, &page); err != nil {
			return nil, refused
		}
		for _, z := range p.keep(nil, page.Zones) {
			if strings.EqualFold(strings.TrimSuffix(z.Name, "."), strings.TrimSuffix(candidate, ".")) {
				zones = append(zones, z)
			}
		}
		if len(zones) > 0 {
			break
		}
	}
	return zones, nil
}

// look reads the record set. Where that is not allowed, it is what this Provider has added, and seen is false.
func (p *Provider) look(ctx context.Context, id string, r dns.Record) (found set, seen bool, err error) {
	var answer struct {
		Sets []set `xml:"ResourceRecordSets>ResourceRecordSet"`
	}
	query := url.Values{"name": {r.Name}, "type": {"TXT"}, "maxitems": {"1"}}
	_, err = p.client.XML(ctx, rest.Request{Path: []string{version, "hostedzone", id, "rrset"}, Query: query}, &answer)
	if rest.IsStatus(err, http.StatusForbidden) {
		found = set{Name: r.Name, Type: "TXT", TTL: p.seconds(r)}
		for _, value := range p.added[r.Name] {
			found.Values = append(found.Values, txt.Quote(value))
		}
		return found, false, nil
	}
	if err != nil {
		return set{}, false, err
	}
	for _, s := range answer.Sets { // the list begins at the name, and goes on with what follows it
		if s.Type == "TXT" && strings.EqualFold(strings.TrimSuffix(s.Name, "."), strings.TrimSuffix(r.Name, ".")) {
			return s, true, nil
		}
	}
	return set{}, true, nil
}

// batch is one change, as it is sent.
type batch struct {
	XMLName xml.Name `xml:"ChangeResourceRecordSetsRequest"`
	Space   string   `xml:"xmlns,attr"`
	Comment string   `xml:"ChangeBatch>Comment"`
	Action  string   `xml:"ChangeBatch>Changes>Change>Action"`
	Set     wireSet  `xml:"ChangeBatch>Changes>Change>ResourceRecordSet"`
}

type wireSet struct {
	Name    string
	Type    string
	TTL     int
	Records []wireRecord `xml:"ResourceRecords>ResourceRecord"`
}

type wireRecord struct{ Value string }

func (p *Provider) send(ctx context.Context, id, action string, s set) error {
	message := batch{Space: namespace, Comment: "a proof for a certificate", Action: action, Set: wireSet{Name: s.Name, Type: s.Type, TTL: s.TTL}}
	for _, value := range s.Values {
		message.Set.Records = append(message.Set.Records, wireRecord{Value: value})
	}
	body, err := xml.Marshal(message)
	if err != nil {
		return err
	}
	var answer struct {
		ID string `xml:"ChangeInfo>Id"`
	}
	_, err = p.client.XML(ctx, rest.Request{Method: "POST", Path: []string{version, "hostedzone", id, "rrset", ""}, Body: body,
		Header: http.Header{"Content-Type": {"application/xml"}}}, &answer)
	if err == nil && answer.ID != "" && action == "UPSERT" {
		p.pending = append(p.pending, bare(answer.ID))
	}
	return err
}

// Settle returns when all of Route 53's servers have what was added, which it calls INSYNC, or when ctx is
// done. Where asking is not allowed it returns at once: what the servers show is looked at anyway.
func (p *Provider) Settle(ctx context.Context) error {
	p.mu.Lock()
	pending := p.pending
	p.pending = nil
	p.mu.Unlock()
	for _, id := range pending {
		for {
			var answer struct {
				Status string `xml:"ChangeInfo>Status"`
			}
			_, err := p.client.XML(ctx, rest.Request{Path: []string{version, "change", id}}, &answer)
			if rest.IsStatus(err, http.StatusForbidden, http.StatusNotFound) {
				break
			}
			if err != nil {
				return fmt.Errorf("waiting for Route 53's servers: %w", err)
			}
			if answer.Status == "INSYNC" {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for Route 53's servers: %w", ctx.Err())
			case <-time.After(3 * time.Second):
			}
		}
	}
	return nil
}
