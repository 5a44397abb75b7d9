package front

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// The size of a floods: fixed, whatever comes. A network has its place in one set of a few; where
// all are taken, the one that is as good as new the soonest goes, so that addresses without number do not
// make it forget the ones that flood.
const (
	floodSets = 1 << 12
	floodWays = 8
)

// floods limits how many requests a network sends, in memory. It is taken before anything else
// is done for a request, so it costs little and its locks, one for each set, are hardly ever contended.
type floods struct {
	limit rules.Limit
	begun time.Time // times are durations since then, by the clock that never jumps
	seed  maphash.Seed
	sets  []floodSet
}

// floodSet is a few networks with the same hash; mu guards them.
type floodSet struct {
	mu   sync.Mutex
	ways [floodWays]floodEntry
	_    [16]byte // a set has cache lines of its own
}

// floodEntry is one network.
type floodEntry struct {
	network [16]byte
	good    time.Duration // when it is as good as new; 0 for an entry that is free
}

// newFloods makes one; nil, which limits nothing, for no limit.
func newFloods(limit rules.Limit) *floods {
	if !limit.On() {
		return nil
	}
	return &floods{limit: limit, begun: time.Now(), seed: maphash.MakeSeed(), sets: make([]floodSet, floodSets)}
}

// take counts one request from addr. It returns how long until one is possible: 0 if this one is.
func (f *floods) take(addr netip.Addr) time.Duration {
	if f == nil || !addr.IsValid() || addr.IsLoopback() {
		return 0
	}
	return f.takeAt(addr, time.Since(f.begun))
}

func (f *floods) takeAt(addr netip.Addr, now time.Duration) time.Duration {
	network := addr.As16()
	if addr.Is6() {
		clear(network[8:]) // RFC 4291 §2.5.4: a /64 is one subscriber's
	}
	set := &f.sets[maphash.Bytes(f.seed, network[:])%floodSets]
	set.mu.Lock()
	defer set.mu.Unlock()
	entry := set.find(network)
	epoch := time.Time{}.Add(time.Hour) // any fixed time will do
	after, wait := f.limit.Spend(epoch.Add(entry.good), epoch.Add(now))
	if wait > 0 {
		return wait
	}
	*entry = floodEntry{network, after.Sub(epoch)}
	return 0
}

// find returns the entry of a network, or the one that it gets, empty.
func (s *floodSet) find(network [16]byte) *floodEntry {
	oldest := &s.ways[0]
	for i := range s.ways {
		entry := &s.ways[i]
		if entry.network == network && entry.good > 0 {
			return entry
		}
		if entry.good < oldest.good {
			oldest = entry
		}
	}
	*oldest = floodEntry{network: network}
	return oldest
}
