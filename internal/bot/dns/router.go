package dns

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// RouterConfig says which provider has which names.
type RouterConfig struct {
	// Find knows the providers by their names. It is required.
	Find func(name string) (Entry, bool)
	// Provider is for all names that have no profile of their own. "" is for profiles alone.
	Provider string
	// File has its credentials. "" takes them from the environment.
	File string
	// Profile is for all names, whatever Profiles says of them. "" leaves the choice to it.
	Profile string
	// Profiles are the profiles that there are; nil for none. They are read when one may be needed.
	Profiles func() (*Profiles, error)
	// Extra are settings from elsewhere, such as the command line, of Provider alone.
	Extra map[string]string
	// Propagation is Route.Propagation, whatever profiles say. 0 leaves it to them.
	Propagation time.Duration
	Credentials Credentials
	Settings    Settings // for all providers; Values, Source and Lookup are the router's to set
}

// Router finds the provider for names, and makes each once. It may be used by several goroutines.
type Router struct {
	config RouterConfig

	mu   sync.Mutex
	made map[string]*Route // by profile; "" is the one without
}

// NewRouter checks that the provider exists. It reads no credentials yet.
func NewRouter(c RouterConfig) (*Router, error) {
	if c.Provider != "" {
		if _, err := c.entry(c.Provider); err != nil {
			return nil, err
		}
	}
	if c.Profiles == nil && (c.Profile != "" || c.Provider == "") {
		return nil, errors.New("there are no profiles")
	}
	return &Router{config: c, made: make(map[string]*Route)}, nil
}

// UnknownProviderError says that a provider has no row in the registry.
type UnknownProviderError struct{ Name string }

func (e *UnknownProviderError) Error() string {
	return fmt.Sprintf("there is no DNS provider %.64q", e.Name)
}

func (c *RouterConfig) entry(name string) (Entry, error) {
	entry, ok := c.Find(name)
	if !ok {
		return Entry{}, &UnknownProviderError{name}
	}
	return entry, nil
}

// Route finds the provider for a record: names are where it will be and what it is for.
func (r *Router) Route(names ...string) (*Route, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	profile, err := r.profile(names)
	if err != nil {
		return nil, err
	}
	if route, ok := r.made[profile]; ok {
		return route, nil
	}
	route, err := r.make(profile)
	if err != nil {
		return nil, err
	}
	r.made[profile] = route
	return route, nil
}

// profile says which profile names have, "" for none.
func (r *Router) profile(names []string) (string, error) {
	switch {
	case r.config.Profile != "":
		return r.config.Profile, nil
	case r.config.Profiles == nil || r.config.File != "":
		return "", nil
	}
	profiles, err := r.config.Profiles()
	if err != nil {
		return "", err
	}
	if profiles == nil {
		profiles = new(Profiles)
	}
	name, ok := profiles.For(names...)
	if r.config.Provider == "" {
		if !ok {
			return "", fmt.Errorf("finding the credentials for %s: %w", strings.Join(slices.Compact(names), " or "), ErrNoProfile)
		}
		return name, nil
	}
	if !ok {
		return "", nil
	}
	// A profile of another provider than the one that was asked for is for other certificates.
	profile, err := profiles.Profile(name)
	if err != nil {
		return "", err
	}
	want, err := r.config.entry(r.config.Provider)
	if err != nil || !want.Is(strings.TrimPrefix(profile.Provider, "dns-")) {
		return "", err
	}
	return name, nil
}

// make makes the provider of a profile, or the one without.
func (r *Router) make(name string) (*Route, error) {
	c := &r.config
	route := &Route{Propagation: c.Propagation}
	settings := c.Settings
	var err error
	if name != "" {
		err = r.fromProfile(name, route, &settings)
	} else {
		err = r.withoutProfile(route, &settings)
	}
	if err != nil {
		return nil, err
	}
	route.Provider, err = route.Entry.New(settings)
	if err != nil {
		return nil, fmt.Errorf("with what %s says: %w (%s)", settings.Source, err, route.Entry.takes())
	}
	return route, nil
}

// takes lists the settings of a provider, for whoever has left one out.
func (e Entry) takes() string {
	var list []string
	for _, k := range e.Keys {
		list = append(list, k.Name)
	}
	return "its settings are " + strings.Join(list, ", ") + ", with " + e.prefixes()[0] + " in front of each in a file of one provider"
}

func (r *Router) fromProfile(name string, route *Route, settings *Settings) error {
	profiles, err := r.config.Profiles()
	if err != nil {
		return err
	}
	if profiles == nil {
		return fmt.Errorf("there is no profile %s, as there is no file with profiles", name)
	}
	profile, err := profiles.Profile(name)
	if err != nil {
		return err
	}
	if route.Entry, err = r.config.entry(profile.Provider); err != nil {
		return fmt.Errorf("%s: %w", profile.source, err)
	}
	if route.Propagation == 0 {
		route.Propagation = profile.Propagation
	}
	settings.Source = profile.source
	settings.Values, err = r.config.Credentials.Values(route.Entry, profile)
	return err
}

func (r *Router) withoutProfile(route *Route, settings *Settings) (err error) {
	c := &r.config
	if route.Entry, err = c.entry(c.Provider); err != nil {
		return err
	}
	if path := c.Credentials.Expand(c.File); path != "" && route.Entry.FileKey != "" {
		settings.Source, settings.Values = path, map[string]string{route.Entry.FileKey: path}
		_, err = c.Credentials.read(path)
	} else if path != "" {
		settings.Source = path
		settings.Values, err = c.Credentials.File(route.Entry, c.File)
	} else {
		settings.Source, settings.Lookup = "the environment", c.Credentials.Lookup
		settings.Values, err = c.Credentials.FromEnvironment(route.Entry)
	}
	if err != nil {
		return err
	}
	for key, value := range c.Extra {
		settings.Values[key] = value
	}
	return nil
}
