package rules

import (
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Validity is the first and the last second that a client wants in its certificate (RFC 8555 §7.4). A
// zero time leaves it to the profile.
type Validity struct{ NotBefore, NotAfter time.Time }

// asked reports whether the client said anything.
func (v Validity) asked() bool { return !v.NotBefore.IsZero() || !v.NotAfter.IsZero() }

func (v Validity) equal(w Validity) bool {
	return v.NotBefore.Equal(w.NotBefore) && v.NotAfter.Equal(w.NotAfter)
}

// readValidity reads what a newOrder request says of the validity.
func readValidity(req acme.NewOrder) (v Validity, problem *acme.Problem) {
	for _, field := range []struct {
		name, text string
		into       *time.Time
	}{{"notBefore", req.NotBefore, &v.NotBefore}, {"notAfter", req.NotAfter, &v.NotAfter}} {
		if field.text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, field.text)
		if err != nil || t.Year() < 2000 {
			return v, acme.Problemf(acme.TypeMalformed, "%q is %.64q, which is not a time such as 2030-01-31T12:00:00Z (RFC 3339)", field.name, field.text)
		}
		if t.Nanosecond() != 0 { // RFC 5280 §4.1.2.5.2
			return v, acme.Problemf(acme.TypeMalformed, "%q is %.64q: certificates know whole seconds alone", field.name, field.text)
		}
		*field.into = t.UTC()
	}
	return v, nil
}

// Grace is how long after the notBefore that an order asks for the certificate can still be signed, if
// the profile does not date its certificates back further: a client has that long for the rest of its order.
const Grace = time.Hour

// bound decides whether a certificate of the profile can have the validity v if it is ordered at now,
// and returns when that ends: the order is of no use any longer.
func (p Policy) bound(v Validity, profile Profile, now time.Time) (until time.Time, problem *acme.Problem) {
	if !v.asked() {
		return time.Time{}, nil
	}
	now = now.UTC().Truncate(time.Second)
	longest := profile.Validity
	if profile.ValidityLimit != nil {
		longest = min(longest, profile.ValidityLimit(now))
	}
	grace := max(profile.Backdate, Grace)
	first := now.Add(-profile.Backdate)
	if !v.NotBefore.IsZero() {
		first = v.NotBefore
		// Half of the grace at least is left for the client.
		if problem := within("notBefore", first, now.Add(-grace/2), earlier(now.Add(longest), p.IssuerEnd), profile); problem != nil {
			return until, problem
		}
		until = first.Add(grace)
	}
	if !v.NotAfter.IsZero() {
		least := now
		if first.After(now) {
			least = first
		}
		most := earlier(first.Add(longest-time.Second), p.IssuerEnd)
		if problem := within("notAfter", v.NotAfter, least.Add(time.Second), most, profile); problem != nil {
			return until, problem
		}
		until = earlier(v.NotAfter, until)
	}
	return until, nil
}

// within refuses a time that does not lie between two others, both of which will do.
func within(name string, t, least, most time.Time, profile Profile) *acme.Problem {
	if !t.Before(least) && !t.After(most) {
		return nil
	}
	return acme.Problemf(acme.TypeMalformed, "%q is %s: for profile %s it can lie between %s and %s, or be left out",
		name, t.Format(time.RFC3339), profile.Name, least.UTC().Format(time.RFC3339), most.UTC().Format(time.RFC3339))
}

// earlier is the earlier one of two times; a zero time is never.
func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}
