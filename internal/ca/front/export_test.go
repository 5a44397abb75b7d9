package front

import (
	"net/netip"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/metrics"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// What the tests of this package's parts need of them.
const (
	NonceWindow = nonceWindow
	MaxBody     = maxBody
	MaxWaiting  = maxWaiting
)

type Nonces struct{ *nonces }

func NewNonces() (Nonces, error) {
	n, err := newNonces()
	return Nonces{n}, err
}

func (n Nonces) Issue() string           { return n.issue() }
func (n Nonces) Redeem(text string) bool { return n.redeem(text) }

// Actor is what becomes of a request of account, as it was when the request was authenticated.
func Actor(tx *store.Tx, account rules.Account) error {
	_, err := actor(tx, accountRequest{account: account})
	return err
}

func WireOrder(o rules.Order, authzs []rules.Authz, now time.Time) acme.Order {
	paths := standardPaths()
	return base{origin: "https://ca.test", paths: &paths}.wireOrder(o, authzs, now)
}

// Preferred is the media type that Accept headers choose from some.
func Preferred(accept []string, offered ...string) string { return preferred(accept, offered...) }

// Floods is the limiter of floods alone.
type Floods struct{ *floods }

func NewFloods(limit rules.Limit) Floods { return Floods{newFloods(limit)} }

// Take counts a request at a time since the limiter began.
func (f Floods) Take(addr netip.Addr, at time.Duration) time.Duration { return f.takeAt(addr, at) }

// Now is Take as requests have it counted.
func (f Floods) Now(addr netip.Addr) time.Duration { return f.take(addr) }

func MakeUnpauseToken(key []byte, account string, until time.Time) string {
	return makeUnpauseToken(key, account, until)
}

func ReadUnpauseToken(key []byte, token string, now time.Time) (account string, expired, ok bool) {
	return readUnpauseToken(key, token, now)
}

// Shed is the decision to put a request off.
func Shed(requests int, database, work time.Duration, begins bool, dice float64) (metrics.Reason, bool) {
	return shed(situation{requests, database, work}, begins, dice)
}
