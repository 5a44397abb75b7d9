package store_test

import (
	"bytes"
	"testing"

	"github.com/cairn-ca/cairn/internal/ca/store"
)

func TestSecretsStay(t *testing.T) {
	path := databaseIn(t)
	db := openAt(t, path)
	secret := func(db *store.DB, name string) (value []byte) {
		update(t, db, func(tx *store.Tx) (err error) { value, err = tx.Secret(name); return err })
		return value
	}
	first := secret(db, "a")
	if len(first) != 32 || !bytes.Equal(secret(db, "a"), first) || bytes.Equal(secret(db, "b"), first) {
		t.Errorf("secrets %x, %x, %x", first, secret(db, "a"), secret(db, "b"))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(secret(openAt(t, path), "a"), first) {
		t.Error("the secret changed with a restart")
	}
}
