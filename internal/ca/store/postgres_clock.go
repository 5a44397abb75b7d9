package store

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"
)

const (
	// maxSampleAge is how long the database's clock is reckoned on from one look at it. Two clocks
	// differ by less than a millisecond after that time.
	maxSampleAge = time.Second
	// maxSampleTrip is how long a look may take in order to count for transactions to come.
	maxSampleTrip = 100 * time.Millisecond
)

// serverClock is the database's clock as it is known here: what it said at one moment, and
// the time since by this machine's monotonic clock. So the time of day of this
// machine has no part in what is saved, and most transactions need not ask.
type serverClock struct {
	sample atomic.Pointer[clockSample]
	fixed  atomic.Pointer[func() time.Time] // tests put another clock here
}

type clockSample struct {
	said time.Time // by the database
	at   time.Time // when it arrived here, with the monotonic clock's reading
}

// now is the database's time, unless the last look at its clock was too long ago.
func (c *serverClock) now() (time.Time, bool) {
	if fixed := c.fixed.Load(); fixed != nil {
		return (*fixed)(), true
	}
	s := c.sample.Load()
	if s == nil {
		return time.Time{}, false
	}
	age := time.Since(s.at)
	return s.said.Add(age), age < maxSampleAge
}

// forget has the next transaction ask: the server may be another one.
func (c *serverClock) forget() { c.sample.Store(nil) }

// postgresEpoch is the zero of PostgreSQL's time stamps, which are in microseconds.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// ask begins the transaction of s and reads the database's clock in the same round trip.
func (c *serverClock) ask(s *serverSession) (now time.Time, err error) {
	sent := time.Now()
	_, err = s.run(readClock, nil, func(r *row) error {
		if len(r.raw) != 1 || len(r.raw[0]) != 8 {
			return errors.New("the database's clock says something else than a time")
		}
		now = postgresEpoch.Add(time.Duration(int64(binary.BigEndian.Uint64(r.raw[0]))) * time.Microsecond)
		return nil
	})
	if err != nil {
		return now, err
	}
	if arrived := time.Now(); arrived.Sub(sent) < maxSampleTrip {
		c.sample.Store(&clockSample{now, arrived})
	}
	return now, nil
}
