package renew_test

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

func TestFallbackOrder(t *testing.T) {
	failed := func(count int, class renew.Class, next time.Duration) *renew.Trouble {
		return &renew.Trouble{Count: count, Class: class, Last: noon, Next: noon.Add(next)}
	}
	for name, c := range map[string]struct {
		current string
		trouble *renew.Trouble
		left    time.Duration // of 90 days
		cooling []string
		want    []string
	}{
		"all is well":                      {"one", nil, 30 * day, nil, []string{"one"}},
		"one failure":                      {"one", failed(1, renew.ClassServer, time.Minute), 30 * day, nil, []string{"one"}},
		"many, with time left":             {"one", failed(9, renew.ClassServer, day), 30 * day, nil, []string{"one"}},
		"two, in a hurry":                  {"one", failed(2, renew.ClassServer, time.Minute), 14 * day, nil, []string{"one"}},
		"three, in a hurry":                {"one", failed(3, renew.ClassServer, time.Minute), 14 * day, nil, []string{"one", "two", "three"}},
		"the next attempt is too late":     {"one", failed(3, renew.ClassRateLimit, 12*day), 16 * day, nil, []string{"one", "two", "three"}},
		"one, on the brink":                {"one", failed(1, renew.ClassServer, time.Minute), 7 * day, nil, []string{"one", "two", "three"}},
		"expired, but nobody was asked":    {"one", nil, -day, nil, []string{"one"}},
		"what is wrong here is wrong here": {"one", failed(9, renew.ClassConfiguration, 0), day, nil, []string{"one"}},
		"a fallback in trouble":            {"one", failed(3, renew.ClassServer, 0), 7 * day, []string{"two"}, []string{"one", "three"}},
		"the first in trouble":             {"one", failed(3, renew.ClassServer, 0), 7 * day, []string{"one"}, []string{"two", "three"}},
		"the first in trouble, with time":  {"one", failed(1, renew.ClassServer, 0), 30 * day, []string{"one"}, nil},
		"sticky":                           {"three", nil, 30 * day, nil, []string{"one", "three", "two"}},
		"sticky, though no longer listed":  {"four", nil, 30 * day, nil, []string{"one", "four", "two", "three"}},
	} {
		candidates := renew.Candidates{First: "one", Fallbacks: []string{"two", "three", "one"}, Current: c.current, Cooling: make(map[string]time.Time)}
		for _, server := range c.cooling {
			candidates.Cooling[server] = noon.Add(time.Hour)
		}
		servers, why := candidates.Order(c.trouble, lifeWithLeft(c.left), noon)
		if !slices.Equal(servers, c.want) {
			t.Errorf("%s: %v (%s)", name, servers, why)
		}
		if slices.Contains(servers, "two") && why == "" {
			t.Errorf("%s: no reason", name)
		}
	}
	alone := renew.Candidates{First: "one", Current: "one"}
	if servers, _ := alone.Order(failed(9, renew.ClassServer, 0), lifeWithLeft(day), noon); !slices.Equal(servers, []string{"one"}) {
		t.Errorf("without a fallback: %v", servers)
	}
}

// TestALimitLeadsToTheFallback is the way from an error to another CA: a limit that ends too late.
func TestALimitLeadsToTheFallback(t *testing.T) {
	limit := acme.Problemf(acme.TypeRateLimited, "too many certificates")
	limit.RetryAfter = 7 * day
	trouble := renew.Failed(renew.Failed(renew.Failed(nil, io.EOF, "one", "a", noon), io.EOF, "one", "a", noon), limit, "one", "a", noon)
	life := lifeWithLeft(14*day + time.Hour)
	if servers, _ := (renew.Candidates{First: "one", Fallbacks: []string{"two"}}).Order(trouble, life, noon); !slices.Equal(servers, []string{"one", "two"}) {
		t.Errorf("%v", servers)
	}
}
