package front_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/store"
)

// TestO11ManyPendingOrders: ten thousand open orders of an account do not slow its next one down.
func TestO11ManyPendingOrders(t *testing.T) {
	a := newAuthority(t, nil)
	few, many := a.register(), a.register()
	const open, batch = 10_000, 500
	for first := 0; first < open; first += batch {
		a.update(func(tx *store.Tx) error {
			account, err := tx.AccountByKey(jwk(t, many.key).Thumbprint())
			if err != nil {
				return err
			}
			for i := range batch {
				p := placed(t, account, tx.Now, fmt.Sprintf("host-%d.test", first+i))
				if err := tx.InsertOrder(p.Order, p.New); err != nil {
					return err
				}
			}
			return nil
		})
	}
	// They take turns, so that what else the machine does slows both. The median tells a rise with the
	// number of orders, which would be a thousandfold, from noise.
	times := map[*client][]time.Duration{}
	for i := range 15 {
		for _, c := range []*client{few, many} {
			body := c.sign("/new-order", fmt.Sprintf(`{"identifiers":[{"type":"dns","value":"new-%d.test"}]}`, i))
			began := time.Now()
			c.send("/new-order", body).want(http.StatusCreated)
			times[c] = append(times[c], time.Since(began))
		}
	}
	for _, list := range times {
		slices.Sort(list)
	}
	if fast, slow := times[few][7], times[many][7]; slow > 10*fast {
		t.Errorf("an order takes %s beside none, and %s beside %d that are open", fast, slow, open)
	}
}
