package front

import (
	"context"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

const (
	// maxKnown is how many accounts are kept at hand, of a few hundred octets each.
	maxKnown = 16384
	// accountAge is for how long an account is taken to be what it was when it was loaded. It is how long one that was
	// deactivated at another front can still read here: whatever changes something loads it anew (actor).
	accountAge = 5 * time.Second
)

// knownAccounts keeps the accounts at hand that requests were signed by lately, so that most
// requests cost no question to the database to know their key. It is safe for concurrent use.
type knownAccounts struct {
	db *store.DB

	mu      sync.RWMutex
	list    map[string]knownAccount // by ID
	changes int                     // how often forget was called: what was loaded before does not count
}

type knownAccount struct {
	rules.Account
	until time.Time
}

// find loads an account, unless it was loaded lately. fresh says that it was loaded just now.
func (k *knownAccounts) find(ctx context.Context, id string) (account rules.Account, fresh bool, err error) {
	k.mu.RLock()
	known, ok := k.list[id]
	k.mu.RUnlock()
	if ok && time.Now().Before(known.until) {
		return known.Account, false, nil
	}
	account, err = k.load(ctx, id)
	return account, true, err
}

// load loads an account and keeps it at hand.
func (k *knownAccounts) load(ctx context.Context, id string) (account rules.Account, err error) {
	now := time.Now()
	k.mu.RLock()
	changes := k.changes
	k.mu.RUnlock()
	err = k.db.View(ctx, func(tx *store.Tx) (err error) {
		account, err = tx.Account(id)
		return err
	})
	if err != nil {
		return account, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changes != changes {
		return account, nil // it may have been changed while it was loaded
	}
	if k.list == nil || len(k.list) >= maxKnown {
		k.list = make(map[string]knownAccount) // all are loaded again within seconds anyway
	}
	k.list[id] = knownAccount{account, now.Add(accountAge)}
	return account, nil
}

// forget has an account loaded anew by the next request: it has been changed, or is about to be.
func (k *knownAccounts) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	delete(k.list, id)
}
