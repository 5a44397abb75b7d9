package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

var (
	someLimits = rules.Limits{rules.OrdersPerAccount: {Count: 50, Period: time.Hour}, rules.ConsecutiveFailures: {Count: 1, Period: time.Hour, Burst: 3}}
	someBucket = rules.Bucket{Limit: rules.OrdersPerAccount, Subject: "account"}
)

// spend takes one event from a bucket; an error is the limit's.
func spend(tx *store.Tx, limits rules.Limits, b rules.Bucket) error {
	charges, err := tx.Charges(limits, []rules.Bucket{b})
	if err != nil {
		return err
	}
	spent := rules.Spend(charges, tx.Now)
	if spent.Problem != nil {
		return spent.Problem
	}
	return tx.SaveCharges(spent.Before, spent.Charges)
}

// testLimitHoldsForAll: of many at the same time, exactly as many get through as the limit permits.
func testLimitHoldsForAll(t *testing.T, open opener) {
	now := start
	db := open(t, func(c *store.Config) { c.Now = func() time.Time { return now } })
	outcomes := make(chan error)
	for range 200 {
		go func() {
			outcomes <- db.Update(t.Context(), func(tx *store.Tx) error { return spend(tx, someLimits, someBucket) })
		}()
	}
	passed := 0
	for range 200 {
		if err := <-outcomes; err == nil {
			passed++
		}
	}
	if passed != 50 {
		t.Errorf("%d of 200 got through a limit of 50", passed)
	}
}

func testBuckets(t *testing.T, open opener) {
	db := open(t)
	charges := func(limits rules.Limits) rules.Charge {
		return get(t, db, func(tx *store.Tx) ([]rules.Charge, error) { return tx.Charges(limits, []rules.Bucket{someBucket}) })[0]
	}
	old := charges(someLimits)
	if old.Rule != someLimits[rules.OrdersPerAccount] || !old.Full.IsZero() {
		t.Errorf("a bucket that is not there: %+v", old)
	}
	update(t, db, func(tx *store.Tx) error { return spend(tx, someLimits, someBucket) })
	new := charges(someLimits)
	if !new.Full.After(time.Now()) {
		t.Errorf("after one: %+v", new)
	}
	taken := old
	taken.Full = time.Now().Add(time.Hour)
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error {
		return tx.SaveCharges([]rules.Charge{old}, []rules.Charge{taken})
	})
	list := get(t, db, func(tx *store.Tx) ([]store.StoredBucket, error) { return tx.Buckets("", "", 10) })
	if len(list) != 1 || list[0].Bucket != someBucket || !list[0].Good.Equal(new.Full) {
		t.Errorf("the list is %+v", list)
	}
	if exact := get(t, db, func(tx *store.Tx) ([]store.StoredBucket, error) { return tx.Buckets(someBucket.ID(), "", 10) }); len(exact) != 1 {
		t.Errorf("with its ID as the prefix: %+v", exact)
	}
	if next := get(t, db, func(tx *store.Tx) ([]store.StoredBucket, error) { return tx.Buckets("", someBucket.ID(), 10) }); len(next) != 0 {
		t.Errorf("after the last: %+v", next)
	}
	stale := list[0]
	stale.Good = stale.Good.Add(-time.Second)
	update(t, db, func(tx *store.Tx) error { return tx.DropBucket(stale) })
	if !charges(someLimits).Full.Equal(new.Full) {
		t.Error("a bucket that was taken from meanwhile was dropped")
	}
	update(t, db, func(tx *store.Tx) error { return tx.DropBucket(list[0]) })
	if !charges(someLimits).Full.IsZero() {
		t.Error("a bucket is there that was dropped")
	}
}

