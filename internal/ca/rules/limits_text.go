package rules

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// ParseLimitName finds a limit by its name; an error lists the names that there are.
func ParseLimitName(text string) (LimitName, error) {
	if name := LimitName(text); slices.Contains(LimitNames(), name) {
		return name, nil
	}
	var known []string
	for _, name := range LimitNames() {
		known = append(known, string(name))
	}
	return "", fmt.Errorf("there is no limit %.64q: there are %s", text, strings.Join(known, ", "))
}

// ParsePreset finds a preset by its name; an error lists the names that there are.
func ParsePreset(text string) (Limits, error) {
	presets := LimitPresets()
	if limits, ok := presets[text]; ok {
		return limits, nil
	}
	var known []string
	for name := range presets {
		known = append(known, name)
	}
	slices.Sort(known)
	return nil, fmt.Errorf("there is no preset %.64q: there are %s", text, strings.Join(known, ", "))
}

var errLimitForm = errors.New(`a limit is COUNT/PERIOD such as 50/7d, or COUNT/PERIOD burst NUMBER such as 1/1d burst 100`)

// ParseLimit reads "COUNT/PERIOD" or "COUNT/PERIOD burst NUMBER". "off" is the zero Limit.
func ParseLimit(text string) (Limit, error) {
	if text == "off" {
		return Limit{}, nil
	}
	fields := strings.Fields(text)
	if len(fields) != 1 && (len(fields) != 3 || fields[1] != "burst") {
		return Limit{}, errLimitForm
	}
	count, period, ok := strings.Cut(fields[0], "/")
	if !ok {
		return Limit{}, errLimitForm
	}
	var l Limit
	var err error
	if l.Count, err = parseCount(count); err != nil {
		return Limit{}, err
	}
	if len(fields) == 3 {
		if l.Burst, err = parseCount(fields[2]); err != nil {
			return Limit{}, err
		}
	}
	if l.Period, err = ParsePeriod(period); err != nil {
		return Limit{}, err
	}
	return l, l.check()
}

// parseCount reads a number of at least 1.
func parseCount(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n < 1 || n > maxCount {
		return 0, fmt.Errorf("%.32q is not a number from 1 to %d", text, maxCount)
	}
	return int(n), nil
}

// check refuses a limit whose times cannot be reckoned with.
func (l Limit) check() error {
	if l.Period < time.Microsecond || l.Period > maxPeriod {
		return fmt.Errorf("a period is at most %s", FormatPeriod(maxPeriod))
	}
	if l.Period/time.Duration(l.Count) < leastInterval {
		return errors.New("more than 100000 a second cannot be counted: switch the limit off instead")
	}
	if float64(l.interval())*float64(l.Allowed()) > float64(maxSpan) {
		return fmt.Errorf("such a burst would take more than %s to come back", FormatPeriod(maxSpan))
	}
	return nil
}

// ParsePeriod reads a time such as 90s, 3h, 7d or 2w.
func ParsePeriod(text string) (time.Duration, error) {
	bad := fmt.Errorf("%.32q is not a time such as 90s, 3h, 7d or 2w", text)
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		number, ok := strings.CutSuffix(text, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil || n < 1 || n > uint64(math.MaxInt64/length) {
			return 0, bad
		}
		return time.Duration(n) * length, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, bad
	}
	return d, nil
}

// FormatPeriod writes a time as ParsePeriod reads it: in days where it has more than two whole ones.
func FormatPeriod(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	text := d.String()
	text = strings.TrimSuffix(text, "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	if text == "" || !strings.HasSuffix(text, "m") && !strings.HasSuffix(text, "h") {
		return d.String()
	}
	return text
}

// String is l as ParseLimit reads it.
func (l Limit) String() string {
	if !l.On() {
		return "off"
	}
	text := strconv.Itoa(l.Count) + "/" + FormatPeriod(l.Period)
	if l.Burst > 0 && l.Burst != l.Count {
		text += " burst " + strconv.Itoa(l.Burst)
	}
	return text
}

// ParseSubject reads what an operator calls a subject of a limit: an account's ID or URL, an
// address or network, a domain, names with commas between them, or ACCOUNT/NAME.
func (n LimitName) ParseSubject(text string) (Bucket, error) {
	b := Bucket{Limit: n, Subject: text}
	switch n {
	case AccountsPerIP, AccountsPerRange:
		addr, err := parseNetwork(text)
		if err != nil {
			return b, err
		}
		if b.Subject = Network(addr); n == AccountsPerRange {
			b.Subject = wideNetwork(addr)
		}
		if b.Subject == "" {
			return b, fmt.Errorf("%s is for IPv6 alone", n)
		}
	case OrdersPerAccount:
		return b, checkAccountID(text)
	case CertificatesPerDomain:
		id, problem := acme.IdentifierFor(text).Normalize()
		if problem != nil {
			return b, errors.New(problem.Detail)
		}
		b.Subject = RegisteredDomain(id)
	case CertificatesPerSet:
		ids, err := parseSet(text)
		if err != nil {
			return b, err
		}
		b.Subject, b.About = SetOf(ids), describeSet(ids)
	case FailedAuthorizations, ConsecutiveFailures:
		account, name, named := strings.Cut(text, "/")
		if err := checkAccountID(account); err != nil || !named {
			return b, err
		}
		id, problem := acme.IdentifierFor(name).Normalize()
		if problem != nil {
			return b, errors.New(problem.Detail)
		}
		base, _ := id.Base()
		b.Subject = account + "/" + base.Value
	case Floods:
		return b, errors.New("floods are counted in memory: they are configured for all alike, and end by themselves")
	}
	return b, nil
}

// parseNetwork reads an address, or a network of which any address will do.
func parseNetwork(text string) (netip.Addr, error) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Addr(), nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return addr, fmt.Errorf("%.64q is not an address", text)
	}
	return addr, nil
}

func parseSet(text string) ([]acme.Identifier, error) {
	var ids []acme.Identifier
	for name := range strings.SplitSeq(text, ",") {
		id, problem := acme.IdentifierFor(strings.TrimSpace(name)).Normalize()
		if problem != nil {
			return nil, fmt.Errorf("%.64q: %s", name, problem.Detail)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func checkAccountID(text string) error {
	if len(text) != 24 || !acme.ValidToken(text) {
		return fmt.Errorf("%.64q is not the ID of an account: that is the last part of its URL", text)
	}
	return nil
}
