package roles

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// TokenLife is how long a token can be used.
const TokenLife = time.Hour

// prefix makes a token known for what it is, also to those who look for leaked secrets.
const prefix = "cairn-join-"

// Token lets one host become one role, once. It carries the hash of the CA for roles, so
// that the host knows whom it talks to.
type Token struct {
	CA     [sha256.Size]byte
	ID     [8]byte  // under which the authority finds it
	Secret [24]byte // of which the authority keeps a hash
}

// NewToken makes a token of the authority with this CA for roles.
func NewToken(ca [sha256.Size]byte) Token {
	t := Token{CA: ca}
	_, _ = rand.Read(t.ID[:]) // never fails
	_, _ = rand.Read(t.Secret[:])
	return t
}

// String is the token as people paste it.
func (t Token) String() string {
	octets := append(append(append([]byte{}, t.CA[:]...), t.ID[:]...), t.Secret[:]...)
	return prefix + base64.RawURLEncoding.EncodeToString(octets)
}

// ParseToken reads what String wrote.
func ParseToken(text string) (Token, error) {
	var t Token
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return t, fmt.Errorf("it is not a token: one begins with %s", prefix)
	}
	octets, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(octets) != len(t.CA)+len(t.ID)+len(t.Secret) {
		return t, errors.New("it is not a whole token: copy all of it")
	}
	n := copy(t.CA[:], octets)
	n += copy(t.ID[:], octets[n:])
	copy(t.Secret[:], octets[n:])
	if t.String() != text { // the decoder overlooks line breaks
		return Token{}, errors.New("it is not a whole token: copy all of it, in one line")
	}
	return t, nil
}

// Name is the token's ID in text.
func (t Token) Name() string { return base64.RawURLEncoding.EncodeToString(t.ID[:]) }

// Hash is what the authority keeps. A plain hash will do: the secret is random.
func (t Token) Hash() []byte {
	hash := sha256.Sum256(t.Secret[:])
	return hash[:]
}
