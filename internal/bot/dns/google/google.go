// Package google changes records in Google Cloud DNS (https://cloud.google.com/dns/docs/reference/rest/v1). Whoever
// asks needs the role roles/dns.admin, or dns.managedZones.list, dns.resourceRecordSets.* and dns.changes.* of the zone's project.
package google

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

// Config says who asks, and where.
type Config struct {
	// File has credentials, and JSON is the same as text. With neither, they are looked for where Google's own
	// tools do (https://cloud.google.com/docs/authentication/application-default-credentials).
	File, JSON  string
	Impersonate string        // the e-mail address of a service account to act as, or ""
	Project     string        // "" means that of the credentials, of the environment or of the machine
	Zone        string        // the managed zone's own name; "" looks for it by the name of the record
	Private     bool          // private zones are taken, and no others
	TTL         time.Duration // of records, when they have none; 0 means a minute
	Endpoint    string        // "" means https://dns.googleapis.com, or that of the credentials' universe
	Metadata    string        // "" means the machine's metadata service
	// Trusted are hosts and domains beyond Google's own that credentials may be sent to: those of a cloud that is run by others.
	Trusted []string
	HTTP    *http.Client                              // nil means http.DefaultClient
	Lookup  func(name string) (value string, ok bool) // the environment; nil means an empty one
	Environ []string                                  // of programs that are started; nil means that of this process
}

// Provider changes records. Sets are replaced whole, and only if they still are what was read.
type Provider struct {
	config Config
	tokens *tokens
	client *rest.Client

	mu      sync.Mutex
	project string
	zones   map[string]string // by name of records
	pending []change
}

// change is one that the servers may not have yet.
type change struct{ zone, id string }

type set struct {
	Kind    string   `json:"kind,omitempty"`
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	TTL     int      `json:"ttl"`
	Rrdatas []string `json:"rrdatas"`
}

// New reads the credentials. It asks nobody.
func New(config Config) (*Provider, error) {
	if config.Lookup == nil {
		config.Lookup = func(string) (string, bool) { return "", false }
	}
	if config.TTL <= 0 {
		config.TTL = time.Minute
	}
	tokens, err := newTokens(config)
	if err != nil {
		return nil, fmt.Errorf("google: %w", err)
	}
	p := &Provider{config: config, tokens: tokens, zones: make(map[string]string)}
	p.project = cmp.Or(config.Project, tokens.file.ProjectID)
	for _, name := range []string{"GCE_PROJECT", "GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"} {
		value, _ := config.Lookup(name)
		p.project = cmp.Or(p.project, value)
	}
	p.client, err = rest.New(rest.Config{
		Service: "Google Cloud DNS", Base: cmp.Or(config.Endpoint, "https://dns."+tokens.universe), HTTP: config.HTTP,
		Hint: "the account needs the role roles/dns.admin in the project that has the zone",
		Authorize: func(request *http.Request, _ []byte) error {
			token, err := tokens.present.Get(request.Context(), time.Now())
			if err != nil {
				return err
			}
			request.Header.Set("Authorization", "Bearer "+token)
			if quota := tokens.file.QuotaProjectID; quota != "" {
				request.Header.Set("X-Goog-User-Project", quota)
			}
			return nil
		}})
	return p, err
}

// Add puts a value beside those that are there.
func (p *Provider) Add(ctx context.Context, r dns.Record) error {
	return p.change(ctx, r, func(values []string) []string {
		if slices.ContainsFunc(values, func(value string) bool { return txt.Unquote(value) == r.Value }) {
			return values
		}
		return append(slices.Clone(values), txt.Quote(r.Value))
	})
}

// Remove takes this value away, and the record set with the last one.
func (p *Provider) Remove(ctx context.Context, r dns.Record) error {
	return p.change(ctx, r, func(values []string) []string {
		return slices.DeleteFunc(slices.Clone(values), func(value string) bool { return txt.Unquote(value) == r.Value })
	})
}

// change edits a record set. Where somebody else has changed it meanwhile, it begins again.
func (p *Provider) change(ctx context.Context, r dns.Record, edit func([]string) []string) error {
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
		var done bool
		if done, err = p.try(ctx, zone, r, edit); err == nil && done {
			return nil
		}
		if err != nil && !rest.IsStatus(err, http.StatusConflict, http.StatusPreconditionFailed, http.StatusNotFound) {
			return err
		}
	}
	return fmt.Errorf("somebody else changes the same record all the time: %w", err)
}

// try reads the set and replaces it.
func (p *Provider) try(ctx context.Context, zone string, r dns.Record, edit func([]string) []string) (bool, error) {
	var answer struct {
		Rrsets []set `json:"rrsets"`
	}
	place := p.place("managedZones", zone)
	read, err := p.client.JSON(ctx, rest.Request{Path: append(place, "rrsets"), Query: url.Values{"name": {r.Name}, "type": {"TXT"}}, Accept: []int{http.StatusNotFound}}, &answer)
	if err != nil {
		return false, err
	}
	if read.Status == http.StatusNotFound { // of the zone; of a change below it is a set that somebody else has removed
		return false, fmt.Errorf("google: %w: there is no managed zone %.64q in the project %s", txt.ErrNoZone, zone, p.project)
	}
	var old set
	for _, s := range answer.Rrsets {
		if s.Type == "TXT" && strings.EqualFold(s.Name, r.Name) {
			old = s
		}
	}
	want := edit(old.Rrdatas)
	if slices.Equal(want, old.Rrdatas) {
		return true, nil
	}
	var body struct {
		Additions []set `json:"additions,omitempty"`
		Deletions []set `json:"deletions,omitempty"`
	}
	if len(old.Rrdatas) > 0 {
		body.Deletions = []set{old}
	}
	if len(want) > 0 {
		body.Additions = []set{{Name: r.Name, Type: "TXT", TTL: int(cmp.Or(r.TTL, p.config.TTL) / time.Second), Rrdatas: want}}
	}
	var made struct{ ID, Status string }
	if _, err := p.client.JSON(ctx, rest.Request{Method: "POST", Path: append(place, "changes"), JSON: body}, &made); err != nil {
		return false, err
	}
	if made.Status == "pending" && len(want) > len(old.Rrdatas) {
		p.pending = append(p.pending, change{zone: zone, id: made.ID})
	}
	return true, nil
}

