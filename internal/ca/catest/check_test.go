package catest_test

import (
	"context"
	"crypto/x509"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/catest"
)

// witness is a test that remembers what it was told instead of failing.
type witness struct {
	testing.TB
	said []string
}

func (w *witness) Helper() {}

func (w *witness) Errorf(format string, args ...any) {
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

func (w *witness) Fatalf(format string, args ...any) { w.Errorf(format, args...) }

// TestCheckCANotices breaks each promise by hand: CheckCA must notice.
func TestCheckCANotices(t *testing.T) {
	a := catest.Start(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := a.Client(t)
	if _, err := client.Register(ctx, acme.NewAccount{}); err != nil {
		t.Fatal(err)
	}
	var served []*x509.Certificate
	for range 2 {
		got, err := catest.Obtain(ctx, client, a.Responder, "a.test")
		if err != nil {
			t.Fatal(err)
		}
		served = append(served, got.Chain.Certificates[0])
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	catest.CheckCA(t, a.Dir, served...)

	serial := fmt.Sprintf("%x", served[0].SerialNumber)
	breaks := []struct{ name, statement, want string }{
		{"lost certificate", "DELETE FROM certificates WHERE serial = '" + serial + "'", "was given to a client"},
		{"other certificate", "UPDATE certificates SET der = (SELECT der FROM certificates WHERE serial <> '" + serial + "' AND order_id NOT LIKE 'https%') WHERE serial = '" + serial + "'", "is not what was reserved"},
		{"settled without a state", "UPDATE certificates SET state = 'reserved' WHERE serial = '" + serial + "'", "was stored, but is not settled"},
		{"abandoned and good", "UPDATE certificates SET state = 'abandoned', der = x'' WHERE serial = '" + serial + "'", "was abandoned, but is not revoked"},
		{"two of one order", "UPDATE certificates SET order_id = (SELECT order_id FROM certificates WHERE serial = '" + serial + "')", "has two certificates"},
		{"order of another's certificate", "UPDATE orders SET serial = '" + serial + "'", "is valid, but its certificate"},
		{"work left", "UPDATE orders SET due = 1", "there is work left on it"},
		{"nobody's work", "UPDATE orders SET serial = '', csr = x'00'", "nobody will take it up"},
		{"not on the CRL", "UPDATE certificates SET revoked = 1 WHERE serial = '" + serial + "'", "but not on the CRL"},
		{"CRL number", "UPDATE crls SET number = number + 1", "is numbered"},
		{"unknown issuer", "UPDATE certificates SET issuer = '7' WHERE serial = '" + serial + "'", "there is no issuer"},
	}
	for _, b := range breaks {
		t.Run(b.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(a.Dir)); err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open("sqlite", filepath.Join(dir, "cairn.db"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(b.statement); err != nil {
				t.Fatal(err)
			}
			_ = db.Close()
			w := &witness{TB: t}
			catest.CheckCA(w, dir, served...)
			if !strings.Contains(strings.Join(w.said, "\n"), b.want) {
				t.Errorf("CheckCA said %q, want %q", w.said, b.want)
			}
		})
	}
}
