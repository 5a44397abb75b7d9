package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

func TestPack(t *testing.T) {
	typical := []byte(`{"started":"2026-11-23T12:00:00.5Z","millis":3,"lookups":[{"name":"www.corp.lan","addresses":[{"address":"10.0.0.7",` +
		`"source":{"kind":"dns","where":"10.0.0.53:53"}}],"questions":[{"server":"10.0.0.53:53","name":"www.corp.lan","type":"AAAA","status":"NOERROR","millis":1},` +
		`{"server":"10.0.0.53:53","name":"www.corp.lan","type":"A","status":"NOERROR","answers":["10.0.0.7"],"millis":1}]}],"connections":[{"target":"10.0.0.7:80",` +
		`"source":{"kind":"dns","where":"10.0.0.53:53"},"outcome":"connected","millis":1}],"hops":[{"url":"http://www.corp.lan/.well-known/acme-challenge/` +
		`evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA","target":"10.0.0.7:80","status":200,"contentType":"text/plain","length":87,"first":"evaGxfADs6pSRb2L"}]}`)
	packed := store.Pack(typical)
	if got, err := packed.Unpack(); err != nil || !bytes.Equal(got, typical) {
		t.Errorf("Unpack = %s, %v", got, err)
	}
	if len(packed)*3 > len(typical) {
		t.Errorf("%d octets of typical evidence take %d", len(typical), len(packed))
	}
	for name, p := range map[string]store.Packed{"from before": store.Packed(`{"a":1}`), "none": nil} {
		if got, err := p.Unpack(); err != nil || !bytes.Equal(got, p) {
			t.Errorf("%s: Unpack = %s, %v", name, got, err)
		}
	}
	for name, p := range map[string]store.Packed{
		"newer": {9, 1, 2}, "cut": packed[:len(packed)/2], "a bomb": store.Pack(make([]byte, 2<<20)),
	} {
		if got, err := p.Unpack(); err == nil {
			t.Errorf("%s: unpacked %d octets", name, len(got))
		}
	}
}

func testDeleteAttempts(t *testing.T, open opener) {
	db := open(t)
	for i := range 10 {
		update(t, db, func(tx *store.Tx) error {
			return tx.InsertAttempt(store.Attempt{Authz: fmt.Sprint("a", i%3), At: start.Add(time.Duration(i) * time.Hour), Method: acme.DNS01,
				Problem: acme.Problemf(acme.TypeDNS, "number %d", i), Evidence: store.Pack([]byte("{}"))})
		})
	}
	remove := func(limit int) (n int) {
		update(t, db, func(tx *store.Tx) error {
			old, err := tx.OldAttempts(start.Add(5*time.Hour), limit)
			for _, k := range old {
				err = errors.Join(err, tx.DeleteAttempt(k))
			}
			n = len(old)
			return err
		})
		return n
	}
	if first, second, third := remove(3), remove(3), remove(3); first != 3 || second != 2 || third != 0 {
		t.Errorf("deleted %d, %d and %d of five", first, second, third)
	}
	left := 0
	for i := range 3 {
		for _, a := range get(t, db, func(tx *store.Tx) ([]store.Attempt, error) { return tx.Attempts(fmt.Sprint("a", i), 100) }) {
			left++
			if a.At.Before(start.Add(5*time.Hour)) || a.Problem == nil || a.Problem.Type != acme.TypeDNS {
				t.Errorf("left: %+v", a)
			}
		}
	}
	if left != 5 {
		t.Errorf("%d are left, want 5", left)
	}
}

func testAttemptsFor(t *testing.T, open opener) {
	db := open(t)
	a := newAccount(t)
	order, authzs := newOrder(t, a, start, "a.test", "b.test")
	update(t, db, func(tx *store.Tx) error { return tx.InsertOrder(order, authzs) })
	for i := range 4 {
		update(t, db, func(tx *store.Tx) error {
			return tx.InsertAttempt(store.Attempt{Authz: authzs[i%2].ID, At: start.Add(time.Duration(i) * time.Second), Method: acme.HTTP01})
		})
	}
	got := get(t, db, func(tx *store.Tx) ([]store.Attempt, error) { return tx.AttemptsFor("b.test", 10) })
	if len(got) != 2 || got[0].Authz != authzs[1].ID || !got[0].At.After(got[1].At) {
		t.Errorf("got %+v", got)
	}
	if got := get(t, db, func(tx *store.Tx) ([]store.Attempt, error) { return tx.AttemptsFor("b.test", 1) }); len(got) != 1 {
		t.Errorf("%d, want 1", len(got))
	}
}

func testEvents(t *testing.T, open opener) {
	now := start
	db := open(t, func(c *store.Config) { c.Now = func() time.Time { now = now.Add(time.Second); return now } })
	for i := range 3 {
		update(t, db, func(tx *store.Tx) error {
			return tx.InsertEvent(store.Event{Action: fmt.Sprint("action ", i), Subject: "s", Detail: "d"})
		})
	}
	got := get(t, db, func(tx *store.Tx) ([]store.Event, error) { return tx.Events(2) })
	if len(got) != 2 || got[0].Action != "action 2" || got[1].Action != "action 1" || got[0].At.IsZero() {
		t.Errorf("got %+v", got)
	}
}

func BenchmarkPack(b *testing.B) {
	text := []byte(`{"started":"2026-11-23T12:00:00.5Z","millis":3,"lookups":[{"name":"www.corp.lan"}]}`)
	b.ReportAllocs()
	for b.Loop() {
		store.Pack(text)
	}
}
