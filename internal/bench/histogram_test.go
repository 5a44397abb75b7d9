package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	var h histogram
	if got := h.percentile(0.5); got != 0 {
		t.Errorf("of nothing: p50 = %v, want 0", got)
	}
	for i := 1; i <= 100; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	for p, want := range map[float64]time.Duration{0: 1, 0.01: 1, 0.011: 2, 0.5: 50, 0.9: 90, 0.99: 99, 1: 100} {
		if got := h.percentile(p); got != want*time.Microsecond {
			t.Errorf("of 1 to 100 µs: percentile(%v) = %v, want %d µs", p, got, want)
		}
	}
}

// Whatever is counted, a percentile is the sorted list's, or up to 1/64 more.
func TestPercentilesOfAnything(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var h histogram
		var all []time.Duration
		spread := int64(1) << random.IntN(44) // nanoseconds, to five hours
		for range 1 + random.IntN(500) {
			d := time.Duration(random.Int64N(spread + 1)).Truncate(time.Microsecond)
			h.add(d)
			all = append(all, d)
		}
		slices.Sort(all)
		last := time.Duration(0)
		for _, p := range []float64{0.01, 0.25, 0.5, 0.9, 0.99, 1} {
			exact := all[int(math.Ceil(p*float64(len(all))-1e-9))-1]
			got := h.percentile(p)
			if got < exact || float64(got) > float64(exact)*(1+1.0/64)+float64(time.Microsecond) && got != h.max {
				t.Fatalf("percentile(%v) of %d up to %d ns = %v, want %v or 1/64 more", p, len(all), spread, got, exact)
			}
			if got < last {
				t.Fatalf("percentile(%v) = %v is less than the one before, %v", p, got, last)
			}
			last = got
		}
	}
}

func TestBucketsMeet(t *testing.T) {
	for i := range buckets - 1 {
		if got := bucket(limit(i)); got != i {
			t.Fatalf("%d µs, the most of bucket %d, are counted in %d", limit(i), i, got)
		}
		if got := bucket(limit(i) + 1); got != i+1 {
			t.Fatalf("%d µs, the least of bucket %d, are counted in %d", limit(i)+1, i+1, got)
		}
	}
}
