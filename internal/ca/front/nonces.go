package front

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"sync"
)

// nonceWindow is how many nonces can be outstanding: whoever holds one that is
// older gets badNonce and a fresh one. At a thousand requests a second it is
// more than an hour; as a bitmap it takes 512 KiB, whatever clients do.
const nonceWindow = 1 << 22

// A nonce is 24 octets, written as 32 characters of base64url:
//
//	instance ID (8) ‖ AES(counter (8) ‖ check (8))
//
// The instance ID is random for each process and names the one that can redeem
// the nonce. The AES block makes the counter unpredictable (RFC 8555 §6.5.1) and,
// through check, unforgeable but for one guess in 2^64. Counters never repeat and
// the block is a permutation, so nonces are unique.
const (
	instanceSize = 8
	nonceSize    = instanceSize + aes.BlockSize
	nonceLength  = nonceSize / 3 * 4
)

// nonces issues nonces and redeems each once (RFC 8555 §6.5). It remembers nothing
// of a nonce but one bit, from its issue until nonceWindow others have followed.
type nonces struct {
	instance [instanceSize]byte
	check    [8]byte // random for each process; at the end of every block
	block    cipher.Block

	mu     sync.Mutex
	issued uint64   // how many; the counter of the newest
	spent  []uint64 // one bit for each counter in the window, at counter modulo nonceWindow
}

func newNonces() (*nonces, error) {
	n := &nonces{spent: make([]uint64, nonceWindow/64)}
	var key [16]byte
	for _, random := range [][]byte{n.instance[:], n.check[:], key[:]} {
		_, _ = rand.Read(random) // never fails
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("making the cipher for nonces: %w", err)
	}
	n.block = block
	return n, nil
}

// issue makes a nonce.
func (n *nonces) issue() string {
	n.mu.Lock()
	n.issued++
	counter := n.issued
	// The place still holds the bit of the counter that leaves the window now.
	word, bit := place(counter)
	n.spent[word] &^= bit
	n.mu.Unlock()

	var plain [aes.BlockSize]byte
	binary.BigEndian.PutUint64(plain[:8], counter)
	copy(plain[8:], n.check[:])
	var nonce [nonceSize]byte
	copy(nonce[:], n.instance[:])
	n.block.Encrypt(nonce[instanceSize:], plain[:])
	return base64.RawURLEncoding.EncodeToString(nonce[:])
}

// redeem spends a nonce and reports whether it was good: issued by this process, in the window and not spent.
func (n *nonces) redeem(text string) bool {
	if len(text) != nonceLength {
		return false
	}
	var nonce [nonceSize]byte
	if size, err := base64.RawURLEncoding.Decode(nonce[:], []byte(text)); err != nil || size != nonceSize {
		return false
	}
	if [instanceSize]byte(nonce[:instanceSize]) != n.instance {
		return false
	}
	var plain [aes.BlockSize]byte
	n.block.Decrypt(plain[:], nonce[instanceSize:])
	if subtle.ConstantTimeCompare(plain[8:], n.check[:]) != 1 {
		return false
	}
	counter := binary.BigEndian.Uint64(plain[:8])

	n.mu.Lock()
	defer n.mu.Unlock()
	if counter == 0 || counter > n.issued || n.issued-counter >= nonceWindow {
		return false
	}
	word, bit := place(counter)
	if n.spent[word]&bit != 0 {
		return false
	}
	n.spent[word] |= bit
	return true
}

// place says where the bit of counter is.
func place(counter uint64) (word int, bit uint64) {
	i := counter % nonceWindow
	return int(i / 64), 1 << (i % 64)
}
