package rules

import "time"

// Limit permits Count events in each Period, evenly spread, and Burst at once. It is
// enforced by the generic cell rate algorithm: all that is remembered of the past
// is one time, the "theoretical arrival time", at which a bucket is as good as new.
// The zero Limit is none.
type Limit struct {
	Count  int           // events; at least 1
	Period time.Duration // in which Count events become possible again
	Burst  int           // events at once, of a bucket that is as good as new; 0 means Count
}

// Bounds of what a Limit can be, so that no sum of times overflows.
const (
	maxCount  = 1_000_000_000
	maxPeriod = 10 * 365 * 24 * time.Hour
	maxSpan   = 50 * 365 * 24 * time.Hour // from an empty bucket to one that is as good as new
	// leastInterval keeps what is stored of a bucket, in microseconds, exact enough.
	leastInterval = 10 * time.Microsecond
)

// On reports whether l limits anything.
func (l Limit) On() bool { return l.Count > 0 }

// Allowed is how many events a bucket takes at once when it is as good as new.
func (l Limit) Allowed() int {
	if l.Burst > 0 {
		return l.Burst
	}
	return l.Count
}

// interval is how long it takes until one more event is possible. It is rounded up to
// what is stored, so that no rounding ever permits more than l says.
func (l Limit) interval() time.Duration {
	count := time.Duration(l.Count)
	exact := (l.Period + count - 1) / count
	return (exact + time.Microsecond - 1).Truncate(time.Microsecond)
}

// Span is how long an empty bucket takes until it is as good as new.
func (l Limit) Span() time.Duration { return l.interval() * time.Duration(l.Allowed()) }

// Spend takes one event from a bucket that is as good as new at full; the zero time stands for
// one that never was used. It returns when the bucket then is as good as new, or, where wait
// is more than 0, how long it takes until an event is possible; nothing is taken then.
func (l Limit) Spend(full, now time.Time) (after time.Time, wait time.Duration) {
	after = l.level(full, now).Add(l.interval())
	if over := after.Sub(now) - l.Span(); over > 0 {
		return full, over
	}
	return after, 0
}

// Left is how many events are possible now, and when the bucket is as good as new: now if it is.
func (l Limit) Left(full, now time.Time) (left int, good time.Time) {
	good = l.level(full, now)
	left = int((l.Span() - good.Sub(now)) / l.interval())
	return max(left, 0), good
}

// level is full as far as l is concerned: what is over counts no more. A bucket that is further away than l can
// fill it was filled by a wider limit, or by a clock that has gone back since: it has one event left, and taking that stores a time
// that l can go on with. Were it empty, it would stay so until that far time, since a refusal stores nothing.
// An interval more is no such case: times are rounded up when they are stored, and clocks are set by little.
func (l Limit) level(full, now time.Time) time.Time {
	if full.Before(now) {
		return now
	}
	if full.After(now.Add(l.Span() + l.interval())) {
		return now.Add(l.Span() - l.interval())
	}
	return full
}

// Carry is full for a limit that takes the place of l: as many events as were used remain used. Without
// it, a bucket that is empty would be empty for the wider limit, too, since all that is stored is a time.
func (l Limit) Carry(to Limit, full, now time.Time) time.Time {
	if !l.On() || !to.On() {
		return full
	}
	used := float64(l.level(full, now).Sub(now)) / float64(l.interval())
	carried := min(time.Duration(used*float64(to.interval())), to.Span())
	return now.Add(carried).Truncate(time.Microsecond)
}
