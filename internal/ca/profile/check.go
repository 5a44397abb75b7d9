package profile

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Bounds on what an operator can say.
const (
	maxValidity    = 20 * 365 * day // a root has no more; an issuer's end cuts it anyway
	minValidity    = time.Minute
	minLifetime    = time.Minute
	maxLifetime    = 365 * day
	maxPending     = 30 * day // a token must not be older (BR §3.2.2.4.7)
	maxNames       = 100
	maxRetries     = 10
	maxDescription = 500
	maxName        = 64
)

// Check says what of d makes no sense at now. The text begins with the field as the configuration
// file has it, and ends with what to do.
func (d Definition) Check(now time.Time) error {
	if err := checkName(d.Name); err != nil {
		return err
	}
	switch {
	case d.Description == "" || len(d.Description) > maxDescription:
		return fmt.Errorf("description: it has %d octets: write a sentence of at most %d", len(d.Description), maxDescription)
	case d.MaxNames < 1 || d.MaxNames > maxNames:
		return fmt.Errorf("max_names: %d: use a number from 1 to %d", d.MaxNames, maxNames)
	case d.Retries < 0 || d.Retries > maxRetries:
		return fmt.Errorf("retries: %d: use a number from 0 to %d", d.Retries, maxRetries)
	}
	for _, kind := range d.Identifiers {
		if kind != acme.DNS && kind != acme.IP {
			return fmt.Errorf("identifiers: %q is not a type of identifier: use dns and ip", kind)
		}
	}
	for _, list := range []struct {
		field string
		empty bool
	}{
		{"identifiers", d.Identifiers != nil && len(d.Identifiers) == 0},
		{"keys", d.Keys != nil && len(d.Keys) == 0},
		{"challenges", d.Challenges != nil && len(d.Challenges) == 0},
	} {
		if list.empty {
			return fmt.Errorf("%s: the list is empty, so nothing could be ordered: name at least one, or leave it out for all", list.field)
		}
	}
	switch within := d.Possession.Within; {
	case within < 0 || within > maxLifetime:
		return fmt.Errorf("possession: within: %s: use a time of at most %s, or leave it out", within, maxLifetime)
	case within > 0 && d.Baseline: // BR §3.2.2.4 does not have it
		return errors.New("possession: within: the Baseline Requirements know no such proof: leave it out, or ask for it beside another one")
	}
	if err := d.checkTimes(); err != nil {
		return err
	}
	if err := d.Sign().Check(); err != nil {
		return err
	}
	if d.Baseline {
		return d.checkBaseline(now)
	}
	return nil
}

// checkName refuses names that would be trouble on a command line.
func checkName(name string) error {
	if len(name) == 0 || len(name) > maxName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.Trim(name, "-") != name {
		return fmt.Errorf("the name %q is not of lower-case letters, digits and \"-\", at most %d", name, maxName)
	}
	return nil
}

func (d Definition) checkTimes() error {
	for _, bound := range []struct {
		field     string
		value     time.Duration
		low, high time.Duration
	}{
		{"validity", d.Validity, minValidity, maxValidity},
		{"order", d.OrderLifetime, minLifetime, maxLifetime},
		{"authorizations: pending", d.PendingLifetime, minLifetime, maxPending},
		{"authorizations: valid", d.AuthzLifetime, minLifetime, maxLifetime},
		{"authorizations: reuse", d.Reuse, 0, maxLifetime},
	} {
		if bound.value < bound.low || bound.value > bound.high {
			return fmt.Errorf("%s: %s is not from %s to %s: choose a time in between", bound.field, Span(bound.value), Span(bound.low), Span(bound.high))
		}
	}
	switch {
	case d.Reuse > d.AuthzLifetime:
		return fmt.Errorf("authorizations: reuse: %s is longer than an authorization is valid, %s: make `valid` longer or `reuse` shorter",
			Span(d.Reuse), Span(d.AuthzLifetime))
	case d.Backdate >= d.Validity/2:
		return fmt.Errorf("backdate: %s takes half of the validity or more, %s: make it shorter", Span(d.Backdate), Span(d.Validity))
	}
	return nil
}

// Check says what of the profiles makes no sense at now, and which profile it is in.
func (l List) Check(now time.Time) error {
	if len(l) == 0 {
		return errors.New("no profile is left: offer at least one")
	}
	seen := make(map[string]bool, len(l))
	for _, d := range l {
		if err := d.Check(now); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
		if seen[d.Name] {
			return fmt.Errorf("%s: there are two profiles of that name", d.Name)
		}
		seen[d.Name] = true
	}
	return nil
}

// ParseSpan reads a time such as "90d", "160h", "15m" or "1h30m"; a day has 24 hours.
func ParseSpan(text string) (time.Duration, error) {
	days, rest, found := strings.Cut(text, "d")
	var total time.Duration
	if found {
		count, err := parseDays(days)
		if err != nil {
			return 0, fmt.Errorf("%q is not a time such as 90d, 160h, 15m or 1d12h", text)
		}
		total = count
	} else {
		rest = text
	}
	if rest != "" {
		more, err := time.ParseDuration(rest)
		if err != nil || more < 0 || strings.HasPrefix(rest, "+") {
			return 0, fmt.Errorf("%q is not a time such as 90d, 160h, 15m or 1d12h", text)
		}
		if total += more; total < 0 { // more than there is room for
			return 0, fmt.Errorf("%q is longer than any time that makes sense", text)
		}
	} else if !found {
		return 0, errors.New("it is empty: write a time such as 90d, 160h, 15m or 1d12h")
	}
	return total, nil
}

// parseDays reads a number of days, up to a century.
func parseDays(text string) (time.Duration, error) {
	if len(text) == 0 || len(text) > 5 || strings.Trim(text, "0123456789") != "" {
		return 0, errors.New("not a number of days")
	}
	count := 0
	for _, digit := range text {
		count = count*10 + int(digit-'0')
	}
	if count > 36525 {
		return 0, errors.New("more than a century")
	}
	return time.Duration(count) * day, nil
}

// Span writes a time as ParseSpan reads it.
func Span(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var text string
	if days := d / day; days >= 1 && d%day == 0 {
		return fmt.Sprintf("%dd", days)
	}
	text = d.String()
	text = strings.TrimSuffix(text, "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	if text == "" || strings.HasSuffix(text, ".") {
		return d.String()
	}
	if last := text[len(text)-1]; last >= '0' && last <= '9' { // 10s lost its "0s"
		return d.String()
	}
	return text
}
