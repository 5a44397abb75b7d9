package work

import (
	"sync"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// permits remembers, while orders are under way, which of their names CAA was found to permit. An authorization for a
// domain above them (RFC 9444) cannot note that. Without it an order with many such names, or slow ones, would
// begin anew each time that it is put off, and never come to an end. A crash forgets it: then all are asked again.
type permits struct {
	mu sync.Mutex // guards at
	at map[string]map[acme.Identifier]time.Time
}

const (
	permitTime = time.Hour // far less than the seven hours for which an answer is good
	maxPermits = backlog   // orders; more are not under way, so whatever is there was left by lost leases
)

// note remembers that id, of an order, was permitted when CAA was asked for at a moment.
func (p *permits) note(order string, id acme.Identifier, asked time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil || len(p.at) >= maxPermits && p.at[order] == nil {
		p.at = map[string]map[acme.Identifier]time.Time{}
	}
	if p.at[order] == nil {
		p.at[order] = map[acme.Identifier]time.Time{}
	}
	p.at[order][id] = asked
}

// without leaves out of list what is remembered of an order.
func (p *permits) without(order string, list []rules.Recheck) (rest []rules.Recheck) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range list {
		if asked, ok := p.at[order][r.Identifier]; !ok || time.Since(asked) > permitTime {
			rest = append(rest, r)
		}
	}
	return rest
}

// forget forgets an order that has come to an end.
func (p *permits) forget(order string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.at, order)
}
