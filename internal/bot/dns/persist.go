package dns

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// Persist says what is done about dns-persist-01, whose record is made once and stays
// (draft-ietf-acme-dns-persist).
type Persist struct {
	// Create has the provider add a record that is missing. Without it, people do: whoever can
	// write it decides, once, who may have certificates for the name.
	Create bool
	// For is how long a record that we create or ask for is good: it has a persistUntil then. 0 is for ever.
	For time.Duration
	// Now is the present; nil means time.Now.
	Now func() time.Time
	// Missing is told of the record that is not there, before it is waited for. nil: the wait is left out.
	Missing func(name, value string)
	// Found is told of each record that is used. nil tells nobody.
	Found func(PersistFound)
}

// PersistFound is a record that the CA can go by.
type PersistFound struct {
	Domain string    // that was asked for
	Name   string    // where the record is, without the final dot
	Until  time.Time // when it ends; zero for never
}

// MissingRecord says which record somebody has to create.
type MissingRecord struct{ Name, Value string }

func (e *MissingRecord) Error() string {
	return fmt.Sprintf("there is no TXT record %s that lets this account have certificates", e.Name)
}

// maxAncestors is how many domains above the one asked for are looked at for a record with policy=wildcard.
const maxAncestors = 4

// persist finds the record for c, or has it made.
func (s *Solver) persist(ctx context.Context, c renew.Challenge) error {
	now := time.Now
	if s.config.Persist.Now != nil {
		now = s.config.Persist.Now
	}
	if len(c.IssuerDomains) == 0 {
		return errors.New("the CA does not say under which name a dns-persist-01 record has to be: it is of no use")
	}
	if len(c.IssuerDomains) > acme.MaxIssuerDomains {
		return fmt.Errorf("the CA offers %d names for a dns-persist-01 record, more than the %d there may be", len(c.IssuerDomains), acme.MaxIssuerDomains)
	}
	if s.config.NoCheck && !s.config.Persist.Create {
		s.config.Log.Info("the record of dns-persist-01 is not looked for; the CA will", "domain", c.Identifier.Value)
		return nil
	}
	judge := judge{challenge: c, now: now()}
	found, err := s.persisted(ctx, judge)
	if err != nil || found != nil {
		return err
	}
	record := acme.PersistRecord{Issuer: acme.IssuerOf(c.IssuerDomains[0]), AccountURI: judge.account(c.Identifier.Value), Wildcard: c.Wildcard}
	if s.config.Persist.For > 0 {
		record.Until = now().Add(s.config.Persist.For).Truncate(time.Second)
	}
	if check, err := acme.ParsePersistRecord(record.String()); err != nil || check.AccountURI != record.AccountURI {
		return fmt.Errorf("a dns-persist-01 record cannot be made from what the CA says: its name is %.64q, the account %.256q", record.Issuer, record.AccountURI)
	}
	return s.make(ctx, judge, record)
}

// persisted looks for a record that is there: at the domain, and then above it.
func (s *Solver) persisted(ctx context.Context, j judge) (*PersistFound, error) {
	domain := j.challenge.Identifier.Value
	for range maxAncestors + 1 {
		place, err := s.config.Resolver.Find(ctx, acme.DNSPersist01Name(domain))
		if err != nil {
			return nil, err
		}
		if record, ok := s.config.Resolver.agreed(ctx, place, func(text string) bool { return j.good(text, domain) }); ok {
			return s.use(j, domain, record), nil
		}
		if domain = parent(domain); !strings.Contains(domain, ".") {
			break
		}
	}
	return nil, nil
}

// use tells of a record that is good.
func (s *Solver) use(j judge, domain, text string) *PersistFound {
	record, _ := acme.ParsePersistRecord(text) // it was parsed before
	found := PersistFound{Domain: j.challenge.Identifier.Value, Name: acme.DNSPersist01Name(domain), Until: record.Until}
	if s.config.Persist.Found != nil {
		s.config.Persist.Found(found)
	}
	return &found
}

