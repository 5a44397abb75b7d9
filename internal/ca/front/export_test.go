package front

import (
	"time"

	"github.com/cairn-ca/cairn/acme"
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
	return base{"https://ca.test", &paths}.wireOrder(o, authzs, now)
}

// Preferred is the media type that Accept headers choose from some.
func Preferred(accept []string, offered ...string) string { return preferred(accept, offered...) }
