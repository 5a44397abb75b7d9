// Package doctor looks at what a certificate needs before a CA is asked for it: names, addresses, CAA records, the way to the
// challenge and the CA itself. Each finding comes with what to do. It changes nothing, but for a file
// or a server that answers one challenge of its own while it looks.
package doctor

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Note    Level = "note" // what could not be looked at, or is good to know
	Warning Level = "warning"
	Error   Level = "error" // the CA will refuse, or not be reached
)

// Finding is what a look at one thing has shown.
type Finding struct {
	Check  string `json:"check"` // directory, tls, clock, account, profile, limits, dns, address, caa, challenge, outside
	Level  Level  `json:"level"`
	Name   string `json:"name,omitempty"` // the identifier, if it is about one
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// Account is as whom the CA is asked.
type Account struct {
	URL     string // "" where there is none yet
	Binding bool   // a key for an external account binding is given
	Agreed  bool   // to the terms of service
}

// Pending is a failure that is remembered.
type Pending struct {
	Lineage   string
	Class     string
	Error     string
	Count     int
	Next      time.Time // when it is tried again
	NotBefore time.Time // when the CA allows it; zero if it has not said so
}

// Subject is one certificate, or what is to become one.
type Subject struct {
	Identifiers []acme.Identifier
	Method      string // how control is proven, as options call it; "" for not known yet
	// Solver answers a challenge while the doctor looks whether the answer is seen; nil where that must not be tried.
	Solver renew.Solver
	// Types are the challenges that the method answers, the preferred first.
	Types           []acme.ChallengeType
	Profile         string
	RequiredProfile string
	Pending         *Pending
	PortHTTP        int // where the CA looks; 0 means 80
}

// Config says what is looked at, and how.
type Config struct {
	Subjects []Subject
	Server   string       // the URL of the directory
	HTTP     *http.Client // to the CA; its TLS configuration decides whether it is believed
	Account  Account
	// Down is what is remembered of the CA itself: it could not be reached, or had trouble of its own. Nil where there is nothing.
	Down *Pending
	// Resolver finds the servers of zones. Others are resolvers, ADDRESS:PORT each, whose answers are compared with those.
	Resolver *dns.Resolver
	System   []string // ADDRESS:PORT; the resolvers of this machine
	Others   []string
	Timeout  time.Duration // for one look at one thing; 0 means 10 seconds
	Now      func() time.Time
	Log      *slog.Logger
}

// parallel is how many names are looked at at once.
const parallel = 8

// Examine looks at everything. The findings about the CA come first, then those about each name, in the order of the subjects.
func Examine(ctx context.Context, c Config) []Finding {
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &doctor{config: c}
	findings := append(d.authority(ctx), d.down()...)
	for _, s := range c.Subjects {
		findings = append(findings, d.subject(ctx, s)...)
	}
	return findings
}

// Worst is the worst level among findings.
func Worst(findings []Finding) Level {
	order := []Level{OK, Note, Warning, Error}
	worst := 0
	for _, f := range findings {
		worst = max(worst, slices.Index(order, f.Level))
	}
	return order[worst]
}

// doctor looks.
type doctor struct {
	config Config
	meta   acme.Meta // of the directory, where it was read
	known  bool      // it was read
}

// subject looks at one certificate: its names side by side, and then its challenges, one after
// the other, since a solver answers one at a time.
func (d *doctor) subject(ctx context.Context, s Subject) []Finding {
	findings := d.pending(s)
	findings = append(findings, d.profiles(s)...)
	each := make([][]Finding, len(s.Identifiers))
	addresses := make([][]string, len(s.Identifiers))
	tokens := make(chan struct{}, parallel)
	var looking sync.WaitGroup
	for i, id := range s.Identifiers {
		looking.Go(func() {
			tokens <- struct{}{}
			defer func() { <-tokens }()
			var found []Finding
			found, addresses[i] = d.names(ctx, s, id)
			each[i] = append(found, d.caa(ctx, s, id)...)
		})
	}
	looking.Wait()
	for i, id := range s.Identifiers {
		findings = append(findings, each[i]...)
		findings = append(findings, d.challenge(ctx, s, id, addresses[i])...)
	}
	return findings
}

// pending says whether a failure is remembered that is not over yet.
func (d *doctor) pending(s Subject) []Finding {
	p := s.Pending
	if p == nil {
		return nil
	}
	now := d.config.Now()
	switch {
	case p.NotBefore.After(now):
		return []Finding{{Check: "limits", Level: Error, Name: p.Lineage, Text: "the CA wants to be left alone until " + stamp(p.NotBefore) + ": " + p.Error,
			Remedy: "wait until then; trying earlier makes it later"}}
	case p.Next.After(now):
		return []Finding{{Check: "limits", Level: Warning, Name: p.Lineage, Text: "the last renewal failed (" + p.Class + "), and the next one waits until " + stamp(p.Next) + ": " + p.Error,
			Remedy: "mend what it says, and renew at once with --force-renewal"}}
	}
	return []Finding{{Check: "limits", Level: Note, Name: p.Lineage, Text: "the last renewal failed (" + p.Class + "): " + p.Error}}
}

// down says whether the CA is left alone for now, because it was in trouble.
func (d *doctor) down() []Finding {
	p := d.config.Down
	if p == nil || !p.Next.After(d.config.Now()) {
		return nil
	}
	return []Finding{{Check: "limits", Level: Warning, Text: "the CA was in trouble (" + p.Class + "), and renewals leave it alone until " + stamp(p.Next) + ": " + p.Error,
		Remedy: "wait until then, or ask at once with certonly --force-renewal"}}
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 MST") }

// answers reports whether the method of s answers a type of challenge. Where the method is not known, it may.
func (s Subject) answers(kind acme.ChallengeType) bool {
	return s.Method == "" && kind == acme.HTTP01 || slices.Contains(s.Types, kind)
}

// first is the challenge that the method answers first for an identifier.
func (s Subject) first(id acme.Identifier) acme.ChallengeType {
	base, wildcard := id.Base()
	kinds := s.Types
	if s.Solver != nil {
		kinds = s.Solver.Types(base, wildcard)
	}
	if len(kinds) == 0 {
		return ""
	}
	return kinds[0]
}