// make has a record added, by the provider or by people, and waits until it is seen.
func (s *Solver) make(ctx context.Context, j judge, want acme.PersistRecord) error {
	domain := j.challenge.Identifier.Value
	missing := &MissingRecord{Name: acme.DNSPersist01Name(domain), Value: want.String()}
	place, err := s.config.Resolver.Find(ctx, missing.Name)
	if err != nil {
		return err
	}
	limit := maxLimit
	switch {
	case s.config.Persist.Create:
		route, err := s.config.Route(strings.TrimSuffix(place.Name, "."), domain)
		if err != nil {
			return err
		}
		if !route.Entry.AnyValue {
			return fmt.Errorf("%s cannot store this record, only those of dns-01: %w", route.Entry.Title, missing)
		}
		record := Record{Name: place.Name, Value: missing.Value, Zone: place.Zone, Servers: place.names(), TTL: route.ttl(), Domain: domain}
		if err := s.add(ctx, route, record); err != nil {
			return err
		}
		limit = s.limit(route)
	case s.config.Persist.Missing == nil:
		return missing
	default:
		s.config.Persist.Missing(missing.Name, missing.Value)
	}
	if s.config.Waiting != nil {
		s.config.Waiting(limit)
	}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	shown := func(values []string) bool {
		return slices.ContainsFunc(values, func(text string) bool { return j.good(text, domain) })
	}
	lacks := s.config.Resolver.await(waiting, []expectation{{place: place, shown: shown}})
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, lack := range lacks {
		s.config.Log.Warn("a server of the zone does not show the record", "name", missing.Name, "server", lack.Server.String(), "why", lack.Why)
	}
	if len(lacks) > 0 && waiting.Err() != nil {
		return missing
	}
	s.use(j, domain, missing.Value)
	return nil
}

// agreed is the first value at place that is good, if all servers of the zone that answer show one that is.
func (r *Resolver) agreed(ctx context.Context, place Place, good func(string) bool) (string, bool) {
	var value string
	answers := 0
	for _, server := range place.Servers {
		reply, err := r.ask(ctx, question{name: place.Name, kind: dns.TypeTXT, server: server.Addr})
		if err != nil {
			continue
		}
		answers++
		values := texts(reply, place.Name)
		i := slices.IndexFunc(values, good)
		if i < 0 {
			return "", false
		}
		value = values[i]
	}
	if answers == 0 {
		if reply, err := r.lookUp(ctx, place.Name, dns.TypeTXT); err == nil {
			values := texts(reply, place.Name)
			if i := slices.IndexFunc(values, good); i >= 0 {
				return values[i], true
			}
		}
		return "", false
	}
	return value, value != ""
}

// judge knows which records are good for one challenge. It is a function of values and the time.
type judge struct {
	challenge renew.Challenge
	now       time.Time
}

// account is how a record under domain names the account: by its URL or, from draft -02 on, by a hash.
func (j judge) account(domain string) string {
	c := j.challenge
	if c.AccountHashPrefix == "" {
		return c.Account
	}
	return acme.HashedAccountURI(c.AccountHashPrefix, domain, c.Thumbprint, c.Account)
}

// good reports whether a record that stands under domain is good for the challenge.
func (j judge) good(text, domain string) bool {
	record, err := acme.ParsePersistRecord(text)
	if err != nil || !slices.ContainsFunc(j.challenge.IssuerDomains, func(name string) bool { return acme.IssuerOf(name) == record.Issuer }) {
		return false
	}
	if record.AccountURI != j.account(domain) && (j.challenge.AccountHashPrefix == "" || record.AccountURI != j.account("*")) {
		return false
	}
	below := domain != j.challenge.Identifier.Value
	return (record.Until.IsZero() || j.now.Before(record.Until)) && (record.Wildcard || !j.challenge.Wildcard && !below)
}
