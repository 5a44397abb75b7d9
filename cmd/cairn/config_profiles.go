package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/profile"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// profilesSection changes the profiles that are offered, and adds others.
type profilesSection map[string]*profileFields

// profileFields is what can be said of a profile. What is left out is as in the one that it is like.
type profileFields struct {
	Like        string  `yaml:"like"`    // a standard profile; "" means the one of the same name, or classic
	Offered     *bool   `yaml:"offered"` // false takes a standard profile away
	Default     bool    `yaml:"default"` // for clients that do not choose
	Description *string `yaml:"description"`
	Baseline    *bool   `yaml:"baseline"`

	Validity        *span     `yaml:"validity"`
	Backdate        *span     `yaml:"backdate"`
	MaxNames        *int      `yaml:"max_names"`
	Names           *[]string `yaml:"names"`
	Identifiers     *[]string `yaml:"identifiers"`
	Keys            *[]string `yaml:"keys"`
	Usages          *[]string `yaml:"usages"`
	Subject         *subject  `yaml:"subject"`
	CommonName      *bool     `yaml:"common_name"`
	KeyID           *bool     `yaml:"subject_key_id"`
	KeyEncipherment *bool     `yaml:"key_encipherment"`
	CRL             *bool     `yaml:"crl"`
	NoRevAvail      *bool     `yaml:"no_revocation_available"`
	MustStaple      *bool     `yaml:"must_staple"`

	Order          *span         `yaml:"order"`
	ReuseOrders    *bool         `yaml:"reuse_orders"`
	Authorizations authorization `yaml:"authorizations"`
	Challenges     *[]string     `yaml:"challenges"`
	Possession     *possession   `yaml:"possession"`
	Retries        *int          `yaml:"retries"`
	External       *bool         `yaml:"external_account_required"`
}

// authorization is for how long authorizations last.
type authorization struct {
	Pending *span `yaml:"pending"`
	Valid   *span `yaml:"valid"`
	Reuse   *span `yaml:"reuse"`
}

// possession is what proof-of-possession-01 is good for: rules.Possession.
type possession struct {
	Within span `yaml:"within"` // alone, if the certificate's own proof is not older
	Also   bool `yaml:"also"`   // beside another proof
}

// subject is sign.Subject as it stands in the file.
type subject struct {
	Country      string `yaml:"country"`
	Province     string `yaml:"province"`
	Locality     string `yaml:"locality"`
	Organization string `yaml:"organization"`
	Unit         string `yaml:"unit"`
}

// span is a time such as "90d", "160h" or "15m".
type span time.Duration

func (s *span) UnmarshalYAML(node *yaml.Node) error {
	length, err := profile.ParseSpan(node.Value)
	if err != nil || node.Kind != yaml.ScalarNode {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is not a time such as 90d, 160h, 15m or 1d12h", node.Line, node.Value)}}
	}
	*s = span(length)
	return nil
}

func (s *profilesSection) apply(c *ca.Config) error {
	list, err := s.list()
	if err != nil {
		return err
	}
	if err := list.Check(time.Now()); err != nil {
		return err
	}
	for _, d := range list {
		for _, warning := range d.Warnings(time.Now()) {
			c.Log.Warn("a profile may not be what is meant", "profile", d.Name, "why", warning)
		}
	}
	c.Profiles = list
	return nil
}

