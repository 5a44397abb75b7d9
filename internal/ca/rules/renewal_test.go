package rules_test

import (
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// RFC 9773 §4.2: a third of the validity before the end, half where it is short; the past for what is revoked.
func TestSuggestedWindows(t *testing.T) {
	asked := &rules.Renewal{Start: start.Add(time.Hour), End: start.Add(2 * time.Hour), Explanation: "https://ca.test/why"}
	for name, c := range map[string]struct {
		validity       time.Duration
		revoked        bool
		asked          *rules.Renewal
		wantFrom, want time.Duration // start and end, after notBefore
	}{
		"90 days":                  {90 * day, false, nil, 60*day - 90*day/100 - time.Second, 60*day + 90*day/100 - time.Second},
		"10 days":                  {10 * day, false, nil, 10*day*2/3 - day/10 - time.Second, 10*day*2/3 + day/10 - time.Second},
		"160 hours":                {160 * time.Hour, false, nil, 80*time.Hour - 96*time.Minute - time.Second, 80*time.Hour + 96*time.Minute - time.Second},
		"a minute":                 {time.Minute, false, nil, 28 * time.Second, 30 * time.Second},
		"when an operator asks":    {90 * day, false, asked, time.Hour, 2 * time.Hour},
		"revoked":                  {90 * day, true, nil, 10*day - time.Hour, 10*day - 30*time.Minute},
		"revoked and asked for it": {90 * day, true, asked, 10*day - time.Hour, 10*day - 30*time.Minute},
	} {
		certificate := rules.Certificate{NotBefore: start, NotAfter: start.Add(c.validity - time.Second)}
		now := start.Add(10 * day)
		if c.revoked {
			certificate.Revoked = now.Add(-time.Minute)
		}
		info := rules.SuggestRenewal(certificate, c.asked, now)
		from, to := info.SuggestedWindow.Start.Sub(start), info.SuggestedWindow.End.Sub(start)
		if off := from - c.wantFrom; off > time.Second || off < -time.Second {
			t.Errorf("%s: it begins after %s, not %s", name, from, c.wantFrom)
		}
		if off := to - c.want; off > time.Second || off < -time.Second {
			t.Errorf("%s: it ends after %s, not %s", name, to, c.want)
		}
		if (info.ExplanationURL != "") != (c.asked != nil) {
			t.Errorf("%s: the explanation is %q", name, info.ExplanationURL)
		}
	}
	// MUST NOT be empty, however short the validity.
	for seconds := range 200 {
		certificate := rules.Certificate{NotBefore: start, NotAfter: start.Add(time.Duration(seconds) * time.Second)}
		window := rules.SuggestRenewal(certificate, nil, start).SuggestedWindow
		if window.End.Sub(window.Start) < 2*time.Second || window.Start.Nanosecond() != 0 || window.End.Nanosecond() != 0 {
			t.Errorf("for %d seconds, the window is %+v", seconds+1, window)
		}
	}
}
