package front_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
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

// BenchmarkAnswers are whole requests without the network, up to the octets of the answer: one that is wrong
// already in its form, and resources that need no authentication.
func BenchmarkAnswers(b *testing.B) {
	a := newAuthority(b, func(c *front.Config) { c.Log = discard })
	for _, request := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"problem", http.MethodPost, "/new-order", `{"payload":""}`, http.StatusBadRequest},
		{"directory", http.MethodGet, "/directory", "", http.StatusOK},
		{"nonce", http.MethodHead, "/new-nonce", "", http.StatusOK},
	} {
		b.Run(request.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(request.method, a.url+request.path, strings.NewReader(request.body))
				r.Header.Set("Content-Type", acme.MediaJOSE)
				w := httptest.NewRecorder()
				a.front.ServeHTTP(w, r)
				if w.Code != request.status {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
