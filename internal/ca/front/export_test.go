package front

import (
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
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

func WireOrder(o rules.Order, authzs []rules.Authz, now time.Time) acme.Order {
	return base("https://ca.test").wireOrder(o, authzs, now)
}
