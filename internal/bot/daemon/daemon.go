// Package daemon looks at all certificates again and again: when the next one is due, and at least twice a day. It tells
// the service manager that it is there (sd_notify(3)), and knows nothing of what a look is.
package daemon

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Config says what to do, and whom to tell.
type Config struct {
	// Round looks at all certificates, and says when the next one is due; the zero time for none. Its error has
	// been shown to whoever can do something about it.
	Round func(ctx context.Context) (next time.Time, err error)
	// Reload has a round follow at once: each reads the configuration anew. Nil never does.
	Reload <-chan os.Signal
	// Notify tells the service manager, in the words of sd_notify(3). Nil tells nobody.
	Notify func(state string)
	// Watchdog is how often the service manager wants to hear that we live; 0 is never.
	Watchdog time.Duration
	Log      *slog.Logger
}

const (
	// longest and shortest are the bounds of a wait: certificates change, and CAs change their minds, without our knowing.
	longest = 12 * time.Hour
	// shortest keeps a certificate that is due, and cannot be renewed, from having us look without a pause.
	shortest = time.Hour
	// afterError is how long after a round that did not come to its end, such as when certbot holds its lock.
	afterError = 10 * time.Minute
	// longestRound is how long a round can take, with all its hooks, before the service manager should think us dead.
	longestRound = 12 * time.Hour
)

// Run looks until ctx is done, which is no error.
func Run(ctx context.Context, c Config) error {
	if c.Notify == nil {
		c.Notify = func(string) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	live := c.beat()
	defer live.stop()
	c.Notify("READY=1")
	defer c.Notify("STOPPING=1\nSTATUS=Ending")
	for {
		c.Notify("STATUS=Looking at the certificates")
		live.busy(true)
		next, err := c.Round(ctx)
		live.busy(false)
		if ctx.Err() != nil {
			return nil
		}
		at := Next(next, err, time.Now())
		c.Log.Debug("the next look", "at", at, "due", next, "error", err)
		c.Notify("STATUS=The next look at the certificates is at " + at.Format(time.DateTime))
		if !c.wait(ctx, at) {
			return nil
		}
	}
}

// Next says when to look again, if something is due at next (zero for nothing), and err is what became of the last look.
func Next(next time.Time, err error, now time.Time) time.Time {
	latest := now.Add(longest - draw(longest/4)) // machines must not come all at once
	switch {
	case err != nil && next.IsZero():
		return now.Add(afterError/2 + draw(afterError))
	case next.IsZero() || next.After(latest):
		return latest
	case !next.After(now):
		return now.Add(shortest + draw(shortest/4))
	}
	return next.Add(draw(time.Minute))
}

// draw draws a time from 0 to d, evenly.
func draw(d time.Duration) time.Duration {
	var random [8]byte
	_, _ = rand.Read(random[:]) // it does not fail
	return time.Duration(binary.BigEndian.Uint64(random[:]) % uint64(d))
}

// wait waits until at, or for a reload. It reports false when all is to end.
func (c *Config) wait(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-c.Reload:
		c.Notify("RELOADING=1")
		c.Notify("READY=1")
	}
	return true
}

// heart tells the service manager that we live, unless a round takes for ever.
type heart struct {
	change chan bool
	ended  chan struct{}
}

// beat starts a heart.
func (c *Config) beat() *heart {
	h := &heart{change: make(chan bool), ended: make(chan struct{})}
	go func() {
		defer close(h.ended)
		var ticks <-chan time.Time
		if c.Watchdog > 0 {
			ticker := time.NewTicker(c.Watchdog / 3) // sd_watchdog_enabled(3) advises half of it at most
			defer ticker.Stop()
			ticks = ticker.C
		}
		var since time.Time // of the round that is under way; zero for none
		for {
			select {
			case busy, open := <-h.change:
				if !open {
					return
				}
				if since = (time.Time{}); busy {
					since = time.Now()
				}
			case <-ticks:
				if since.IsZero() || time.Since(since) < longestRound {
					c.Notify("WATCHDOG=1")
				} else {
					c.Log.Error(fmt.Sprintf("a round has taken longer than %v", longestRound))
				}
			}
		}
	}()
	return h
}

func (h *heart) busy(is bool) { h.change <- is }

func (h *heart) stop() {
	close(h.change)
	<-h.ended
}
