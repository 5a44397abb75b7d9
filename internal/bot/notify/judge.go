package notify

import (
	"slices"
	"time"
)

// State is what is known about a certificate at the end of a run.
type State struct {
	Lineage   string
	Names     []string
	Path      string // of the full chain
	Serial    string // of the certificate that is live
	NotBefore time.Time
	NotAfter  time.Time
	Server    string // that it is from
	Usual     string // that it should be from; "" where that is the same
	Failures  int    // of renewals, in a row
	Class     string // of the last failure
	Problem   string // the last failure, for people
	Deploy    string // why it is not in use, for people; "" where it is or nobody looks
	Next      time.Time
	Obtained  bool // in this run
}

// Told is what has been told about a certificate.
type Told struct {
	Serial   string        `json:"serial,omitempty"`
	Failures int           `json:"failures,omitempty"` // how many there were when a failure was told last; 0 for none
	Deploy   bool          `json:"deploy,omitempty"`   // that it is not in use
	Fallback string        `json:"fallback,omitempty"` // that this CA has issued it
	Near     time.Duration `json:"near,omitempty"`     // which threshold before the expiry
	Expired  bool          `json:"expired,omitempty"`
}

// day is what people count certificates in.
const day = 24 * time.Hour

// Thresholds are how long before its expiry a certificate with that lifetime is spoken of, falling.
// By then a renewal has failed for a while: it is due when a third of its lifetime is left, or half of one below ten days.
//
//	14, 7, 3 and 1 days, those of them that are less than a third of the lifetime
//	a quarter, an eighth and a sixteenth of a lifetime below ten days
func Thresholds(lifetime time.Duration) []time.Duration {
	if lifetime < 10*day {
		return []time.Duration{lifetime / 4, lifetime / 8, lifetime / 16}
	}
	return slices.DeleteFunc([]time.Duration{14 * day, 7 * day, 3 * day, day}, func(d time.Duration) bool { return d >= lifetime/3 })
}

// Judge says what is to be told about a certificate, given what has been, and what has been told then. known is false for
// one that nothing was told about yet. again is after how many more failures they are spoken of again.
func Judge(s State, told Told, known bool, again int, now time.Time) ([]Event, Told) {
	var kinds []Kind
	renewed := s.Serial != told.Serial && (known || s.Obtained)
	if s.Serial != told.Serial {
		told.Serial, told.Near, told.Expired = s.Serial, 0, false
	}
	switch {
	case s.Failures == 0 && told.Failures > 0:
		kinds, told.Failures = append(kinds, Recovered), 0
	case s.Failures > 0 && told.Failures == 0:
		kinds, told.Failures = append(kinds, Failed), s.Failures
	case s.Failures-told.Failures >= again:
		kinds, told.Failures = append(kinds, FailedAgain), s.Failures
	}
	if renewed && !slices.Contains(kinds, Recovered) {
		kinds = append(kinds, Renewed)
	}
	switch {
	case s.Deploy != "" && !told.Deploy:
		kinds = append(kinds, DeployFailed)
	case s.Deploy == "" && told.Deploy && !slices.Contains(kinds, Recovered):
		kinds = append(kinds, Recovered)
	}
	told.Deploy = s.Deploy != ""
	fallback := s.Server
	if s.Usual == "" || s.Usual == s.Server {
		fallback = ""
	}
	if fallback != "" && told.Fallback != fallback {
		kinds = append(kinds, FallbackTaken)
	}
	told.Fallback = fallback
	if near := told.nearer(s, now); near != "" {
		kinds = append(kinds, near)
	}
	var events []Event
	for _, kind := range kinds {
		events = append(events, s.event(kind, now))
	}
	return events, told
}

// nearer notes the threshold that has been passed, if that has not been told, and says what is to be told then.
func (t *Told) nearer(s State, now time.Time) Kind {
	left := s.NotAfter.Sub(now)
	if left <= 0 {
		if t.Expired {
			return ""
		}
		t.Expired = true
		return Expired
	}
	passed := time.Duration(0)
	for _, threshold := range Thresholds(s.NotAfter.Sub(s.NotBefore)) {
		if left <= threshold {
			passed = threshold // the last one, which is the smallest
		}
	}
	if passed == 0 || t.Near != 0 && t.Near <= passed {
		return ""
	}
	t.Near = passed
	return ExpiryNear
}

// event fills in what belongs to every kind.
func (s State) event(kind Kind, now time.Time) Event {
	e := Event{
		Kind: kind, Time: now.UTC(), Lineage: s.Lineage, Names: s.Names, Path: s.Path, Server: s.Server, Serial: s.Serial,
		Failures: s.Failures, Class: s.Class,
	}
	if !s.NotAfter.IsZero() {
		expires := s.NotAfter.UTC()
		e.Expires = &expires
	}
	if !s.Next.IsZero() && s.Failures > 0 {
		next := s.Next.UTC()
		e.Next = &next
	}
	e.Problem = clean(s.Problem)
	if kind == DeployFailed {
		e.Problem = clean(s.Deploy)
	}
	return e
}
