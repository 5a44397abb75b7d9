package profile

import (
	"fmt"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/sign"
)

// limit is what the Baseline Requirements allow from a date on.
type limit struct {
	from     time.Time
	validity time.Duration // of a certificate (BR §6.3.2)
	reuse    time.Duration // of a validation (BR §4.2.1)
}

// baseline is the timetable of BR §6.3.2 and §4.2.1 (ballot SC-081v3), the earliest first.
func baseline() []limit {
	on := func(year int, month time.Month) time.Time { return time.Date(year, month, 15, 0, 0, 0, 0, time.UTC) }
	return []limit{
		{time.Time{}, 398 * day, 398 * day},
		{on(2026, time.March), 200 * day, 200 * day},
		{on(2027, time.March), 100 * day, 100 * day},
		{on(2029, time.March), 47 * day, 10 * day},
	}
}

// baselineAt is what is allowed at a moment.
func baselineAt(now time.Time) limit {
	table := baseline()
	in := table[0]
	for _, l := range table {
		if !now.Before(l.from) {
			in = l
		}
	}
	return in
}

// shortLived is for how long a certificate may be valid whose revocation need not be published (BR §1.6.1).
const shortLived = 7 * day

// validityLimit is the limit on d's validity by date, nil for none.
func (d Definition) validityLimit() func(time.Time) time.Duration {
	if !d.Baseline {
		return nil
	}
	return func(now time.Time) time.Duration { return baselineAt(now).validity }
}

// reuseLimit is the limit on d's reuse of authorizations by date, nil for none.
func (d Definition) reuseLimit() func(time.Time) time.Duration {
	if !d.Baseline {
		return nil
	}
	return func(now time.Time) time.Duration { return baselineAt(now).reuse }
}

// checkBaseline says what the Baseline Requirements never allowed or, where that is a matter of dates, not at now.
func (d Definition) checkBaseline(now time.Time) error {
	most := baselineAt(now)
	notThese := slices.ContainsFunc(d.Usages, func(u sign.Usage) bool { return u != sign.ServerAuth && u != sign.ClientAuth })
	other := d.Subject
	other.Country = ""
	switch {
	case d.Validity > baseline()[0].validity:
		return fmt.Errorf("validity: %s is more than was ever allowed (BR §6.3.2): make it %s or less, or leave out `baseline`",
			Span(d.Validity), Span(most.validity))
	case d.AuthzLifetime > most.reuse:
		return fmt.Errorf("authorizations: valid: %s is more than the %s that are allowed since %s (BR §4.2.1): make it shorter",
			Span(d.AuthzLifetime), Span(most.reuse), most.from.Format(time.DateOnly))
	case !slices.Contains(d.Usages, sign.ServerAuth) || notThese:
		return fmt.Errorf("usages: serverAuth must be among them, and clientAuth alone may be beside it (BR §7.1.2.7.10)")
	case other != sign.Subject{}:
		return fmt.Errorf("subject: country alone can be in it where only control of names is validated (BR §7.1.2.7.2)")
	case d.NoCRL && d.Validity > shortLived:
		return fmt.Errorf("crl: only certificates of %s or less can be without (BR §1.6.1, §7.1.2.7.6): make validity shorter", Span(shortLived))
	}
	return nil
}

// Warnings are what an operator should know of d at a moment, although nothing is wrong with it.
func (d Definition) Warnings(now time.Time) (list []string) {
	if most := baselineAt(now); d.Baseline && d.Validity > most.validity {
		list = append(list, fmt.Sprintf("validity: %s is more than the %s that are allowed since %s (BR §6.3.2): certificates are valid for %s",
			Span(d.Validity), Span(most.validity), most.from.Format(time.DateOnly), Span(most.validity)))
	}
	if d.MustStaple {
		list = append(list, "must_staple: this CA has no OCSP responder, so programs that heed it will refuse the certificates")
	}
	return list
}
