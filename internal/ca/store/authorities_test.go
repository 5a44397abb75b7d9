package store_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/store"
)

func testAuthorities(t *testing.T, open opener) {
	db := open(t)
	root := store.Authority{ID: "root-1", DER: []byte{1}, Place: "http://ca.test/roots/root-1.der", Number: 1}
	issuer := store.Authority{ID: "1", DER: []byte{2}, Lists: []string{"http://ca.test/crl/1.crl"}, Number: 1}
	save := func(list ...store.Authority) error {
		return db.Update(t.Context(), func(tx *store.Tx) error {
			for _, a := range list {
				if err := tx.SaveAuthority(a); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := save(root, issuer); err != nil {
		t.Fatal(err)
	}
	issuer.Lists, root.Frozen = append(issuer.Lists, "http://old.test/crl/1.crl"), true
	if err := save(root, issuer); err != nil {
		t.Fatal(err)
	}
	foreign := issuer
	foreign.DER = []byte{3}
	if err := save(foreign); !errors.Is(err, store.ErrConflict) {
		t.Errorf("another authority's certificate took the place of ours: %v", err)
	}
	if err := db.View(t.Context(), func(tx *store.Tx) error {
		list, err := tx.Authorities()
		if want := []store.Authority{issuer, root}; err == nil && !reflect.DeepEqual(list, want) {
			t.Errorf("the authorities are\n%+v, want\n%+v", list, want)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func testAddresses(t *testing.T, open opener) {
	db := open(t)
	for _, url := range []string{"", "https://a.test", "https://b.test"} {
		if err := db.Update(t.Context(), func(tx *store.Tx) error {
			if known, err := tx.Address("acme"); err != nil || url == "" && known != "" {
				t.Errorf("at first the address is %q, %v", known, err)
			}
			if err := tx.SaveAddress("acme", url); err != nil {
				return err
			}
			known, err := tx.Address("acme")
			if known != url {
				t.Errorf("the address is %q, want %q", known, url)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}
