package store

import (
	"sync"

	"github.com/cairn-ca/cairn/acme"
)

// maxKeys is how many keys of accounts are remembered: some hundred octets each.
const maxKeys = 4096

// keyMemo remembers what the JWKs in the database mean. A text means the same key for
// ever, so nothing in it grows stale; to read one costs more than the rest of the row does.
// The zero value is ready for use, by any number of goroutines.
type keyMemo struct {
	mu   sync.RWMutex
	keys map[string]*acme.Key
}

// read is the key that a JWK is.
func (m *keyMemo) read(jwk string) (*acme.Key, error) {
	m.mu.RLock()
	key := m.keys[jwk]
	m.mu.RUnlock()
	if key != nil {
		return key, nil
	}
	key = new(acme.Key)
	if err := key.UnmarshalJSON([]byte(jwk)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.keys) >= maxKeys || m.keys == nil {
		m.keys = make(map[string]*acme.Key) // to begin anew is as good as to choose which ones go
	}
	m.keys[jwk] = key
	return key, nil
}
