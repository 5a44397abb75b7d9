package front

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// unpauseLife is how long a link that unpauses works; each refusal comes with a new one.
const unpauseLife = 14 * 24 * time.Hour

// unpauseLink is the URL of the page on which whoever has it unpauses the names of an account.
func (f *Front) unpauseLink(r accountRequest, now time.Time) string {
	return r.base.at(unpausePath) + "?token=" + url.QueryEscape(makeUnpauseToken(f.LinkKey, r.account.ID, now.Add(unpauseLife)))
}

// makeUnpauseToken is a token for one account until a time: both, and a MAC over them, each in base64url.
func makeUnpauseToken(key []byte, account string, until time.Time) string {
	said := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	said = append(said, account...)
	return base64.RawURLEncoding.EncodeToString(said) + "." + base64.RawURLEncoding.EncodeToString(unpauseMAC(key, said))
}

func unpauseMAC(key, said []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("unpause\x00")) // what the key is used for
	mac.Write(said)
	return mac.Sum(nil)
}

// maxUnpauseToken bounds a token: 8 octets of time and an account's ID of 24, and 32 of the MAC.
const maxUnpauseToken = 128

// readUnpauseToken finds the account that a token is for. expired tells a token that was good once.
func readUnpauseToken(key []byte, token string, now time.Time) (account string, expired, ok bool) {
	first, second, found := strings.Cut(token, ".")
	if !found || len(token) > maxUnpauseToken || len(key) == 0 {
		return "", false, false
	}
	strict := base64.RawURLEncoding.Strict()
	said, err := strict.DecodeString(first)
	mac, err2 := strict.DecodeString(second)
	if err != nil || err2 != nil || !hmac.Equal(mac, unpauseMAC(key, said)) || len(said) <= 8 {
		return "", false, false
	}
	account = string(said[8:])
	if !acme.ValidToken(account) {
		return "", false, false
	}
	return account, now.Unix() >= int64(binary.BigEndian.Uint64(said[:8])), true
}
