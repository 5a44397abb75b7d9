package store_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/pgtest"
)

// childEnv names the database that this program is to write to, instead of testing.
const childEnv = "STORE_TEST_DATABASE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		fmt.Fprintln(os.Stderr, writeForever(path))
		os.Exit(1)
	}
	os.Exit(pgtest.Main(m))
}

// writeForever places orders and reserves certificates for them, and says so on
// standard output after each, until it is killed.
func writeForever(path string) error {
	db, err := store.Open(context.Background(), store.Config{Path: path})
	if err != nil {
		return err
	}
	var out sync.Mutex
	failed := make(chan error)
	for range 16 {
		go func() {
			for {
				o := rules.Order{ID: rules.NewID(time.Now()), Account: "account", Identifiers: []acme.Identifier{acme.IdentifierFor("a.test")}}
				c := reservation(o, time.Now())
				if err := db.Update(context.Background(), func(tx *store.Tx) error { return tx.InsertOrder(o, nil) }); err != nil {
					failed <- err
				}
				if err := db.Update(context.Background(), func(tx *store.Tx) error {
					if err := tx.InsertCertificate(c); err != nil {
						return err
					}
					return tx.UpdateOrder(o, o.Issued(c.Serial))
				}); err != nil {
					failed <- err
				}
				out.Lock()
				fmt.Println(o.ID, c.Serial)
				out.Unlock()
			}
		}()
	}
	return <-failed
}

// TestWhatWasAnsweredSurvivesKill kills a process that writes, again and again, at
// no chosen moment: all that it said it had written is there, and what it did not is there whole or not at all.
func TestWhatWasAnsweredSurvivesKill(t *testing.T) {
	path := databaseIn(t)
	answered := map[string]string{} // order → serial
	for range 5 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		wanted := 50 + rand.IntN(500)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			order, serial, ok := strings.Cut(lines.Text(), " ")
			if ok && len(serial) == 36 { // the last line may be cut
				answered[order] = serial
			}
			if n == wanted {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := child.Wait(); err == nil || child.ProcessState.Exited() {
			t.Fatalf("the child ended by itself: %v", err)
		}
		checkAnswered(t, path, answered)
	}
	if len(answered) < 250 {
		t.Errorf("only %d updates were answered", len(answered))
	}
}

func checkAnswered(t *testing.T, path string, answered map[string]string) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	integrity(t, db)
	if err := db.View(t.Context(), func(tx *store.Tx) error {
		for id, serial := range answered {
			o, err := tx.Order(id)
			if err != nil || o.Serial != serial {
				t.Errorf("order %s, which was answered, is %+v: %v", id, o, err)
			}
			if c, err := tx.CertificateOf(id); err != nil || c.Serial != serial {
				t.Errorf("certificate %s, which was answered: %v", serial, err)
			}
		}
		half, err := tx.Number(`SELECT (SELECT count(*) FROM certificates) - (SELECT count(*) FROM orders WHERE serial <> '')`)
		if half != 0 {
			t.Errorf("%d transactions were kept by half", half)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
