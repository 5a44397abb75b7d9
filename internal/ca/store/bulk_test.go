package store_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// rowsInBulk is more than one statement has, and less than a multiple of it.
const rowsInBulk = 34

// bulk is accounts, authorizations, orders and certificates, each of which has something of its own.
type bulk struct {
	accounts     []rules.Account
	authzs       []rules.Authz
	orders       []rules.Order
	certificates []rules.Certificate
}

func newBulk(t *testing.T) (b bulk) {
	t.Helper()
	for n := range rowsInBulk {
		a := newAccount(t)
		o, authzs := newOrder(t, a, start.Add(time.Duration(n)*time.Second), "a.test")
		c := issued(reservation(o, start), 700)
		if n == 0 {
			c.Key = nil // so that what differs is once empty
		}
		b.accounts, b.authzs = append(b.accounts, a), append(b.authzs, authzs...)
		b.orders, b.certificates = append(b.orders, o.Issued(c.Serial)), append(b.certificates, c)
	}
	return b
}

func (b bulk) insert(tx *store.Tx) error {
	return tx.InsertBulk(store.NewBulk(b.accounts, b.authzs, b.orders, b.certificates))
}

// rows reads what single insertions or a bulk have stored.
func (b bulk) rows(t *testing.T, db *store.DB) (rows []any) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) error {
		rows = nil
		for n := range b.accounts {
			a, errA := tx.AccountByKey(b.accounts[n].Key.Thumbprint())
			z, errB := tx.Authz(b.authzs[n].ID)
			o, errC := tx.Order(b.orders[n].ID)
			c, errD := tx.CertificateOf(o.ID)
			if err := errors.Join(errA, errB, errC, errD); err != nil {
				return err
			}
			rows = append(rows, a, z, o, c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestBulk: a bulk stores what single insertions do, by statements that keep the rules but for their several rows.
func TestBulk(t *testing.T) {
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			b, one, all := newBulk(t), open(t), open(t)
			update(t, one, func(tx *store.Tx) error {
				var failed error
				for n := range b.accounts {
					failed = errors.Join(failed, tx.InsertAccount(b.accounts[n]), tx.InsertOrder(b.orders[n], b.authzs[n:n+1]), tx.InsertCertificate(b.certificates[n]))
				}
				return failed
			})
			var statements []string
			update(t, all, func(tx *store.Tx) error {
				err := b.insert(tx)
				statements = tx.Statements()
				return err
			})
			if got, want := b.rows(t, all), b.rows(t, one); !reflect.DeepEqual(got, want) {
				t.Errorf("a bulk stored\n%v\nand single insertions\n%v", got, want)
			}
			several := 0
			for _, statement := range statements {
				if strings.HasPrefix(statement, "INSERT") && strings.Contains(statement, "), (") {
					several++
					keepsTheRules(t, "INSERT", strings.ReplaceAll(statement, "), (", ", "))
				}
			}
			if several < 6 {
				t.Errorf("%d statements inserted several rows into six tables", several)
			}
		})
	}
}

// A bulk of which one row is there is not stored at all.
func TestBulkExists(t *testing.T) {
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			b, db := newBulk(t), open(t)
			last := b.certificates[rowsInBulk-1]
			update(t, db, func(tx *store.Tx) error { return tx.InsertCertificate(last) })
			err := db.Update(context.Background(), func(tx *store.Tx) error {
				_ = b.insert(tx) // its transaction is not committed, whatever comes of the error
				return nil
			})
			if !errors.Is(err, store.ErrExists) {
				t.Errorf("the update answered %v", err)
			}
			err = db.View(t.Context(), func(tx *store.Tx) error { _, err := tx.Account(b.accounts[0].ID); return err })
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("looking for the first account: %v", err)
			}
		})
	}
}
