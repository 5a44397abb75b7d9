package bench

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		for _, test := range []struct {
			name string
			plan schedule
			n    int
			want time.Duration // after begun; -1: at once, -2: not at all
		}{
			{"nothing is asked for", schedule{}, 0, -2},
			{"a count", schedule{count: 3}, 2, -1},
			{"a count is over", schedule{count: 3}, 3, -2},
			{"for a time", schedule{duration: time.Second}, 1 << 30, -1},
			{"for a time, but no more than", schedule{duration: time.Second, count: 5}, 5, -2},
			{"the first of a rate", schedule{count: 10, rate: 4}, 0, 0},
			{"one of a rate", schedule{count: 10, rate: 4}, 9, 2250 * time.Millisecond},
			{"a rate is over", schedule{count: 10, rate: 4}, 10, -2},
			{"the last of a time", schedule{duration: time.Second, rate: 4}, 3, 750 * time.Millisecond},
			{"what would be after a time", schedule{duration: time.Second, rate: 4}, 4, -2},
		} {
			test.plan.begun = begun
			start, more := test.plan.at(test.n)
			got := start.Sub(begun)
			if !more {
				got = -2
			} else if start.IsZero() {
				got = -1
			}
			if got != test.want {
				t.Errorf("%s: at(%d) = %v, want %v", test.name, test.n, got, test.want)
			}
		}
		late := schedule{begun: begun, duration: time.Second, rate: 4}
		if late.size() != 4 {
			t.Errorf("a rate of 4 in a second plans %d", late.size())
		}
		if err := sleepUntil(context.Background(), begun.Add(time.Second)); err != nil || time.Since(begun) != time.Second {
			t.Errorf("sleepUntil: %v after %v", err, time.Since(begun))
		}
		if _, more := late.at(2); more {
			t.Error("something begins after the time is over")
		}
	})
}

// Shares are spread evenly and come to what was asked for.
func TestShares(t *testing.T) {
	for _, share := range []float64{0, 0.01, 0.3, 0.5, 1} {
		count := 0
		for n := range 1000 {
			if falls(n, share) {
				count++
			}
		}
		if want := int(math.Round(share * 1000)); count < want-1 || count > want+1 {
			t.Errorf("of 1000, a share of %v is %d", share, count)
		}
	}
}
