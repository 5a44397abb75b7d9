package front

import (
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
)

const (
	// maxEnded is how many orders are kept at hand, of one or two KiB each with their certificates.
	maxEnded = 2048
	// endedAge is for how long an order is kept at hand: until its client has fetched the certificate.
	endedAge = time.Minute
)

// endedOrders keeps orders at hand that have ended here lately, since their clients ask for them next, and for their
// certificates. valid and invalid are final (RFC 8555 §7.1.6), so nothing in it
// grows stale. The zero value is ready for use, by any number of goroutines.
type endedOrders struct {
	mu   sync.RWMutex
	list map[string]endedOrder // by ID
}

type endedOrder struct {
	rules.Ended
	until time.Time
}

// find returns an order that has ended lately.
func (e *endedOrders) find(id string) (rules.Ended, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	ended, ok := e.list[id]
	return ended.Ended, ok && time.Now().Before(ended.until)
}

// note keeps an order at hand if it is final.
func (e *endedOrders) note(o rules.Ended) {
	if o.Order.Serial == "" && o.Order.Error == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.list == nil || len(e.list) >= maxEnded {
		e.list = make(map[string]endedOrder) // whoever has not asked yet costs a look
	}
	e.list[o.Order.ID] = endedOrder{o, time.Now().Add(endedAge)}
}
