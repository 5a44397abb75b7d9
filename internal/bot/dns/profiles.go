package dns

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// Profiles are sets of credentials, by names that their owner has chosen, and which domains each is for:
//
//	[work]
//	provider = cloudflare
//	api_token = file:/etc/secrets/cloudflare
//
//	[home]
//	provider = duckdns
//	token = cred:duckdns
//	propagation_seconds = 120
//
//	[domains]
//	example.com = work
//	lab.example.com = home
type Profiles struct {
	path     string
	document *lineage.Document
	domains  map[string]string // a domain → a profile
}

// domainsSection says which domain has which profile.
const domainsSection = "domains"

// Keys of a profile that are no settings of its provider.
const (
	providerKey    = "provider"
	propagationKey = "propagation_seconds"
)

// Profiles reads a file of profiles. Secrets that are elsewhere are read when a profile is used.
func (c *Credentials) Profiles(path string) (*Profiles, error) {
	document, err := c.document(path)
	if err != nil {
		return nil, err
	}
	p := &Profiles{path: path, document: document, domains: make(map[string]string)}
	if keys := document.Root().Keys(); len(keys) > 0 {
		return nil, fmt.Errorf("%s: %s stands before the first [PROFILE]", path, keys[0])
	}
	domains := document.Root().Section(domainsSection)
	if domains == nil {
		return p, nil
	}
	for _, domain := range domains.Keys() {
		value, _ := domains.Get(domain)
		name := value.String()
		if name == domainsSection || document.Root().Section(name) == nil {
			return nil, fmt.Errorf("%s: there is no profile [%s], which %s is to have", path, name, domain)
		}
		p.domains[canonical(domain)] = name
	}
	return p, nil
}

func canonical(domain string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(domain, "*."), "."))
}

// Names lists the profiles.
func (p *Profiles) Names() []string {
	return slices.DeleteFunc(p.document.Root().Sections(), func(name string) bool { return name == domainsSection })
}

// For is the profile for the first of the names that has one: that of the longest domain that the name is or lies in.
func (p *Profiles) For(names ...string) (string, bool) {
	for _, name := range names {
		for at := canonical(name); at != ""; at = parent(at) {
			if profile, ok := p.domains[at]; ok {
				return profile, true
			}
		}
	}
	return "", false
}

// Profile is one set of credentials.
type Profile struct {
	Provider    string
	Propagation time.Duration // as in Route
	section     *lineage.Section
	source      string
}

// Profile finds one by its name.
func (p *Profiles) Profile(name string) (Profile, error) {
	section := p.document.Root().Section(name)
	if section == nil || name == domainsSection {
		return Profile{}, fmt.Errorf("%s has no profile [%s]; it has %s", p.path, name, strings.Join(p.Names(), ", "))
	}
	provider, _ := section.Get(providerKey)
	profile := Profile{Provider: provider.String(), section: section, source: p.path + " [" + name + "]"}
	if profile.Provider == "" {
		return Profile{}, fmt.Errorf("%s does not say which provider it is for: write provider = NAME", profile.source)
	}
	if text, ok := section.Get(propagationKey); ok {
		n, err := strconv.ParseUint(text.String(), 10, 20)
		if err != nil {
			return Profile{}, fmt.Errorf("%s: %s = %q is not a number of seconds", profile.source, propagationKey, text.String())
		}
		profile.Propagation = Limit(n)
	}
	return profile, nil
}

// Limit is what Route.Propagation is for a number of seconds that somebody has asked for.
func Limit(seconds uint64) time.Duration {
	if seconds == 0 {
		return -1 // nothing is waited for
	}
	return time.Duration(seconds) * time.Second
}

// Values reads the settings of a profile for its provider.
func (c *Credentials) Values(e Entry, p Profile) (map[string]string, error) {
	for _, key := range p.section.Keys() {
		if _, known := e.key(key, true); !known && !e.mine(key) && key != providerKey && key != propagationKey &&
			!slices.ContainsFunc(e.Keys, func(k Key) bool { return slices.Contains(k.Parts, key) }) {
			c.warn("%s: %s has no setting %s", p.source, e.Title, key)
		}
	}
	values, err := c.take(e, p.section, taken{source: p.source, short: true})
	if err != nil {
		return nil, err
	}
	if err := c.files(e, values); err != nil {
		return nil, err
	}
	return values, e.missing(values, p.source)
}
