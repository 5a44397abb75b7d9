// Package load says how far behind a part of the server is: how much it has
// under way, and since when. It is what readiness, the metrics and the decision to put new orders
// off have in common.
package load

import (
	"sync"
	"time"
)

// Level is how much is under way at one moment.
type Level struct {
	Count  int
	Oldest time.Duration // how long what began first has been under way; 0 if nothing is
}

// Gauge counts what is under way. It knows what began first whatever ends first, so one that
// hangs shows. The zero value is ready; a nil one counts nothing.
type Gauge struct {
	mu    sync.Mutex // guards what follows and the links of all entries
	root  Entry      // of a ring: root.after began first
	count int
}

// Entry is one thing under way.
type Entry struct {
	began         time.Time
	before, after *Entry
}

// Begin notes that something is under way from now on.
func (g *Gauge) Begin() *Entry {
	if g == nil {
		return nil
	}
	e := &Entry{began: time.Now()}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.root.after == nil {
		g.root.before, g.root.after = &g.root, &g.root
	}
	e.before, e.after = g.root.before, &g.root
	e.before.after, e.after.before = e, e
	g.count++
	return e
}

// End notes that what e stands for has come to an end. Each entry ends once.
func (g *Gauge) End(e *Entry) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	e.before.after, e.after.before = e.after, e.before
	g.count--
}

// Level is how much is under way now.
func (g *Gauge) Level() Level {
	if g == nil {
		return Level{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count == 0 {
		return Level{}
	}
	return Level{g.count, time.Since(g.root.after.began)}
}
