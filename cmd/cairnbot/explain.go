package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// explanationJSON is the result of explain, and a row of status.
type explanationJSON struct {
	Name        string    `json:"name"`
	Identifiers []string  `json:"identifiers"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Due         bool      `json:"due"`
	DueAt       time.Time `json:"due_at,omitzero"` // absent: never
	Why         string    `json:"why"`
	// NextAttempt is when a run of renew will try, at the earliest; absent where that waits for a change.
	NextAttempt time.Time      `json:"next_attempt,omitzero"`
	Held        string         `json:"held,omitempty"` // why that is later than due
	Suggestion  *renew.Advice  `json:"suggestion,omitempty"`
	Trouble     *renew.Trouble `json:"trouble,omitempty"`
	// Undeployed is what of the certificate's deployment has failed; absent where nothing has.
	Undeployed *renew.Delivery `json:"undeployed,omitempty"`
	Server     string          `json:"server"`               // the CA that it is from
	Preferred  string          `json:"preferred,omitempty"`  // the one that it should be from, where it is from another
	Fallbacks  []string        `json:"fallbacks,omitempty"`  // that may be asked
	ServerHeld time.Time       `json:"server_held,omitzero"` // until when the CA is left alone
	Request    *requestJSON    `json:"request,omitempty"`
	ConfigPath string          `json:"config_path"`
}

// requestJSON is what a renewal would ask for.
type requestJSON struct {
	Authenticator string `json:"authenticator"`
	KeyType       string `json:"key_type"`
	Curve         string `json:"elliptic_curve,omitempty"`
	Bits          int    `json:"rsa_key_size,omitempty"`
	ReuseKey      bool   `json:"reuse_key"`
	Profile       string `json:"profile,omitempty"`
	Replaces      string `json:"replaces,omitempty"` // RFC 9773 §5
}

// explained puts together what is known of a lineage. Nobody is asked, and nothing is changed.
func (a *app) explained(ctx context.Context, l *lineage.Lineage) (*explanationJSON, error) {
	v, leaf, err := a.look(ctx, l, false)
	if err != nil {
		return nil, err
	}
	s, err := a.settle(l.Conf)
	if err != nil {
		return nil, err
	}
	first, _, current := a.first(&s, l)
	e := &explanationJSON{
		Name: l.Name, Identifiers: values(acme.CertificateIdentifiers(leaf)), NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(),
		Due: v.Due(now()), Why: v.Why, Held: v.Holds, Suggestion: v.State.Advice, Trouble: v.State.Trouble,
		Server: current, Fallbacks: s.fallbacks, ConfigPath: l.ConfPath(), NextAttempt: v.Attempt().UTC(),
		Request: &requestJSON{Authenticator: s.params.Authenticator, KeyType: s.key.Type, Curve: s.key.Curve, Bits: s.key.Bits,
			ReuseKey: s.params.ReuseKey, Profile: s.params.RequiredProfile, Replaces: s.replaced(l)},
	}
	if s.params.RequiredProfile == "" {
		e.Request.Profile = s.params.PreferredProfile
	}
	if at := (&renew.Verdict{At: v.At}).Attempt(); !at.IsZero() {
		e.DueAt = at.UTC()
	}
	if d := a.deployments.kept.Load(l.Name); d != nil && d.Of(leaf) {
		e.Undeployed = d
	}
	if first != current {
		e.Preferred = first
	}
	if until := a.shared.memory.Server(first).Trouble.Cooling(); until.After(now()) {
		e.ServerHeld = until.UTC()
	}
	return e, nil
}

// explainVerb says why a certificate is due or not, and what will happen next.
func (a *app) explainVerb(ctx context.Context) error {
	name := a.certName
	if len(a.words) > 0 {
		name = a.words[0]
	}
	if name == "" || len(a.words) > 1 {
		return usagef("name one certificate: %s explain NAME", a.name)
	}
	l, err := a.store.Load(name)
	if errors.Is(err, fs.ErrNotExist) {
		return a.noSuch(name)
	}
	if err != nil {
		return err
	}
	e, err := a.explained(ctx, l)
	if err != nil {
		return err
	}
	a.result = e
	a.say("%s", strings.Join(e.lines(now()), "\n"))
	return nil
}

// lines say it to a person.
func (e *explanationJSON) lines(now time.Time) []string {
	var lines []string
	add := func(label, format string, args ...any) {
		lines = append(lines, fmt.Sprintf("%-14s %s", label+":", fmt.Sprintf(format, args...)))
	}
	add("Certificate", "%s (%s)", e.Name, strings.Join(e.Identifiers, ", "))
	add("Expires", "%s", at(e.NotAfter, now))
	switch {
	case e.Due:
		add("Due", "yes, since %s: %s", at(e.DueAt, now), e.Why)
	case e.DueAt.IsZero():
		add("Due", "never: %s", e.Why)
	default:
		add("Due", "no, but %s: %s", at(e.DueAt, now), e.whyThen())
	}
	switch {
	case e.Held != "" && e.NextAttempt.IsZero():
		add("Next attempt", "once something else is asked for: %s", e.Held)
	case e.Held != "":
		add("Next attempt", "%s, because %s", at(e.NextAttempt, now), e.Held)
	case e.Due:
		add("Next attempt", "with the next run of renew")
	case !e.NextAttempt.IsZero():
		add("Next attempt", "with the first run of renew after that")
	}
	if t := e.Trouble; t != nil {
		add("Last failure", "%s (%s, %d in a row): %s", at(t.Last, now), t.Class, t.Count, oneLine(t.Error))
		if t.Server != "" && t.Server != e.Server {
			add("Failed at", "%s", t.Server)
		}
	}
	if d := e.Undeployed; d != nil {
		next := "it is not tried again"
		if !d.Next.IsZero() {
			next = "tried again " + at(d.Next, now)
		}
		add("Not deployed", "%s (%d attempts, %s)", strings.Join(append(slices.Clone(d.Failed), d.Unseen...), "; "), d.Attempts, next)
	}
	return append(lines, e.whom(now)...)
}

// whyThen puts a rule that will apply.
func (e *explanationJSON) whyThen() string {
	if e.Suggestion.Given() && e.Suggestion.Moment.Equal(e.DueAt) {
		return "the CA suggests it"
	}
	return "then " + strings.NewReplacer("is over", "will be over", "are over", "will be over").Replace(e.Why)
}

// whom says whom a renewal asks, and for what.
func (e *explanationJSON) whom(now time.Time) []string {
	var lines []string
	add := func(label, format string, args ...any) {
		lines = append(lines, fmt.Sprintf("%-14s %s", label+":", fmt.Sprintf(format, args...)))
	}
	add("CA", "%s", e.Server)
	if e.Preferred != "" {
		add("", "it should be from %s, which is asked first", e.Preferred)
	}
	if !e.ServerHeld.IsZero() {
		add("", "left alone until %s: it was out of reach", at(e.ServerHeld, now))
	}
	if len(e.Fallbacks) > 0 {
		add("Fallbacks", "%s", strings.Join(e.Fallbacks, ", "))
	}
	if s := e.Suggestion; s != nil {
		switch {
		case s.Given():
			add("CA suggests", "from %s to %s; %s was drawn", s.Start.Local().Format(time.DateTime), s.End.Local().Format(time.DateTime), s.Moment.Local().Format(time.DateTime))
		case s.Error != "":
			add("CA suggests", "nothing: %s", oneLine(s.Error))
		}
		if s.Explanation != "" {
			add("", "it says why at %s", s.Explanation)
		}
		add("Asked again", "%s", at(s.Next, now))
	}
	r := e.Request
	key := fmt.Sprintf("a new %s key (%s)", r.KeyType, r.Curve)
	if r.KeyType == "rsa" {
		key = fmt.Sprintf("a new rsa key (%d bits)", r.Bits)
	}
	if r.ReuseKey {
		key = "the key that it has"
	}
	if r.Profile != "" {
		key += ", profile " + r.Profile
	}
	add("Would ask for", "the same names, with %s, by %s", key, r.Authenticator)
	add("Configured in", "%s", e.ConfigPath)
	return lines
}

// at names a time, and how far away it is.
func at(t, now time.Time) string {
	text := t.Local().Format("2006-01-02 15:04")
	if distance := t.Sub(now); distance >= 0 {
		return fmt.Sprintf("%s (in %s)", text, span(distance))
	}
	return fmt.Sprintf("%s (%s ago)", text, span(now.Sub(t)))
}

// span is a length of time in its largest unit.
func span(d time.Duration) string {
	count := func(n int, unit string) string {
		if n == 1 {
			return "1 " + unit
		}
		return fmt.Sprintf("%d %ss", n, unit)
	}
	switch {
	case d >= 48*time.Hour:
		return count(int(d/(24*time.Hour)), "day")
	case d >= 2*time.Hour:
		return count(int(d/time.Hour), "hour")
	case d >= time.Minute:
		return count(int(d/time.Minute), "minute")
	default:
		return count(int(d/time.Second), "second")
	}
}