// list makes the profiles: the default first, then the standard ones, then the others by name.
func (s *profilesSection) list() (list profile.List, err error) {
	standard := map[string]profile.Definition{}
	var names []string
	for _, d := range profile.Standard() {
		standard[d.Name] = d
		names = append(names, d.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(*s)) {
		if _, ok := standard[name]; !ok {
			names = append(names, name)
		}
	}
	first := ""
	for _, name := range names {
		fields := (*s)[name]
		if fields == nil {
			fields = new(profileFields)
		}
		d, err := fields.definition(name, standard)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if fields.Default && first != "" {
			return nil, fmt.Errorf("%s: default: %s is the default already: choose one", name, first)
		}
		switch offered := fields.Offered == nil || *fields.Offered; {
		case fields.Default && !offered:
			return nil, fmt.Errorf("%s: default: it is not offered", name)
		case fields.Default:
			first, list = name, append(profile.List{d}, list...)
		case offered:
			list = append(list, d)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no profile is left: offer at least one")
	}
	return list, nil
}

// definition is the profile that f says, of a name.
func (f *profileFields) definition(name string, standard map[string]profile.Definition) (d profile.Definition, err error) {
	like := f.Like
	if _, ok := standard[name]; like == "" && ok {
		like = name
	} else if like == "" {
		like = profile.Classic().Name
	}
	d, ok := standard[like]
	if !ok {
		return d, fmt.Errorf("like: there is no standard profile %q: use one of %s", like, strings.Join(slices.Sorted(maps.Keys(standard)), ", "))
	}
	changed := f.changes() || d.Name != name
	d.Name = name
	f.setTimes(&d)
	f.setFlags(&d)
	if err := f.setLists(&d); err != nil {
		return d, err
	}
	if f.Subject != nil {
		d.Subject = sign.Subject(*f.Subject)
	}
	switch {
	case f.Description != nil:
		d.Description = *f.Description
	case changed:
		d.Description = d.Describe()
	}
	return d, nil
}

// changes reports whether f says anything about what the certificate is.
func (f *profileFields) changes() bool {
	return f.Validity != nil || f.Usages != nil || f.Names != nil
}

// set puts what the file says, if it says it, in the place of what there is.
func set[T any](into *T, said *T) {
	if said != nil {
		*into = *said
	}
}

func (f *profileFields) setTimes(d *profile.Definition) {
	for _, t := range []struct {
		into *time.Duration
		said *span
	}{
		{&d.Validity, f.Validity}, {&d.Backdate, f.Backdate}, {&d.OrderLifetime, f.Order},
		{&d.PendingLifetime, f.Authorizations.Pending}, {&d.AuthzLifetime, f.Authorizations.Valid}, {&d.Reuse, f.Authorizations.Reuse},
	} {
		set(t.into, (*time.Duration)(t.said))
	}
	// What was not said follows from what was, where the inherited value would be absurd.
	if f.Backdate == nil {
		d.Backdate = min(d.Backdate, (d.Validity / 20).Truncate(time.Second))
	}
	switch {
	case f.Authorizations.Reuse == nil:
		d.Reuse = min(d.Reuse, d.AuthzLifetime)
	case f.Authorizations.Valid == nil:
		d.AuthzLifetime = max(d.AuthzLifetime, d.Reuse)
	}
}

func (f *profileFields) setFlags(d *profile.Definition) {
	set(&d.Baseline, f.Baseline)
	set(&d.MaxNames, f.MaxNames)
	set(&d.Retries, f.Retries)
	set(&d.CommonName, f.CommonName)
	set(&d.KeyID, f.KeyID)
	set(&d.KeyEncipherment, f.KeyEncipherment)
	set(&d.NoRevAvail, f.NoRevAvail)
	set(&d.MustStaple, f.MustStaple)
	set(&d.ReuseOrders, f.ReuseOrders)
	set(&d.External, f.External)
	if f.Possession != nil {
		d.Possession = rules.Possession{Within: time.Duration(f.Possession.Within), Also: f.Possession.Also}
	}
	if f.CRL != nil {
		d.NoCRL = !*f.CRL
	}
}

func (f *profileFields) setLists(d *profile.Definition) (err error) {
	if f.Names != nil {
		if d.Names, err = acme.ParseSubtrees(*f.Names); err != nil {
			return fmt.Errorf("names: %w", err)
		}
	}
	if err := setList("identifiers", &d.Identifiers, f.Identifiers, func(text string) (acme.IdentifierType, error) {
		return acme.IdentifierType(strings.ToLower(text)), nil // checked with the rest
	}); err != nil {
		return err
	}
	if err := setList("keys", &d.Keys, f.Keys, acme.ParseKeyType); err != nil {
		return err
	}
	if err := setList("usages", &d.Usages, f.Usages, sign.ParseUsage); err != nil {
		return err
	}
	return setList("challenges", &d.Challenges, f.Challenges, func(text string) (acme.ChallengeType, error) {
		if kind := acme.ChallengeType(text); slices.Contains(challengeTypes(), kind) {
			return kind, nil // whether it is offered, the authority knows
		}
		return "", fmt.Errorf("%q is not a way to prove control: use %s", text, joined(challengeTypes()))
	})
}

// setList reads a list, if there is one.
func setList[T any](field string, into *[]T, said *[]string, parse func(string) (T, error)) error {
	if said == nil {
		return nil
	}
	*into = make([]T, 0, len(*said))
	for _, text := range *said {
		value, err := parse(text)
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		*into = append(*into, value)
	}
	return nil
}

// challengeTypes are those that can count for a profile. What possession counts for is said in another field.
func challengeTypes() []acme.ChallengeType {
	return append(rules.StandardChallenges(), acme.DNSPersist01, acme.OnionCSR01)
}

// joined lists types for people.
func joined(kinds []acme.ChallengeType) string {
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = string(kind)
	}
	return strings.Join(names, ", ")
}