// place is a path below the project.
func (p *Provider) place(rest ...string) []string {
	return append([]string{"dns", "v1", "projects", p.project}, rest...)
}

// zone finds the managed zone of a name: the longest there is, public or private as configured.
func (p *Provider) zone(ctx context.Context, name string) (string, error) {
	if p.project == "" {
		project, err := p.tokens.machineProject(ctx)
		if err != nil {
			return "", fmt.Errorf("google: the credentials name no project: say it with --dns-google-project (%w)", err)
		}
		p.project = project
	}
	if p.config.Zone != "" {
		return p.config.Zone, nil
	}
	if zone := p.zones[name]; zone != "" {
		return zone, nil
	}
	for _, candidate := range dns.Zones(name) {
		var answer struct {
			ManagedZones []struct{ Name, DNSName, Visibility string } `json:"managedZones"`
		}
		if _, err := p.client.JSON(ctx, rest.Request{Path: p.place("managedZones"), Query: url.Values{"dnsName": {candidate}}}, &answer); err != nil {
			return "", err
		}
		for _, zone := range answer.ManagedZones {
			if (zone.Visibility == "private") == p.config.Private && strings.EqualFold(zone.DNSName, candidate) {
				p.zones[name] = zone.Name
				return zone.Name, nil
			}
		}
	}
	return "", fmt.Errorf("google: %w: %s in the project %s; another project is said with --dns-google-project", txt.ErrNoZone, name, p.project)
}

// Settle returns when Google says that its servers have what was added, or when ctx is done.
func (p *Provider) Settle(ctx context.Context) error {
	p.mu.Lock()
	pending := p.pending
	p.pending = nil
	p.mu.Unlock()
	for _, c := range pending {
		for {
			var answer struct{ Status string }
			_, err := p.client.JSON(ctx, rest.Request{Path: append(p.place("managedZones", c.zone), "changes", c.id)}, &answer)
			if rest.IsStatus(err, http.StatusForbidden, http.StatusNotFound) {
				break // what the servers show is looked at anyway
			}
			if err != nil {
				return fmt.Errorf("waiting for Google's servers: %w", err)
			}
			if answer.Status != "pending" {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for Google's servers: %w", ctx.Err())
			case <-time.After(2 * time.Second):
			}
		}
	}
	return nil
}

// Entry is the row of the registry.
func Entry() dns.Entry {
	return dns.Entry{
		Name: "google", Title: "Google Cloud DNS", Aliases: []string{"gcloud"}, FileKey: "credentials_file",
		Keys: []dns.Key{
			{Name: "credentials_file", File: true, Variable: "GCE_SERVICE_ACCOUNT_FILE", Help: "JSON file of a service account, or another kind of Google's credentials"},
			{Name: "service_account", Variable: "GCE_SERVICE_ACCOUNT", Help: "what is in that file"},
			{Name: "project", Variable: "GCE_PROJECT", Help: "project that has the zone"},
			{Name: "zone", Variable: "GCE_ZONE_ID", Help: "the managed zone's own name; found by domain when it is left out"},
			{Name: "impersonate_service_account", Variable: "GCE_IMPERSONATE_SERVICE_ACCOUNT", Help: "e-mail address of a service account to act as"},
			{Name: "allow_private_zone", Variable: "GCE_ALLOW_PRIVATE_ZONE", Help: "true takes private zones, and no others"},
			{Name: "universe_domain", Help: "domain of the service, when it is a cloud of Google's that others run"},
			{Name: "endpoint", Help: "address of the service, when it is not Google's"},
		},
		Optional: true, Propagation: 3 * time.Minute, TTL: time.Minute, AnyValue: true,
		Docs: "https://cloud.google.com/docs/authentication/application-default-credentials",
		New:  fromSettings,
	}
}

func fromSettings(s dns.Settings) (dns.Provider, error) {
	// A file of an account from elsewhere can say that the token is that of a machine of Amazon's, which the environment describes.
	lookup := s.Getter("HOME", "CLOUDSDK_CONFIG", "GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST",
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
	get := func(key, variable string) string {
		if value := s.Values[key]; value != "" {
			return value
		}
		value, _ := lookup(variable)
		return value
	}
	config := Config{
		File: get("credentials_file", "GCE_SERVICE_ACCOUNT_FILE"), JSON: get("service_account", "GCE_SERVICE_ACCOUNT"),
		Project: s.Values["project"], Zone: get("zone", "GCE_ZONE_ID"), Impersonate: get("impersonate_service_account", "GCE_IMPERSONATE_SERVICE_ACCOUNT"),
		Endpoint: s.Values["endpoint"], HTTP: s.HTTP, Lookup: lookup, Environ: s.Environ,
	}
	if universe := s.Values["universe_domain"]; universe != "" {
		config.Trusted = []string{universe}
	}
	switch private := strings.ToLower(get("allow_private_zone", "GCE_ALLOW_PRIVATE_ZONE")); private {
	case "", "false":
	case "true":
		config.Private = true
	default:
		return nil, errors.New("google: allow_private_zone is neither true nor false")
	}
	return New(config)
}
