package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
	"github.com/cairn-ca/cairn/internal/pgtest"
)

// ownServer starts a server for a test that is hard on it, with the schema in its database "postgres".
func ownServer(t *testing.T, settings ...string) (server *pgtest.Server, url string) {
	t.Helper()
	server = pgtest.Start(t, settings...)
	url = server.URL("postgres", "")
	if err := store.Migrate(t.Context(), store.MigrateConfig{URL: url}); err != nil {
		t.Fatal(err)
	}
	return server, url
}

// soon bounds how long a call may take while the database does not answer.
const soon = 10 * time.Second

// TestKilledServer kills the server under load and starts it again: what was answered is there, once, and the same DB
// goes on.
func TestKilledServer(t *testing.T) {
	server, url := ownServer(t)
	db := openURL(t, url)
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	answered := map[string]string{}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for ctx.Err() == nil {
				o := rules.Order{ID: rules.NewID(time.Now()), Account: "account"}
				c := reservation(o, time.Now())
				if err := db.Update(ctx, func(tx *store.Tx) error {
					return errors.Join(tx.InsertOrder(o, nil), tx.InsertCertificate(c), tx.UpdateOrder(o, o.Issued(c.Serial)))
				}); err == nil {
					mu.Lock()
					answered[o.ID] = c.Serial
					mu.Unlock()
				} else if ctx.Err() == nil && !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("while the server was away: %v", err)
				}
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(answered) }
	for range 3 {
		before := count()
		eventually(t, "updates are answered", func() bool { return count() > before+50 })
		server.Kill(t)
		server.Restart(t)
	}
	before := count()
	eventually(t, "updates are answered after the last restart", func() bool { return count() > before+50 })
	stop()
	group.Wait()
	for id, serial := range answered {
		if o := getOrder(t, db, id); o.Serial != serial {
			t.Errorf("order %s, which was answered, is %+v", id, o)
		}
	}
	if half := get(t, db, func(tx *store.Tx) (int64, error) {
		return tx.Number(`SELECT (SELECT count(*) FROM certificates) - (SELECT count(*) FROM orders WHERE serial <> '')`)
	}); half != 0 {
		t.Errorf("%d transactions were kept by half", half)
	}
}

