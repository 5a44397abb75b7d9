package fill

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/pgtest"
)

func openStore(t testing.TB) *store.DB {
	t.Helper()
	return open(t, store.Config{Path: filepath.Join(t.TempDir(), "ca.db"), Volatile: true})
}

func open(t testing.TB, c store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func openPostgres(t testing.TB) *store.DB {
	t.Helper()
	server := pgtest.Shared(t)
	return open(t, store.Config{URL: server.URL(server.Database(t), ""), Create: true})
}

// Every row is there, and is what the rules would say it is.
func TestRows(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { testRows(t, openStore(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { testRows(t, openPostgres(t)) })
}

func testRows(t *testing.T, db *store.DB) {
	const count = batchSize + 7
	filled, err := rows(t.Context(), db, "3", Config{Count: count})
	if err != nil || filled.Made != count || filled.Before != 0 {
		t.Fatalf("filled %+v, %v", filled, err)
	}
	begun, err := since(t.Context(), db, count)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFiller("3", count, begun)
	if err != nil {
		t.Fatal(err)
	}
	accounts := map[string]int{}
	err = db.View(t.Context(), func(tx *store.Tx) error {
		last := ""
		for n := range count {
			c, err := tx.Certificate(f.serial(n))
			if err != nil {
				return err
			}
			accounts[c.Account]++
			if c.Serial <= last {
				return fmt.Errorf("serial number %d, %s, is not after %s", n, c.Serial, last)
			}
			last = c.Serial
			if n%97 != 0 && n < count-10 {
				continue
			}
			if err := sound(tx, c); err != nil {
				return fmt.Errorf("certificate %d: %w", n, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := (count + perAccount - 1) / perAccount; len(accounts) != want {
		t.Errorf("%d accounts, want %d", len(accounts), want)
	}
}

// sound looks at all that belongs to a certificate.
func sound(tx *store.Tx, c rules.Certificate) error {
	minute, err := strconv.ParseInt(c.Serial[:8], 16, 64)
	if err != nil || minute&^(1<<30) != c.Created.Unix()/60 || len(c.Serial) != 2*19 {
		return fmt.Errorf("serial number %s of %v: %w", c.Serial, c.Created, err)
	}
	account, err := tx.Account(c.Account)
	if err != nil {
		return err
	}
	of, err := tx.CertificateOf(c.Order)
	if err != nil {
		return err
	}
	parsed, err := x509.ParseCertificate(c.DER)
	// The point of the key is random: only a few are on the curve.
	if err != nil && parsed == nil && len(c.DER) < 600 {
		return fmt.Errorf("its DER: %w", err)
	}
	switch {
	case of.Serial != c.Serial:
		return errors.New("its order has another")
	case account.Active() != nil || c.State != rules.Issued || c.Issuer != "3" || len(c.Key) != 32:
		return errors.New("it is not an issued one of issuer 3 for an account")
	case c.Created.After(tx.Now) || tx.Now.Sub(c.Created) > spread+time.Minute || rules.DefaultRetention().CertificateGoes(c, time.Time{}, tx.Now):
		return fmt.Errorf("it is from %v", c.Created)
	}
	return ordered(tx, c)
}

// ordered looks at a certificate's order and authorization, which are kept for as long as retention keeps them.
func ordered(tx *store.Tx, c rules.Certificate) error {
	order, err := tx.Order(c.Order)
	old := tx.Now.Sub(c.Created) > ordersSpread+time.Minute
	if old && errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil || old {
		return fmt.Errorf("the order of a certificate from %v: %w", c.Created, err)
	}
	authzs, err := tx.Authzs(order.Authzs)
	if err != nil || len(authzs) != 1 {
		return fmt.Errorf("%d authorizations: %w", len(authzs), err)
	}
	retention := rules.DefaultRetention()
	switch authz := authzs[0]; {
	case order.Serial != c.Serial:
		return errors.New("its order is for another")
	case rules.OrderStatus(order, authzs, tx.Now) != acme.StatusValid || authz.Status != acme.StatusValid:
		return errors.New("its order or authorization is not valid")
	case !order.Lease.Due.IsZero() || !authz.Lease.Due.IsZero():
		return errors.New("there is work left")
	case retention.OrderGoes(order, tx.Now) || retention.AuthzGoes(authz, tx.Now):
		return errors.New("retention deletes its order or authorization at once")
	}
	return nil
}

// A fill that was interrupted goes on; a complete one does nothing.
func TestGoesOn(t *testing.T) {
	db := openStore(t)
	const count = 8*batchSize + 1
	ctx, cancel := context.WithCancel(t.Context())
	stop := func(done int) {
		if done == 2*batchSize {
			cancel()
		}
	}
	filled, err := rows(ctx, db, "1", Config{Count: count, Progress: stop})
	if !errors.Is(err, context.Canceled) || filled.Made < 2*batchSize || filled.Made == count {
		t.Fatalf("interrupted: %+v, %v", filled, err)
	}
	// What was under way when it was interrupted may be there or not.
	first := filled.Made
	filled, err = rows(t.Context(), db, "1", Config{Count: count})
	if err != nil || filled.Before < first || filled.Before+filled.Made != count {
		t.Fatalf("the second run: %+v, %v", filled, err)
	}
	filled, err = rows(t.Context(), db, "1", Config{Count: count})
	if err != nil || filled.Before != count || filled.Made != 0 {
		t.Fatalf("the third run: %+v, %v", filled, err)
	}
	filled, err = rows(t.Context(), db, "1", Config{Count: 10})
	if err != nil || filled.Before != 0 || filled.Made != 10 {
		t.Fatalf("another count: %+v, %v", filled, err)
	}
}

func BenchmarkFill(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchmarkFill(b, openStore(b)) })
	b.Run("PostgreSQL", func(b *testing.B) { benchmarkFill(b, openPostgres(b)) })
}

func benchmarkFill(b *testing.B, db *store.DB) {
	b.ResetTimer()
	if _, err := rows(b.Context(), db, "1", Config{Count: b.N}); err != nil {
		b.Fatal(err)
	}
}
