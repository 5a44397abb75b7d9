package renew_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

func certID(t *testing.T, text string) acme.CertID {
	t.Helper()
	id, problem := acme.ParseCertID(text)
	if problem != nil {
		t.Fatal(problem)
	}
	return id
}

func windowOf(start, end time.Time) *acme.RenewalInfo {
	return &acme.RenewalInfo{SuggestedWindow: acme.RenewalWindow{Start: start, End: end}, ExplanationURL: "https://ca.test/why"}
}

func TestTheMomentIsDrawnOnce(t *testing.T) {
	id, life := certID(t, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"), lifeWithLeft(60*day)
	info := windowOf(noon.Add(20*day), noon.Add(22*day))
	first, err := renew.Advise(nil, id, "s", life, info, 0, noon)
	if err != nil || first.Moment.Before(info.SuggestedWindow.Start) || first.Moment.After(info.SuggestedWindow.End) {
		t.Fatalf("%+v, %v", first, err)
	}
	if !first.Next.Equal(noon.Add(6*time.Hour)) || first.Explanation == "" || first.Asks(noon) || !first.Asks(noon.Add(6*time.Hour)) {
		t.Errorf("%+v", first)
	}
	moments := make(map[time.Time]bool)
	for range 20 {
		same, err := renew.Advise(first, id, "s", life, info, 0, noon.Add(6*time.Hour))
		if err != nil || !same.Moment.Equal(first.Moment) {
			t.Fatalf("the moment moved from %s to %s, %v", first.Moment, same.Moment, err)
		}
		for _, other := range []struct {
			server string
			id     acme.CertID
			info   *acme.RenewalInfo
		}{{"other", id, info}, {"s", certID(t, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AQ"), info}, {"s", id, windowOf(noon, noon.Add(day))}} {
			fresh, err := renew.Advise(first, other.id, other.server, life, other.info, 0, noon)
			if err != nil {
				t.Fatal(err)
			}
			moments[fresh.Moment] = true
		}
	}
	if len(moments) < 30 {
		t.Errorf("only %d moments of 60 differ", len(moments))
	}
}

func TestWhenTheCAIsAskedAgain(t *testing.T) {
	id, life := certID(t, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"), lifeWithLeft(60*day)
	info := windowOf(noon.Add(20*day), noon.Add(22*day))
	for after, want := range map[time.Duration]time.Duration{
		0: 6 * time.Hour, time.Second: time.Minute, time.Hour: time.Hour, 300 * day: day,
	} {
		if a, err := renew.Advise(nil, id, "s", life, info, after, noon); err != nil || !a.Next.Equal(noon.Add(want)) {
			t.Errorf("Retry-After %s: %+v, %v", after, a, err)
		}
	}
	if a := (&renew.Advice{Next: noon.Add(100 * day)}); !a.Asks(noon) {
		t.Error("a time that a wrong clock wrote is believed")
	}
	known, err := renew.Advise(nil, id, "s", life, info, 0, noon)
	if err != nil {
		t.Fatal(err)
	}
	a := known
	for _, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 6 * time.Hour, time.Minute} {
		a = renew.Unadvised(a, id, "s", fmt.Errorf("asking: %w", io.EOF), 0, noon)
		if !a.Next.Equal(noon.Add(want)) || !a.Moment.Equal(known.Moment) || a.Error == "" {
			t.Errorf("%+v, want %s", a, want)
		}
	}
	if a = renew.Unadvised(nil, id, "s", acme.ErrUnreadable, 0, noon); !a.Next.Equal(noon.Add(6*time.Hour)) || a.Given() {
		t.Errorf("%+v", a)
	}
	if a = renew.Unadvised(known, id, "s", acme.Problemf(acme.TypeServerInternal, "no"), 2*time.Hour, noon); !a.Next.Equal(noon.Add(2 * time.Hour)) {
		t.Errorf("%+v", a)
	}
}

func TestAnUnusableWindowIsAnError(t *testing.T) {
	id, life := certID(t, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"), lifeWithLeft(10*day)
	if a, err := renew.Advise(nil, id, "s", life, windowOf(noon.Add(10*day), noon.Add(11*day)), 0, noon); !errors.Is(err, renew.ErrNoWindow) {
		t.Errorf("%+v, %v", a, err)
	}
	for range 50 {
		a, err := renew.Advise(nil, id, "s", life, windowOf(noon.Add(9*day), noon.Add(100*day)), 0, noon)
		if err != nil || a.Moment.After(life.NotAfter) {
			t.Fatalf("%+v, %v", a, err)
		}
	}
}

func TestDueWithAdvice(t *testing.T) {
	leaf := &x509.Certificate{NotBefore: noon.Add(-20 * day), NotAfter: noon.Add(70 * day)}
	advice := func(moment time.Time) *renew.Advice { return &renew.Advice{Moment: moment} }
	for name, c := range map[string]struct {
		policy renew.Policy
		now    time.Time
		due    time.Time
	}{
		"in the future":               {renew.Policy{Advice: advice(noon.Add(50 * day))}, noon, noon.Add(50 * day)},
		"in the past":                 {renew.Policy{Advice: advice(noon.Add(-day))}, noon, noon.Add(-day)},
		"in the past beats an option": {renew.Policy{Advice: advice(noon.Add(-day)), Before: day}, noon, noon.Add(-day)},
		"an option beats the future":  {renew.Policy{Advice: advice(noon.Add(50 * day)), Before: 80 * day}, noon, noon.Add(-10 * day)},
		"an error says nothing":       {renew.Policy{Advice: &renew.Advice{Error: "no"}}, noon, noon.Add(40 * day)},
		"expired":                     {renew.Policy{Advice: advice(noon.Add(500 * day))}, noon.Add(71 * day), noon.Add(70 * day)},
	} {
		if at, why := renew.Due(leaf, c.policy, c.now); !at.Equal(c.due) || why == "" {
			t.Errorf("%s: due at %s, %q", name, at, why)
		}
	}
	if at, _ := renew.Due(leaf, renew.Policy{Off: true, Advice: advice(noon)}, noon); !at.After(noon) {
		t.Error("off is not off")
	}
}
