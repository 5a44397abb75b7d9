package pebble

import (
	"sync"
	"time"
)

// Clock is the clock that everything in the server reads. It can be moved.
type Clock struct {
	mu     sync.RWMutex
	offset time.Duration // guarded by mu
}

// Now is the time, as far as the server is concerned.
func (c *Clock) Now() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return time.Now().Add(c.offset)
}

// Move adds to the time; less than zero moves it back.
func (c *Clock) Move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += by
}

// Set makes it now; it goes on from there. The zero time makes it the machine's again.
func (c *Clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = 0
	if !now.IsZero() {
		c.offset = time.Until(now)
	}
}
