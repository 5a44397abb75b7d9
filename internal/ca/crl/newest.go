package crl

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/store"
)

// Newest hands out the lists that some process publishes, as the database has them. It is safe for concurrent use.
type Newest struct {
	DB  *store.DB
	Log *slog.Logger
	Age time.Duration // how old what it hands out may be; 0 means 5 s

	mu    sync.Mutex // guards lists
	lists map[string]cached
}

// cached is a list as it was read at a time; none if there was none.
type cached struct {
	der []byte
	at  time.Time
}

// DER is the newest list of an issuer, or nil if there is none yet. While the database does not answer, it is the last
// one that was read: a list says itself until when it holds.
func (n *Newest) DER(ctx context.Context, issuer string) []byte {
	age := n.Age
	setDefault(&age, 5*time.Second)
	n.mu.Lock()
	last, known := n.lists[issuer]
	n.mu.Unlock()
	if known && time.Since(last.at) < age {
		return last.der
	}
	var list store.CRL
	err := n.DB.View(ctx, func(tx *store.Tx) (err error) { list, err = tx.CRL(issuer); return err })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		if ctx.Err() == nil {
			n.Log.Warn("reading the newest crl failed", "issuer", issuer, "error", err)
		}
		return last.der
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lists == nil {
		n.lists = make(map[string]cached)
	}
	n.lists[issuer] = cached{der: list.DER, at: time.Now()}
	return list.DER
}
