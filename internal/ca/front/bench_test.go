package front_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

func BenchmarkNonce(b *testing.B) {
	n := newNonces(b)
	b.ReportAllocs()
	for b.Loop() {
		if !n.Redeem(n.Issue()) {
			b.Fatal("refused")
		}
	}
}

// BenchmarkAuthenticate is a whole POST-as-GET without the network: form, nonce,
// account, ES256 signature and the answer. Signing is not in it.
func BenchmarkAuthenticate(b *testing.B) {
	n := 0
	c := newAuthority(b, func(c *front.Config) { c.Log = discard }).register()
	bodies := make([][]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		if n%len(bodies) == 0 {
			b.StopTimer()
			for i := range bodies {
				bodies[i] = c.sign("/new-nonce", "")
			}
			b.StartTimer()
		}
		if w := c.serve("/new-nonce", bodies[n%len(bodies)]); w.Code != http.StatusNoContent {
			b.Fatal(w.Body)
		}
		n++
	}
}

func BenchmarkWireOrder(b *testing.B) {
	now := time.Now()
	account := rules.Account{ID: rules.NewID(now), Key: jwk(b, newKey(b)), Status: acme.StatusValid}
	placed := placed(b, account, now, "a.test", "b.test")
	b.ReportAllocs()
	for b.Loop() {
		if front.WireOrder(placed.Order, placed.Authzs, now).Status != acme.StatusPending {
			b.Fatal("not pending")
		}
	}
}