func testOverrides(t *testing.T, open opener) {
	now := start
	db := open(t, func(c *store.Config) { c.Now = func() time.Time { return now } })
	o := rules.Override{
		Limit: rules.OrdersPerAccount, Subject: "account", Rule: rules.Limit{Count: 7, Period: time.Minute},
		Note: "why", Created: start, Expires: start.Add(time.Hour),
	}
	rule := func(b rules.Bucket) rules.Limit {
		return get(t, db, func(tx *store.Tx) ([]rules.Charge, error) { return tx.Charges(someLimits, []rules.Bucket{b}) })[0].Rule
	}
	for range 2 { // again is in place of the first
		update(t, db, func(tx *store.Tx) error { return tx.SetOverride(o) })
	}
	if all := get(t, db, func(tx *store.Tx) ([]rules.Override, error) { return tx.Overrides(10) }); len(all) != 1 || all[0] != o {
		t.Errorf("the list is %+v, want %+v", all, o)
	}
	if got := rule(someBucket); got != o.Rule {
		t.Errorf("with an override the limit is %s", got)
	}
	if got := rule(rules.Bucket{Limit: rules.OrdersPerAccount, Subject: "accounts"}); got.Count != 50 {
		t.Errorf("for somebody else it is %s", got)
	}
	o.Rule, o.Unlimited = rules.Limit{}, true
	update(t, db, func(tx *store.Tx) error { return tx.SetOverride(o) })
	if got := rule(someBucket); got.On() {
		t.Errorf("without a limit it is %s", got)
	}
	now = start.Add(time.Hour)
	if got := rule(someBucket); got.Count != 50 {
		t.Errorf("when the override is over, the limit is %s", got)
	}
	update(t, db, func(tx *store.Tx) error { return tx.RemoveOverride(o.Limit, o.Subject) })
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.RemoveOverride(o.Limit, o.Subject) })
	// Of an account and its names, the override is the account's.
	failures := rules.Override{Limit: rules.ConsecutiveFailures, Subject: "account", Rule: rules.Limit{Count: 9, Period: time.Minute}}
	update(t, db, func(tx *store.Tx) error { return tx.SetOverride(failures) })
	if got := rule(rules.Bucket{Limit: rules.ConsecutiveFailures, Subject: "account/a.test"}); got != failures.Rule {
		t.Errorf("for a name of the account the limit is %s", got)
	}
}

func testPaused(t *testing.T, open opener) {
	db := open(t)
	names := func(list []store.Paused) string {
		var text []string
		for _, p := range list {
			text = append(text, p.Account+"/"+p.Identifier)
		}
		return strings.Join(text, " ")
	}
	update(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.Pause(store.Paused{Account: "a", Identifier: "x.test", Since: start, Reason: "why"}),
			tx.Pause(store.Paused{Account: "a", Identifier: "x.test", Since: start.Add(time.Hour), Reason: "not this"}),
			tx.Pause(store.Paused{Account: "a", Identifier: "2001:db8::1", Since: start}),
			tx.Pause(store.Paused{Account: "a0", Identifier: "x.test", Since: start}),
			tx.Pause(store.Paused{Account: "b", Identifier: "x.test", Since: start}))
	})
	if got := names(get(t, db, func(tx *store.Tx) ([]store.Paused, error) { return tx.AllPaused(10) })); got != "a/2001:db8::1 a/x.test a0/x.test b/x.test" {
		t.Errorf("all: %s", got)
	}
	of := get(t, db, func(tx *store.Tx) ([]store.Paused, error) { return tx.PausedOf("a", "", 10) })
	if names(of) != "a/2001:db8::1 a/x.test" || of[1] != (store.Paused{Account: "a", Identifier: "x.test", Since: start, Reason: "why"}) {
		t.Errorf("of one account: %+v", of)
	}
	update(t, db, func(tx *store.Tx) error {
		return spend(tx, someLimits, rules.Bucket{Limit: rules.ConsecutiveFailures, Subject: "a/x.test"})
	})
	update(t, db, func(tx *store.Tx) error { return tx.UnpauseOne(of[1]) })
	refused(t, db, store.ErrConflict, func(tx *store.Tx) error { return tx.UnpauseOne(of[1]) })
	if paused := get(t, db, func(tx *store.Tx) (bool, error) { return tx.IsPaused("a", "x.test") }); paused {
		t.Error("still paused")
	}
	if left := get(t, db, func(tx *store.Tx) ([]store.StoredBucket, error) { return tx.Buckets("", "", 10) }); len(left) != 0 {
		t.Errorf("what led to it is still there: %+v", left)
	}
	var count int
	update(t, db, func(tx *store.Tx) (err error) { count, err = tx.UnpauseSome("a", 10); return err })
	if count != 1 || names(get(t, db, func(tx *store.Tx) ([]store.Paused, error) { return tx.AllPaused(10) })) != "a0/x.test b/x.test" {
		t.Errorf("%d unpaused", count)
	}
}

func testCertifiedSets(t *testing.T, open opener) {
	db := open(t)
	for range 2 {
		update(t, db, func(tx *store.Tx) error { return tx.NoteCertified("set") })
	}
	for set, there := range map[string]bool{"set": true, "other": false} {
		if at := get(t, db, func(tx *store.Tx) (time.Time, error) { return tx.Certified(set) }); at.IsZero() == there {
			t.Errorf("%s: %s", set, at)
		}
	}
}
