package rules

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Override is what an operator decided for one subject of a limit.
type Override struct {
	Limit     LimitName
	Subject   string // Bucket.Owner
	Rule      Limit
	Unlimited bool
	Note      string
	Created   time.Time
	Expires   time.Time // zero for never
}

// In reports whether o is in force.
func (o Override) In(now time.Time) bool { return o.Expires.IsZero() || now.Before(o.Expires) }

// Charge is a bucket as it was loaded, which a request wants to take one event from.
type Charge struct {
	Bucket
	Rule  Limit     // the configured one, or what an operator decided for the subject; none if there is no limit
	Full  time.Time // when the bucket is as good as new, as stored; zero if it is not in the store
	Check bool      // something must be left, but nothing is taken
}

// Quota is what is left of a bucket.
type Quota struct {
	Bucket
	Rule  Limit
	Left  int
	Good  time.Time     // when all of it is there again
	Reset time.Duration // how long until then
	Wait  time.Duration // how long until one more event is possible; 0 if one is
}

// Spent is what has become of the charges of one request.
type Spent struct {
	Charges []Charge // those to be stored, with Full as it is now; none if the request is refused
	Before  []Charge // the same as they were loaded
	Quotas  []Quota  // of all that has a limit, as they are now
	Problem *acme.Problem
}

// Spend decides on one request that several limits apply to: all of them permit it, and
// each is taken from, or none is. The problem says when all permit the same request (RFC 8555 §6.6).
func Spend(charges []Charge, now time.Time) Spent {
	var spent Spent
	var refused []Quota
	for _, c := range charges {
		if !c.Rule.On() {
			continue
		}
		full, wait := c.Rule.Spend(c.Full, now)
		if wait > 0 {
			refused = append(refused, c.quota(c.Full, now))
			continue
		}
		if !c.Check {
			after := c
			after.Full = full
			spent.Before, spent.Charges = append(spent.Before, c), append(spent.Charges, after)
		}
	}
	if len(refused) > 0 {
		spent.Before, spent.Charges = nil, nil
		spent.Problem = limited(refused, now)
	}
	for _, c := range charges {
		if !c.Rule.On() {
			continue
		}
		full := c.Full
		for _, after := range spent.Charges {
			if after.Bucket == c.Bucket {
				full = after.Full
			}
		}
		spent.Quotas = append(spent.Quotas, c.quota(full, now))
	}
	return spent
}

// Look is what is left of charges, of which nothing is taken.
func Look(charges []Charge, now time.Time) []Quota {
	var quotas []Quota
	for _, c := range charges {
		if c.Rule.On() {
			quotas = append(quotas, c.quota(c.Full, now))
		}
	}
	return quotas
}

func (c Charge) quota(full, now time.Time) Quota {
	left, good := c.Rule.Left(full, now)
	_, wait := c.Rule.Spend(full, now)
	return Quota{Bucket: c.Bucket, Rule: c.Rule, Left: left, Good: good, Reset: good.Sub(now), Wait: wait}
}

// whats says what a limit counts.
var whats = map[LimitName]string{
	AccountsPerIP:         "new accounts from",
	AccountsPerRange:      "new accounts from",
	OrdersPerAccount:      "new orders and authorizations of account",
	CertificatesPerDomain: "certificates under",
	CertificatesPerSet:    "certificates for exactly",
	FailedAuthorizations:  "failed authorizations of",
	ConsecutiveFailures:   "failed authorizations in a row of",
	Floods:                "requests from",
}

// Counts says in words what a limit counts.
func (n LimitName) Counts() string { return whats[n] }

// limited is the problem of a request that some limits refuse (RFC 8555 §6.6). The wait is that after which all permit it.
func limited(refused []Quota, now time.Time) *acme.Problem {
	worst := refused[0]
	for _, q := range refused[1:] {
		if q.Wait > worst.Wait {
			worst = q
		}
	}
	// In whole seconds, since that is how it is sent, and never too short.
	wait := time.Duration(math.Ceil(worst.Wait.Seconds())) * time.Second
	detail := fmt.Sprintf("limit %s: %s %.300s: at most %s; try again after %s", worst.Limit, worst.Limit.Counts(), worst.Said(),
		worst.Rule.Words(), now.Add(wait).UTC().Truncate(time.Second).Add(roundUp(now)).Format(time.RFC3339))
	if more := len(refused) - 1; more > 0 {
		detail += fmt.Sprintf(" (%d more limits are reached, and permit it by then)", more)
	}
	problem := acme.Problemf(acme.TypeRateLimited, "%s", detail)
	problem.RetryAfter = wait
	return problem
}

// roundUp is a second for a time with a part of one.
func roundUp(t time.Time) time.Duration {
	if t.Nanosecond() > 0 {
		return time.Second
	}
	return 0
}

// Words is l for people: "50 in 7d".
func (l Limit) Words() string {
	words := strconv.Itoa(l.Count) + " in " + FormatPeriod(l.Period)
	if l.Burst > 0 && l.Burst != l.Count {
		words += fmt.Sprintf(", and %d at once", l.Burst)
	}
	return words
}
