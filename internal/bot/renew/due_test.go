package renew_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/renew"
)

const day = 24 * time.Hour

func TestDue(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		lifetime time.Duration
		policy   renew.Policy
		after    time.Duration // of its life, at which it becomes due; -1 for never
	}{
		"90 days":            {90 * day, renew.Policy{}, 60 * day},
		"10 days":            {12 * day, renew.Policy{}, 8 * day},
		"6 days":             {6 * day, renew.Policy{}, 3 * day},
		"just below 10 days": {10*day - time.Second, renew.Policy{}, 5*day - time.Second/2},
		"before expiry":      {90 * day, renew.Policy{Before: 10 * day}, 80 * day},
		"before its start":   {90 * day, renew.Policy{Before: 100 * day}, -10 * day},
		"off":                {90 * day, renew.Policy{Off: true}, -1},
		"off and before":     {90 * day, renew.Policy{Off: true, Before: 100 * day}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			leaf := &x509.Certificate{NotBefore: start, NotAfter: start.Add(c.lifetime)}
			at, why := renew.Due(leaf, c.policy, start)
			if c.after == -1 {
				if at.Before(start.AddDate(1000, 0, 0)) {
					t.Errorf("due at %s", at)
				}
			} else if at != start.Add(c.after) {
				t.Errorf("due after %s, want %s", at.Sub(start), c.after)
			}
			if why == "" {
				t.Error("no reason")
			}
		})
	}
	leaf := &x509.Certificate{NotBefore: start, NotAfter: start.Add(90 * day)}
	if at, _ := renew.Due(leaf, renew.Policy{Force: true, Off: true}, start); at.After(start) {
		t.Error("force does not force")
	}
}

func TestParseBefore(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30 days": 30 * day, "30": 30 * day, " 1 week ": 7 * day, "1 Day": day, "12 hours": 12 * time.Hour,
		"1 week, 2 days": 9 * day, "1 week and 1 hour": 7*day + time.Hour, "100 years": 36500 * day, "60000 years": 250 * 365 * day,
	} {
		if got, err := renew.ParseBefore(text); err != nil || got != want {
			t.Errorf("%q is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "soon", "days", "1 fortnight", "1 day 2", "-1 days", "1.5 days", "99999999 days"} {
		if got, err := renew.ParseBefore(bad); err == nil {
			t.Errorf("%q is %s", bad, got)
		}
	}
}

func FuzzParseBefore(f *testing.F) {
	f.Add("30 days")
	f.Add("1 week, 2 hours")
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := renew.ParseBefore(text); err == nil && (d < 0 || d > 250*365*day) {
			t.Errorf("%q is %s", text, d)
		}
	})
}
