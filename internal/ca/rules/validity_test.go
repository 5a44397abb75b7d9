package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

const day = 24 * time.Hour

// askFor orders a certificate for a validity, in hours from start; "" leaves a side out.
func askFor(t *testing.T, p rules.Policy, notBefore, notAfter string) (rules.Order, *acme.Problem) {
	t.Helper()
	side := func(text string) string {
		if text == "" {
			return ""
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			return text
		}
		return start.Add(d).Format(time.RFC3339)
	}
	req := acme.NewOrder{Identifiers: dns("a.test"), NotBefore: side(notBefore), NotAfter: side(notAfter)}
	placed, problem := place(p, rules.Held{Account: account(t)}, req, start)
	return placed.Order, problem
}

// O01: what cannot be given as it was asked for is refused (RFC 8555 §7.4); the profile gives 90 days.
func TestO01ValidityBounds(t *testing.T) {
	p := policy(t)
	p.IssuerEnd = start.Add(150 * day)
	for name, test := range map[string]struct {
		notBefore, notAfter string
		ok                  bool
		lasts               time.Duration // the order; 0 for as long as the profile says
	}{
		"nothing":                  {"", "", true, 0},
		"now":                      {"0s", "", true, rules.Grace},
		"a moment ago":             {"-30m", "", true, rules.Grace / 2},
		"an hour ago":              {"-1h", "", false, 0},
		"in a month":               {"720h", "", true, 0},
		"in 91 days":               {"2184h", "", false, 0},
		"for a day":                {"", "24h", true, day},
		"from now for a day":       {"0s", "24h", true, rules.Grace},
		"ends now":                 {"", "0s", false, 0},
		"ends in the past":         {"", "-1h", false, 0},
		"ends in a second":         {"", "1s", true, time.Second},
		"for 91 days":              {"", "2184h", false, 0},
		"90 days from notBefore":   {"720h", "2879h59m59s", true, 0},
		"a second more":            {"720h", "2880h", false, 0},
		"beyond the issuer":        {"2000h", "3601h", false, 0},
		"as the issuer":            {"2000h", "3600h", true, 0},
		"backwards":                {"48h", "24h", false, 0},
		"no time":                  {"tomorrow", "", false, 0},
		"no time at the end":       {"", "2030-01-01", false, 0},
		"fractions of a second":    {"2026-11-23T12:00:00.5Z", "", false, 0},
		"a year that nobody meant": {"0001-01-01T00:00:00Z", "", false, 0},
	} {
		o, problem := askFor(t, p, test.notBefore, test.notAfter)
		if (problem == nil) != test.ok {
			t.Errorf("%s: %v", name, problem)
			continue
		}
		if problem != nil {
			if problem.Type != acme.TypeMalformed || !strings.Contains(problem.Detail, "not") {
				t.Errorf("%s: %v", name, problem)
			}
			continue
		}
		lasts := test.lasts
		if lasts == 0 {
			lasts = rules.Classic().OrderLifetime
		}
		if got := o.Expires.Sub(start); got != lasts {
			t.Errorf("%s: the order lasts %s, want %s", name, got, lasts)
		}
	}
	// The bounds are in the answer.
	if _, problem := askFor(t, p, "", "2184h"); !strings.Contains(problem.Detail, start.Add(90*day-time.Hour-time.Second).Format(time.RFC3339)) {
		t.Errorf("the bounds are not in: %s", problem.Detail)
	}
}

// What waits too long is invalid, and says why.
func TestO07OrderWhoseValidityIsOver(t *testing.T) {
	o, problem := askFor(t, policy(t), "0s", "")
	if problem != nil {
		t.Fatal(problem)
	}
	late := start.Add(rules.Grace)
	if status := rules.OrderStatus(o, nil, late); status != acme.StatusInvalid {
		t.Errorf("the order is %s", status)
	}
	if why := rules.OrderError(o, nil, late); why == nil || !strings.Contains(why.Detail, "notBefore") {
		t.Errorf("the error is %v", why)
	}
}
