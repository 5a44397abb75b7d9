package renew

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Policy is what an operator has said about when to renew.
type Policy struct {
	Force bool // --force-renewal, --dry-run
	Off   bool // autorenew = False: only Force renews
	// Before is how long before its expiry a certificate is renewed; 0 leaves it
	// to the certificate's lifetime.
	Before time.Duration
	// Advice is what the CA suggests for this certificate, or nil.
	Advice *Advice
}

// short is the lifetime below which the last third would leave too few chances to renew.
const short = 10 * 24 * time.Hour

// never is when a certificate that must not be renewed is due.
var never = time.Unix(1<<40, 0)

// Due says when a certificate is to be renewed, and by which rule. It is due if
// that is not after now.
//
//	Force                  at once
//	Off                    never
//	expired                since then, whatever the CA suggests
//	Advice, in the past    since the moment in it; this is also how a CA tells of certificates that it is about to revoke
//	Before                 that long before the expiry
//	Advice, in the future  at the moment in it
//	lifetime ≥ 10 days     when a third of the lifetime is left
//	lifetime < 10 days     when half of the lifetime is left
func Due(leaf *x509.Certificate, policy Policy, now time.Time) (at time.Time, why string) {
	lifetime := leaf.NotAfter.Sub(leaf.NotBefore)
	advised := policy.Advice.Given()
	switch {
	case policy.Force:
		return now, "renewal was asked for"
	case policy.Off:
		return never, "autorenew is off"
	case !now.Before(leaf.NotAfter):
		return leaf.NotAfter, "it has expired"
	case advised && !policy.Advice.Moment.After(now):
		return policy.Advice.Moment, "the CA suggests it"
	case policy.Before > 0:
		return leaf.NotAfter.Add(-policy.Before), "renew_before_expiry in its configuration"
	case advised:
		return policy.Advice.Moment, "the CA suggests it"
	case lifetime < short:
		return leaf.NotAfter.Add(-lifetime / 2), "half of its lifetime is over"
	default:
		return leaf.NotAfter.Add(-lifetime / 3), "two thirds of its lifetime are over"
	}
}

// units are the words that ParseBefore knows.
var units = map[string]time.Duration{
	"second": time.Second, "minute": time.Minute, "hour": time.Hour,
	"day": 24 * time.Hour, "week": 7 * 24 * time.Hour, "month": 30 * 24 * time.Hour, "year": 365 * 24 * time.Hour,
}

// maxBefore is beyond any certificate's lifetime, and keeps the arithmetic from overflowing.
const maxBefore = 250 * 365 * 24 * time.Hour

// ParseBefore reads renew_before_expiry as it stands in renewal configurations:
// "30 days", "1 week, 2 hours", or a number alone, which counts days.
func ParseBefore(text string) (time.Duration, error) {
	fields := strings.Fields(strings.NewReplacer(",", " ", " and ", " ").Replace(strings.ToLower(text)))
	if len(fields) == 1 {
		fields = append(fields, "days")
	}
	if len(fields) == 0 {
		return 0, errors.New("renew_before_expiry is empty")
	}
	var total time.Duration
	for i := 0; i < len(fields); i += 2 {
		count, err := strconv.ParseUint(fields[i], 10, 16)
		if err != nil || i+1 == len(fields) {
			return 0, fmt.Errorf(`renew_before_expiry = %q is not an interval such as "30 days"`, text)
		}
		unit, ok := units[strings.TrimSuffix(fields[i+1], "s")]
		if !ok {
			return 0, fmt.Errorf("renew_before_expiry = %q has the unknown unit %q", text, fields[i+1])
		}
		total = min(total+unit*min(time.Duration(count), maxBefore/unit), maxBefore)
	}
	return total, nil
}
