// Package notify tells people and programs when the state of a certificate changes: it was renewed,
// its renewal fails, its expiry is near. What was told already is remembered on disk, so that each change is told
// once, and what could not be delivered is tried again by the next run.
package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Kind is what has happened.
type Kind string

// The kinds of events.
const (
	Renewed       Kind = "renewed"        // a new certificate is live
	Failed        Kind = "failed"         // a renewal failed, and the one before had not
	FailedAgain   Kind = "failed-again"   // and it has failed many more times since that was told
	Recovered     Kind = "recovered"      // what had failed works again
	DeployFailed  Kind = "deploy-failed"  // the certificate is there, but not in use
	FallbackTaken Kind = "fallback-taken" // another CA than the usual one has issued it
	ExpiryNear    Kind = "expiry-near"    // nothing has replaced it in time
	Expired       Kind = "expired"        // it is no longer good
	Test          Kind = "test"           // asked for by an operator
)

// Kinds are all kinds, as configuration files name them.
func Kinds() []Kind {
	return []Kind{Renewed, Failed, FailedAgain, Recovered, DeployFailed, FallbackTaken, ExpiryNear, Expired, Test}
}

// Event is one change of state. Its JSON form is what a webhook gets.
type Event struct {
	ID       string     `json:"id"` // random: a receiver that gets one twice can tell
	Kind     Kind       `json:"event"`
	Time     time.Time  `json:"time"`
	Host     string     `json:"host,omitempty"` // of the machine
	Lineage  string     `json:"lineage"`
	Names    []string   `json:"names,omitempty"`
	Path     string     `json:"path,omitempty"` // of the full chain
	Server   string     `json:"server,omitempty"`
	Serial   string     `json:"serial,omitempty"` // in hexadecimal
	Expires  *time.Time `json:"expires,omitempty"`
	Failures int        `json:"failures,omitempty"` // in a row
	Class    string     `json:"class,omitempty"`    // of the last failure
	Problem  string     `json:"problem,omitempty"`  // the last failure, for people
	Next     *time.Time `json:"next,omitempty"`     // when it is tried again
}

// maxProblem bounds what of a peer's words goes into a message.
const maxProblem = 2000

// Subject is the event in one line. Nothing in it was written by a peer.
func (e Event) Subject() string {
	what := map[Kind]string{
		Renewed: "was renewed", Failed: "could not be renewed", FailedAgain: "still cannot be renewed", Recovered: "works again",
		DeployFailed: "is not in use yet", FallbackTaken: "came from the second CA", ExpiryNear: "expires soon", Expired: "has EXPIRED",
		Test: "is no certificate: this is a test",
	}[e.Kind]
	if e.Kind == ExpiryNear && e.Expires != nil {
		what = "expires in " + span(e.Expires.Sub(e.Time))
	}
	subject := fmt.Sprintf("%s %s", clean(e.Lineage), what)
	if e.Host != "" {
		subject += " (" + clean(e.Host) + ")"
	}
	return subject
}

// Text is the event for people, in lines.
func (e Event) Text() string {
	var b strings.Builder
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-13s %s\n", label+":", clean(value))
		}
	}
	fmt.Fprintf(&b, "%s\n\n", e.Subject())
	line("Certificate", e.Lineage)
	line("Names", strings.Join(e.Names, " "))
	line("Files", e.Path)
	line("CA", e.Server)
	line("Serial", e.Serial)
	line("Expires", stamp(e.Expires))
	if e.Failures > 0 {
		line("Failures", fmt.Sprintf("%d in a row", e.Failures))
	}
	line("Problem", e.Problem)
	line("Next attempt", stamp(e.Next))
	if e.Failures > 0 {
		fmt.Fprintf(&b, "\nWhat is wrong, and what to do:  cairnbot explain %s\n", clean(e.Lineage))
	}
	return b.String()
}

// stamp is a time as people read it.
func stamp(at *time.Time) string {
	if at == nil || at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02 15:04:05 MST")
}

// span is a length of time in its largest unit.
func span(d time.Duration) string {
	count, unit := int(d.Hours()/24), "day"
	if d < 48*time.Hour {
		count, unit = int(d.Hours()), "hour"
	}
	if d < 2*time.Hour {
		count, unit = max(int(d.Minutes()), 0), "minute"
	}
	if count != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", count, unit)
}

// clean keeps what may come from a peer from being more than one line of text, and from being shown in another order than it is read.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxProblem {
		text = strings.ToValidUTF8(text[:maxProblem], "") + "…"
	}
	return text
}
