package store_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// externalAccounts runs the statements about keys for accounts, authorizations for several orders, and certificates of one key.
func externalAccounts(t *testing.T, db *store.DB, a rules.Account) {
	t.Helper()
	update(t, db, func(tx *store.Tx) error {
		key := rules.NewExternalKey(rules.ExternalKey{}, tx.Now)
		errA := tx.InsertExternalKey(key)
		errB := tx.UpdateExternalKey(key, key.Revoke(tx.Now))
		_, errC := tx.ExternalKey(key.ID)
		_, errD := tx.ExternalKeys(1)
		_, errE := tx.Standing(a.ID, 1)
		_, errF := tx.RevokeSiblings([]byte{1}, 1)
		_, errG := tx.WithoutKey(1)
		_, errH := tx.BlockedKeys(time.Time{}, nil, 1)
		_, errI := tx.Secret("links")
		return errors.Join(errA, errB, errC, errD, errE, errF, errG, errH, errI)
	})
}

func testExternalKeys(t *testing.T, open opener) {
	db := open(t)
	names, err := acme.ParseSubtrees([]string{"corp.test", "10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	first := rules.NewExternalKey(rules.ExternalKey{Names: names, Uses: 3, Note: "a note", Expires: start.Add(time.Hour)}, start)
	second := rules.NewExternalKey(rules.ExternalKey{}, start.Add(time.Second))
	update(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.InsertExternalKey(first), tx.InsertExternalKey(second))
	})
	list := get(t, db, func(tx *store.Tx) ([]rules.ExternalKey, error) { return tx.ExternalKeys(10) })
	if len(list) != 2 || !reflect.DeepEqual(list[0], second) || !reflect.DeepEqual(list[1], first) {
		t.Errorf("got %+v", list)
	}
	used := first
	used.Used++
	update(t, db, func(tx *store.Tx) error { return tx.UpdateExternalKey(first, used) })
	for _, late := range []rules.ExternalKey{used, first.Revoke(start)} {
		if err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.UpdateExternalKey(first, late) }); !errors.Is(err, store.ErrConflict) {
			t.Errorf("used a second time: %v", err)
		}
	}
	if err := db.View(t.Context(), func(tx *store.Tx) error { _, err := tx.ExternalKey("none"); return err }); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	// An account keeps how it was bound.
	a := newAccount(t)
	a.Binding, a.ExternalKey, a.Scope = []byte(`{"x":1}`), first.ID, names
	update(t, db, func(tx *store.Tx) error { return tx.InsertAccount(a) })
	if got := getAccount(t, db, a.ID); !bytes.Equal(got.Binding, a.Binding) || got.ExternalKey != first.ID || !reflect.DeepEqual(got.Scope, names) {
		t.Errorf("got %+v", got)
	}
}

func testStanding(t *testing.T, open opener) {
	db := open(t, func(c *store.Config) { c.Now = func() time.Time { return start } })
	a := newAccount(t)
	_, authzs := newOrder(t, a, start, "a.test", "b.test", "c.test", "d.test", "e.test")
	for i := range authzs {
		authzs[i].Status, authzs[i].Expires = acme.StatusValid, start.Add(time.Duration(i+1)*time.Hour)
	}
	authzs[0].Preauthorized, authzs[1].Subdomains = true, true
	authzs[2].Preauthorized, authzs[2].Status = true, acme.StatusPending
	authzs[3].Preauthorized, authzs[3].Expires = true, start
	update(t, db, func(tx *store.Tx) error {
		for _, authz := range authzs {
			if err := tx.InsertAuthz(authz); err != nil {
				return err
			}
		}
		return nil
	})
	got := get(t, db, func(tx *store.Tx) ([]rules.Authz, error) { return tx.Standing(a.ID, 10) })
	if len(got) != 2 || got[0].ID != authzs[1].ID || !got[0].Subdomains || got[1].ID != authzs[0].ID || !got[1].Preauthorized {
		t.Errorf("got %+v", got)
	}
	if got := get(t, db, func(tx *store.Tx) ([]rules.Authz, error) { return tx.Standing("another", 10) }); len(got) != 0 {
		t.Errorf("another account has %+v", got)
	}
}

func testSiblings(t *testing.T, open opener) {
	db := open(t, func(c *store.Config) { c.Now = func() time.Time { return start } })
	insert := func(serial string, key []byte, change func(*rules.Certificate)) {
		c := rules.Certificate{Serial: serial, Issuer: "01", Order: serial, State: rules.Issued, Digest: []byte{1}, DER: []byte{2}, Key: key, NotAfter: start.Add(time.Hour)}
		if change != nil {
			change(&c)
		}
		update(t, db, func(tx *store.Tx) error { return tx.InsertCertificate(c) })
	}
	key := []byte{1, 2, 3}
	for _, serial := range []string{"01", "02", "03"} {
		insert(serial, key, nil)
	}
	insert("04", key, func(c *rules.Certificate) { c.NotAfter = start })
	insert("05", key, func(c *rules.Certificate) { c.Revoked, c.Reason = start, rules.Superseded })
	insert("06", key, func(c *rules.Certificate) { c.State, c.DER = rules.Reserved, nil })
	insert("07", []byte{1, 2}, nil)
	insert("08", nil, nil)
	before := revision(t, db, "01")
	for _, want := range []int{2, 1, 0} {
		update(t, db, func(tx *store.Tx) error {
			n, err := tx.RevokeSiblings(key, 2)
			if n != want {
				t.Errorf("revoked %d, want %d", n, want)
			}
			return err
		})
	}
	if after := revision(t, db, "01"); after != before+3 {
		t.Errorf("the list of revocations changed %d times", after-before)
	}
	for serial, want := range map[string]int{"01": 1, "02": 1, "03": 1, "04": 0, "05": rules.Superseded, "06": 0, "07": 0} {
		if c := get(t, db, func(tx *store.Tx) (rules.Certificate, error) { return tx.Certificate(serial) }); c.Reason != want || c.Revoked.IsZero() != (want == 0) {
			t.Errorf("%s: revoked %s for %d, want %d", serial, c.Revoked, c.Reason, want)
		}
	}
	if list := get(t, db, func(tx *store.Tx) ([]rules.Certificate, error) { return tx.WithoutKey(5) }); len(list) != 1 || list[0].Serial != "08" {
		t.Errorf("without a key: %+v", list)
	}
}
