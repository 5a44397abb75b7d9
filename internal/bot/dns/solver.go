package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// Route says how records for a name are made.
type Route struct {
	Entry       Entry
	Provider    Provider
	Propagation time.Duration // how long is waited at most; 0 means as long as Entry says, and less that nothing is waited for
}

// Config says how a Solver proves control.
type Config struct {
	// Route finds the provider for the names that records may have: the alias's target, if
	// there is one, and then the domain itself. It is required, and gives the same Route for the same provider.
	Route    func(names ...string) (*Route, error)
	Resolver *Resolver // required
	// Types are the challenges to answer, the preferred one first. None means dns-01, then dns-account-01.
	Types []acme.ChallengeType
	// NoCheck waits as long as the provider's servers take, and asks nobody.
	NoCheck bool
	Persist Persist
	Log     *slog.Logger // nil discards
	// Waiting is called once before a wait, with its limit. nil tells nobody.
	Waiting func(limit time.Duration)
}

// Solver answers challenges by records in the DNS.
type Solver struct {
	config Config
	shown  map[renewKey]*presented
}

// renewKey is what makes two challenges different proofs.
type renewKey struct {
	kind   acme.ChallengeType
	domain string
	token  string
}

func keyOf(c renew.Challenge) renewKey { return renewKey{c.Type, c.Identifier.Value, c.Token} }

// presented is a record that was added.
type presented struct {
	record Record
	place  Place
	route  *Route
}