// TestFrozenServer: while the server stands still, every call ends within seconds with ErrUnavailable, or at once with
// ErrBusy; none leaves a goroutine; and afterwards all is well without a restart.
func TestFrozenServer(t *testing.T) {
	server, url := ownServer(t)
	db := openURL(t, url, func(c *store.Config) { c.Connections, c.Queue = 4, 20 })
	update(t, db, block(1))
	before := runtime.NumGoroutine()
	server.Freeze(t)
	var group sync.WaitGroup
	var unavailable, busy atomic.Int64
	for n := range 60 {
		group.Go(func() {
			began := time.Now()
			call := func() error { return db.Update(t.Context(), block(2)) }
			if n%2 == 0 {
				call = func() error {
					return db.View(t.Context(), func(tx *store.Tx) error { _, err := tx.KeyBlocked([]byte{1}); return err })
				}
			}
			err := call()
			switch {
			case errors.Is(err, store.ErrUnavailable):
				unavailable.Add(1)
			case errors.Is(err, store.ErrBusy):
				busy.Add(1)
			default:
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > soon {
				t.Errorf("it took %v", took)
			}
		})
	}
	group.Wait()
	if unavailable.Load() == 0 || busy.Load() < 60-24 {
		t.Errorf("%d found it unavailable and %d busy", unavailable.Load(), busy.Load())
	}
	server.Thaw(t)
	eventually(t, "updates succeed again", func() bool { return db.Update(t.Context(), block(3)) == nil })
	if !blocked(t, db, 1) || !blocked(t, db, 3) {
		t.Error("something is lost")
	}
	eventually(t, "no goroutine is left of it", func() bool { return runtime.NumGoroutine() <= before+8 }) // new connections have theirs
}

// TestNoServer: a server that is not there is told of soon.
func TestNoServer(t *testing.T) {
	server, url := ownServer(t)
	db := openURL(t, url)
	server.Kill(t)
	began := time.Now()
	refused(t, db, store.ErrUnavailable, block(1))
	if _, err := store.Open(t.Context(), store.Config{URL: url}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("opening it: %v", err)
	}
	if took := time.Since(began); took > soon {
		t.Errorf("it took %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := db.Update(ctx, block(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with less patience: %v", err)
	}
	server.Restart(t)
	update(t, db, block(2))
}

// TestUnknownOutcome: a commit that waits for a standby that is not there is not answered as done, though it may be.
func TestUnknownOutcome(t *testing.T) {
	server, url := ownServer(t)
	db := openURL(t, url)
	update(t, db, block(1))
	server.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	server.Exec(t, "postgres", "SELECT pg_reload_conf()")
	try := func(n byte) error {
		runs, began := 0, time.Now()
		err := db.Update(t.Context(), func(tx *store.Tx) error { runs++; return block(n)(tx) })
		if runs != 1 || err != nil && !errors.Is(err, store.ErrUnavailable) || time.Since(began) > soon {
			t.Errorf("after %d runs and %v: %v", runs, time.Since(began), err)
		}
		return err
	}
	n := byte(10) // each a new one: what changes nothing waits for nobody
	eventually(t, "the server waits for its standby", func() bool { n++; return try(n) != nil })
	// An operator interrupts the wait: the server has committed it alone, and says so in a warning.
	outcome := make(chan error)
	go func() { outcome <- try(5) }()
	eventually(t, "the commit is interrupted", func() bool {
		server.Exec(t, "postgres", "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		select {
		case err := <-outcome:
			if err == nil {
				t.Error("a commit that no standby has is answered as done")
			}
			return true
		default:
			return false
		}
	})
	if !blocked(t, db, n) || !blocked(t, db, 5) {
		t.Error("the server undid what it had committed")
	}
}

// TestDemotedServer: a server that takes no writes any more is given up for another one at the same place.
func TestDemotedServer(t *testing.T) {
	server, url := ownServer(t)
	db := openURL(t, url)
	update(t, db, block(1))
	server.Exec(t, "postgres", "ALTER SYSTEM SET default_transaction_read_only = on")
	server.Exec(t, "postgres", "SELECT pg_reload_conf()")
	eventually(t, "writes are refused", func() bool {
		err := db.Update(t.Context(), block(2))
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		return err != nil
	})
	server.Exec(t, "postgres", "ALTER SYSTEM RESET default_transaction_read_only")
	server.Exec(t, "postgres", "SELECT pg_reload_conf()")
	eventually(t, "writes are taken", func() bool { return db.Update(t.Context(), block(3)) == nil })
}

// TestPromotedServer: of two servers, updates go to the one that takes writes; once that is the other one, they go there.
func TestPromotedServer(t *testing.T) {
	servers := []*pgtest.Server{pgtest.Start(t), pgtest.Start(t)}
	promote := func(to int) {
		for n, server := range servers {
			server.Exec(t, "postgres", fmt.Sprintf("ALTER SYSTEM SET default_transaction_read_only = %t", n != to))
			server.Exec(t, "postgres", "SELECT pg_reload_conf()")
		}
	}
	for _, server := range servers {
		if err := store.Migrate(t.Context(), store.MigrateConfig{URL: server.URL("postgres", "")}); err != nil {
			t.Fatal(err)
		}
	}
	promote(1)
	var db *store.DB
	url := pgtest.Both(servers[0], servers[1], "postgres")
	eventually(t, "the second server is found", func() bool {
		opened, err := store.Open(t.Context(), store.Config{URL: url})
		db = opened
		return err == nil && db.Update(t.Context(), block(1)) == nil
	})
	promote(0)
	eventually(t, "updates go to the first server", func() bool {
		update(t, db, block(2)) // none fails meanwhile
		return blocked(t, openURL(t, servers[0].URL("postgres", "")+"&target_session_attrs=any"), 2)
	})
	servers[0].Kill(t)
	promoted := func() error {
		servers[1].Exec(t, "postgres", "ALTER SYSTEM SET default_transaction_read_only = off")
		servers[1].Exec(t, "postgres", "SELECT pg_reload_conf()")
		return db.Update(t.Context(), block(3))
	}
	eventually(t, "updates go to the one that is left", func() bool { return promoted() == nil })
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestTerminatedConnections: connections that the server ends are replaced within the same call.
func TestTerminatedConnections(t *testing.T) {
	db := openShared(t)
	for n := range byte(5) {
		update(t, db, block(n))
		update(t, openShared(t), func(tx *store.Tx) error {
			_, err := tx.Number("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'cairn' AND pid <> pg_backend_pid()")
			return err
		})
	}
	update(t, db, block(9))
}

// TestLockedRow: who waits for somebody else's lock does so for seconds and no longer.
func TestLockedRow(t *testing.T) {
	url := migrated(t)
	db, other := openURL(t, url), openURL(t, url)
	release, held := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		done <- other.Update(context.WithoutCancel(t.Context()), func(tx *store.Tx) error {
			err := block(1)(tx)
			close(held)
			<-release
			return err
		})
	}()
	<-held
	began := time.Now()
	refused(t, db, store.ErrUnavailable, block(1))
	if took := time.Since(began); took > soon {
		t.Errorf("it took %v", took)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
