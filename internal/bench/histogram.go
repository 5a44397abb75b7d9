package bench

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts durations in buckets whose width is 1/64 of their value or less, so that
// any number of them take the same memory. The largest is kept as it is.
type histogram struct {
	counts [buckets]uint32
	total  int
	max    time.Duration
}

const (
	subBits = 6                             // 64 buckets for each power of two
	buckets = (36 - subBits + 1) << subBits // microseconds to 2^35: nine hours
)

// bucket is where a number of microseconds is counted.
func bucket(us uint64) int {
	if us < 1<<subBits {
		return int(us)
	}
	shift := bits.Len64(us) - subBits - 1
	return min(shift<<subBits+int(us>>shift), buckets-1)
}

// limit is the largest number of microseconds that is counted in a bucket.
func limit(index int) uint64 {
	if index < 2<<subBits {
		return uint64(index)
	}
	shift := index>>subBits - 1
	return uint64(index&(1<<subBits-1)+1<<subBits+1)<<shift - 1
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0).Microseconds()))]++
	h.total++
	h.max = max(h.max, d)
}

// percentile is a duration that the share p of all did not exceed, by at most 1/64 too long; 0 if there were none.
func (h *histogram) percentile(p float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	// The nearest rank: the smallest that at least p of all are no longer than.
	rank := min(max(int(math.Ceil(p*float64(h.total)-1e-9)), 1), h.total)
	seen := 0
	for i, n := range h.counts {
		if seen += int(n); seen >= rank {
			return min(time.Duration(limit(i))*time.Microsecond, h.max)
		}
	}
	return h.max
}
