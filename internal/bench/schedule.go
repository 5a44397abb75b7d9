package bench

import (
	"context"
	"math"
	"time"
)

// schedule says when issuances begin.
type schedule struct {
	begun    time.Time
	count    int           // how many, or 0 for any number, if there is a duration
	duration time.Duration // for how long, or 0
	rate     float64       // in a second; 0: as soon as somebody is free
}

// size is how many issuances a fixed rate plans; 0 without one.
func (s schedule) size() int {
	if s.rate == 0 {
		return 0
	}
	if s.duration == 0 {
		return s.count
	}
	planned := int(math.Ceil(s.duration.Seconds() * s.rate))
	if s.count > 0 {
		planned = min(planned, s.count)
	}
	return planned
}

// at is when issuance number n is to begin, and whether it is to begin at all. The zero time is
// "now". With a rate, who begins late is measured from here all the same: a server that is slow
// must not make its own waiting clients go uncounted. Nothing begins after the duration.
func (s schedule) at(n int) (start time.Time, more bool) {
	late := s.duration > 0 && time.Since(s.begun) >= s.duration
	if late || s.count > 0 && n >= s.count || s.count == 0 && s.duration == 0 {
		return start, false
	}
	if s.rate == 0 {
		return start, true
	}
	after := time.Duration(float64(n) / s.rate * float64(time.Second))
	return s.begun.Add(after), s.duration == 0 || after < s.duration
}

// sleepUntil waits for a moment, if that is still to come.
func sleepUntil(ctx context.Context, moment time.Time) error {
	if wait := time.Until(moment); !moment.IsZero() && wait > 0 {
		return sleep(ctx, wait)
	}
	return ctx.Err()
}
