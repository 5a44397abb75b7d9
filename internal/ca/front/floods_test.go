package front_test

import (
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

func address(i int) netip.Addr {
	var octets [4]byte
	binary.BigEndian.PutUint32(octets[:], 0x0b000000+uint32(i))
	return netip.AddrFrom4(octets)
}

// TestFloodLimit: a network has its burst, and then what comes back; others do not notice; loopback has no limit.
func TestFloodLimit(t *testing.T) {
	floods := front.NewFloods(rules.DefaultLimits()[rules.Floods])
	flooder, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	passed := 0
	for i := range 10_000 { // within a second
		if floods.Take(flooder, time.Duration(i)*100*time.Microsecond) == 0 {
			passed++
		}
	}
	if passed < 2990 || passed > 3000 { // the burst of 2,000, and 1,000 a second
		t.Errorf("%d of 10,000 requests in a second passed", passed)
	}
	for floods.Take(flooder, time.Second) == 0 {
	}
	if wait := floods.Take(flooder, time.Second); wait <= 0 || wait > time.Millisecond {
		t.Errorf("told to wait %s, want a millisecond at most", wait)
	}
	if floods.Take(other, time.Second) != 0 {
		t.Error("another address is limited")
	}
	if floods.Take(flooder, 4*time.Second) != 0 {
		t.Error("limited for ever")
	}
	// IPv6: a /64 is one client.
	for i := range 3000 {
		var octets [16]byte
		octets[0], octets[1] = 0x20, 0x01
		binary.BigEndian.PutUint32(octets[12:], uint32(i))
		if wait := floods.Take(netip.AddrFrom16(octets), 0); (wait > 0) != (i >= 2000) {
			t.Fatalf("request %d of a /64 waits %s", i, wait)
		}
	}
	for range 5000 {
		for _, loopback := range []string{"127.0.0.1", "::1"} {
			if floods.Now(netip.MustParseAddr(loopback)) != 0 {
				t.Fatal("loopback is limited")
			}
		}
	}
	if front.NewFloods(rules.Limit{}).Now(flooder) != 0 {
		t.Error("what is off limits")
	}
}

// TestFloodsAreBounded: a million addresses take no more memory than one, and do not make it forget who floods.
func TestFloodsAreBounded(t *testing.T) {
	floods := front.NewFloods(rules.DefaultLimits()[rules.Floods])
	flooder := netip.MustParseAddr("192.0.2.1")
	for range 2000 {
		floods.Take(flooder, 0)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1_000_000 {
		if floods.Take(address(i), 0) != 0 {
			t.Fatalf("the first request of %s is limited", address(i))
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("a million addresses took %d octets", grown)
	}
	if floods.Take(flooder, 0) == 0 {
		t.Error("who floods was forgotten")
	}
	if allocations := testing.AllocsPerRun(1000, func() { floods.Now(flooder) }); allocations != 0 {
		t.Errorf("a request allocates %f times", allocations)
	}
}

// TestFloodIsRefusedUnread: whatever is asked, newNonce included, and before anything of it is looked at.
func TestFloodIsRefusedUnread(t *testing.T) {
	a := limited(t, rules.Limits{rules.Floods: {Count: 1, Period: time.Hour, Burst: 3}})
	send := func(method, path, from string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "https://ca.test"+path, strings.NewReader(`no JWS`))
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		a.front.ServeHTTP(w, r)
		return w
	}
	for range 3 {
		if w := send(http.MethodHead, "/new-nonce", "192.0.2.1:1000"); w.Code != http.StatusOK {
			t.Fatalf("status %d", w.Code)
		}
	}
	for _, r := range []struct{ method, path string }{{http.MethodHead, "/new-nonce"}, {http.MethodGet, "/directory"}, {http.MethodPost, "/new-order"}, {http.MethodGet, "/"}} {
		w := send(r.method, r.path, "192.0.2.1:2000")
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "3600" || w.Header().Get("Replay-Nonce") != "" ||
			!strings.Contains(w.Body.String(), string(acme.TypeRateLimited)) {
			t.Errorf("%s %s: %d %v %s", r.method, r.path, w.Code, w.Header(), w.Body)
		}
	}
	if w := send(http.MethodHead, "/new-nonce", "192.0.2.2:1000"); w.Code != http.StatusOK {
		t.Errorf("somebody else gets %d", w.Code)
	}
	for range 10 {
		if w := send(http.MethodHead, "/new-nonce", "127.0.0.1:1000"); w.Code != http.StatusOK {
			t.Errorf("loopback gets %d", w.Code)
		}
	}
}

// TestFloodEnds: time brings requests back.
func TestFloodEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		floods := front.NewFloods(rules.Limit{Count: 1, Period: time.Minute})
		from := netip.MustParseAddr("192.0.2.1")
		if floods.Now(from) != 0 {
			t.Error("the first is limited")
		}
		wait := floods.Now(from)
		if wait != time.Minute {
			t.Errorf("the second waits %s", wait)
		}
		time.Sleep(wait)
		if floods.Now(from) != 0 {
			t.Error("limited after the wait")
		}
	})
}

func BenchmarkFloods(b *testing.B) {
	floods := front.NewFloods(rules.DefaultLimits()[rules.Floods])
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			floods.Now(address(i % 1000))
		}
	})
}
