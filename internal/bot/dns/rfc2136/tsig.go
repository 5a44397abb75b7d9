package rfc2136

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	wire "github.com/miekg/dns"
)

// fudge is how many seconds clocks may differ (RFC 8945 §10).
const fudge = 300

// algorithms are those of RFC 8945 §6. HMAC-MD5 is there because certbot's default is; a server that takes it alone has no better.
func algorithms(name string) func() hash.Hash {
	switch name {
	case wire.HmacMD5:
		return md5.New
	case wire.HmacSHA1:
		return sha1.New
	case wire.HmacSHA224:
		return sha256.New224
	case wire.HmacSHA256:
		return sha256.New
	case wire.HmacSHA384:
		return sha512.New384
	case wire.HmacSHA512:
		return sha512.New
	}
	return nil
}

// key is a shared secret. It signs messages, and verifies those that come back, for the library, which has no HMAC-MD5 any more.
type key struct {
	name, algorithm string // as they are in messages: in lower case, with the final dot
	secret          []byte
}

func newKey(name, secret, algorithm string) (*key, error) {
	k := &key{name: wire.CanonicalName(strings.TrimSpace(name)), algorithm: wire.CanonicalName(strings.TrimSpace(algorithm))}
	if k.algorithm == "." || k.algorithm == "hmac-md5." {
		k.algorithm = wire.HmacMD5
	}
	if algorithms(k.algorithm) == nil {
		return nil, fmt.Errorf("RFC 2136: the algorithm %.40q is unknown: use one of HMAC-SHA256, HMAC-SHA512, HMAC-SHA384, HMAC-SHA224, HMAC-SHA1 and HMAC-MD5", algorithm)
	}
	if _, ok := wire.IsDomainName(k.name); !ok || k.name == "." {
		return nil, fmt.Errorf("RFC 2136: %.100q is not the name of a TSIG key: it is what stands after the word \"key\" in the server's configuration", name)
	}
	var err error
	if k.secret, err = padded(secret); err != nil || len(k.secret) == 0 {
		return nil, errors.New("RFC 2136: the secret of the TSIG key is not base64: copy it from the server's configuration, where it stands after the word \"secret\"")
	}
	return k, nil
}

// Generate signs; it is called by the library.
func (k *key) Generate(message []byte, t *wire.TSIG) ([]byte, error) {
	if wire.CanonicalName(t.Hdr.Name) != k.name || wire.CanonicalName(t.Algorithm) != k.algorithm {
		return nil, wire.ErrKeyAlg
	}
	mac := hmac.New(algorithms(k.algorithm), k.secret)
	mac.Write(message)
	return mac.Sum(nil), nil
}

// Verify checks a signature; it is called by the library. Truncated ones are refused: we ask for none.
func (k *key) Verify(message []byte, t *wire.TSIG) error {
	want, err := k.Generate(message, t)
	if err != nil {
		return err
	}
	got, err := hex.DecodeString(t.MAC)
	if err != nil || !hmac.Equal(got, want) {
		return wire.ErrSig
	}
	return nil
}