// NewSolver checks c. It asks nobody.
func NewSolver(c Config) (*Solver, error) {
	if c.Route == nil || c.Resolver == nil {
		return nil, errors.New("a DNS solver needs a provider and a resolver")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if len(c.Types) == 0 {
		c.Types = []acme.ChallengeType{acme.DNS01, acme.DNSAccount01}
	}
	return &Solver{config: c, shown: make(map[renewKey]*presented)}, nil
}

// Types are those of the configuration that the provider of the name can answer. Addresses are not in the DNS.
func (s *Solver) Types(id acme.Identifier, _ bool) []acme.ChallengeType {
	if id.Type != acme.DNS {
		return nil
	}
	route, err := s.config.Route(id.Value)
	types := slices.Clone(s.config.Types)
	if err == nil && route.Entry.Plain && len(types) > 1 {
		types = slices.DeleteFunc(types, func(t acme.ChallengeType) bool { return t == acme.DNSAccount01 })
	}
	return types
}

// Present has the record added. What servers show is looked at when all are there.
func (s *Solver) Present(ctx context.Context, c renew.Challenge) error {
	var name string
	switch c.Type {
	case acme.DNS01:
		name = acme.DNS01Name(c.Identifier.Value)
	case acme.DNSAccount01:
		name = acme.DNSAccount01Name(c.Account, c.Identifier.Value)
	case acme.DNSPersist01:
		return s.persist(ctx, c)
	default:
		return fmt.Errorf("the DNS has no answer to %s challenges", c.Type)
	}
	place, err := s.find(ctx, name)
	if err != nil {
		return err
	}
	route, err := s.config.Route(strings.TrimSuffix(place.Name, "."), c.Identifier.Value)
	if err != nil {
		return err
	}
	record := Record{
		Name: place.Name, Value: acme.DNS01Value(c.KeyAuthorization), Zone: place.Zone, Servers: place.names(), TTL: route.ttl(),
		Domain: c.Identifier.Value, KeyAuthorization: c.KeyAuthorization,
	}
	if err := s.add(ctx, route, record); err != nil {
		return err
	}
	s.shown[keyOf(c)] = &presented{record: record, place: place, route: route}
	return nil
}

// find is Resolver.Find, whose failure is no obstacle where nothing is to be checked.
func (s *Solver) find(ctx context.Context, name string) (Place, error) {
	place, err := s.config.Resolver.Find(ctx, name)
	if err != nil && s.config.NoCheck && ctx.Err() == nil {
		s.config.Log.Warn("the zone of a name is not known; its provider may know", "name", name, "error", err)
		return Place{Name: name + "."}, nil
	}
	return place, err
}

// defaultTTL is for providers that have none of their own: nobody needs the record for longer.
const defaultTTL = time.Minute

func (r *Route) ttl() time.Duration {
	if r.Entry.TTL > 0 {
		return r.Entry.TTL
	}
	return defaultTTL
}

// undoTimeout bounds how long taking back a record that could not be added may take.
const undoTimeout = 15 * time.Second

// add adds one record, or leaves nothing behind.
func (s *Solver) add(ctx context.Context, route *Route, record Record) error {
	s.config.Log.Debug("adding a record", "name", record.Name, "zone", record.Zone, "provider", route.Entry.Name)
	err := route.Provider.Add(ctx, record)
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if undo := route.Provider.Remove(ctx, record); undo != nil {
		s.config.Log.Debug("nothing was to be taken back", "name", record.Name, "error", undo)
	}
	return fmt.Errorf("adding the record %s with %s: %w", strings.TrimSuffix(record.Name, "."), route.Entry.Title, err)
}

// CleanUp has the record removed. That of dns-persist-01 is there to stay.
func (s *Solver) CleanUp(ctx context.Context, c renew.Challenge) error {
	p, ok := s.shown[keyOf(c)]
	if !ok {
		return nil
	}
	delete(s.shown, keyOf(c))
	for _, other := range s.shown {
		if other.record.Name == p.record.Name && other.record.Value == p.record.Value {
			return nil // another proof still needs it
		}
	}
	if err := p.route.Provider.Remove(ctx, p.record); err != nil {
		return fmt.Errorf("removing the record %s with %s: %w", strings.TrimSuffix(p.record.Name, "."), p.route.Entry.Title, err)
	}
	return nil
}

// Bounds of waiting where nobody said how long: patience costs nothing, as the wait ends when
// all servers show the record. A slow provider may take longer than the first, and none longer than the second.
const (
	minLimit = 2 * time.Minute
	maxLimit = 15 * time.Minute
)

// Wait returns when all servers of the zones show the records, or after the limit: then the
// CA may look all the same, and has the last word.
func (s *Solver) Wait(ctx context.Context, challenges []renew.Challenge) error {
	var limit time.Duration
	byName := make(map[string]*expectation)
	values := make(map[string][]string)
	for _, c := range challenges {
		p, ok := s.shown[keyOf(c)]
		if !ok {
			continue
		}
		limit = max(limit, s.limit(p.route))
		byName[p.place.Name] = &expectation{place: p.place}
		values[p.place.Name] = append(values[p.place.Name], p.record.Value)
	}
	if len(byName) == 0 {
		return nil
	}
	if s.config.Waiting != nil {
		s.config.Waiting(limit)
	}
	if s.config.NoCheck || limit == 0 {
		return sleep(ctx, limit)
	}
	s.settle(ctx, limit, challenges)
	wants := make([]expectation, 0, len(byName))
	for name, want := range byName {
		all := values[name]
		want.count = len(all)
		want.shown = func(seen []string) bool {
			return !slices.ContainsFunc(all, func(value string) bool { return !slices.Contains(seen, value) })
		}
		wants = append(wants, *want)
	}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	lacks := s.config.Resolver.await(waiting, wants)
	for _, lack := range lacks {
		s.config.Log.Warn("a server of the zone does not show the record; the CA is asked all the same",
			"name", strings.TrimSuffix(lack.Name, "."), "server", lack.Server.String(), "why", lack.Why, "waited", limit)
	}
	return ctx.Err()
}

// settle waits for services that say themselves when all of their servers have the records: many have
// more servers than can be asked from one place. What they say is no more than advice.
func (s *Solver) settle(ctx context.Context, limit time.Duration, challenges []renew.Challenge) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var done []Provider
	for _, c := range challenges {
		p, ok := s.shown[keyOf(c)]
		if !ok {
			continue
		}
		settler, ok := p.route.Provider.(Settler)
		if !ok || slices.Contains(done, p.route.Provider) {
			continue
		}
		done = append(done, p.route.Provider)
		if err := settler.Settle(ctx); err != nil {
			s.config.Log.Warn("a DNS service does not say that its servers have the records; they are asked all the same", "provider", p.route.Entry.Name, "error", err)
		}
	}
}

// limit is how long is waited at most for what route adds.
func (s *Solver) limit(route *Route) time.Duration {
	switch {
	case route.Propagation != 0:
		return max(route.Propagation, 0)
	case s.config.NoCheck && route.Entry.Propagation > 0:
		return route.Entry.Propagation
	case s.config.NoCheck:
		return time.Minute
	}
	return min(max(route.Entry.Propagation, minLimit), maxLimit)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
