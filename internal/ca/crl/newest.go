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
	list store.CRL
	at   time.Time
}

// DER is the newest list of an issuer, or nil if there is none yet. While the database does not answer, it is the last
// one that was read: a list says itself until when it holds.
func (n *Newest) DER(ctx context.Context, issuer string) []byte {
	list, _ := n.List(ctx, issuer)
	return list.DER
}

// List is what DER is of, and whether there is one.
func (n *Newest) List(ctx context.Context, issuer string) (list store.CRL, found bool) {
	age := n.Age
	setDefault(&age, 5*time.Second)
	n.mu.Lock()
	last, known := n.lists[issuer]
	n.mu.Unlock()
	if known && time.Since(last.at) < age {
		return last.list, last.list.DER != nil
	}
	err := n.DB.View(ctx, func(tx *store.Tx) (err error) { list, err = tx.CRL(issuer); return err })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		if ctx.Err() == nil {
			n.Log.Warn("reading the newest crl failed", "issuer", issuer, "error", err)
		}
		return last.list, last.list.DER != nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lists == nil {
		n.lists = make(map[string]cached)
	}
	n.lists[issuer] = cached{list: list, at: time.Now()}
	return list, list.DER != nil
}
