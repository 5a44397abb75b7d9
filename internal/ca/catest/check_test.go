package catest_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
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

// promise is one that a statement breaks, and what CheckCA says then.
type promise struct{ name, statement, want string }

// breaks is a row for each promise, about the certificate with a serial.
func breaks(serial string) []promise {
	return []promise{
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
		{"reserved for nothing", "UPDATE certificates SET state = 'reserved', der = x'' WHERE serial = '" + serial + "'", "nobody will issue or abandon it"},
		{"reserved for nobody", "UPDATE certificates SET state = 'reserved', der = x'', order_id = 'none' WHERE serial = '" + serial + "'", "nobody will issue or abandon it"},
		{"CRL of another signer", "UPDATE crls SET (number, der) = (SELECT number, der FROM crls WHERE issuer = '1') WHERE issuer = 'root-1'", "CRL of issuer root-1"},
		{"CRL of nobody", "UPDATE crls SET issuer = '7' WHERE issuer = '1'", "no such issuer or root"},
		{"CRL that went back", "DELETE FROM crls WHERE issuer = 'root-1'", "a newer one is not stored"},
		{"unknown issuer", "UPDATE certificates SET issuer = '7' WHERE serial = '" + serial + "'", "there is no issuer"},
	}
}

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
	seen := catest.Seen{Certificates: served, Lists: newestLists(t, a.Dir)}
	seen.CheckCA(t, a.Dir)

	serial := fmt.Sprintf("%x", served[0].SerialNumber)
	for _, b := range breaks(serial) {
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
			seen.CheckCA(w, dir)
			if !strings.Contains(strings.Join(w.said, "\n"), b.want) {
				t.Errorf("CheckCA said %q, want %q", w.said, b.want)
			}
		})
	}
}

// TestCheckCANoticesASecondList: a number stands for one list (RFC 5280 §5.2.3).
func TestCheckCANoticesASecondList(t *testing.T) {
	a := catest.Start(t, "")
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	other, want := newestLists(t, a.Dir)[0], "have the number"
	issuer, key := authority(t, filepath.Join(a.Dir, "issuers", "1", "issuer"))
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: other.Number, ThisUpdate: other.ThisUpdate, NextUpdate: other.NextUpdate.Add(time.Hour),
	}, issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	if other, err = x509.ParseRevocationList(der); err != nil {
		t.Fatal(err)
	}
	w := &witness{TB: t}
	catest.Seen{Lists: []*x509.RevocationList{other}}.CheckCA(w, a.Dir)
	if !strings.Contains(strings.Join(w.said, "\n"), want) {
		t.Errorf("CheckCA said %q, want %q", w.said, want)
	}
}

// newestLists reads the CRLs of a stopped authority, that of its issuer before that of its root.
func newestLists(t *testing.T, dir string) (lists []*x509.RevocationList) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "cairn.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, issuer := range []string{"1", "root-1"} {
		var der []byte
		if err := db.QueryRowContext(t.Context(), "SELECT der FROM crls WHERE issuer = $1", issuer).Scan(&der); err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, list)
	}
	return lists
}

// authority reads base.pem and base.key.
func authority(t *testing.T, base string) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(base+".pem", base+".key")
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf, pair.PrivateKey.(crypto.Signer)
}
